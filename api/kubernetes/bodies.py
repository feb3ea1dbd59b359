"""Bodies of requests: read, decoded, and rid of fields that the kind does not have."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

import yaml
from starlette.requests import ClientDisconnect, Request

from api.kubernetes import protobuf
from api.kubernetes.errors import (
    bad_request,
    too_large,
    unprocessable,
    unsupported_media_type,
)
from api.kubernetes.objects import METADATA
from api.kubernetes.options import Validation
from api.kubernetes.served import Json, Served

MAX_BYTES: Final = 3 * 1024 * 1024
# What kubectl sends as protobuf is small, and read byte by byte.
MAX_PROTOBUF_BYTES: Final = 64 * 1024
# Deeper than any object of ours; a patch of brackets must not exhaust the stack.
MAX_DEPTH: Final = 64
# Every value costs time of the loop in which everybody else is served; an object of ours has
# a hundred.
MAX_VALUES: Final = 20_000
# Each is a header of the answer.
MAX_WARNINGS: Final = 20
# The longest number of 64 bits has twenty digits.
MAX_NUMBER: Final = 64
JSON_TYPE: Final = "application/json"
YAML_TYPES: Final = ("application/yaml", "application/apply-patch+yaml")
PROTOBUF_TYPE: Final = "application/vnd.kubernetes.protobuf"
TOP: Final = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})


def media_type(request: Request) -> str:
    """The body's type, without parameters."""
    return request.headers.get("content-type", JSON_TYPE).partition(";")[0].strip().lower()


async def read(request: Request) -> bytes:
    """The whole body.

    Raises:
        ApiError: 413, it is too large; 400, it ended early.
    """
    data = bytearray()
    try:
        async for chunk in request.stream():
            data += chunk
            if len(data) > MAX_BYTES:
                raise too_large(f"limit is {MAX_BYTES} bytes")
    except ClientDisconnect:
        raise bad_request("the body ended early") from None
    return bytes(data)


async def read_object(request: Request) -> tuple[Any, list[str]]:
    """The body as JSON, YAML or one of the protobuf messages that kubectl sends.

    Returns:
        What it says, and the paths of fields that it says twice.

    Raises:
        ApiError: 400, it cannot be read; 413, it is too large; 415, it is of another type; 422, it
            holds something that cannot be kept.
    """
    return decode(await read(request), media_type(request))


def decode(data: bytes, type_: str) -> tuple[Any, list[str]]:
    """A body of a type, and the paths of fields that are there twice.

    Raises:
        ApiError: 400, it cannot be read; 413, it is too large; 415, it is of another type; 422, it
            holds something that cannot be kept.
    """
    decoded = _decoded(data, type_)
    return decoded, check_storable(decoded)


def _decoded(data: bytes, type_: str) -> Any:
    if type_ == PROTOBUF_TYPE:
        if len(data) > MAX_PROTOBUF_BYTES:
            raise too_large(f"limit of protobuf is {MAX_PROTOBUF_BYTES} bytes")
        return protobuf.decode(data)
    try:
        if type_ in YAML_TYPES and not data.lstrip().startswith(b"{"):
            return _of_yaml(data)
        if type_ in (JSON_TYPE, *YAML_TYPES) or type_.endswith("+json"):
            # JSON is YAML, but Python's YAML is slow; most clients send JSON all the same.
            return _of_json(data)
    except (ValueError, yaml.YAMLError, RecursionError):
        raise bad_request("the body cannot be read: it is not well-formed") from None
    raise unsupported_media_type(f"the body of the request was in an unknown format: {type_[:100]}")


def _of_json(data: bytes) -> Any:
    # No body has more values than separators; those in texts are counted too.
    if sum(map(data.count, (b",", b"{", b"["))) > MAX_VALUES:
        raise too_large(_TOO_MANY)
    return json.loads(data, object_pairs_hook=_Pairs, parse_constant=_refuse_constant)


def _of_yaml(data: bytes) -> Any:
    """What YAML says, once its events have shown that it is small and shallow.

    Aliases are refused: a page of them can stand for more than a memory holds.
    """
    depth = 0
    for number, event in enumerate(yaml.parse(data, _Loader)):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if number > MAX_VALUES:
            raise too_large(_TOO_MANY)
        if depth > MAX_DEPTH:
            raise bad_request(_TOO_DEEP)
        if isinstance(event, yaml.AliasEvent):
            raise bad_request("YAML with aliases is not taken: write out what they stand for")
    return yaml.load(data, _Loader)  # noqa: S506 - it is a safe loader


