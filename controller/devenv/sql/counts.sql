-- Every ordinary table with how many rows it has, at one moment; a row of the answer each.
-- Not PostgreSQL's own, not what an extension keeps, not ours: see decision 0055.

begin transaction isolation level repeatable read read only;
select format('select %L, count(*) from only %I.%I', nspname || '.' || relname, nspname, relname)
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where c.relkind = 'r'
  and c.relpersistence <> 't'
  and n.nspname <> all (array['information_schema', 'invoker'])
  and n.nspname !~ '^pg_'
  and not exists (
    select from pg_depend as d
    where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  )
order by nspname collate "C", relname collate "C"
\gexec
commit;
