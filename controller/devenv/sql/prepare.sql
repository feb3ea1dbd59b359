-- Gives roles their passwords (:verifiers, a JSON object of SCRAM verifiers by role)
-- and makes the place for what we have to remember. Can be run again at any time.
-- Returns the roles that are not there.

begin;
-- Not even a verifier belongs in a log or in pg_stat_statements.
-- Names of modules that are not loaded are plain placeholders to PostgreSQL.
set local log_statement = 'none';
set local log_min_duration_statement = -1;
set local log_min_error_statement = 'panic';
set local pgaudit.log = 'none';
set local pg_stat_statements.track_utility = off;
set local lock_timeout = '5s';

select format('alter role %I with password %L', wanted.key, wanted.value)
from json_each_text(:'verifiers'::json) as wanted
join pg_roles on rolname = wanted.key
order by wanted.key
\gexec

select format('alter database %I set "app.settings.jwt_exp" to %L', current_database(), :'jwt_exp')
\gexec

create schema if not exists invoker;
alter schema invoker owner to supabase_admin;
select format(
  'revoke all on schema invoker from %s',
  case grantee when 0 then 'public' else grantee::regrole::text end
)
from pg_namespace, aclexplode(nspacl)
where nspname = 'invoker' and grantee <> nspowner
\gexec

select wanted.key
from json_each_text(:'verifiers'::json) as wanted
left join pg_roles on rolname = wanted.key
where rolname is null
order by wanted.key;
commit;
