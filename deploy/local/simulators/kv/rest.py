"""Workers KV's REST API."""

import base64
import json
from collections.abc import Iterable
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, NoReturn

from starlette.applications import Starlette

from deploy.local.simulators.kv.store import KV, Entry, KVNamespace
from deploy.local.simulators.wire import Answer, Call, Router, asgi, json_answer

_BASE = "/client/v4/accounts/{account_id}/storage/kv/namespaces"
_ONE = _BASE + "/{namespace_id}"
_VALUE = _ONE + "/values/{key_name}"
_MAX_KEY_BYTES = 512
_MAX_METADATA_BYTES = 1024
_MAX_BULK = 10_000
_MAX_BULK_BYTES = 100 * 1024 * 1024
_MAX_BULK_GET = 100
_MIN_LIST, _MAX_LIST = 10, 1000
_MIN_TTL = 60
_RETRY_AFTER = "300"


class CloudflareError(Exception):
    """A refusal: HTTP status, Cloudflare's code and text."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def kv_api(kv: KV) -> Starlette:
    """Return the REST API as an application."""
    return asgi(KVRest(kv))


class KVRest:
    """Answers calls of the REST API."""

    def __init__(self, kv: KV) -> None:
        self.kv = kv
        self.router = Router()
        on = self.router.add
        on("GET", _BASE, "kv.namespaces", self._namespaces)
        on("POST", _BASE, "kv.namespace_create", self._create)
        on("GET", _ONE, "kv.namespace_get", lambda q: _ok(_space(self._space(q))))
        on("PUT", _ONE, "kv.namespace_rename", self._rename)
        on("DELETE", _ONE, "kv.namespace_remove", self._remove)
        on("GET", _ONE + "/keys", "kv.list", self._keys)
        on("GET", _VALUE, "kv.get", self._get)
        on("PUT", _VALUE, "kv.put", self._put)
        on("DELETE", _VALUE, "kv.delete", self._delete)
        on("GET", _ONE + "/metadata/{key_name}", "kv.metadata", self._metadata)
        on("PUT", _ONE + "/bulk", "kv.bulk_put", self._bulk_put)
        on("DELETE", _ONE + "/bulk", "kv.bulk_delete", self._bulk_delete)
        on("POST", _ONE + "/bulk/delete", "kv.bulk_delete", self._bulk_delete)
        on("POST", _ONE + "/bulk/get", "kv.bulk_get", self._bulk_get)

    async def __call__(self, call: Call) -> Answer:
        """Answer a call."""
        try:
            return self._answer(call)
        except CloudflareError as error:
            return _failure(error)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return _failure(CloudflareError(400, 10012, f"invalid request: {error}"))

    def _answer(self, call: Call) -> Answer:
        if call.headers.get("authorization", "") != f"Bearer {self.kv.token}":
            raise CloudflareError(401, 10000, "Authentication error")
        if not self.kv.limits.allows(self.kv.now()):
            raise CloudflareError(429, 10429, "Please wait and consider throttling your requests")
        found = self.router.match(call.method, call.path)
        if found is None:
            raise CloudflareError(404, 7003, "No route for the URI")
        route, call.params = found
        if call.params["account_id"] != self.kv.account:
            raise CloudflareError(403, 10000, "Authentication error")
        answer: Answer = route.endpoint(call)
        return answer

    # Namespaces

    def _namespaces(self, call: Call) -> Answer:
        spaces = sorted(self.kv.namespaces.values(), key=lambda space: space.id)
        page, size = int(call.first("page", "1")), int(call.first("per_page", "20"))
        shown = [_space(space) for space in spaces[(page - 1) * size : page * size]]
        info = {"page": page, "per_page": size, "count": len(shown), "total_count": len(spaces)}
        return _ok(shown, result_info=info)

    def _create(self, call: Call) -> Answer:
        title = call.json()["title"]
        if any(space.title == title for space in self.kv.namespaces.values()):
            raise CloudflareError(
                400, 10014, "a namespace with this account ID and title already exists"
            )
        space = self.kv.create_namespace(title)
        self.kv.record("POST", _BASE, "kv.namespace_create", space.id, "", {"title": title})
        return _ok(_space(space))

    def _rename(self, call: Call) -> Answer:
        space = self._space(call)
        space.title = call.json()["title"]
        self.kv.record("PUT", _ONE, "kv.namespace_rename", space.id, "", {"title": space.title})
        return _ok(_space(space))

    def _remove(self, call: Call) -> Answer:
        space = self._space(call)
        self.kv.remove_namespace(space.id)
        self.kv.record("DELETE", _ONE, "kv.namespace_remove", space.id, "")
        return _ok(None)

    # Keys

    def _keys(self, call: Call) -> Answer:
        space = self._space(call)
        limit = int(call.first("limit", str(_MAX_LIST)))
        if not _MIN_LIST <= limit <= _MAX_LIST:
            raise CloudflareError(400, 10029, "limit must be between 10 and 1000")
        after = _decoded(call.first("cursor"))
        keys, more = self.kv.keys(space.id, call.first("prefix"), after, limit)
        return _ok(keys, result_info={"count": len(keys), "cursor": _encoded(more)})

    def _get(self, call: Call) -> Answer:
        entry = self._entry(call)
        headers = {"content-type": "application/octet-stream"}
        if entry.expiration is not None:
            headers["expiration"] = str(int(entry.expiration))
        return Answer(200, entry.value, headers)

    def _metadata(self, call: Call) -> Answer:
        return _ok(self._entry(call).metadata)

    def _put(self, call: Call) -> Answer:
        space, key = self._space(call), call.params["key_name"]
        _check_key(key)
        if not self.kv.limits.allows_write(f"{space.id}/{key}", self.kv.now()):
            raise CloudflareError(429, 10048, "too many writes to the same key")
        value, metadata = _value_of(call)
        options = {name: call.first(name) or None for name in ("expiration", "expiration_ttl")}
        self._write(space, key, Entry(value, metadata, self._expiration(options)))
        self.kv.record("PUT", _VALUE, "kv.put", space.id, key, _noted(value, metadata))
        return _ok(None)

    def _delete(self, call: Call) -> Answer:
        space, key = self._space(call), call.params["key_name"]
        self.kv.delete(key, space.id)
        self.kv.record("DELETE", _VALUE, "kv.delete", space.id, key)
        return _ok(None)

    def _bulk_put(self, call: Call) -> Answer:
        space, pairs = self._space(call), call.json()
        if len(pairs) > _MAX_BULK or len(call.body) > _MAX_BULK_BYTES:
            raise CloudflareError(413, 10026, "too many or too large key-value pairs")
        entries = [(pair["key"], self._bulk_entry(pair)) for pair in pairs]
        failed = [key for key, entry in entries if not self._bulk_write(space, key, entry)]
        return _bulk_result(len(entries) - len(failed), failed)

    def _bulk_entry(self, pair: dict[str, Any]) -> Entry:
        _check_key(pair["key"])
        text = pair["value"]
        value = base64.b64decode(text) if pair.get("base64") else text.encode()
        return Entry(value, pair.get("metadata"), self._expiration(pair))

    def _bulk_write(self, space: KVNamespace, key: str, entry: Entry) -> bool:
        now = self.kv.now()
        if key in self.kv.fail_keys or not self.kv.limits.allows_write(f"{space.id}/{key}", now):
            return False
        self._write(space, key, entry)
        noted = _noted(entry.value, entry.metadata)
        self.kv.record("PUT", _ONE + "/bulk", "kv.put", space.id, key, noted)
        return True

    def _bulk_delete(self, call: Call) -> Answer:
        space, keys = self._space(call), call.json()
        if len(keys) > _MAX_BULK:
            raise CloudflareError(413, 10026, "too many keys")
        failed = [key for key in keys if key in self.kv.fail_keys]
        for key in keys:
            if key not in self.kv.fail_keys:
                self.kv.delete(key, space.id)
                self.kv.record(call.method, _ONE + "/bulk/delete", "kv.delete", space.id, key)
        return _bulk_result(len(keys) - len(failed), failed)

    def _bulk_get(self, call: Call) -> Answer:
        space, body = self._space(call), call.json()
        if len(body["keys"]) > _MAX_BULK_GET:
            raise CloudflareError(400, 10030, "at most 100 keys can be read at once")
        found = read_many(self.kv, space.id, body)
        if not body.get("withMetadata"):
            found = {key: value for key, value in found.items() if value is not None}
        return _ok({"values": found})

    # Steps

    def _space(self, call: Call) -> KVNamespace:
        space = self.kv.namespaces.get(call.params["namespace_id"])
        if space is None:
            raise CloudflareError(404, 10013, "namespace not found")
        return space

    def _entry(self, call: Call) -> Entry:
        entry = self.kv.get(call.params["key_name"], self._space(call).id)
        if entry is None:
            raise CloudflareError(404, 10009, "get: 'key not found'")
        return entry

    def _write(self, space: KVNamespace, key: str, entry: Entry) -> None:
        if entry.metadata is not None and len(json.dumps(entry.metadata)) > _MAX_METADATA_BYTES:
            raise CloudflareError(413, 10047, "metadata is larger than 1024 bytes")
        self.kv.put(key, entry, space.id)

    def _expiration(self, options: dict[str, Any]) -> float | None:
        now = self.kv.now()
        if ttl := options.get("expiration_ttl"):
            if float(ttl) < _MIN_TTL:
                raise CloudflareError(400, 10033, "expiration_ttl must be at least 60")
            return now + float(ttl)
        at = options.get("expiration")
        if at and float(at) < now + _MIN_TTL:
            raise CloudflareError(400, 10033, "expiration must be at least 60 seconds away")
        return float(at) if at else None


def read_many(kv: KV, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a bulk read's keys, null for absent ones."""
    found: dict[str, Any] = {}
    for key in body["keys"]:
        entry = kv.get(key, namespace)
        if entry is None:
            found[key] = None
            continue
        value = entry.value.decode()
        parsed = json.loads(value) if body.get("type") == "json" else value
        with_metadata = {"value": parsed, "metadata": entry.metadata}
        if entry.expiration is not None:
            with_metadata["expiration"] = int(entry.expiration)
        wanted = str(body.get("withMetadata", False)).lower() == "true"
        found[key] = with_metadata if wanted else parsed
    return found


