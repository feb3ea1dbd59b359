"""Who changed what, and who read secrets: the audit, with what was there before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

import typer
from psycopg.rows import DictRow

from crds.errors import NotFoundError
from crds.meta import Key, Resource
from crds.store import AuditRecord, Store
from deploy.command.frame import run, usage
from deploy.command.kinds import Namespace, complete_kind, find_row, kind_of
from deploy.command.output import Form, Output, camel, show, show_json
from deploy.command.place import Place, State


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(audit)


def audit(
    kind: Annotated[
        str | None, typer.Argument(help="Only this object's.", autocompletion=complete_kind)
    ] = None,
    name: Annotated[str | None, typer.Argument(help="Its name.")] = None,
    *,
    namespace: Namespace = None,
    uid: Annotated[UUID | None, typer.Option(help="Only that object's, also when it is gone.")] = (
        None
    ),
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    output: Output = Form.TABLE,
    state: State = None,
) -> None:
    """Say who changed what and when, newest first, with every field before and after.

    Who asked for what connects to a dev environment is told too, with what they were given.
    """

    async def read() -> Sequence[AuditRecord]:
        wanted = kind_of(kind) if kind else None
        if wanted is not None and name is None:
            raise usage("name the object too, or no kind")
        async with Place.found(state).store() as store:
            of = await _uid(store, wanted, name, namespace) if wanted and name else uid
            return await store.audit.list(uid=of, limit=limit)

    found = run(read)
    if output is Form.JSON:
        show_json([{**camel(record), "changes": list(changes(record))} for record in found])
        return
    for record in found:
        show(*_lines(record))


async def _uid(store: Store, kind: type[Resource], name: str, namespace: str | None) -> UUID:
    try:
        row = await find_row(store, kind, name, namespace)
    except NotFoundError:
        row = await _gone(store, kind.KIND, name, namespace)
    found: UUID = row["uid"]
    return found


async def _gone(store: Store, kind: str, name: str, namespace: str | None) -> DictRow:
    """The last object of this key that somebody wrote to.

    Raises:
        NotFoundError: Nobody ever did.
    """
    rows = await store.database.fetch(
        "SELECT uid FROM audit WHERE kind = %s AND name = %s AND uid IS NOT NULL "
        "AND namespace = coalesce(%s, namespace) ORDER BY id DESC LIMIT 1",
        kind,
        name,
        namespace,
    )
    if not rows:
        raise NotFoundError(str(Key(kind, namespace or "", name)))
    return rows[0]


def changes(record: AuditRecord) -> Iterator[dict[str, Any]]:
    """The fields that a write changed: the path in dots, and what was there before and after."""
    yield from _changes(record.before or {}, record.after or {}, ())


def _changes(before: Any, after: Any, path: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted(before.keys() | after.keys()):
            yield from _changes(before.get(key), after.get(key), (*path, key))
        return
    # What comes or goes whole is shown by its fields, empty ones left out.
    if isinstance(before or after, Mapping) and not (before and after):
        yield from _changes(before or {}, after or {}, path)
        return
    # An empty list that comes with its object says nothing.
    if not (before is None and after == []):
        yield {"field": ".".join(path), "before": before, "after": after}


def _lines(record: AuditRecord) -> Iterator[str]:
    where = "/".join(part for part in (record.kind, record.namespace, record.name) if part)
    yield (
        f"{record.at:%Y-%m-%d %H:%M:%S} UTC  {record.subject} ({record.role}, {record.via})  "
        f"{record.verb} {where}"
    )
    if record.verb == "read":
        given = ", ".join(record.given or ()) or "nothing"
        yield f"    given: {given}" + (f"; refused: {record.refused}" if record.refused else "")
    for change in changes(record):
        yield f"    {change['field']}: {_told(change['before'])} → {_told(change['after'])}"
    yield ""


def _told(value: Any) -> str:
    return "-" if value is None else str(value)
