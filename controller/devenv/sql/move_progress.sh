# Says how far the copy is: a word, and what there is to say about it.

state=$(told)
if [ "$state" = running ] && flock -n "$work/lock" true; then
  # It may have come to its end between the two looks.
  [ "$(told)" != running ] || tell failed 'the copy was broken off'
fi
if [ "$state" = none ]; then
  echo none
else
  cat "$work/state"
fi
