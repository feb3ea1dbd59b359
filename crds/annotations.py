"""The annotations by which people steer the controllers."""

from typing import Final

PREFIX: Final = "invoker.dev/"

# "true": the controllers leave the object alone.
PAUSED: Final = "invoker.dev/paused"
# On an object that is being deleted: the reason why its removal shall not be waited for.
FORCE_DELETE: Final = "invoker.dev/force-delete"
# On the platform: until this moment (RFC 3339) the collector lets go what it would keep.
COLLECT: Final = "invoker.dev/collect"
