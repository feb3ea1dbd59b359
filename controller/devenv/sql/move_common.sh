# What every script of a move begins with. POSIX sh, with flock and setsid of util-linux.
set -eu
umask 077
export PGCLIENTENCODING=UTF8
# Names in catalogues and lists are bytes to the tools, and messages are English.
export LC_ALL=C
# Roles come over with what they log in by: none of it belongs in a log, on either side.
# Names of modules that are not loaded are plain placeholders to PostgreSQL.
PGOPTIONS='-c log_statement=none -c log_min_duration_statement=-1'
PGOPTIONS="$PGOPTIONS -c log_min_error_statement=panic -c client_min_messages=warning"
PGOPTIONS="$PGOPTIONS -c pgaudit.log=none -c pg_stat_statements.track_utility=off"
PGOPTIONS="$PGOPTIONS -c statement_timeout=0 -c lc_messages=C"
export PGOPTIONS

# psql in this machine, as one that names its database.
here() {
  psql -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 -U supabase_admin "$@"
}

# Beside the cluster, so on its volume. template1 is there whatever the move has got to.
work=$(here -d template1 -c 'show data_directory')
work=${work%/*}/invoker-move

# The first line is a word, the second what there is to say about it.
tell() {
  printf '%s\n%s\n' "$1" "${2:-}" >"$work/state.new"
  mv "$work/state.new" "$work/state"
}

told() {
  head -n 1 "$work/state" 2>/dev/null || echo none
}

# Takes the lock that everything holds which changes something, by file 9 of this shell and of what
# it starts. It waits for who has said that it is through and is about to let go.
lock() {
  exec 9>"$work/lock"
  flock -w 5 9
}

refuse() {
  echo "ERROR:  $1" >&2
  exit 1
}
