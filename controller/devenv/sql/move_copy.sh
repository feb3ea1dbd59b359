# The copy itself, in the background. Reads $source_host, $source_port and $PGPASSWORD.
# It holds the lock on file 9, as everything does that it starts.

# The last thing that was said to be an error, or the last thing that was said.
last_words() {
  grep -E '(ERROR|FATAL|error):' "$work/log" | tail -n 1 | grep . || tail -n 1 "$work/log"
}

end() {
  code=$?
  trap - EXIT
  rm -f "$work/globals.sql" "$work/globals.log"
  if [ "$code" -ne 0 ]; then
    rm -f "$work/dump"
    tell failed "$(last_words)"
  fi
}
trap end EXIT
trap 'exit 143' HUP INT TERM

# A source that does not answer any more is noticed within two minutes.
conninfo='dbname=postgres connect_timeout=10 keepalives_idle=30 keepalives_interval=10'
conninfo="$conninfo keepalives_count=6 tcp_user_timeout=120000"
there="-h $source_host -p $source_port -U supabase_admin"

# What an earlier try has left.
here -d template1 -c 'drop database if exists invoker_moving with (force)'

# Roles with their passwords, memberships and settings. The image has made most of them already.
# ($there is several words, and none has a blank.)
# shellcheck disable=SC2086
pg_dumpall $there -d "$conninfo" --globals-only --no-tablespaces -f "$work/globals.sql"
psql -X -q -h 127.0.0.1 -U supabase_admin -d template1 -f "$work/globals.sql" \
  >"$work/globals.log" 2>&1
if grep -E '(ERROR|FATAL):' "$work/globals.log" | grep -v ' already exists$'; then
  exit 1
fi
rm -f "$work/globals.sql" "$work/globals.log"

# shellcheck disable=SC2086
pg_dump $there -d "$conninfo" --format=custom --compress=1 --lock-wait-timeout=30s \
  --file="$work/dump"

# pg_cron refuses every database but `postgres`, and its jobs must not run in two places:
# what belongs to it waits for the switch.
pg_restore --list "$work/dump" >"$work/all.list"
: >"$work/cron.list"
if grep -Eq '^[0-9]+; [0-9]+ [0-9]+ EXTENSION - pg_cron' "$work/all.list"; then
  grep -E -e '^[0-9]+; [0-9]+ [0-9]+ [A-Z ]+ cron ' \
    -e '^[0-9]+; [0-9]+ [0-9]+ EXTENSION - pg_cron( |$)' \
    -e '^[0-9]+; [0-9]+ [0-9]+ COMMENT - EXTENSION pg_cron( |$)' \
    -e '^[0-9]+; [0-9]+ [0-9]+ ACL - SCHEMA cron ' "$work/all.list" >"$work/cron.list"
fi
grep -v -x -F -f "$work/cron.list" "$work/all.list" >"$work/rest.list"

# The database by another name, with the encoding, collation, owner, rights and settings it has.
pg_restore --create --list "$work/dump" >"$work/all.list"
grep -E -e '^[0-9]+; [0-9]+ [0-9]+ DATABASE( PROPERTIES)? - postgres ' \
  -e '^[0-9]+; [0-9]+ [0-9]+ [A-Z ]+ - DATABASE postgres ' "$work/all.list" \
  >"$work/database.list"
pg_restore --create --use-list="$work/database.list" --file="$work/database.raw" "$work/dump"
sed -e '/^\\connect /d' \
  -e 's/^\([A-Z ]*\) DATABASE postgres /\1 DATABASE invoker_moving /' \
  -e 's/^\(ALTER ROLE .*\) IN DATABASE postgres /\1 IN DATABASE invoker_moving /' \
  -e 's/^\([A-Z, ]*\) ON DATABASE postgres /\1 ON DATABASE invoker_moving /' \
  "$work/database.raw" >"$work/database.sql"
here -d template1 -f "$work/database.sql" >/dev/null

# As a replica no trigger fires, event triggers included: rows that an extension's own triggers
# would encrypt or count once more come over as they are. Keys are checked all the same.
PGOPTIONS="$PGOPTIONS -c session_replication_role=replica" \
  pg_restore --exit-on-error -h 127.0.0.1 -U supabase_admin -d invoker_moving \
  --use-list="$work/rest.list" "$work/dump"
here -d invoker_moving -c analyze

[ -s "$work/cron.list" ] || rm -f "$work/dump"
tell restored
