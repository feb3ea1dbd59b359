import json
from typing import Any

import httpx
import pytest

from controller.providers import (
    Call,
    InvalidRequest,
    NotFound,
    Priority,
    RateLimited,
    Unauthorized,
    Unavailable,
)
from controller.providers.cloudflare import KVEntry, client
from tests.providers.clock import run
from tests.providers.fakes import Script, kv, reply

pytestmark = pytest.mark.anyio

CALL = Call(Priority.ROLLOUT)
ROOT = "/client/v4/accounts/acc/storage/kv/namespaces/ns"


def ok(result: Any = None, **more: Any) -> httpx.Response:
    """Return Cloudflare's envelope of a success."""
    return reply(200, {"success": True, "errors": [], "messages": [], "result": result, **more})


def bad(status: int, code: int, message: str) -> httpx.Response:
    """Return Cloudflare's envelope of a failure."""
    errors = [{"code": code, "message": message}]
    return reply(status, {"success": False, "errors": errors, "messages": [], "result": None})


async def test_ten_thousand_and_one_keys_are_two_calls() -> None:
    """A flush costs as few calls as the limit of keys allows."""
    script = Script(ok({"unsuccessful_keys": []}))

    failed = await kv(script).put_bulk(
        (KVEntry(f"route:{n}", "v") for n in range(10_001)), call=CALL
    )

    assert failed == set()
    assert [len(json.loads(r.content)) for r in script.asked] == [10_000, 1]
    assert script.lines == [f"PUT {ROOT}/bulk"] * 2


async def test_bulk_calls_are_split_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """No body is larger than what Cloudflare takes."""
    monkeypatch.setattr(client, "MOST_BYTES", 1000)
    script = Script(ok({}))

    await kv(script).put_bulk((KVEntry(f"k{n}", "ü" * 100) for n in range(10)), call=CALL)

    sizes = [len(r.content) for r in script.asked]
    assert max(sizes) <= 1000
    assert sum(len(json.loads(r.content)) for r in script.asked) == 10


async def test_a_success_can_carry_failures() -> None:
    """The keys that a 200 names as failed come back from every part of a bulk call."""
    script = Script(ok({"unsuccessful_keys": ["a"]}))
    store = kv(script)

    written = await store.put_bulk([KVEntry("a", "1", {"stamp": 1})], call=CALL)
    deleted = await store.delete_bulk(["a", "b"], call=CALL)

    assert (written, deleted) == ({"a"}, {"a"})
    assert json.loads(script.asked[0].content) == [
        {"key": "a", "value": "1", "metadata": {"stamp": 1}}
    ]
    assert script.lines[1] == f"POST {ROOT}/bulk/delete"


async def test_nothing_to_write_is_no_call() -> None:
    """An empty flush asks nobody."""
    script = Script(ok({}))

    await kv(script).put_bulk([], call=CALL)

    assert script.asked == []


async def test_keys_are_listed_page_by_page() -> None:
    """The cursor is followed to its end, with metadata and through nulls."""
    script = Script(
        ok([{"name": "route:a", "metadata": {"uid": "u"}}], result_info={"cursor": "c"}),
        ok([{"name": "route:b", "metadata": None}], result_info={"cursor": "", "count": 1}),
    )

    pages = [page async for page in kv(script).list_keys("route:", call=CALL)]

    assert [[(k.name, k.metadata) for k in page] for page in pages] == [
        [("route:a", {"uid": "u"})],
        [("route:b", {})],
    ]
    assert dict(script.asked[1].url.params) == {"limit": "1000", "prefix": "route:", "cursor": "c"}


async def test_a_value_is_returned_as_it_is() -> None:
    """A value that looks like an envelope of a failure is still only a value."""
    script = Script(httpx.Response(200, content=b'{"success": false}'))

    assert await kv(script).get("route:a/b?", call=CALL) == '{"success": false}'
    assert script.lines == [f"GET {ROOT}/values/route%3Aa%2Fb%3F"]


async def test_an_absent_key_is_none_and_an_absent_namespace_is_not() -> None:
    """Only the key's absence is an answer."""
    assert await kv(Script(bad(404, 10009, "key not found"))).get("a", call=CALL) is None
    with pytest.raises(NotFound):
        await kv(Script(bad(404, 10013, "namespace not found"))).get("a", call=CALL)


async def test_single_writes() -> None:
    """A bare value goes alone, one with metadata through the bulk endpoint."""
    script = Script(ok({}))
    store = kv(script)

    await store.put(KVEntry("platform:status", "{}"), call=CALL)
    await store.put(KVEntry("route:a", "{}", {"stamp": 1}), call=CALL)
    await store.delete("route:a", call=CALL)

    assert script.lines == [
        f"PUT {ROOT}/values/platform%3Astatus",
        f"PUT {ROOT}/bulk",
        f"DELETE {ROOT}/values/route%3Aa",
    ]


async def test_a_single_key_that_was_not_written_is_an_error() -> None:
    """Who writes one key need not look at a set."""
    script = Script(ok({"unsuccessful_keys": ["a"]}))

    with pytest.raises(Unavailable):
        await kv(script).put(KVEntry("a", "1", {}), call=CALL)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (bad(400, 10019, "key too long"), InvalidRequest),
        (bad(200, 10000, "odd"), InvalidRequest),
        (bad(403, 10000, "Authentication error"), Unauthorized),
        (bad(500, 10001, "internal"), Unavailable),
    ],
)
async def test_errors_have_a_kind(answer: httpx.Response, kind: type[Exception]) -> None:
    """Cloudflare's envelope decides, a 200 with `success: false` included."""
    with pytest.raises(kind, match=r"\d+: \w+"):
        await kv(Script(answer)).delete("a", call=CALL)


def test_a_429_stops_every_call_for_five_minutes() -> None:
    """Cloudflare refuses all calls of the account then, whatever they ask."""
    script = Script(bad(429, 10429, "too many"))

    async def act() -> tuple[float | None, float | None]:
        store = kv(script)
        with pytest.raises(RateLimited) as first:
            await store.delete("a", call=CALL)
        with pytest.raises(RateLimited) as second:
            await store.get("b", call=CALL)
        return first.value.retry_after, second.value.retry_after

    assert run(act) == (300, 300)
    assert len(script.asked) == 1
