"""Bodies of requests: read, decoded, and rid of fields that the kind does not have."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml
from starlette.requests import ClientDisconnect, Request

from api.kubernetes import protobuf
from api.kubernetes.errors import (
    ApiError,
    bad_request,
    unprocessable,
    unsupported_media_type,
)
from api.kubernetes.objects import METADATA
from api.kubernetes.options import Validation
from api.kubernetes.served import Json, Served

MAX_BYTES: Final = 3 * 1024 * 1024
# Deeper than any object of ours; a patch of brackets must not exhaust the stack.
MAX_DEPTH: Final = 64
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
                message = f"Request entity too large: limit is {MAX_BYTES}"
                raise ApiError(413, "RequestEntityTooLarge", message)
    except ClientDisconnect:
        raise bad_request("the body ended early") from None
    return bytes(data)


async def read_object(request: Request) -> tuple[Any, list[str]]:
    """The body as JSON, YAML or one of the protobuf messages that kubectl sends.

    Returns:
        What it says, and the paths of fields that it says twice.

    Raises:
        ApiError: 400, it cannot be read; 415, it is of another type.
    """
    data = await read(request)
    type_ = media_type(request)
    if type_ == PROTOBUF_TYPE:
        decoded = protobuf.decode(data)
        return decoded, list(check_storable(decoded))
    return decode(data, type_)


def decode(data: bytes, type_: str) -> tuple[Any, list[str]]:
    """A body of JSON or YAML, and the paths of fields that are there twice.

    Raises:
        ApiError: 400, it cannot be read; 415, it is of another type.
    """
    try:
        if type_ in YAML_TYPES and not data.lstrip().startswith(b"{"):
            decoded = yaml.load(data, _Loader)  # noqa: S506 - it is a safe loader
        elif type_ in (JSON_TYPE, *YAML_TYPES) or type_.endswith("+json"):
            # JSON is YAML, but Python's YAML is slow; most clients send JSON all the same.
            decoded = json.loads(data, object_pairs_hook=_Pairs, parse_constant=_refuse_constant)
        else:
            message = f"the body of the request was in an unknown format: {type_[:100]}"
            raise unsupported_media_type(message)
    except (ValueError, yaml.YAMLError, RecursionError):
        raise bad_request("the body cannot be read: it is not well-formed") from None
    return decoded, list(check_storable(decoded))


class _Loader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: a moment is text."""


_Loader.yaml_implicit_resolvers = {
    first: [each for each in resolvers if each[0] != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Pairs(dict[str, Any]):
    """An object of JSON that knows which of its names were there twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counts = Counter(name for name, _ in pairs) if len(self) < len(pairs) else Counter[str]()
        self.twice = {name for name, number in counts.items() if number > 1}


def _refuse_constant(name: str) -> float:
    raise ValueError(name)


def check_storable(value: Any, path: str = "", depth: int = 0) -> Iterator[str]:
    """Have a value that the database can keep.

    Yields:
        The paths of fields that are there twice.

    Raises:
        ApiError: 400, it is nested too deeply; 422, it holds something else than JSON; the field
            is named.
    """
    if depth > MAX_DEPTH:
        raise bad_request(f"the body is nested deeper than {MAX_DEPTH}")
    if isinstance(value, Mapping):
        for key, each in value.items():
            if not isinstance(key, str) or not _is_text(key):
                raise unprocessable(path or "body", "keys must be text")
            where = f"{path}.{key}" if path else key
            if key in getattr(value, "twice", ()):
                yield where
            yield from check_storable(each, where, depth + 1)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from check_storable(each, f"{path}[{number}]", depth + 1)
    elif problem := _problem(value):
        raise unprocessable(path or "body", problem)


def _problem(value: Any) -> str | None:
    if isinstance(value, str):
        return None if _is_text(value) else "must be text without NUL and lone surrogates"
    if isinstance(value, float):
        return None if math.isfinite(value) else "must be a finite number"
    plain = value is None or isinstance(value, bool | int)
    return None if plain else "is a value that JSON does not have; quote it"


def _is_text(value: str) -> bool:
    return "\0" not in value and not any("\ud800" <= each <= "\udfff" for each in value)


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
    words = [f'unknown field "{path[:200]}"' for path in unknown]
    words += [f'duplicate field "{name[:200]}"' for name in twice]
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
