"""Writing rows: optimistic concurrency, and the trace that a wish came with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from crds.errors import ConflictError
from crds.meta import ObjectMeta, Resource
from crds.store import Store
from crds.tracing import TRACEPARENT, traceparent

R = TypeVar("R", bound=Resource)

# The controller writes the same rows; more misses in a row than this are not chance.
ATTEMPTS = 10


def stamp(meta: ObjectMeta) -> None:
    """Leave the present span in the annotations, so that the controller's work joins its trace."""
    if trace := traceparent():
        meta.annotations = {**meta.annotations, TRACEPARENT: trace}


def stamped(name: str, namespace: str = "") -> ObjectMeta:
    """Metadata of a new object that carries the present span."""
    meta = ObjectMeta(name=name, namespace=namespace)
    stamp(meta)
    return meta


async def revise(
    store: Store, kind: type[R], name: str, namespace: str, change: Callable[[R], bool]
) -> R:
    """Change an object whatever others write meanwhile.

    Args:
        store: Where it is.
        kind: Its kind.
        name: Its name.
        namespace: Its namespace; empty for cluster kinds.
        change: Changes what was read and says whether there was anything to change.

    Returns:
        The object as it is now; nothing is written when there was nothing to change.

    Raises:
        NotFoundError: It is not there.
        ConflictError: It moved at every attempt.
    """
    for _ in range(ATTEMPTS):
        found = await store.get(kind, name, namespace)
        if not change(found):
            return found
        stamp(found.metadata)
        try:
            return await store.update(found)
        except ConflictError:
            continue
    raise ConflictError(f"{kind.KIND}/{namespace}/{name}")
