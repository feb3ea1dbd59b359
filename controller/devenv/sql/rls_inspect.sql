-- The tables of schema public that are not as a mode (:mode) of row-level security says. Reads only.

begin transaction read only;
set local statement_timeout = '10s';
select to_regclass('invoker.row_security') is not null as applied \gset
\if :applied
\set known 'invoker.row_security'
\else
\set known '(select null::regclass as relation, false as enabled, false as forced where false)'
\endif

with seen as (
  select
    'public.' || c.relname as name,
    c.relrowsecurity as enabled,
    -- What the developers had defined when it was last applied is gone.
    coalesce(
      known.enabled
      and (not c.relrowsecurity or known.forced and not c.relforcerowsecurity),
      false
    ) as weaker,
    p.oid is not null as named,
    coalesce(
      p.polcmd = '*' and p.polpermissive
      and p.polroles = array(select oid from pg_roles where rolname = 'authenticated')
      and pg_get_expr(p.polqual, c.oid) = 'true' and pg_get_expr(p.polwithcheck, c.oid) = 'true',
      false
    ) as open
  from pg_class as c
  left join :known as known on known.relation = c.oid
  left join pg_policy as p on p.polrelid = c.oid and p.polname = 'invoker_permissive'
  where c.relkind in ('r', 'p')
    and c.relnamespace = 'public'::regnamespace
    and not exists (
      select from pg_depend as d
      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
    )
)
select name
from seen
where case :'mode'
  when 'disabled' then enabled or named
  when 'permissive' then weaker or enabled <> open or named <> open
  else weaker or named
end
order by name collate "C"
limit :most;
commit;
