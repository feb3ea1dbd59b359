"""Lists: whole, by the page, as tables, or one object."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from api.kubernetes.errors import ApiError, bad_request, expired
from api.kubernetes.objects import name_of, parse_version
from api.kubernetes.options import Form, ListOptions
from api.kubernetes.selectors import Selector
from api.kubernetes.served import Json, Served, Source
from api.kubernetes.tables import partial, table

# Longer than any namespace and name make it.
MAX_TOKEN: Final = 1024


# So many objects are put into words at a time.
PIECE: Final = 100
# So many objects are read at a time where only some are wanted.
SEARCH: Final = 500


class Resume(NamedTuple):
    """Where a list goes on: after which object, and of which version its first page was."""

    version: int
    namespace: str
    name: str

    def token(self) -> str:
        """The continue token."""
        return base64.urlsafe_b64encode(json.dumps(self).encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, token: str) -> Resume:
        """Read a continue token.

        Raises:
            ApiError: 400, it is none of ours.
        """
        if len(token) > MAX_TOKEN:
            raise bad_request("continue key is not valid")
        try:
            version, namespace, name = json.loads(base64.urlsafe_b64decode(token + "=="))
        except (ValueError, TypeError, RecursionError):
            raise bad_request("continue key is not valid") from None
        texts = isinstance(namespace, str) and isinstance(name, str)
        if not texts or not f"{namespace}{name}".isprintable():
            raise bad_request("continue key is not valid")
        return cls(parse_version(str(version)), namespace, name)


class Listed(NamedTuple):
    """A page of objects, the version of its list, and where the next page begins."""

    objects: Sequence[Json]
    version: int
    resume: Resume | None


async def read_page(
    source: Source, selector: Selector, options: ListOptions, horizon: int
) -> Listed:
    """A page of the objects that a selector is about.

    Args:
        source: Where they are.
        selector: Which.
        options: How many, from where, how new.
        horizon: The newest compacted version: a list of it cannot go on.

    Raises:
        ApiError: 410, the list is too old to go on; 504, the version has not been yet.
    """
    begun = Resume.parse(options.resume) if options.resume else None
    if begun is not None and begun.version < horizon:
        raise expired(
            "The provided continue parameter is too old to display a consistent list result."
        )
    found, version, more = await _collect(source, selector, options.limit, begun)
    if begun is not None:
        if begun.version > version:
            raise expired("The provided continue parameter is of a list that has not been yet.")
        version = begun.version
    _check_version(options, version)
    resume = Resume(version, *name_of(found[-1])) if more else None
    return Listed(found, version, resume)


async def _collect(
    source: Source, selector: Selector, limit: int | None, begun: Resume | None
) -> tuple[list[Json], int, bool]:
    """Objects that match, the version of the first read, and whether there are more."""
    found: list[Json] = []
    version: int | None = None
    after = (begun.namespace, begun.name) if begun else None
    # One more than wanted tells whether there is another page.
    ask = None if limit is None else limit + 1
    if ask is not None and selector.narrow:
        # What matches may be rare: it is not to be looked for one by one.
        ask = max(ask, SEARCH)
    while True:
        objects, at = await source.snapshot(
            selector.namespace, selector.name, after=after, limit=ask
        )
        version = at if version is None else version
        found += [obj for obj in objects if selector.matches(obj)]
        if limit is not None and len(found) > limit:
            return found[:limit], version, True
        if ask is None or len(objects) < ask:
            return found, version, False
        after = name_of(objects[-1])


def _check_version(options: ListOptions, version: int) -> None:
    wanted = options.version
    if wanted is None or wanted == 0:
        return
    if wanted > version:
        raise ApiError(
            504,
            "Timeout",
            f"Too large resource version: {wanted}, current: {version}",
            retry_after=1,
        )
    if options.match == "Exact" and wanted != version:
        raise expired(f"resourceVersion {wanted} is no longer to be had exactly")


def list_answer(served: Served, listed: Listed, form: Form, now: datetime) -> Json:
    """A page in the form that the client takes."""
    metadata: Json = {"resourceVersion": str(listed.version)}
    if listed.resume is not None:
        metadata["continue"] = listed.resume.token()
    if form.shape == "table":
        return table(served, listed.objects, now=now, include=form.include, metadata=metadata)
    if form.shape == "partial":
        items = [partial(obj) for obj in listed.objects]
        return {
            "kind": "PartialObjectMetadataList",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "items": items,
        }
    return {
        "kind": f"{served.kind}List",
        "apiVersion": served.api_version,
        "metadata": metadata,
        "items": list(listed.objects),
    }


async def list_pieces(
    served: Served, listed: Listed, form: Form, now: datetime
) -> AsyncGenerator[bytes, None]:
    """The same as its bytes, in pieces between which everybody else is served."""
    whole = list_answer(served, listed._replace(objects=[]), form, now)
    part = "rows" if form.shape == "table" else "items"
    del whole[part]
    yield f'{json.dumps(whole)[:-1]}, "{part}": ['.encode()
    for first in range(0, len(listed.objects), PIECE):
        piece = listed._replace(objects=listed.objects[first : first + PIECE])
        texts = map(json.dumps, list_answer(served, piece, form, now)[part])
        yield (", " if first else "").encode() + ", ".join(texts).encode()
        await asyncio.sleep(0)
    yield b"]}"


def object_answer(served: Served, obj: Json, form: Form, now: datetime) -> Json:
    """One object in the form that the client takes."""
    if form.shape == "table":
        metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
        return table(served, [obj], now=now, include=form.include, metadata=metadata)
    return partial(obj) if form.shape == "partial" else obj
