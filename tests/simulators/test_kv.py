from collections.abc import AsyncIterator

import httpx
import pytest

from deploy.local.simulators.kv import KV, kv_api, kv_binding

pytestmark = pytest.mark.anyio


@pytest.fixture
async def binding(kv: KV) -> AsyncIterator[httpx.AsyncClient]:
    """The store as workerd sees it."""
    through = httpx.ASGITransport(app=kv_binding(kv))
    async with httpx.AsyncClient(transport=through, base_url="http://kv") as client:
        yield client


async def test_a_value_is_written_read_and_deleted(cloudflare: httpx.AsyncClient) -> None:
    """Keys are percent-encoded in the path, slashes included."""
    await cloudflare.put("/values/route%3Aa%2Fb", content=b"one")
    read = await cloudflare.get("/values/route%3Aa%2Fb")
    listed = (await cloudflare.get("/keys")).json()["result"]
    await cloudflare.delete("/values/route%3Aa%2Fb")
    gone = await cloudflare.get("/values/route%3Aa%2Fb")

    assert (read.content, listed) == (b"one", [{"name": "route:a/b"}])
    assert (gone.status_code, gone.json()["errors"][0]["code"]) == (404, 10009)


async def test_a_write_replaces_metadata_and_expiry(cloudflare: httpx.AsyncClient) -> None:
    """A PUT without metadata leaves none, nor an expiry."""
    parts = {"value": (None, b"v"), "metadata": (None, b'{"stamp":1}')}
    await cloudflare.put("/values/k?expiration_ttl=60", files=parts)
    before = (await cloudflare.get("/metadata/k")).json()["result"]
    await cloudflare.put("/values/k", content=b"v")

    assert before == {"stamp": 1}
    assert (await cloudflare.get("/metadata/k")).json()["result"] is None
    assert (await cloudflare.get("/keys")).json()["result"] == [{"name": "k"}]


async def test_keys_expire(kv: KV, cloudflare: httpx.AsyncClient) -> None:
    """An expired key is neither read nor listed; a short ttl is refused."""
    short = await cloudflare.put("/values/k?expiration_ttl=59", content=b"v")
    await cloudflare.put("/values/k?expiration_ttl=60", content=b"v")
    now = kv.now()
    kv.now = lambda: now + 61

    assert short.status_code == 400
    assert (await cloudflare.get("/keys")).json()["result"] == []
    assert (await cloudflare.get("/values/k")).status_code == 404


async def test_a_bulk_write_may_fail_in_part(kv: KV, cloudflare: httpx.AsyncClient) -> None:
    """The answer is 200 and names the keys that were not written."""
    kv.fail_keys = {"bad"}
    pairs = [{"key": "good", "value": "1"}, {"key": "bad", "value": "2"}]
    body = (await cloudflare.put("/bulk", json=pairs)).json()

    assert (body["success"], body["result"]["unsuccessful_keys"]) == (True, ["bad"])
    assert (kv.get("good"), kv.get("bad")) != (None, None)
    assert [e.id for e in kv.effects] == ["good"]


async def test_bulk_reads_and_deletes(cloudflare: httpx.AsyncClient) -> None:
    """Values with and without metadata; deleting absent keys is no error."""
    pairs = [{"key": "a", "value": "1", "metadata": {"m": 1}}, {"key": "b", "value": "2"}]
    await cloudflare.put("/bulk", json=pairs)
    plain = await cloudflare.post("/bulk/get", json={"keys": ["a", "b", "c"]})
    rich = await cloudflare.post("/bulk/get", json={"keys": ["a", "c"], "withMetadata": True})
    deleted = await cloudflare.post("/bulk/delete", json=["a", "b", "c"])

    assert plain.json()["result"]["values"] == {"a": "1", "b": "2"}
    assert rich.json()["result"]["values"] == {
        "a": {"value": "1", "metadata": {"m": 1}},
        "c": None,
    }
    assert deleted.json()["result"]["successful_key_count"] == 3


async def test_keys_are_listed_by_prefix_and_page(cloudflare: httpx.AsyncClient) -> None:
    """In order, ten a page, with a cursor that is empty at the end."""
    pairs = [{"key": f"route:{n:02}", "value": ""} for n in range(15)]
    await cloudflare.put("/bulk", json=[*pairs, {"key": "other", "value": ""}])
    query = {"prefix": "route:", "limit": "10"}
    first = (await cloudflare.get("/keys", params=query)).json()
    cursor = first["result_info"]["cursor"]
    second = (await cloudflare.get("/keys", params=query | {"cursor": cursor})).json()
    names = [key["name"] for page in (first, second) for key in page["result"]]

    assert (names, second["result_info"]["cursor"]) == ([p["key"] for p in pairs], "")
    assert (await cloudflare.get("/keys?limit=9")).status_code == 400


async def test_stale_lists_show_the_past(kv: KV, cloudflare: httpx.AsyncClient) -> None:
    """Key lists lag, values do not."""
    await cloudflare.put("/values/a", content=b"1")
    await cloudflare.put("/values/b", content=b"1")
    kv.stale_lists = 1

    assert (await cloudflare.get("/keys")).json()["result"] == [{"name": "a"}]
    assert (await cloudflare.get("/values/b")).content == b"1"


