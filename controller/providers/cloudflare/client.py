"""The client of Workers KV: the routes' way to the edge."""

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

import httpx
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from controller.providers import errors
from controller.providers.budget import Budget, Rate
from controller.providers.call import Call
from controller.providers.exchange import Answer, Ask, retry_after
from controller.providers.http import Gear, ProviderClient

MOST_KEYS = 10_000
MOST_BYTES = 100_000_000
"""Of one bulk call (PROVIDERS.md, limits)."""
PAGE = 1000
RATE = Rate(3.5, 60)
"""Below 1,200 calls in 5 minutes, the burst included (PROVIDERS.md, limits)."""
REFUSED_FOR = 300.0
"""Seconds that Cloudflare refuses every call after too many."""
BULK_DEADLINE = 60.0
"""Seconds: a hundred megabytes need longer than a single value."""
NO_NAMESPACE = 10013
"""Cloudflare's code for a namespace that is not there, as against a key."""
SUCCESS = range(200, 300)
NOT_FOUND, TOO_MANY, BROKEN = 404, 429, 500


@dataclass(frozen=True, slots=True)
class KVEntry:
    """One key with its value; `metadata` comes back with the list of keys (1,024 B at most)."""

    key: str
    value: str
    metadata: dict[str, Any] | None = None


