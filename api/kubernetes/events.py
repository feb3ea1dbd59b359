"""Events as Kubernetes' core group has them: what we record, and what others post."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import datetime
from math import inf
from typing import Annotated, Final, Literal
from uuid import UUID, uuid5

import anyio
import psycopg
from psycopg.rows import DictRow
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from api.kubernetes.common_schemas import integer, kind_schema, record, text, time
from api.kubernetes.errors import conflict, invalid
from api.kubernetes.feed import Feed
from api.kubernetes.objects import is_uuid, timestamp
from api.kubernetes.served import Batch, Change, ChangeType, Json, ReadOnly, Served, Wish
from api.kubernetes.tables import age
from crds.clock import Clock
from crds.errors import Cause, ExpiredError
from crds.meta import API_VERSION, Column, causes_of
from crds.store import EventRecord, Store
from crds.store.events import PostedEvent

# Who recorded what nobody posted.
COMPONENT: Final = "invoker-controller"
IDENTITIES: Final = UUID("0b6c6f0c-6d0e-4c43-8f6e-0f8e1d6a7b52")
NOBODY: Final = UUID(int=0)

POLL_SECONDS: Final = 1.0
BATCH: Final = 500
# Limits of what may be posted: of a text as long as a page, and of a count as wide as its column.
MAX_TEXT: Final = 4096
MAX_COUNT: Final = 2**31 - 1


class _Part(BaseModel):
    """A part of an event as it is posted."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, data: object) -> object:
        """Clients write what they do not know as empty texts and nulls."""
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in data.items() if value not in (None, "")}


Text = Annotated[str, Field(max_length=MAX_TEXT, strict=True)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT, strict=True)]


class _Reference(_Part):
    api_version: Text = ""
    kind: Text = ""
    namespace: Text = ""
    name: Text = ""
    uid: Text = ""
    resource_version: Text = ""
    field_path: Text = ""


class _Noticer(_Part):
    component: Text = ""
    host: Text = ""


class _Series(_Part):
    count: Count = 0
    last_observed_time: AwareDatetime | None = None


class _Kept(_Part):
    """What is kept as it is posted; the rest has columns."""

    involved_object: _Reference = Field(default_factory=_Reference)
    source: _Noticer | None = None
    reporting_component: Text = ""
    reporting_instance: Text = ""
    action: Text = ""
    event_time: AwareDatetime | None = None
    series: _Series | None = None
    related: _Reference | None = None


class _Posted(_Kept):
    reason: Text = ""
    message: Text = ""
    type: Literal["Normal", "Warning"] = "Normal"
    count: Count = 1
    first_timestamp: AwareDatetime | None = None
    last_timestamp: AwareDatetime | None = None


def _reference(description: str) -> Json:
    return record(
        description,
        apiVersion=text("Its group and version."),
        kind=text("Its kind."),
        namespace=text("Its namespace."),
        name=text("Its name."),
        uid=text("Its uid."),
        resourceVersion=text("The version at which it happened."),
        fieldPath=text("The part of it."),
    )


def _row(event: Json, now: datetime) -> list[object]:
    """What a table shows of an event."""
    about = event["involvedObject"]
    return [
        age(event["lastTimestamp"], now),
        event["type"],
        event["reason"],
        f"{about.get('kind', '').lower()}/{about.get('name', '')}",
        event.get("source", {}).get("component", ""),
        event["message"],
        age(event["firstTimestamp"], now),
        event["count"],
        event["metadata"]["name"],
    ]


SERVED: Final = Served(
    group="",
    version="v1",
    kind="Event",
    plural="events",
    namespaced=True,
    verbs=frozenset({"create", "get", "list", "patch", "update", "watch"}),
    schema=kind_schema(
        "v1",
        "Event",
        "Something that happened to an object, so many times; kept for a while.",
        involvedObject=_reference("The object that it happened to."),
        reason=text("What happened, in one CamelCase word for programs."),
        message=text("What happened, for people."),
        type=text("Normal, or Warning for what somebody should look at."),
        count=integer("How many times it happened.", 32),
        firstTimestamp=time("When it first happened."),
        lastTimestamp=time("When it last happened."),
        source=record(
            "Who noticed.", component=text("The program."), host=text("Where the program ran.")
        ),
        reportingComponent=text("Who noticed: the program."),
        reportingInstance=text("Which of the program's processes."),
        action=text("What was done about it."),
        eventTime=time("When it was first noticed."),
        series=record(
            "How it went on.",
            count=integer("How many times it happened.", 32),
            lastObservedTime=time("When it last happened."),
        ),
        related=_reference("Another object that has to do with it."),
    ),
    columns=(
        Column("Last Seen", ".lastTimestamp"),
        Column("Type", ".type"),
        Column("Reason", ".reason"),
        Column("Object", ".involvedObject"),
        Column("Source", ".source.component", priority=1),
        Column("Message", ".message"),
        Column("First Seen", ".firstTimestamp", priority=1),
        Column("Count", ".count", "integer", 1),
        Column("Name", ".metadata.name", priority=1),
    ),
    row=_row,
    selectable=(
        *(f"involvedObject.{field.alias}" for field in _Reference.model_fields.values()),
        "reason",
        "type",
        "reportingComponent",
    ),
    short_names=("ev",),
)


