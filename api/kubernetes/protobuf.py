"""Bodies in protobuf, of the kinds that kubectl sends so, decoded into the JSON they stand for.

The envelope is four bytes of magic and an `Unknown` message: the type of the object and its bytes.
The numbers of the fields are those of the `generated.proto` files of Kubernetes' API packages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from api.kubernetes.errors import bad_request
from api.kubernetes.served import Json

CONTENT_TYPE: Final = "application/vnd.kubernetes.protobuf"
MAGIC: Final = b"k8s\x00"

MAX_VARINT_BYTES: Final = 10
BITS: Final = 64

Value = int | bytes
Reader = Callable[[Value], Any]
Fields = Mapping[int, tuple[str, Reader]]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _MalformedError(ValueError):
    """Bytes that are no such message."""


def decode(body: bytes) -> Json:
    """The object that a body stands for.

    What Kubernetes writes although it is empty, such as texts and times, is left out, as in JSON.

    Raises:
        ApiError: 400, the body is no message, or of a kind that is not taken in this form.
    """
    if not body.startswith(MAGIC):
        raise bad_request("the body is not Kubernetes' protobuf")
    try:
        envelope = _message(_ENVELOPE)(body[len(MAGIC) :])
        type_ = envelope.get("type", {})
        kind, version = type_.get("kind", ""), type_.get("apiVersion", "")
        reader = _reader_of(version, kind)
        if reader is None:
            raise bad_request(
                f"{kind[:100]!r} of {version[:100]!r} is not taken as protobuf: send JSON"
            )
        return {"apiVersion": version, "kind": kind, **reader(envelope.get("raw", b""))}
    except _MalformedError:
        raise bad_request("the body is not a message of the kind that it says") from None


def _reader_of(version: str, kind: str) -> Reader | None:
    if kind == "DeleteOptions":  # every group has it
        return _message(_DELETE_OPTIONS)
    fields = _KINDS.get((version, kind))
    return None if fields is None else _message(fields)


def _parts(data: bytes) -> Iterator[tuple[int, Value]]:
    """The fields of a message, as numbers and values, in order."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value: Value
        # The wire types; the two that are left out began and ended groups, which nobody uses.
        match key & 7:
            case 0:
                value, at = _varint(data, at)
            case 1:
                value, at = _take(data, at, 8)
            case 2:
                size, at = _varint(data, at)
                value, at = _take(data, at, size)
            case 5:
                value, at = _take(data, at, 4)
            case _:
                raise _MalformedError
        yield key >> 3, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    number = 0
    for count, byte in enumerate(data[at : at + MAX_VARINT_BYTES]):
        number |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:  # noqa: PLR2004 - the highest bit says that another byte follows
            return number & (2**BITS - 1), at + count + 1
    raise _MalformedError


