# What was restored is not what is wanted: the next beginning is a new one. Reads why.

IFS= read -r why
lock || exit 0
[ "$(told)" != restored ] || tell failed "$why"