class KVKey(BaseModel):
    """A key in the list."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str
    metadata: Annotated[dict[str, Any], BeforeValidator(lambda v: v or {})] = {}
    expiration: float | None = None


class _Info(BaseModel):
    cursor: Annotated[str, BeforeValidator(lambda v: v or "")] = ""


class _Keys(BaseModel):
    result: Annotated[list[KVKey], BeforeValidator(lambda v: v or [])] = []
    result_info: Annotated[_Info, BeforeValidator(lambda v: v or {})] = Field(default=_Info())


class _Outcome(BaseModel):
    unsuccessful_keys: Annotated[list[str], BeforeValidator(lambda v: v or [])] = []


class _Bulk(BaseModel):
    result: Annotated[_Outcome, BeforeValidator(lambda v: v or {})] = Field(default=_Outcome())


class WorkersKV(ProviderClient):
    """One Workers KV namespace.

    There is no compare-and-swap and reads may be a minute old: writers serialise per key and
    put a generation in the value (PROVIDERS.md).

    Args:
        transport: Where requests go.
        token: The API token.
        account: The account's id.
        namespace: The namespace's id.
        base_url: The API's address.
        gear: Budget, breaker, metrics and randomness.
    """

    provider = "cloudflare"
    request_id_header = "cf-ray"

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        *,
        token: str,
        account: str,
        namespace: str,
        base_url: str = "https://api.cloudflare.com/client/v4",
        gear: Gear | None = None,
    ) -> None:
        super().__init__(transport, token=token, base_url=base_url, gear=gear)
        self._account = account
        self._namespace = namespace
        self._root = f"/accounts/{quote(account, safe='')}/storage/kv/namespaces/{namespace}"

    def default_budget(self) -> Budget:
        """Cloudflare counts all calls of a user together, and so does the one bucket."""
        return Budget(default=RATE, wide=RATE)

    def bucket(self, _: Ask) -> tuple[str, str]:
        """One bucket for all: a 429 here refuses every call."""
        return "kv", self._account

    async def put_bulk(
        self, entries: Iterable[KVEntry], *, within: float = BULK_DEADLINE, call: Call
    ) -> set[str]:
        """Write many keys, in as few calls as the limits allow.

        Args:
            entries: What to write; value, metadata and expiry of each key are replaced.
            within: Seconds for each call.
            call: On whose behalf.

        Returns:
            The keys that were not written; a 200 can carry them. They should be tried again.
        """
        failed: set[str] = set()
        for body in _chunks(_encoded(entry) for entry in entries):
            failed |= await self._bulk("kv.put_bulk", "PUT", "/bulk", body, within, call)
        return failed

    async def delete_bulk(
        self, keys: Iterable[str], *, within: float = BULK_DEADLINE, call: Call
    ) -> set[str]:
        """Delete many keys; an absent one counts as deleted.

        Returns:
            The keys that were not deleted.
        """
        failed: set[str] = set()
        for body in _chunks(json.dumps(key).encode() for key in keys):
            failed |= await self._bulk("kv.delete_bulk", "POST", "/bulk/delete", body, within, call)
        return failed

    async def list_keys(self, prefix: str = "", *, call: Call) -> AsyncIterator[Sequence[KVKey]]:
        """Yield the keys of a prefix with their metadata, a thousand at a time.

        Raises:
            Unavailable: The cursor stands still; the list is then not complete.
        """
        cursor = ""
        while True:
            params = {"limit": str(PAGE), "prefix": prefix, "cursor": cursor}
            ask = self._ask("kv.list", "GET", "/keys", prefix)
            ask.params = {name: value for name, value in params.items() if value}
            page = await self.fetch(_Keys, ask, call)
            yield page.result
            following = page.result_info.cursor
            if not following:
                return
            if following == cursor:
                reason = self.reason(ask, "the cursor of the list stands still")
                raise errors.Unavailable(**reason.fields())
            cursor = following

    async def get(self, key: str, *, call: Call) -> str | None:
        """Return a key's value, or None where there is none; never proof of a write (above).

        Raises:
            NotFound: The namespace itself does not exist.
        """
        try:
            answer = await self.ask(self._value("kv.get", "GET", key), call)
        except errors.NotFound as error:
            if f"{NO_NAMESPACE}" in error.message:
                raise
            return None
        return answer.content.decode(errors="replace")

    async def put(self, entry: KVEntry, *, call: Call) -> None:
        """Write one key.

        An entry with metadata goes through the bulk endpoint, the only one that takes both
        in JSON.

        Raises:
            Unavailable: Cloudflare reports the key as not written.
        """
        if entry.metadata is None:
            ask = self._value("kv.put", "PUT", entry.key)
            ask.content = entry.value.encode()
            ask.headers = {"content-type": "application/octet-stream"}
            await self.ask(ask, call)
        elif await self.put_bulk([entry], call=call):
            reason = self.reason(self._value("kv.put", "PUT", entry.key), "the key was not written")
            raise errors.Unavailable(**reason.fields(), outcome_unknown=True)

    async def delete(self, key: str, *, call: Call) -> None:
        """Delete one key; an absent one counts as deleted."""
        ask = self._value("kv.delete", "DELETE", key)
        ask.json = {}  # the specification requires a body and leaves it empty
        await self.ask(ask, call)

    def classify(self, ask: Ask, answer: Answer) -> errors.ProviderError | None:
        """Return the typed error of an answer, or None; a 200 can carry `success: false`."""
        envelope = None if ask.operation == "kv.get" else _envelope(answer)
        refused = envelope is not None and envelope.get("success") is False
        if answer.status in SUCCESS and not refused:
            return None
        about = self.reason(ask, _words(answer), answer).fields()
        if answer.status == TOO_MANY:
            return errors.RateLimited(**about, retry_after=retry_after(answer, REFUSED_FOR))
        if answer.status >= BROKEN:
            return errors.Unavailable(**about, outcome_unknown=ask.mutating)
        if answer.status in (401, 403):
            return errors.Unauthorized(**about)
        if answer.status == NOT_FOUND:
            return errors.NotFound(**about)
        return errors.InvalidRequest(**about)

    async def _bulk(
        self, operation: str, method: str, tail: str, body: bytes, within: float, call: Call
    ) -> set[str]:
        ask = self._ask(operation, method, tail)
        ask.content, ask.deadline = body, within
        ask.headers = {"content-type": "application/json"}
        return set((await self.fetch(_Bulk, ask, call)).result.unsuccessful_keys)

    def _value(self, operation: str, method: str, key: str) -> Ask:
        return self._ask(operation, method, f"/values/{quote(key, safe='')}", key)

    def _ask(self, operation: str, method: str, tail: str, subject: str = "") -> Ask:
        return Ask(operation, method, f"{self._root}{tail}", subject, self._namespace)


def _encoded(entry: KVEntry) -> bytes:
    body: dict[str, Any] = {"key": entry.key, "value": entry.value}
    if entry.metadata is not None:
        body["metadata"] = entry.metadata
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def _chunks(items: Iterable[bytes]) -> Iterator[bytes]:
    """Join encoded items into JSON arrays within the limits of a bulk call."""
    chunk: list[bytes] = []
    size = 2
    for item in items:
        if chunk and (len(chunk) == MOST_KEYS or size + len(item) + 1 > MOST_BYTES):
            yield b"[" + b",".join(chunk) + b"]"
            chunk, size = [], 2
        chunk.append(item)
        size += len(item) + 1
    if chunk:
        yield b"[" + b",".join(chunk) + b"]"


def _envelope(answer: Answer) -> dict[str, Any] | None:
    try:
        body = json.loads(answer.content)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _words(answer: Answer) -> str:
    said = (_envelope(answer) or {}).get("errors") or []
    words = [f"{e.get('code')}: {e.get('message')}" for e in said if isinstance(e, dict)]
    return "; ".join(words) or answer.content.decode(errors="replace")
