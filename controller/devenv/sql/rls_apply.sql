-- Brings every table of schema public into a mode (:mode) of row-level security, in one transaction.
--
-- invoker.row_security holds what the developers defined, as last seen: by regclass, so that it
-- follows a rename, and survives a dump, in which a table is called by its name.
-- Under the modes production and permissive what is enabled is what the developers say;
-- under disabled it is what they had said before, and what they have enabled since.

begin;
set local lock_timeout = '2s';
set local statement_timeout = '20s';
select set_config('invoker.mode', :'mode', true) as mode \gset

create table if not exists invoker.row_security (
  relation regclass primary key,
  enabled boolean not null,
  forced boolean not null
);
create table if not exists invoker.row_security_mode (
  single boolean primary key default true check (single),
  mode text not null check (mode in ('production', 'permissive', 'disabled'))
);
lock table invoker.row_security_mode in exclusive mode;

-- Every table that is ours to see to, and those that were and have left the schema.
create temporary view found as
select
  c.oid::regclass as relation,
  c.relnamespace = 'public'::regnamespace as here,
  c.relrowsecurity as enabled,
  c.relforcerowsecurity as forced,
  c.relrowsecurity or coalesce(known.enabled and before.mode = 'disabled', false) as defined,
  p.oid is not null as named,
  coalesce(
    p.polcmd = '*' and p.polpermissive
    and p.polroles = array(select oid from pg_roles where rolname = 'authenticated')
    and pg_get_expr(p.polqual, c.oid) = 'true' and pg_get_expr(p.polwithcheck, c.oid) = 'true',
    false
  ) as open
from pg_class as c
left join invoker.row_security as known on known.relation = c.oid
left join invoker.row_security_mode as before on true
left join pg_policy as p on p.polrelid = c.oid and p.polname = 'invoker_permissive'
where c.relkind in ('r', 'p')
  and (c.relnamespace = 'public'::regnamespace or known.relation is not null)
  and not exists (
    select from pg_depend as d
    where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  );

create temporary view wanted as
select
  *,
  defined and not (here and current_setting('invoker.mode') = 'disabled') as be_enabled,
  defined and here and current_setting('invoker.mode') = 'permissive' as be_open
from found;

do $$
declare
  it record;
begin
  -- Nobody changes a table between the look at it and the change.
  for it in
    select relation from wanted
    where enabled <> be_enabled or named <> be_open or open <> be_open
    order by relation::oid
  loop
    execute format('lock table only %s in access exclusive mode', it.relation);
  end loop;

  for it in select * from wanted order by relation::oid loop
    if it.enabled <> it.be_enabled then
      execute format(
        'alter table only %s %s row level security',
        it.relation, case when it.be_enabled then 'enable' else 'disable' end
      );
    end if;
    if it.named and not (it.open and it.be_open) then
      execute format('drop policy invoker_permissive on %s', it.relation);
    end if;
    if it.be_open and not it.open then
      execute format(
        'create policy invoker_permissive on %s for all to authenticated '
        'using (true) with check (true)',
        it.relation
      );
    end if;
    if it.here then
      insert into invoker.row_security as r (relation, enabled, forced)
      values (it.relation, it.defined, it.forced)
      on conflict (relation) do update
      set enabled = excluded.enabled, forced = excluded.forced
      where (r.enabled, r.forced) is distinct from (excluded.enabled, excluded.forced);
    end if;
  end loop;
end $$;

delete from invoker.row_security as r
where not exists (select from found where found.relation = r.relation and found.here);

insert into invoker.row_security_mode as m (mode)
values (current_setting('invoker.mode'))
on conflict (single) do update set mode = excluded.mode where m.mode <> excluded.mode;
commit;
