"""Namespaces: every account's, the operators' own, and two that are always there."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import aclosing, suppress
from typing import Final, cast
from uuid import UUID, uuid5

import psycopg
from psycopg.rows import DictRow

from api.kubernetes.common_schemas import kind_schema, list_of, record, text
from api.kubernetes.errors import ApiError, already_exists, forbidden, invalid
from api.kubernetes.feed import Feed
from api.kubernetes.objects import DNS_LABEL, of_row
from api.kubernetes.rows import VIA, RowSource
from api.kubernetes.served import Batch, Change, Json, Served, Wish
from crds.account import Account
from crds.errors import Cause, ConflictError, NotFoundError
from crds.meta import API_VERSION, Column, Key
from crds.namespace import CONTENTS, Namespace
from crds.registry import KINDS
from crds.store import Store

# Where Kubernetes' clients look, and where events about cluster objects are.
CONSTANTS: Final = ("default", "invoker-system")
# The label that every namespace has in Kubernetes, and that of an account's.
NAME_LABEL: Final = "kubernetes.io/metadata.name"
ACCOUNT_LABEL: Final = "invoker.dev/account"
# Identities of namespaces that are no rows of their own, derived so that they never change.
IDENTITIES: Final = UUID("5b1f4f0e-2b43-4b8c-9a51-1d8a5e0c7c11")

SERVED: Final = Served(
    group="",
    version="v1",
    kind="Namespace",
    plural="namespaces",
    namespaced=False,
    verbs=frozenset({"create", "delete", "get", "list", "patch", "update", "watch"}),
    schema=kind_schema(
        "v1",
        "Namespace",
        "A place for objects: an account's, or one that an operator made.",
        spec=record(
            "Nothing can be wished of it.",
            finalizers=list_of({"type": "string"}, "Who has to clean up before it may go."),
        ),
        status=record(
            "What it is.",
            phase=text("Active, or Terminating while its contents go."),
            conditions=list_of(
                record(
                    "A fact.",
                    type=text("What it is about."),
                    status=text("True, False or Unknown."),
                    reason=text("Why, for programs."),
                    message=text("Why, for people."),
                    lastTransitionTime=text("When it last changed."),
                ),
                "Facts about it.",
            ),
        ),
    ),
    columns=(Column("Status", ".status.phase"),),
    selectable=("status.phase",),
    short_names=("ns",),
)

# One statement, one snapshot: accounts and namespaces together, and the version of all of it.
_ROWS: Final = """
SELECT greatest(
    coalesce((SELECT max(resource_version) FROM object_log), 0),
    (SELECT compacted FROM log_horizon)
  ) AS at, o.*
FROM (SELECT 1) AS one
LEFT JOIN objects o
  ON o.kind IN ('Account', 'Namespace') AND o.name = coalesce(%s, o.name)
