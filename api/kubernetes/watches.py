"""Watches: what there is, then every change, for as long as the client listens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import psycopg

from api.kubernetes.errors import ApiError, expired, no_database
from api.kubernetes.limits import Listing
from api.kubernetes.options import Form, ListOptions
from api.kubernetes.selectors import Selector
from api.kubernetes.served import Batch, Change, ChangeType, Json, Source
from api.kubernetes.tables import partial, table
from crds.clock import Clock
from crds.errors import ExpiredError

# Kubernetes ends watches after 30 to 60 minutes; clients then list or resume.
DEFAULT_SECONDS: Final = 3600.0
BOOKMARK_SECONDS: Final = 30.0
# A revoked token ends the watches that it opened within this time.
CHECK_SECONDS: Final = 15.0
INITIAL_END: Final = "k8s.io/initial-events-end"
# So many events go out at a time.
CHUNK: Final = 100


@dataclass(frozen=True, slots=True)
class Watch:
    """One watch.

    Attributes:
        source: Where changes come from.
        selector: Which objects it is about.
        options: From when, with what beside changes.
        form: The form of the objects.
        now: The wall time, for ages in tables.
        allowed: Whether the client may still watch.
        listing: A place for reading everything there is.
    """

    source: Source
    selector: Selector
    options: ListOptions
    form: Form
    now: Callable[[], datetime]
    allowed: Callable[[], Awaitable[bool]]
    listing: Listing = nullcontext

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """The stream: events of JSON, a line each.

        What ends it in error is told as its last event: a client that has been told 200 cannot be
        told a status any more.
        """
        deadline = Clock.monotonic() + (self.options.timeout or DEFAULT_SECONDS)
        try:
            since = self.options.version or 0
            if self._begins_with_everything():
                async with self.listing(), aclosing(self._everything()) as everything:
                    async for chunk, version in everything:
                        since = version
                        yield chunk
            async with aclosing(self._changes(since, deadline)) as changes:
                async for chunk in changes:
                    yield chunk
        except ExpiredError as error:
            yield _line("ERROR", expired(f"too old resource version: {error}").status())
        except ApiError as error:
            yield _line("ERROR", error.status())
        except psycopg.OperationalError:
            yield _line("ERROR", no_database().status())

    async def _still_allowed(self) -> bool:
        try:
            return await self.allowed()
        except psycopg.OperationalError:
            # Nobody can say at present. Ending every watch would have all clients list at once,
            # and what they could see meanwhile is nothing.
            return True

    def _begins_with_everything(self) -> bool:
        if self.options.initial is not None:
            return self.options.initial
        return not self.options.version

    async def _everything(self) -> AsyncGenerator[tuple[bytes, int], None]:
        """Everything there is as ADDED, then a bookmark if it was asked for."""
        objects, version = await self.source.snapshot(self.selector.namespace, self.selector.name)
        if self.options.version and self.options.version > version:
            raise ExpiredError(f"{self.options.version} has not been yet")
        found = [obj for obj in objects if self.selector.matches(obj)]
        for first in range(0, len(found), CHUNK):
            part = found[first : first + CHUNK]
            yield b"".join(_line("ADDED", self._shape(obj)) for obj in part), version
            # A client that takes everything at once does not make others wait for it.
            await asyncio.sleep(0)
        yield (self._bookmark(version, initial_end=True) if self.options.initial else b""), version

    async def _changes(self, since: int, deadline: float) -> AsyncGenerator[bytes, None]:
        """Changes as they come, bookmarks between them, until the time is over."""
        checked = bookmarked = Clock.monotonic()
        async with aclosing(_paced(self.source.changes(since))) as batches:
            async for batch in batches:
                now = Clock.monotonic()
                if batch is not None:
                    since = batch.resource_version
                    for chunk in self._chunks_of(batch):
                        yield chunk
                        await asyncio.sleep(0)
                if self.options.bookmarks and now - bookmarked >= BOOKMARK_SECONDS:
                    bookmarked = now
                    yield self._bookmark(since)
                if now - checked >= CHECK_SECONDS:
                    checked = now
                    if not await self._still_allowed():
                        return
                if now >= deadline:
                    break
        if self.options.bookmarks:
            yield self._bookmark(since)

    def _chunks_of(self, batch: Batch) -> Iterator[bytes]:
        """The events of a batch, a part of them at a time: no client needs all in memory."""
        for first in range(0, len(batch.changes), CHUNK):
            part = batch.changes[first : first + CHUNK]
            seen = [(change, self._seen(change)) for change in part]
            if lines := [self._encoded(change, as_) for change, as_ in seen if as_ is not None]:
                yield b"".join(lines)

    def _seen(self, change: Change) -> ChangeType | None:
        """What the change is to somebody who sees only what the selector is about."""
        matches = self.selector.matches(change.object)
        if change.type == "DELETED":
            return "DELETED" if matches else None
        if change.type == "ADDED" or change.previous is None:
            return change.type if matches else None
        matched = self.selector.matches(change.previous)
        if matches:
            return "MODIFIED" if matched else "ADDED"
        return "DELETED" if matched else None

    def _encoded(self, change: Change, seen: ChangeType) -> bytes:
        # Ages are of the moment: a table's row cannot be kept.
        if self.form.shape == "table":
            return _line(seen, self._shape(_as_seen(change, seen)))
        key = f"{seen}/{self.form.name}"
        found = change.encoded.get(key)
        if found is None:
            found = _line(seen, self._shape(_as_seen(change, seen)))
            change.encoded[key] = found
        return found

    def _shape(self, obj: Json) -> Json:
        if self.form.shape == "table":
            return table(
                self.source.served,
                [obj],
                now=self.now(),
                include=self.form.include,
                metadata={"resourceVersion": obj["metadata"]["resourceVersion"]},
            )
        return partial(obj) if self.form.shape == "partial" else obj

    def _bookmark(self, version: int, *, initial_end: bool = False) -> bytes:
        served = self.source.served
        metadata: Json = {"resourceVersion": str(version), "creationTimestamp": None}
        if initial_end:
            metadata["annotations"] = {INITIAL_END: "true"}
        obj: Json = {"kind": served.kind, "apiVersion": served.api_version, "metadata": metadata}
        if self.form.shape == "table":
            obj = table(
                served,
                [],
                now=self.now(),
                include="None",
                metadata={"resourceVersion": str(version)},
            ) | {"rows": [{"cells": [], "object": partial(obj)}]}
        elif self.form.shape == "partial":
            obj = partial(obj)
        return _line("BOOKMARK", obj)


def _as_seen(change: Change, seen: ChangeType) -> Json:
    """The object of an event: what left the selector is shown as it was, at its new version."""
    if seen != "DELETED" or change.type == "DELETED" or change.previous is None:
        return change.object
    version = change.object["metadata"]["resourceVersion"]
    previous = change.previous
    return {**previous, "metadata": {**previous["metadata"], "resourceVersion": version}}


async def _paced(batches: AsyncIterator[Batch]) -> AsyncGenerator[Batch | None, None]:
    """Batches as they come, and None at least once a second: time passes when nothing happens."""
    upcoming = asyncio.ensure_future(anext(batches))
    try:
        while True:
            await asyncio.wait({upcoming}, timeout=1.0)
            if not upcoming.done():
                yield None
                continue
            try:
                batch = upcoming.result()
            except StopAsyncIteration:
                return
            upcoming = asyncio.ensure_future(anext(batches))
            yield batch
    finally:
        upcoming.cancel()
        with suppress(asyncio.CancelledError, StopAsyncIteration, ExpiredError):
            await upcoming


def _line(type_: str, obj: Json) -> bytes:
    return json.dumps({"type": type_, "object": obj}, separators=(",", ":")).encode() + b"\n"
