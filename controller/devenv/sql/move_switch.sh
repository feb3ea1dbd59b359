# The restored database becomes `postgres`. Can be broken off anywhere and run again.

state=$(told)
[ "$state" != none ] || refuse 'there is nothing to switch to: the copy is none'
lock || refuse 'the copy still runs, or somebody else switches'
state=$(told)
[ "$state" != switched ] || exit 0
[ "$state" = restored ] || refuse "there is nothing to switch to: the copy is $state"

here -d template1 -f - <<'SQL' >/dev/null
select exists (select from pg_database where datname = 'invoker_moving') as moving \gset
\if :moving
-- Nobody comes in any more, background workers of extensions included; who is in goes.
alter database postgres with allow_connections false;
alter database invoker_moving with allow_connections false;
select pg_terminate_backend(pid)
from pg_stat_activity
where datname in ('postgres', 'invoker_moving') and pid <> pg_backend_pid();
begin;
alter database postgres rename to invoker_left;
alter database invoker_moving rename to postgres;
alter database postgres with allow_connections true;
commit;
\endif
drop database if exists invoker_left with (force);
SQL

# Jobs begin to run here, and in the old place they never will again.
if [ -s "$work/cron.list" ]; then
  there=$(here -d postgres -c "select count(*) from pg_extension where extname = 'pg_cron'")
  if [ "$there" = 0 ]; then
    pg_restore --exit-on-error --single-transaction -h 127.0.0.1 -U supabase_admin -d postgres \
      --use-list="$work/cron.list" "$work/dump"
  fi
fi

tell switched
rm -f "$work/dump" "$work/log" "$work"/*.list "$work"/database.*