ORDER BY o.name, o.kind
"""
_TERMINATING: Final = """
SELECT name FROM objects
WHERE kind = 'Namespace' AND deletion_timestamp IS NOT NULL AND name = ANY(%s)
"""
_CONTENTS: Final = """
SELECT kind, namespace, name, uid, deletion_timestamp IS NOT NULL AS going
FROM objects WHERE namespace = ANY(%s)
"""


class NamespaceSource:
    """Namespaces, read and written as those of Kubernetes' core group.

    An account's namespace lives and goes with the account and is not a row of its own.
    One that an operator made is a row with a finalizer.
    Its deletion asks for the deletion of everything in it, and the row goes once nothing is left.
    No controller sees to that: whoever reads, deletes or watches namespaces takes the next step,
    each of which looks at what is there and can be taken again.
    So a `kubectl delete` that waits brings itself to its end, and one that does not is completed by
    the next look.

    Args:
        store: Where the rows are.
        feed: Tells of their changes.
    """

    served = SERVED

    def __init__(self, store: Store, feed: Feed) -> None:
        self._store, self._feed = store, feed
        self._rows = RowSource(Namespace, store, feed)

    async def snapshot(
        self,
        namespace: str | None,
        name: str | None = None,
        *,
        after: tuple[str, str] | None = None,
        limit: int | None = None,
    ) -> tuple[Sequence[Json], int]:
        """Namespaces in the order of their names, and the version that they are a snapshot of."""
        del namespace  # they are in none
        version, rows = await self._read(name)
        terminating = [row["name"] for row in rows if _is_terminating(row)]
        if terminating:
            await self._advance(terminating)
            version, rows = await self._read(name)
        found = {each: _constant(each) for each in CONSTANTS if name in (None, each)}
        for row in reversed(rows):  # an account comes before a namespace that was made of its name
            found[row["name"]] = _shown(of_row(row["kind"], row))
        every = [found[each] for each in sorted(found) if after is None or each > after[1]]
        return every[:limit], version

    async def changes(self, since: int) -> AsyncIterator[Batch]:
        """Every change of a namespace after a version; what is about to go is helped along.

        Raises:
            ExpiredError: The version is compacted, or not there yet.
        """
        follow = cast("AsyncGenerator[Batch, None]", self._feed.follow(None, since))
        async with aclosing(follow) as batches:
            async for batch in batches:
                shown = [each for change in batch.changes if (each := _change(change))]
                yield Batch(shown, batch.resource_version)
                left = {
                    change.object["metadata"].get("namespace", "")
                    for change in batch.changes
                    if change.type == "DELETED"
                } - {""}
                if left:
                    with suppress(psycopg.OperationalError):  # whoever looks next sees to it
                        await self._advance(left)

    async def create(self, body: Json, wish: Wish) -> Json:
        """Make a namespace that is no account's.

        Raises:
            ApiError: The name is taken, or no label.
            AlreadyExistsError: The name is taken.
        """
        name = body["metadata"]["name"]
        if not DNS_LABEL.fullmatch(name):
            message = "must be a lowercase RFC 1123 label of at most 63 characters"
            raise invalid("Namespace", "", name, [Cause("metadata.name", message)])
        if name in CONSTANTS or await self._is_account(name):
            raise already_exists("namespaces", name)
        return _shown(await self._rows.create(_stored(body), wish))

    async def replace(self, body: Json, old: Json, wish: Wish) -> Json:
        """Store a namespace's labels, annotations and finalizers.

        Raises:
            ApiError: It is not one that an operator made.
            ConflictError: It moved since it was read.
        """
        await self._check_made(old["metadata"]["name"], "change")
        return _shown(await self._rows.replace(_stored(body), _stored(old), wish))

    async def delete(
        self, old: Json, wish: Wish, *, uid: str | None, resource_version: int
    ) -> Json | None:
        """Ask for the deletion of a namespace and of everything in it.

        Raises:
            ApiError: It is not one that an operator made.
            ConflictError: A precondition does not hold.
        """
        name = old["metadata"]["name"]
        await self._check_made(name, "delete")
        left = await self._rows.delete(
            _stored(old), wish, uid=uid, resource_version=resource_version
        )
        if not wish.dry_run:
            # What goes with the namespace is asked for by whoever deletes it.
            await self._advance(
                [name], self._store.acting_as(wish.identity.actor(VIA, wish.request))
            )
            row = await self._store.find_row(Key(Namespace.KIND, "", name))
            left = None if row is None else of_row(Namespace.KIND, row)
        return None if left is None else _shown(left)

    async def _read(self, name: str | None) -> tuple[int, Sequence[DictRow]]:
        rows = await self._store.database.fetch(_ROWS, name)
        return rows[0]["at"], [row for row in rows if row["uid"] is not None]

    async def _is_account(self, name: str) -> bool:
        return await self._store.find_row(Key(Account.KIND, "", name)) is not None

    async def _check_made(self, name: str, verb: str) -> None:
        if name in CONSTANTS:
            raise _forbidden(name, "it is always there")
        if await self._is_account(name):
            raise _forbidden(name, f"it is an account's: {verb} the account {name!r} instead")

    async def _advance(self, names: Collection[str], writer: Store | None = None) -> None:
        """Take the next step towards the end of those that are terminating.

        Args:
            names: Namespaces.
            writer: The store of whoever asked for their end; without it nobody in particular does.
        """
        database = self._store.database
        rows = await database.fetch(_TERMINATING, list(names))
        terminating = [row["name"] for row in rows]
        if not terminating:
            return
        contents = await database.fetch(_CONTENTS, terminating)
        asked = [
            await self._ask_deletion(row, writer or self._store)
            for row in contents
            if not row["going"]
        ]
        if any(asked):
            contents = await database.fetch(_CONTENTS, terminating)
        for name in sorted({*terminating} - {row["namespace"] for row in contents}):
            await self._finish(name)

    @staticmethod
    async def _ask_deletion(row: DictRow, writer: Store) -> bool:
        """Ask for the deletion of what is in a namespace; returns whether that was done."""
        kind = KINDS.get(row["kind"])
        if kind is None:
            return False
        with suppress(NotFoundError, ConflictError):
            await writer.delete(kind, row["name"], row["namespace"], uid=row["uid"])
        return True

    async def _finish(self, name: str) -> None:
        """Let an empty namespace go; whoever else moves it meanwhile looks again."""
        with suppress(NotFoundError, ConflictError):
            found = await self._store.get(Namespace, name)
            if CONTENTS in found.metadata.finalizers:
                found.metadata.finalizers.remove(CONTENTS)
                await self._store.update(found)


def _is_terminating(row: DictRow) -> bool:
    return row["kind"] == Namespace.KIND and row["deletion_timestamp"] is not None


def _forbidden(name: str, why: str) -> ApiError:
    message = f'namespaces "{name}" is forbidden: {why}'
    return forbidden(message, kind="namespaces", name=name)


def _change(change: Change) -> Change | None:
    """A change of the log as one of a namespace; None when it is none."""
    if change.object["kind"] not in (Account.KIND, Namespace.KIND):
        return None
    new = _shown(change.object)
    old = None if change.previous is None else _shown(change.previous)
    if old is not None and _without_version(old) == _without_version(new):
        return None  # something about the account that its namespace does not show
    return Change(change.type, change.resource_version, new, old)


def _without_version(obj: Json) -> Json:
    metadata = {k: v for k, v in obj["metadata"].items() if k != "resourceVersion"}
    return {**obj, "metadata": metadata}


def _shown(obj: Json) -> Json:
    """A row's JSON as a namespace: an account's, or one that was made."""
    metadata = dict(obj["metadata"])
    name = metadata["name"]
    if obj["kind"] == Account.KIND:
        kept = ("resourceVersion", "creationTimestamp", "deletionTimestamp")
        metadata = {
            "name": name,
            "uid": str(uuid5(IDENTITIES, metadata["uid"])),
            **{part: metadata[part] for part in kept if part in metadata},
            "labels": {ACCOUNT_LABEL: name},
        }
    else:
        metadata.pop("generation", None)
        finalizers = [each for each in metadata.pop("finalizers", ()) if each != CONTENTS]
        if finalizers:
            metadata["finalizers"] = finalizers
    metadata["labels"] = {**metadata.get("labels", {}), NAME_LABEL: name}
    phase = "Terminating" if "deletionTimestamp" in metadata else "Active"
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": metadata,
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": phase},
    }


def _constant(name: str) -> Json:
    """One that is always there; since when, nobody has written down."""
    return _shown(
        {
            "kind": Namespace.KIND,
            "metadata": {
                "name": name,
                "uid": str(uuid5(IDENTITIES, name)),
                "resourceVersion": "1",
            },
        }
    )


def _stored(obj: Json) -> Json:
    """A namespace's JSON as that of its row; an owner would make a collector look for it."""
    metadata = {k: v for k, v in obj["metadata"].items() if k != "ownerReferences"}
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k != NAME_LABEL}
    others = [each for each in metadata.get("finalizers") or () if each != CONTENTS]
    metadata |= {"labels": labels, "finalizers": [*others, CONTENTS]}
    return {"apiVersion": API_VERSION, "kind": Namespace.KIND, "metadata": metadata, "spec": {}}
