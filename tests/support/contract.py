"""Checks what is sent to a provider, and what comes back, against the provider's specification."""

import json
import os
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import httpx
import jsonschema
import pytest

from tests.support.swagger import modern

_SPECS = {
    "api.machines.dev": ("fly/machines.openapi.json", ""),
    "api.cloudflare.com": ("cloudflare/workers-kv.openapi.json", "/client/v4"),
    ".supabase.co": ("supabase/auth.openapi.json", "/auth/v1"),
    "api.digitalocean.com": ("digitalocean/droplets.openapi.json", ""),
    "api.netlify.com": ("netlify/netlify.swagger.json", "/api/v1"),
}
_ERRORS_FROM = 400
_UNKNOWN_ALLOWED = frozenset(
    {
        "PUT /admin/users/{userId}",  # takes ban_duration, unspecified
        "POST /v2/droplets",  # its fields are spread over several schemas, each closed by itself
    }
)
_UNDOCUMENTED = frozenset({"POST /admin/users"})


class ContractError(AssertionError):
    """A request or an answer is not what the specification says."""


def specs() -> Path:
    """Return the directory of the specifications; skips the test where there is none."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "specs"
    path = Path(os.environ.get("INVOKER_SPECS") or beside)
    if not path.is_dir():
        pytest.skip(f"NO PROVIDER SPECIFICATIONS at {path}: set INVOKER_SPECS")
    return path


class ContractTransport(httpx.AsyncBaseTransport):
    """Passes calls on to another transport and checks both directions.

    Request bodies with unknown fields fail; null is taken for anything, since real answers
    carry it. Hosts without a specification pass unchecked.

    Args:
        inner: the transport that answers.
        root: directory of the specifications; `specs()` by default.

    Attributes:
        checked: `METHOD /template` of every call that was checked, in order.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, root: Path | None = None) -> None:
        self.inner = inner
        self.root = root or specs()
        self.checked: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Check the request, pass it on, check the answer.

        Raises:
            ContractError: one of them is not what the specification says.
        """
        spec = self._spec(request.url.host)
        if spec is None:
            return await self.inner.handle_async_request(request)
        body = await request.aread()
        path = request.url.raw_path.decode().partition("?")[0].removeprefix(spec.base)
        operation = spec.find(request.method, path)
        if operation is not None:
            self.checked.append(operation.name)
            operation.check_request(request, body)
        answer = await self.inner.handle_async_request(request)
        content = await answer.aread()
        if operation is not None:
            operation.check_answer(answer, content)
        elif answer.status_code < _ERRORS_FROM and f"{request.method} {path}" not in _UNDOCUMENTED:
            raise ContractError(f"{request.method} {path} is in no specification")
        return httpx.Response(
            answer.status_code, headers=answer.headers, content=content, request=request
        )

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self.inner.aclose()

    def _spec(self, host: str) -> "_Spec | None":
        for known, (file, base) in _SPECS.items():
            if host.endswith(known):
                return _load(self.root / file, base)
        return None


class _Spec:
    def __init__(self, document: dict[str, Any], base: str) -> None:
        self.base = base
        self.document = _nullable(document)
        self.operations = [
            (method.upper(), _pattern(template), template)
            for template, methods in self.document["paths"].items()
            for method in methods
            if method != "parameters"
        ]
        # A template without parameters before one that would match it too.
        self.operations.sort(key=lambda entry: entry[2].count("{"))

    @cache  # noqa: B019 - one per specification, for the process
    def find(self, method: str, path: str) -> "_Operation | None":
        for of, pattern, template in self.operations:
            if of == method and pattern.fullmatch(path):
                item = self.document["paths"][template]
                return _Operation(f"{of} {template}", item[of.lower()], self.document)
        return None


class _Operation:
    def __init__(self, name: str, spec: dict[str, Any], document: dict[str, Any]) -> None:
        self.name = name
        self.spec = spec
        self.document = document

    def check_request(self, request: httpx.Request, body: bytes) -> None:
        parameters = map(self._resolved, self.spec.get("parameters", []))
        known = {p["name"] for p in parameters if p.get("in") == "query"}
        query = parse_qsl(request.url.query.decode(), keep_blank_values=True)
        unknown = {name for name, _ in query if name not in known and not _templated(name, known)}
        if unknown:
            raise ContractError(f"{self.name}: unknown query parameters {sorted(unknown)}")
        content = self.spec.get("requestBody", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema")
        is_json = request.headers.get("content-type", "").startswith("application/json")
        if schema is not None and body and is_json:
            closed = self.name not in _UNKNOWN_ALLOWED
            self._check("request", schema, json.loads(body), closed=closed)

    def _resolved(self, parameter: dict[str, Any]) -> dict[str, Any]:
        name = parameter.get("$ref", "").rpartition("/")[2]
        found: dict[str, Any] = (
            self.document["components"]["parameters"][name] if name else parameter
        )
        return found

    def check_answer(self, answer: httpx.Response, content: bytes) -> None:
        code, family = str(answer.status_code), f"{answer.status_code // 100}XX"
        responses = self.spec["responses"]
        described = responses.get(code) or responses.get(family)
        if described is None and answer.status_code < _ERRORS_FROM:
            raise ContractError(f"{self.name}: answer {code} is not in the specification")
        schema = self._answer_schema(described)
        kind = answer.headers.get("content-type", "")
        if schema is not None and content and kind.startswith("application/json"):
            self._check(f"answer {code}", schema, _unwrapped(self.name, json.loads(content)))

    def _answer_schema(self, described: dict[str, Any] | None) -> Any:
        if described is None:
            schemas = self.document["components"]["schemas"]
            return schemas.get("ErrorResponse") or schemas.get("ErrorSchema")
        if "$ref" in described:
            described = self.document["components"]["responses"][described["$ref"].split("/")[-1]]
        return (described.get("content") or {}).get("application/json", {}).get("schema")

    def _check(self, what: str, schema: Any, value: Any, *, closed: bool = False) -> None:
        full = {"components": self.document["components"], "allOf": [schema]}
        validator = jsonschema.Draft4Validator(_closed(full) if closed else full)
        if errors := sorted(validator.iter_errors(value), key=str):
            first = "; ".join(f"{error.json_path}: {error.message}" for error in errors[:3])
            raise ContractError(f"{self.name}: {what}: {first}")


@cache
def _load(file: Path, base: str) -> _Spec:
    return _Spec(modern(json.loads(file.read_text())), base)


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"(\{[^}]+\})", template)
    return re.compile("".join("[^/]+" if p.startswith("{") else re.escape(p) for p in parts))


def _templated(name: str, known: Iterable[str]) -> bool:
    return any("{" in k and name.startswith(k.partition("{")[0]) for k in known) and bool(
        unquote(name)
    )


def _unwrapped(name: str, body: Any) -> Any:
    # The live API answers leases both flat and in an envelope; the specification says flat.
    if name.endswith("/lease") and isinstance(body, dict) and "data" in body:
        return body["data"]
    return body


def _nullable(node: Any) -> Any:
    """Return a specification in which whatever has a type may also be null."""
    if isinstance(node, list):
        return [_nullable(entry) for entry in node]
    if not isinstance(node, Mapping):
        return node
    # "One of" several schemas without required fields is met by all of them at once.
    renamed = {"anyOf" if key == "oneOf" else key: value for key, value in node.items()}
    copy = {key: _nullable(value) for key, value in renamed.items()}
    kind = copy.get("type")
    if isinstance(kind, str) and _is_schema(copy):
        copy["type"] = [kind, "null", *(["boolean"] if _is_autostop(copy) else [])]
        if isinstance(copy.get("enum"), list):
            copy["enum"] = [*copy["enum"], None, *([True, False] if _is_autostop(copy) else [])]
    return copy


def _is_schema(node: Mapping[str, Any]) -> bool:
    return node["type"] in {"string", "integer", "number", "boolean", "array", "object"}


def _is_autostop(node: Mapping[str, Any]) -> bool:
    return node.get("enum") in (
        ["off", "stop", "suspend"],
        ["off", "stop", "suspend", None, True, False],
    )


def _closed(node: Any) -> Any:
    """Return a schema whose objects take no fields but those they name."""
    if isinstance(node, list):
        return [_closed(entry) for entry in node]
    if not isinstance(node, Mapping):
        return node
    copy = {key: _closed(value) for key, value in node.items()}
    if isinstance(copy.get("properties"), dict) and "additionalProperties" not in copy:
        copy["additionalProperties"] = False
    return copy