def _ok(result: Any, **more: Any) -> Answer:
    body = {"success": True, "errors": [], "messages": [], "result": result, **more}
    return json_answer(body)


def _bulk_result(count: int, failed: Iterable[str]) -> Answer:
    return _ok({"successful_key_count": count, "unsuccessful_keys": list(failed)})


def _failure(error: CloudflareError) -> Answer:
    errors = [{"code": error.code, "message": str(error)}]
    body = {"success": False, "errors": errors, "messages": [], "result": None}
    refused = error.status == 429  # noqa: PLR2004 - the status has a name only here
    headers = {"retry-after": _RETRY_AFTER} if refused else {}
    return json_answer(body, error.status, headers)


def _space(space: KVNamespace) -> dict[str, Any]:
    return {"id": space.id, "title": space.title, "supports_url_encoding": True}


def _check_key(key: str) -> None:
    if not key or key in {".", ".."} or len(key.encode()) > _MAX_KEY_BYTES:
        raise CloudflareError(414, 10030, "a key has 1 to 512 bytes")


def _noted(value: bytes, metadata: Any) -> dict[str, Any]:
    return {"value": value.decode(errors="replace"), "metadata": metadata}


def _value_of(call: Call) -> tuple[bytes, Any]:
    kind = call.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        return call.body, None
    head = f"content-type: {kind}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + call.body)
    parts = {
        part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
        for part in message.iter_parts()
    }
    value, metadata = parts.get("value"), parts.get("metadata")
    if not isinstance(value, bytes):
        _missing()
    return value, json.loads(metadata) if isinstance(metadata, bytes) else None


def _missing() -> NoReturn:
    raise CloudflareError(400, 10012, "multipart body lacks the part 'value'")


def _encoded(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def _decoded(cursor: str) -> str:
    return base64.urlsafe_b64decode(cursor).decode()