async def test_too_many_calls_are_refused_for_five_minutes(
    kv: KV, cloudflare: httpx.AsyncClient
) -> None:
    """After 1,200 calls every call is refused until the time is up."""
    kv.limits.enabled, kv.limits.calls = True, 2
    now = kv.now()
    kv.now = lambda: now
    statuses = [(await cloudflare.get("/keys")).status_code for _ in range(3)]
    kv.now = lambda: now + 299
    still = await cloudflare.get("/keys")
    kv.now = lambda: now + 601

    assert (statuses, still.status_code) == ([200, 200, 429], 429)
    assert (await cloudflare.get("/keys")).status_code == 200


async def test_a_key_is_written_once_a_second(kv: KV, cloudflare: httpx.AsyncClient) -> None:
    """A second write is a 429 alone and an unsuccessful key in bulk."""
    kv.limits.enabled = True
    now = kv.now()
    kv.now = lambda: now
    statuses = [(await cloudflare.put("/values/k", content=b"")).status_code for _ in range(2)]
    bulk = await cloudflare.put("/bulk", json=[{"key": "k", "value": ""}])

    assert statuses == [200, 429]
    assert bulk.json()["result"]["unsuccessful_keys"] == ["k"]


async def test_what_is_too_large_or_not_ours_is_refused(cloudflare: httpx.AsyncClient) -> None:
    """Long keys, large metadata, other tokens and other namespaces."""
    parts = {"value": (None, b""), "metadata": (None, b'"' + b"x" * 1025 + b'"')}
    statuses = [
        (await cloudflare.put("/values/" + "k" * 513, content=b"")).status_code,
        (await cloudflare.put("/values/k", files=parts)).status_code,
        (await cloudflare.get("/keys", headers={"authorization": "no"})).status_code,
    ]
    elsewhere = str(cloudflare.base_url).replace("0002", "0003")

    assert statuses == [414, 413, 401]
    assert (await cloudflare.get(f"{elsewhere}keys")).status_code == 404


async def test_the_binding_and_the_api_share_one_store(
    kv: KV, cloudflare: httpx.AsyncClient, binding: httpx.AsyncClient
) -> None:
    """What one writes the other reads, metadata included."""
    pair = {"key": "route:a", "value": "1", "metadata": {"stamp": 2}}
    await cloudflare.put("/bulk", json=[pair])
    read = await binding.get("/route%3Aa?urlencoded=true&cache_ttl=60")
    await binding.put("/b?urlencoded=true", content=b"2", headers={"cf-kv-metadata": "[1]"})
    listed = (await binding.get("/?prefix=route")).json()
    many = await binding.post("/bulk/get", json={"keys": ["b", "c"], "type": "text"})
    await binding.delete("/route%3Aa?urlencoded=true")

    assert (read.content, read.headers["cf-kv-metadata"]) == (b"1", '{"stamp": 2}')
    assert (listed["keys"][0]["name"], listed["list_complete"]) == ("route:a", True)
    assert many.json() == {"b": "2", "c": None}
    assert (kv.get("route:a"), (await cloudflare.get("/metadata/b")).json()["result"]) == (
        None,
        [1],
    )


async def test_the_edge_keeps_not_found_too(kv: KV, binding: httpx.AsyncClient) -> None:
    """With the edge cache on, a miss is remembered for its `cache_ttl`."""
    kv.edge_cache = True
    first = await binding.get("/k?cache_ttl=60")
    kv.monkey_overwrite("k", b"v")
    second = await binding.get("/k?cache_ttl=60")
    now = kv.now()
    kv.now = lambda: now + 61

    assert (first.status_code, second.status_code) == (404, 404)
    assert (await binding.get("/k")).content == b"v"
    assert kv.effects == []


async def test_namespaces_are_made_renamed_and_removed(kv: KV) -> None:
    """A title is unique in its account."""
    path = f"/client/v4/accounts/{kv.account}/storage/kv/namespaces"
    headers = {"authorization": f"Bearer {kv.token}"}
    through = httpx.ASGITransport(app=kv_api(kv))
    async with httpx.AsyncClient(
        transport=through, base_url=f"http://cf{path}", headers=headers
    ) as client:
        made = (await client.post("", json={"title": "new"})).json()["result"]["id"]
        again = await client.post("", json={"title": "new"})
        await client.put(f"/{made}", json={"title": "newer"})
        named = (await client.get(f"/{made}")).json()["result"]["title"]
        await client.delete(f"/{made}")
        left = (await client.get("")).json()["result_info"]["total_count"]

    assert (again.status_code, named, left) == (400, "newer", 1)


async def test_metadata_in_a_header_is_utf_8(kv: KV, binding: httpx.AsyncClient) -> None:
    """Workerd sends metadata as raw UTF-8."""
    headers = {b"cf-kv-metadata": '{"name":"ü"}'.encode()}
    await binding.put("/k?urlencoded=true", content=b"", headers=headers)
    entry = kv.get("k")

    assert entry is not None
    assert entry.metadata == {"name": "ü"}
