"""The annotations that the controllers heed; theirs take the whole controller along to import."""

from typing import Final

PAUSED: Final = "invoker.dev/paused"
FORCE_DELETE: Final = "invoker.dev/force-delete"