def _take(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    if at + size > len(data):
        raise _MalformedError
    return data[at : at + size], at + size


def _bytes(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise _MalformedError
    return value


def _text(value: Value) -> str | None:
    try:
        return _bytes(value).decode() or None
    except UnicodeDecodeError:
        raise _MalformedError from None


def _integer(value: Value) -> int:
    if not isinstance(value, int):
        raise _MalformedError
    return value - 2**BITS if value >> (BITS - 1) else value


def _number(value: Value) -> int | None:
    """An integer that stands for nothing when it is 0."""
    return _integer(value) or None


def _truth(value: Value) -> bool:
    return _integer(value) != 0


def _json(value: Value) -> Any:
    try:
        return json.loads(_bytes(value))
    except (ValueError, RecursionError):
        raise _MalformedError from None


def _time(value: Value) -> str | None:
    """A moment as RFC 3339; None for Kubernetes' zero time, which is an empty message."""
    parts = dict(_parts(_bytes(value)))
    seconds, nanos = _integer(parts.get(1, 0)), _integer(parts.get(2, 0))
    if not parts:
        return None
    try:
        moment = EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError:
        raise _MalformedError from None
    return moment.isoformat().replace("+00:00", "Z")


def _message(fields: Fields) -> Reader:
    """Reads a message; fields without a name here are passed over."""

    def read(value: Value) -> Json:
        found: Json = {}
        for number, part in _parts(_bytes(value)):
            if number not in fields:
                continue
            name, reader = fields[number]
            decoded = reader(part)
            if isinstance(reader, _Many | _Map):
                reader.add(found.setdefault(name, reader.empty()), decoded)
            elif decoded is not None:
                found[name] = decoded
        return found

    return read


class _Many:
    """Reads one of a list."""

    empty = list[Any]

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def __call__(self, value: Value) -> Any:
        return self._reader(value)

    @staticmethod
    def add(found: list[Any], item: Any) -> None:
        """Put one more in."""
        found.append("" if item is None else item)


class _Map:
    """Reads one entry of a map by strings."""

    empty = dict[str, Any]

    def __init__(self, reader: Reader, default: Any) -> None:
        self._entry = _message({1: ("key", _text), 2: ("value", reader)})
        self._default = default

    def __call__(self, value: Value) -> Any:
        return self._entry(value)

    def add(self, found: dict[str, Any], entry: Json) -> None:
        """Put one more in."""
        found[entry.get("key", "")] = entry.get("value", self._default)


_TEXTS: Final = _Many(_text)
_TEXT_MAP: Final = _Map(_text, "")

_ENVELOPE: Final[Fields] = {
    1: ("type", _message({1: ("apiVersion", _text), 2: ("kind", _text)})),
    2: ("raw", _bytes),
}

_OWNER: Final[Fields] = {
    1: ("kind", _text),
    3: ("name", _text),
    4: ("uid", _text),
    5: ("apiVersion", _text),
    6: ("controller", _truth),
    7: ("blockOwnerDeletion", _truth),
}
_MANAGED_FIELDS: Final[Fields] = {
    1: ("manager", _text),
    2: ("operation", _text),
    3: ("apiVersion", _text),
    4: ("time", _time),
    6: ("fieldsType", _text),
    7: ("fieldsV1", lambda value: _message({1: ("raw", _json)})(value).get("raw", {})),
    8: ("subresource", _text),
}
_METADATA: Final[Fields] = {
    1: ("name", _text),
    2: ("generateName", _text),
    3: ("namespace", _text),
    5: ("uid", _text),
    6: ("resourceVersion", _text),
    7: ("generation", _number),
    8: ("creationTimestamp", _time),
    9: ("deletionTimestamp", _time),
    10: ("deletionGracePeriodSeconds", _integer),
    11: ("labels", _TEXT_MAP),
    12: ("annotations", _TEXT_MAP),
    13: ("ownerReferences", _Many(_message(_OWNER))),
    14: ("finalizers", _TEXTS),
    17: ("managedFields", _Many(_message(_MANAGED_FIELDS))),
}
_REQUIREMENT: Final[Fields] = {1: ("key", _text), 2: ("operator", _text), 3: ("values", _TEXTS)}
_SELECTOR: Final[Fields] = {
    1: ("rawSelector", _text),
    2: ("requirements", _Many(_message(_REQUIREMENT))),
}
_RESOURCE_ATTRIBUTES: Final[Fields] = {
    1: ("namespace", _text),
    2: ("verb", _text),
    3: ("group", _text),
    4: ("version", _text),
    5: ("resource", _text),
    6: ("subresource", _text),
    7: ("name", _text),
    8: ("fieldSelector", _message(_SELECTOR)),
    9: ("labelSelector", _message(_SELECTOR)),
}
_ACCESS: Final[Fields] = {
    1: ("resourceAttributes", _message(_RESOURCE_ATTRIBUTES)),
    2: ("nonResourceAttributes", _message({1: ("path", _text), 2: ("verb", _text)})),
}
_SUBJECT_ACCESS: Final[Fields] = {
    **_ACCESS,
    3: ("user", _text),
    4: ("groups", _TEXTS),
    5: ("extra", _Map(lambda value: _message({1: ("items", _TEXTS)})(value).get("items"), [])),
    6: ("uid", _text),
}
_REFERENCE: Final[Fields] = {
    1: ("kind", _text),
    2: ("namespace", _text),
    3: ("name", _text),
    4: ("uid", _text),
    5: ("apiVersion", _text),
    6: ("resourceVersion", _text),
    7: ("fieldPath", _text),
}
_SOURCE: Final[Fields] = {1: ("component", _text), 2: ("host", _text)}
_SERIES: Final[Fields] = {1: ("count", _integer), 2: ("lastObservedTime", _time)}
_EVENT: Final[Fields] = {
    1: ("metadata", _message(_METADATA)),
    2: ("involvedObject", _message(_REFERENCE)),
    3: ("reason", _text),
    4: ("message", _text),
    5: ("source", _message(_SOURCE)),
    6: ("firstTimestamp", _time),
    7: ("lastTimestamp", _time),
    8: ("count", _number),
    9: ("type", _text),
    10: ("eventTime", _time),
    11: ("series", _message(_SERIES)),
    12: ("action", _text),
    13: ("related", _message(_REFERENCE)),
    14: ("reportingComponent", _text),
    15: ("reportingInstance", _text),
}
_NAMESPACE: Final[Fields] = {
    1: ("metadata", _message(_METADATA)),
    2: ("spec", _message({1: ("finalizers", _TEXTS)})),
    3: ("status", _message({1: ("phase", _text)})),
}
_DELETE_OPTIONS: Final[Fields] = {
    1: ("gracePeriodSeconds", _integer),
    2: ("preconditions", _message({1: ("uid", _text), 2: ("resourceVersion", _text)})),
    3: ("orphanDependents", _truth),
    4: ("propagationPolicy", _text),
    5: ("dryRun", _TEXTS),
}


def _asking(spec: Fields) -> Fields:
    """A review as it is sent: what is answered is not read."""
    return {1: ("metadata", _message(_METADATA)), 2: ("spec", _message(spec))}


_KINDS: Final[Mapping[tuple[str, str], Fields]] = {
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"): _asking(_ACCESS),
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview"): _asking({1: ("namespace", _text)}),
    ("authorization.k8s.io/v1", "SubjectAccessReview"): _asking(_SUBJECT_ACCESS),
    ("authentication.k8s.io/v1", "SelfSubjectReview"): {1: ("metadata", _message(_METADATA))},
    ("v1", "Event"): _EVENT,
    ("v1", "Namespace"): _NAMESPACE,
}