class _Loader(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: a moment is text."""

    def resolve(self, kind: type[Any], value: Any, implicit: Any) -> Any:
        """What a value without quotes is; one that is too long for a number is text."""
        if kind is yaml.ScalarNode and isinstance(value, str) and len(value) > MAX_NUMBER:
            implicit = (False, True)
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]  # PyYAML says no types here


_Loader.yaml_implicit_resolvers = {
    first: [each for each in resolvers if each[0] != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


class _Pairs(dict[str, Any]):
    """An object of JSON that knows which of its names were there twice."""

    twice: Sequence[str] = ()

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        if len(self) < len(pairs):
            counts = Counter(name for name, _ in pairs)
            self.twice = [name for name, number in counts.items() if number > 1]


def _refuse_constant(name: str) -> float:
    raise ValueError(name)


def check_storable(value: Any) -> list[str]:
    """Have a value that the database can keep.

    Returns:
        The paths of fields that are there twice.

    Raises:
        ApiError: 400, it is nested too deeply; 413, it has too many values; 422, it holds
            something else than JSON; the field is named.
    """
    twice: list[str] = []
    waiting: list[tuple[Any, str, int]] = [(value, "", 0)]
    seen = 0
    while waiting:
        each, path, depth = waiting.pop()
        seen += 1
        if seen > MAX_VALUES:
            raise too_large(_TOO_MANY)
        if depth > MAX_DEPTH:
            raise bad_request(_TOO_DEEP)
        if isinstance(each, dict):
            twice += [f"{path}.{key}".lstrip(".") for key in getattr(each, "twice", ())]
            waiting += [(e, _below(path, key), depth + 1) for key, e in each.items()]
        elif isinstance(each, list):
            waiting += [(e, f"{path}[{number}]", depth + 1) for number, e in enumerate(each)]
        elif problem := _problem(each):
            raise unprocessable(path or "body", problem)
    return twice


def _below(path: str, key: object) -> str:
    if not isinstance(key, str) or not _is_text(key):
        raise unprocessable(path or "body", "keys must be text")
    return f"{path}.{key}" if path else key


def _problem(value: Any) -> str | None:
    if isinstance(value, str):
        return None if _is_text(value) else "must be text without NUL and lone surrogates"
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, float):
        return None if math.isfinite(value) else "must be a finite number"
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**64 else "must be a number of 64 bits"
    return "is a value that JSON does not have; quote it"


def _is_text(value: str) -> bool:
    try:
        # Only surrogates cannot be encoded.
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


_TOO_DEEP: Final = f"the body is nested deeper than {MAX_DEPTH}"
_TOO_MANY: Final = f"limit is {MAX_VALUES} values"


def without_unknown(
    served: Served, body: Json, twice: list[str], validation: Validation
) -> tuple[Json, list[str]]:
    """The body without fields that the kind does not have.

    Args:
        served: The kind.
        body: An object's JSON.
        twice: Fields that were there twice.
        validation: Whether such fields are an error, warned of, or nothing.

    Returns:
        The rest, and the warnings.

    Raises:
        ApiError: 400, there are some, and the client is strict about it.
    """
    unknown: list[str] = []
    kept = dict(_known(body, served.schema, "", unknown))
    if isinstance(kept.get("metadata"), dict):
        metadata = kept["metadata"]
        unknown += [f"metadata.{name}" for name in metadata if name not in METADATA]
        kept["metadata"] = {name: value for name, value in metadata.items() if name in METADATA}
    surplus = max(0, len(unknown) + len(twice) - MAX_WARNINGS)
    unknown, twice = unknown[:MAX_WARNINGS], twice[: max(0, MAX_WARNINGS - len(unknown))]
    words = [f'unknown field "{path[:200]}"' for path in unknown]
    words += [f'duplicate field "{name[:200]}"' for name in twice]
    words += [f"and {surplus} more fields"] if surplus else []
    if words and validation == "Strict":
        raise bad_request(
            f'{served.kind} in version "{served.version}" cannot be handled as a {served.kind}: '
            f"strict decoding error: {', '.join(words)}"
        )
    return kept, words if validation == "Warn" else []


def _known(value: Json, schema: Json, path: str, unknown: list[str]) -> Iterator[tuple[str, Any]]:
    properties: Json = schema.get("properties") or {}
    extra = schema.get("additionalProperties")
    for name, each in value.items():
        where = f"{path}.{name}" if path else name
        of = properties.get(name, extra)
        if of is None or of is False:
            # An object without any properties named may hold anything: metadata is judged apart.
            if properties:
                unknown.append(where)
                continue
            of = {}
        yield name, _pruned(each, of if isinstance(of, dict) else {}, where, unknown)


def _pruned(value: Any, schema: Json, path: str, unknown: list[str]) -> Any:
    if isinstance(value, dict):
        return dict(_known(value, schema, path, unknown))
    if isinstance(value, list):
        items = schema.get("items") or {}
        return [_pruned(e, items, f"{path}[{n}]", unknown) for n, e in enumerate(value)]
    return value
