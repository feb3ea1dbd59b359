"""Label and field selectors: which objects a list or a watch is about."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from api.kubernetes.errors import bad_request
from api.kubernetes.jsonpath import look_up
from api.kubernetes.objects import NAME, is_qualified
from api.kubernetes.served import Json, Served

Labels = Mapping[str, str]
SET: Final = re.compile(r"(?P<key>\S+)\s+(?P<verb>in|notin)\s*\((?P<values>[^()]*)\)")
EQUALITY: Final = re.compile(r"(?P<key>[^\s=!]+)\s*(?P<verb>==|=|!=)\s*(?P<value>[^\s=!]*)")
PRESENCE: Final = re.compile(r"(?P<absent>!?)\s*(?P<key>[^\s=!]+)")
# Every requirement is tried on every object.
MAX_REQUIREMENTS: Final = 100


@dataclass(frozen=True, slots=True)
class Selector:
    """What an object must be like.

    Attributes:
        namespace: Only in this namespace; None: in any.
        name: Only of this name; None: of any.
    """

    namespace: str | None = None
    name: str | None = None
    labels: tuple[Callable[[Labels], bool], ...] = ()
    fields: tuple[Callable[[Json], bool], ...] = field(default=())

    @property
    def narrow(self) -> bool:
        """Whether it asks for more than a namespace and a name."""
        return bool(self.labels or self.fields)

    def matches(self, obj: Json) -> bool:
        """Whether the object is like that."""
        metadata = obj["metadata"]
        if self.namespace is not None and metadata.get("namespace", "") != self.namespace:
            return False
        if self.name is not None and metadata["name"] != self.name:
            return False
        labels = metadata.get("labels") or {}
        return all(holds(labels) for holds in self.labels) and all(
            holds(obj) for holds in self.fields
        )


def parse(
    served: Served, namespace: str | None, labels: str | None, fields: str | None
) -> Selector:
    """The selector of a request.

    Args:
        served: What is selected.
        namespace: Of the request's path; None: all.
        labels: The labelSelector, as in `app=web,tier in (a, b),!canary`.
        fields: The fieldSelector, as in `metadata.name=x,status.phase!=Ready`.

    Raises:
        ApiError: 400, one cannot be read or names a field that is not selectable.
    """
    names, rest = _fields(served, fields or "")
    within = names.pop("metadata.namespace", None) if served.namespaced else None
    if namespace is not None and within not in (None, namespace):
        # The path is what the client was let in for: a selector may narrow it, to nothing here.
        rest = (*rest, _nothing)
    return Selector(
        (within if namespace is None else namespace) if served.namespaced else None,
        names.get("metadata.name"),
        tuple(_label(part) for part in _requirements(labels or "")),
        rest,
    )


def _requirements(text: str) -> list[str]:
    """The parts between commas, other than those inside parentheses.

    Raises:
        ApiError: 400, they are too many.
    """
    found: list[list[str]] = []
    inside = False
    for piece in text.split(","):
        if inside:
            found[-1].append(piece)
        else:
            found.append([piece])
        if "(" in piece or ")" in piece:
            inside = piece.rfind("(") > piece.rfind(")")
    parts = [part for pieces in found if (part := ",".join(pieces).strip())]
    if len(parts) > MAX_REQUIREMENTS:
        raise bad_request(f"a selector has at most {MAX_REQUIREMENTS} requirements")
    return parts


def _label(text: str) -> Callable[[Labels], bool]:
    if match := SET.fullmatch(text):
        key, values = match["key"], {value.strip() for value in match["values"].split(",")}
        _check(key, *values)
        if match["verb"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if match := EQUALITY.fullmatch(text):
        key, value = match["key"], match["value"]
        _check(key, value)
        if match["verb"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if match := PRESENCE.fullmatch(text):
        key, wanted = match["key"], not match["absent"]
        _check(key)
        return lambda labels: (key in labels) is wanted
    raise bad_request(f"unable to parse requirement: {text[:100]!r} is not a label requirement")


def _check(key: str, *values: str) -> None:
    if not is_qualified(key) or any(value and not NAME.fullmatch(value) for value in values):
        raise bad_request(f"unable to parse requirement: {key[:100]!r} or its value is no label")


def _fields(served: Served, text: str) -> tuple[dict[str, str], tuple[Callable[[Json], bool], ...]]:
    names: dict[str, str] = {}
    rest: list[Callable[[Json], bool]] = []
    for part in _requirements(text):
        match = EQUALITY.fullmatch(part)
        if match is None:
            raise bad_request(f"invalid field selector: {part[:100]!r}; can't understand it")
        path, equal, value = match["key"], match["verb"] != "!=", match["value"]
        if not value.isprintable():
            raise bad_request(f"invalid field selector: the value of {path[:100]!r} is no text")
        if path not in ("metadata.name", "metadata.namespace", *served.selectable):
            raise bad_request(
                f"Unable to find {served.qualified!r} that match field selector {part[:100]!r}: "
                f"field label not supported: {path[:100]}"
            )
        if equal and path.startswith("metadata.") and path not in names:
            names[path] = value
        else:
            rest.append(_field(path, value, equal=equal))
    return names, tuple(rest)


def _nothing(_: Json) -> bool:
    return False


def _field(path: str, value: str, *, equal: bool) -> Callable[[Json], bool]:
    def holds(obj: Json) -> bool:
        return (as_text(look_up(f".{path}", obj)) == value) is equal

    return holds


def as_text(value: object) -> str:
    """A field's value as selectors and tables write it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
