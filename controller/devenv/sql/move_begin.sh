# Starts the copy ($copy, a script) unless it runs or is through.
# Reads the source's host, its port and the password, a line each.

IFS= read -r source_host
IFS= read -r source_port
IFS= read -r PGPASSWORD
# The environment of a process is its user's own; nothing is left to be removed from the disk.
export source_host source_port PGPASSWORD

mkdir -p "$work"
state=$(told)
# A machine that starts anew holds no lock, whatever it was told.
if [ "$state" = running ] && ! flock -n "$work/lock" true; then
  exit 0
fi
lock || exit 0
state=$(told)
if [ "$state" = restored ] || [ "$state" = switched ]; then
  exit 0
fi
tell running
# Away from this command, which is over at once.
setsid sh -c "$copy" </dev/null >"$work/log" 2>&1 &
