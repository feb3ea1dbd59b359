"""Writes: create, replace, the three kinds of patch, apply, delete, scale."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from typing import Any, Final

from starlette.requests import Request

from api.access import Attributes, allows
from api.kubernetes.authorization import refusal
from api.kubernetes.bodies import (
    decode,
    media_type,
    read,
    read_object,
    without_unknown,
)
from api.kubernetes.errors import (
    ApiError,
    StatusCause,
    bad_request,
    conflict,
    not_found,
    terminating,
    unsupported_media_type,
)
from api.kubernetes.objects import (
    check_envelope,
    check_metadata,
    check_size,
    generate_name,
    rejected,
    version_of,
)
from api.kubernetes.options import WriteOptions
from api.kubernetes.patches import APPLY, change_of
from api.kubernetes.scale import scale_of, scaled
from api.kubernetes.served import Json, Served, Source, Wish
from api.kubernetes.types import wrong_types
from crds.clock import Clock
from crds.errors import AlreadyExistsError, ConflictError, InvalidError, NotFoundError
from crds.managed_fields import ApplyConflictError, apply

# A write that names no version must not fail because others write the same object.
PATIENCE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Written:
    """What a write led to.

    Attributes:
        body: The object as it is then, or a `Status`.
        code: The HTTP status.
        warnings: What the client should know.
    """

    body: Json
    code: int = 200
    warnings: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes to one source for one request.

    Attributes:
        source: What is written to.
        namespaces: Where namespaces are.
        namespace: Of the request's path; empty for cluster kinds.
        wish: Who writes, and how.
        options: The request's options.
        now: The wall time.
    """

    source: Source
    namespaces: Source
    namespace: str
    wish: Wish
    options: WriteOptions
    now: datetime

    async def create(self, request: Request) -> Written:
        """POST: make an object.

        Raises:
            ApiError: The body cannot be read or breaks a rule.
            StoreError: The store refuses.
        """
        body, twice = await read_object(request)
        body, warnings = self._judged(body, "", twice)
        generate_name(self.source.served, body["metadata"])
        check_metadata(self.source.served, body["metadata"])
        if body["metadata"].get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        await self._check_namespace()
        return Written(await self.source.create(body, self.wish), 201, warnings)

    async def replace(self, request: Request, name: str) -> Written:
        """PUT: an object shall be as the body says.

        Raises:
            ApiError: The body cannot be read or breaks a rule, or the object is not there.
            StoreError: The store refuses.
        """
        body, twice = await read_object(request)
        if self.wish.subresource == "scale":
            return await self._revise(name, lambda old: self._scaled(old, body))
        body, warnings = self._judged(body, name, twice)
        check_metadata(self.source.served, body["metadata"])
        written = await self._revise(name, lambda _: body)
        return replace(written, warnings=warnings)

    async def patch(self, request: Request, name: str) -> Written:
        """PATCH: change an object, by the body's type.

        Raises:
            ApiError: The patch cannot be read or applied, or the result breaks a rule.
            StoreError: The store refuses.
        """
        type_, data = media_type(request), await read(request)
        if type_ == APPLY:
            return await self._apply(name, *decode(data, type_))
        change = change_of(
            type_, decode(data, type_)[0], strategic=self.source.served.model is None
        )
        if self.wish.subresource == "scale":
            scale = self._scaled
            return await self._revise(
                name, lambda old: scale(old, change(scale_of(old, self._model())))
            )
        warnings: list[str] = []

        def changed(old: Json) -> Json:
            body, words = self._judged(change(old), name, [])
            warnings[:] = words
            check_metadata(self.source.served, body["metadata"])
            return body

        return replace(await self._revise(name, changed), warnings=warnings)

    async def delete(self, request: Request, name: str) -> Written:
        """DELETE: ask for an object's deletion.

        Raises:
            ApiError: It is not there, or the options cannot be followed.
            StoreError: A precondition does not hold.
        """
        options, wish = await self._delete_options(request)
        return await self._delete(await self._read(name), wish, options)

    async def delete_each(self, request: Request, objects: Sequence[Json]) -> Written:
        """DELETE on a collection: the same for every object of it.

        Raises:
            ApiError: The options cannot be followed.
        """
        options, wish = await self._delete_options(request)
        for obj in objects:
            try:
                await self._delete(obj, wish, options)
            except NotFoundError:
                continue  # somebody else was faster
        served = self.source.served
        return Written(_success(served.plural, served.group, "", ""))

    async def _delete(self, old: Json, wish: Wish, options: Json) -> Written:
        preconditions = options.get("preconditions") or {}
        uid, version = preconditions.get("uid"), version_of(preconditions)
        name, namespace = old["metadata"]["name"], old["metadata"].get("namespace", "")
        served = self.source.served
        async for _ in _attempts():
            try:
                left = await self.source.delete(old, wish, uid=uid, resource_version=version)
            except ConflictError:
                # It may be another one by now, or somebody held it for a moment.
                objects, _ = await self.source.snapshot(namespace, name)
                if not objects:
                    raise NotFoundError(name) from None
                old = objects[0]
                _check_preconditions(served, old, uid, version)
                continue
            if left is not None:
                return Written(left)
            return Written(_success(served.plural, served.group, name, old["metadata"]["uid"]))
        raise conflict(served.qualified, name, _MODIFIED)

    async def _delete_options(self, request: Request) -> tuple[Json, Wish]:
        data = await read(request)
        body, _ = decode(data, media_type(request)) if data else ({}, [])
        if not isinstance(body, dict):
            raise bad_request("DeleteOptions must be an object")
        policy = body.get("propagationPolicy") or request.query_params.get("propagationPolicy")
        if policy not in (None, "", "Background", "Foreground") or body.get("orphanDependents"):
            raise bad_request(
                "propagationPolicy must be Background or Foreground: "
                "what an object owns outside goes with it and cannot be orphaned"
            )
        dry_run = body.get("dryRun") or []
        if dry_run not in ([], ["All"]):
            raise bad_request("dryRun must be a list of nothing but All")
        if not isinstance(body.get("preconditions") or {}, dict):
            raise bad_request("preconditions must be an object")
        return body, replace(self.wish, dry_run=self.wish.dry_run or bool(dry_run))

    async def _apply(self, name: str, config: Any, twice: list[str]) -> Written:
        """Server-side apply."""
        served = self.source.served
        if served.model is None or self.wish.subresource == "scale":
            raise unsupported_media_type(f"{APPLY} is not taken here")
        if not self.options.named:
            raise bad_request("fieldManager is required for apply patch")
        if not isinstance(config, dict) or not config.get("apiVersion") or not config.get("kind"):
            raise bad_request("an applied configuration must have apiVersion and kind")
        config, warnings = self._judged(config, name, twice)
        if config["metadata"].get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        check_metadata(served, config["metadata"])
        async for _ in _attempts():
            old = await self._find(name)
            try:
                written = await self._merge(old, config)
            except (ConflictError, AlreadyExistsError):
                continue
            return Written(written, 200 if old else 201, warnings)
        raise conflict(served.qualified, name, "it moved at every attempt; try again")

    async def _merge(self, old: Json | None, config: Json) -> Json:
        served = self.source.served
        given = config["metadata"].get("resourceVersion")
        if given and (old is None or given != old["metadata"]["resourceVersion"]):
            raise conflict(served.qualified, config["metadata"]["name"], _MODIFIED)
        try:
            merged, entries = apply(
                old,
                config,
                (old or {}).get("metadata", {}).get("managedFields") or [],
                manager=self.wish.manager,
                force=self.options.force,
                now=self.now,
                schema=served.schema,
                subresource=self.wish.subresource,
            )
        except ApplyConflictError as error:
            raise _apply_conflict(error) from None
        except InvalidError as error:
            raise rejected(served, config["metadata"]["name"], error.causes) from None
        merged["metadata"]["managedFields"] = entries
        # Each configuration may be within the limits, and all that were applied not.
        check_metadata(served, merged["metadata"])
        check_size(merged)
        wish = replace(self.wish, applied=True)
        if old is None:
            self._check_may_create(config["metadata"]["name"])
            await self._check_namespace()
            return await self.source.create(merged, wish)
        return await self.source.replace(merged, old, wish)

    def _check_may_create(self, name: str) -> None:
        served = self.source.served
        asked = Attributes("create", served.plural, "", self.namespace, name)
        if self.wish.subresource:
            raise not_found(served.qualified, name)
        if not allows(self.wish.identity, asked):
            raise refusal(self.wish.identity, served, asked)

    async def _check_namespace(self) -> None:
        """A namespace that is mistyped or going must not get an object that nobody owns."""
        served = self.source.served
        if not served.namespaced or served.model is None:
            return
        found, _ = await self.namespaces.snapshot(None, self.namespace)
        if not found:
            raise not_found("namespaces", self.namespace)
        if found[0]["metadata"].get("deletionTimestamp"):
            raise terminating(served.plural, served.group, self.namespace)

    async def _revise(self, name: str, change: Callable[[Json], Json]) -> Written:
        """Change what is there; once more when it moved, unless a version was named."""
        served = self.source.served
        async for _ in _attempts():
            old = await self._read(name)
            body = change(old)
            expected = version_of(body["metadata"])
            moved = expected and str(expected) != old["metadata"]["resourceVersion"]
            if moved:
                raise conflict(served.qualified, name, _MODIFIED)
            try:
                written = await self.source.replace(body, old, self.wish)
            except ConflictError:
                continue
            if self.wish.subresource == "scale":
                written = scale_of(written, self._model())
            return Written(written)
        raise conflict(served.qualified, name, _MODIFIED)

    def _judged(self, body: Any, name: str, twice: list[str]) -> tuple[Json, list[str]]:
        served = self.source.served
        body = check_envelope(served, body, self.namespace, name)
        body, warnings = without_unknown(served, body, twice, self.options.validation)
        check_size(body)
        if causes := list(wrong_types(body, served.schema)):
            raise rejected(served, str(body["metadata"].get("name", "")), causes)
        return body, warnings

    def _scaled(self, old: Json, body: Any) -> Json:
        return scaled(self.source.served, self._model(), old, body)

    def _model(self) -> Any:
        return self.source.served.model

    async def _find(self, name: str) -> Json | None:
        objects, _ = await self.source.snapshot(self.namespace, name)
        return objects[0] if objects else None

    async def _read(self, name: str) -> Json:
        found = await self._find(name)
        if found is None:
            raise not_found(self.source.served.qualified, name)
        return found


def _check_preconditions(served: Served, obj: Json, uid: str | None, version: int) -> None:
    metadata = obj["metadata"]
    if uid not in (None, metadata["uid"]) or version not in (0, int(metadata["resourceVersion"])):
        message = "Precondition failed: the object is not the one that was meant"
        raise conflict(served.qualified, metadata["name"], message)


async def _attempts() -> AsyncIterator[int]:
    """Tries at writing what others write too: jittered, and over within a few seconds."""
    deadline = Clock.monotonic() + PATIENCE_SECONDS
    for attempt in count():
        yield attempt
        if Clock.monotonic() >= deadline:
            return
        await asyncio.sleep(random.uniform(0, LONGEST_PAUSE_SECONDS))  # noqa: S311 - jitter, not a secret


_MODIFIED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


def _apply_conflict(error: ApplyConflictError) -> ApiError:
    causes = [
        StatusCause("FieldManagerConflict", f'conflict with "{each.manager}"', each.field)
        for each in error.conflicts
    ]
    return ApiError(409, "Conflict", str(error), causes=causes)


def _success(plural: str, group: str, name: str, uid: str) -> Json:
    details = {"name": name, "group": group, "kind": plural, "uid": uid}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }
