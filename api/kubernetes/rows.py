"""Kinds of ours as a source: rows of the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

from api.access import is_unlimited, may_change
from api.kubernetes.errors import ApiError, conflict, forbidden
from api.kubernetes.feed import Feed
from api.kubernetes.objects import is_uuid, of_resource, of_row, rejected, store_form
from api.kubernetes.served import Batch, Json, Served, Wish
from crds.errors import InvalidError
from crds.managed_fields import accept_entries, record_update
from crds.meta import GROUP, VERSION, Resource
from crds.schemas import schema_of
from crds.store import Store

VERBS: Final = frozenset(
    {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}
)
VIA: Final = "kubernetes"


def served_kind(kind: type[Resource]) -> Served:
    """What discovery and the rest need to know of a kind."""
    scalable = kind.scale is not Resource.scale
    return Served(
        group=GROUP,
        version=VERSION,
        kind=kind.KIND,
        plural=kind.PLURAL,
        namespaced=kind.SCOPE == "Namespaced",
        verbs=VERBS,
        schema=schema_of(kind),
        columns=kind.COLUMNS,
        selectable=kind.SELECTABLE,
        short_names=kind.SHORT_NAMES,
        subresources=("status", "scale") if scalable else ("status",),
        model=kind,
    )


class RowSource:
    """The rows of one kind.

    Args:
        kind: The kind.
        store: Where they are.
        feed: Tells of their changes.
    """

    def __init__(self, kind: type[Resource], store: Store, feed: Feed) -> None:
        self.served = served_kind(kind)
        self._kind, self._store, self._feed = kind, store, feed

    async def snapshot(
        self,
        namespace: str | None,
        name: str | None = None,
        *,
        after: tuple[str, str] | None = None,
        limit: int | None = None,
    ) -> tuple[Sequence[Json], int]:
        """Objects, valid or not, and the version that they are a snapshot of."""
        version, rows = await self._store.page(
            self._kind, namespace=namespace, name=name, after=after, limit=limit
        )
        return [of_row(self._kind.KIND, row) for row in rows], version

    def changes(self, since: int) -> AsyncIterator[Batch]:
        """Every change of the kind after a version."""
        return self._feed.follow({self._kind.KIND}, since)

    async def create(self, body: Json, wish: Wish) -> Json:
        """Store a new object.

        Raises:
            ApiError: It breaks a rule, or has fields that are not the writer's to set.
            AlreadyExistsError: The name is taken.
        """
        resource = self._parse({**body, "status": None})
        # A default that is spelled out, as answers do, is as good as left out.
        defaults = {"spec": type(resource.spec).model_construct().to_json()}
        self._check_writer(wish, defaults, of_resource(resource))
        resource.metadata.managed_fields = self._entries(None, of_resource(resource), body, wish)
        store = self._store.acting_as(wish.identity.actor(VIA, wish.request))
        return of_resource(await store.create(resource, dry_run=wish.dry_run))

    async def replace(self, body: Json, old: Json, wish: Wish) -> Json:
        """Store an object over the one that was read.

        Through the object itself its status stays, through `status` everything else does.

        Raises:
            ApiError: It breaks a rule, is another object, or changes what is not the writer's.
            ConflictError: It moved since it was read.
        """
        given = body["metadata"].get("uid")
        if given and given != old["metadata"]["uid"]:
            message = f"the UID in the precondition ({str(given)[:50]}) is not the object's"
            raise conflict(self.served.qualified, old["metadata"]["name"], message)
        of_status = wish.subresource == "status"
        if of_status:
            body = {**old, "status": body.get("status") or {}, "metadata": _sent(old, body)}
        resource = self._parse(body if of_status else {**body, "status": None})
        new = of_resource(resource) if of_status else _with_status(of_resource(resource), old)
        before = self._normal(old)
        self._check_writer(wish, before, new)
        resource.metadata.managed_fields = self._entries(before, new, body, wish)
        resource.metadata.uid = UUID(old["metadata"]["uid"])
        resource.metadata.resource_version = int(old["metadata"]["resourceVersion"])
        store = self._store.acting_as(wish.identity.actor(VIA, wish.request))
        written = await store.update(resource, with_status=of_status, dry_run=wish.dry_run)
        form = of_resource(written)
        if wish.dry_run:
            form["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        return form

    async def delete(
        self, old: Json, wish: Wish, *, uid: str | None, resource_version: int
    ) -> Json | None:
        """Ask for an object's deletion.

        Raises:
            ApiError: The uid of the precondition is none.
            ConflictError: A precondition does not hold.
        """
        name = old["metadata"]["name"]
        if uid is not None and not is_uuid(uid):
            raise conflict(self.served.qualified, name, "the UID in the precondition is none")
        store = self._store.acting_as(wish.identity.actor(VIA, wish.request))
        row = await store.delete(
            self._kind,
            name,
            old["metadata"].get("namespace", ""),
            uid=UUID(uid) if uid else UUID(old["metadata"]["uid"]),
            resource_version=resource_version,
            dry_run=wish.dry_run,
        )
        return None if row is None else of_row(self._kind.KIND, row)

    def _parse(self, body: Json) -> Resource:
        try:
            return self._kind.parse(store_form(body))
        except InvalidError as error:
            raise rejected(
                self.served, str(body["metadata"].get("name", "")), error.causes
            ) from None

    def _normal(self, body: Json) -> Json:
        """An object as it would be stored today: defaults that are younger than it filled in."""
        with suppress(ApiError):
            return _with_status(of_resource(self._parse({**body, "status": None})), body)
        return body

    def _entries(self, old: Json | None, new: Json, sent: Json, wish: Wish) -> list[dict[str, Any]]:
        if wish.applied:
            entries: list[dict[str, Any]] = sent["metadata"]["managedFields"]
            return entries
        live = (old or {}).get("metadata", {}).get("managedFields") or []
        # Who may write some fields only must not make another manager's apply remove others.
        edited = sent["metadata"].get("managedFields") if is_unlimited(wish.identity) else None
        entries = accept_entries(edited, live)
        return record_update(
            old,
            new,
            entries,
            manager=wish.manager,
            now=self._store.clock.now(),
            schema=self.served.schema,
            subresource=wish.subresource,
        )

    def _check_writer(self, wish: Wish, old: Json, new: Json) -> None:
        fields = may_change(wish.identity, self._kind, old, new)
        if fields:
            raise forbidden(
                f"{self.served.qualified} {new['metadata']['name']!r} is forbidden: "
                f"User {wish.identity.subject!r} may not change {', '.join(fields)}",
                kind=self.served.plural,
                group=self.served.group,
                name=new["metadata"]["name"],
            )


def _with_status(form: Json, old: Json) -> Json:
    return {**form, "status": old.get("status") or {}}


def _sent(old: Json, body: Json) -> Json:
    """The old metadata, with the field managers that were sent."""
    sent = body["metadata"].get("managedFields")
    return old["metadata"] if sent is None else {**old["metadata"], "managedFields": sent}
