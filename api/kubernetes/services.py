"""Services: none, but clients ask for them to find out what else runs in a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from api.kubernetes.feed import Feed
from api.kubernetes.served import Batch, Json, ReadOnly, Served

SERVED: Final = Served(
    group="",
    version="v1",
    kind="Service",
    plural="services",
    namespaced=True,
    verbs=frozenset({"get", "list", "watch"}),
    schema={
        "type": "object",
        "description": "A service of a cluster; here there are none.",
        "properties": {
            "apiVersion": {"type": "string", "description": "v1."},
            "kind": {"type": "string", "description": "Service."},
            "metadata": {"type": "object", "description": "Which one it is."},
        },
    },
)


class ServiceSource(ReadOnly):
    """The list that is always empty.

    Args:
        feed: Tells how far the log has been read, which is all that a watch of nothing can tell.
    """

    served = SERVED

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    async def snapshot(
        self,
        namespace: str | None,
        name: str | None = None,
        *,
        after: tuple[str, str] | None = None,
        limit: int | None = None,
    ) -> tuple[Sequence[Json], int]:
        """Nothing, at the newest version."""
        del namespace, name, after, limit
        return [], self._feed.newest

    def changes(self, since: int) -> AsyncIterator[Batch]:
        """No change, ever."""
        return self._feed.follow((), since)