class EventSource(ReadOnly):
    """Events, in an order of their own.

    An event that recurs is one object whose count grows, so a watch tells of its latest state.
    One that expires goes without a word: it says nothing any more.
    They cannot be deleted.

    Args:
        store: Where the events are.
        feed: Ends the watches when the process stops.
        poll_seconds: How often, at most, is looked for new ones, however many watch.
    """

    served = SERVED

    def __init__(self, store: Store, feed: Feed, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._events, self._clock, self._feed = store.events, store.clock, feed
        self._poll_seconds = poll_seconds
        self._newest = 0
        self._looked_at = -inf
        self._looking = anyio.Lock()

    async def snapshot(
        self,
        namespace: str | None,
        name: str | None = None,
        *,
        after: tuple[str, str] | None = None,
        limit: int | None = None,
    ) -> tuple[Sequence[Json], int]:
        """Events in the order of namespace and name, and the version of all of them."""
        version, rows = await self._events.page(
            place=namespace, name=name, after=after, limit=limit
        )
        return [_shown(row) for row in rows], version

    async def changes(self, since: int) -> AsyncIterator[Batch]:
        """Events that happened, or happened again, after a version.

        Raises:
            ExpiredError: The version is not there yet.
        """
        if since > await self._events.newest():
            raise ExpiredError(f"version {since} has not been yet")
        while not self._feed.ended:
            rows = await self._since(since)
            if rows:
                changes = [_change(row, since) for row in rows]
                since = changes[-1].resource_version
                yield Batch(changes, since)
            if len(rows) < BATCH:
                await anyio.sleep(self._poll_seconds)

    async def _since(self, version: int) -> Sequence[DictRow]:
        """What changed after a version; nothing while the database does not answer."""
        with suppress(psycopg.OperationalError):
            if await self._look() > version:
                return await self._events.since(version, BATCH)
        return []

    async def create(self, body: Json, wish: Wish) -> Json:
        """Keep an event that somebody posts.

        Raises:
            ApiError: It breaks a rule.
            AlreadyExistsError: The name is taken.
        """
        return _shown(await self._events.post(self._posted(body), dry_run=wish.dry_run))

    async def replace(self, body: Json, old: Json, wish: Wish) -> Json:
        """Keep an event in place of the one that was read.

        Raises:
            ApiError: It breaks a rule, or is another one.
            ConflictError: It moved since it was read, or expired.
        """
        metadata = old["metadata"]
        if body["metadata"].get("uid") not in (None, "", metadata["uid"]):
            message = "the UID in the precondition is not the object's"
            raise conflict("events", metadata["name"], message)
        version = int(metadata["resourceVersion"])
        row = await self._events.post(self._posted(body), expected=version, dry_run=wish.dry_run)
        return _shown(row)

    async def _look(self) -> int:
        """The newest version; all who watch share a look."""
        async with self._looking:
            now = Clock.monotonic()
            if now - self._looked_at >= self._poll_seconds:
                self._newest = await self._events.newest()
                self._looked_at = now
            return self._newest

    def _posted(self, body: Json) -> PostedEvent:
        """What is kept of a body.

        Raises:
            ApiError: It breaks a rule.
        """
        metadata = body["metadata"]
        name, namespace = metadata["name"], metadata["namespace"]
        try:
            posted = _Posted.model_validate(body)
        except ValidationError as error:
            raise invalid("Event", "", name, causes_of(error)) from None
        about = posted.involved_object
        if about.namespace not in ("", namespace):
            cause = Cause("involvedObject.namespace", "does not match the event's namespace")
            raise invalid("Event", "", name, [cause])
        noted = {part: metadata[part] for part in ("labels", "annotations") if metadata.get(part)}
        kept = posted.model_dump(
            mode="json", by_alias=True, exclude_unset=True, include={*_Kept.model_fields}
        )
        return PostedEvent(self._record(posted, namespace), name, {**kept, **noted})

    def _record(self, posted: _Posted, namespace: str) -> EventRecord:
        about = posted.involved_object
        series = posted.series or _Series()
        first = posted.first_timestamp or posted.event_time or self._clock.now()
        return EventRecord(
            namespace=namespace,
            kind=about.kind,
            name=about.name,
            uid=UUID(about.uid) if is_uuid(about.uid) else NOBODY,
            type=posted.type,
            reason=posted.reason,
            message=posted.message,
            count=series.count or posted.count,
            first_at=first,
            last_at=posted.last_timestamp or series.last_observed_time or first,
        )


def _change(row: DictRow, since: int) -> Change:
    type_: ChangeType = "ADDED" if row["made"] > since else "MODIFIED"
    return Change(type_, row["version"], _shown(row), None)


def _shown(row: DictRow) -> Json:
    """A row as an event of Kubernetes."""
    details = dict(row["details"] or _recorded(row))
    noted = {part: details.pop(part) for part in ("labels", "annotations") if part in details}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": row["event_name"],
            "namespace": row["place"],
            "uid": str(uuid5(IDENTITIES, str(row["id"]))),
            "resourceVersion": str(row["version"]),
            "creationTimestamp": timestamp(row["first_at"]),
            **noted,
        },
        "involvedObject": {},
        **details,
        "reason": row["reason"],
        "message": row["message"],
        "type": row["type"],
        "count": row["count"],
        "firstTimestamp": timestamp(row["first_at"]),
        "lastTimestamp": timestamp(row["last_at"]),
    }


def _recorded(row: DictRow) -> Json:
    """What an event of our own has beside its columns."""
    about = {"apiVersion": API_VERSION, "kind": row["kind"], "name": row["name"]}
    if row["namespace"]:
        about["namespace"] = row["namespace"]
    return {
        "involvedObject": {**about, "uid": str(row["uid"])},
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
    }
