"""The protocol that workerd's KV binding speaks to its service."""

import base64
import json
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette

from deploy.local.simulators.kv.rest import KVRest, read_many
from deploy.local.simulators.kv.store import KV, Entry
from deploy.local.simulators.wire import Answer, Call, asgi, json_answer

_METADATA = "cf-kv-metadata"
_REST = "/client/v4/"
_LIST_LIMIT = "1000"
_CACHE_SECONDS = 60.0
_BULK = "/bulk/get"


def kv_binding(kv: KV, namespace: str | None = None) -> Starlette:
    """Return an application for the binding that also answers the REST API."""
    return asgi(KVBinding(kv, namespace))


class KVBinding:
    """Answers `env.ROUTES.get`, `put`, `delete` and `list` for one namespace.

    With `kv.edge_cache` on, reads are kept for their `cache_ttl` as at the edge.
    """

    def __init__(self, kv: KV, namespace: str | None = None) -> None:
        self.kv = kv
        self.namespace = namespace or kv.default
        self._rest = KVRest(kv)
        self._cache: dict[str, tuple[float, Entry | None]] = {}

    async def __call__(self, call: Call) -> Answer:
        """Answer a call, the REST API's as well."""
        if call.path.startswith(_REST):
            return await self._rest(call)
        if call.method == "POST" and call.path == _BULK:
            return json_answer(read_many(self.kv, self.namespace, call.json()))
        key = unquote(call.path.removeprefix("/"))
        if call.method == "GET":
            return self._read(key, call) if key else self._list(call)
        if call.method == "PUT":
            return self._write(key, call)
        if call.method == "DELETE":
            self.kv.delete(key, self.namespace)
            self.kv.record("DELETE", "/{key}", "kv.delete", self.namespace, key)
            return Answer(204)
        return Answer(405)

    def _read(self, key: str, call: Call) -> Answer:
        entry = self._cached(key, float(call.first("cache_ttl") or _CACHE_SECONDS))
        if entry is None:
            return Answer(404, b"Not Found")
        headers = {"content-type": "application/octet-stream"}
        if entry.metadata is not None:
            headers[_METADATA] = json.dumps(entry.metadata)
        if entry.expiration is not None:
            headers["cf-expiration"] = str(int(entry.expiration))
        return Answer(200, entry.value, headers)

    def _write(self, key: str, call: Call) -> Answer:
        metadata = call.headers.get(_METADATA)
        ttl, at = call.first("expiration_ttl"), call.first("expiration")
        expiration = self.kv.now() + float(ttl) if ttl else float(at) if at else None
        # Workerd sends UTF-8, which HTTP libraries read as Latin-1.
        noted = json.loads(metadata.encode("latin-1")) if metadata else None
        self.kv.put(key, Entry(call.body, noted, expiration), self.namespace)
        details = {"value": call.body.decode(errors="replace"), "metadata": noted}
        self.kv.record("PUT", "/{key}", "kv.put", self.namespace, key, details)
        return Answer(204)

    def _list(self, call: Call) -> Answer:
        limit = int(call.first("key_count_limit") or call.first("limit") or _LIST_LIMIT)
        after = base64.urlsafe_b64decode(call.first("cursor")).decode()
        prefix = call.first("prefix")
        keys, more = self.kv.keys(self.namespace, prefix, after, limit)
        body: dict[str, Any] = {"keys": keys, "list_complete": not more, "cacheStatus": None}
        cursor = base64.urlsafe_b64encode(more.encode()).decode()
        return json_answer(body | ({"cursor": cursor} if more else {}))

    def _cached(self, key: str, ttl: float) -> Entry | None:
        now = self.kv.now()
        kept = self._cache.get(key)
        if self.kv.edge_cache and kept and kept[0] > now:
            return kept[1]
        entry = self.kv.get(key, self.namespace)
        if self.kv.edge_cache:
            self._cache[key] = now + ttl, entry
        return entry
