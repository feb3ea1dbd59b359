import pytest

from deploy.local.simulators.fly.cloud import FlyCloud
from tests.simulators.helpers import APP, Fly, turns

pytestmark = pytest.mark.anyio

ORG = "/v1/orgs/invoker"


@pytest.fixture(autouse=True)
async def _app(fly: Fly) -> None:
    await fly.app()


async def _pages(fly: Fly, **query: str | int) -> list[list[str]]:
    pages, cursor = [], None
    while cursor != "":
        params = {**query, **({"cursor": cursor} if cursor else {})}
        body = (await fly.client.get(f"{ORG}/machines", params=params)).json()
        pages.append([machine["name"] for machine in body["machines"]])
        cursor = body["next_cursor"]
    return pages


async def test_the_organization_lists_across_apps_in_the_order_of_change(fly: Fly) -> None:
    """Least recently changed first, with the app's name and a short configuration."""
    first = await fly.started("one")
    await fly.started("two")
    await fly.do(first, "cordon")
    body = (await fly.client.get(f"{ORG}/machines")).json()

    assert [machine["name"] for machine in body["machines"]] == ["two", "one"]
    assert body["machines"][0]["app_name"] == "alpha"
    assert set(body["machines"][0]["config"]) == {"guest", "image", "metadata"}
    assert body["error_regions"] is None


async def test_updated_after_shows_only_what_changed_since(fly: Fly) -> None:
    """The time of the last change is a place to go on from."""
    await fly.started("one")
    since = (await fly.client.get(f"{ORG}/machines")).json()["last_updated_at"]
    await fly.started("two")

    assert await _pages(fly, updated_after=since) == [["two"]]


async def test_pages_may_be_short_or_empty_with_more_to_come(fly: Fly, cloud: FlyCloud) -> None:
    """Only a missing cursor is the end."""
    for name in ("one", "two", "three"):
        await fly.started(name)
    by_limit = await _pages(fly, limit=2)
    cloud.short_pages = 1
    cloud.empty_pages = True

    assert by_limit == [["one", "two"], ["three"]]
    assert await _pages(fly, limit=2) == [[], ["one"], ["two"], ["three"]]


async def test_late_updates_show_later_with_their_old_time(fly: Fly, cloud: FlyCloud) -> None:
    """A change appears after the delay, dated before it."""
    cloud.late_updates = 0.02
    await fly.started("one")
    at_once = await _pages(fly)
    while await _pages(fly) == [[]]:
        await turns()

    assert (at_once, await _pages(fly)) == ([[]], [["one"]])


async def test_a_region_that_does_not_answer_is_named(fly: Fly, cloud: FlyCloud) -> None:
    """Its machines are missing from the list, which says so."""
    await fly.started("one")
    cloud.error_regions = {"iad"}
    body = (await fly.client.get(f"{ORG}/machines")).json()

    assert (body["machines"], body["error_regions"]) == ([], ["iad"])


async def test_destroyed_machines_are_listed_on_demand(fly: Fly) -> None:
    """`include_deleted` shows what is gone."""
    machine_id = await fly.started("one")
    await fly.destroy(machine_id, force=True)
    await fly.wait(machine_id, "destroyed")

    assert await _pages(fly) == [[]]
    assert await _pages(fly, include_deleted="true") == [["one"]]


async def test_lists_filter_by_state_and_region(fly: Fly) -> None:
    """Both filters hold at once."""
    await fly.started("one")
    await fly.started("two", region="ams")
    found = await fly.client.get(f"{APP}/machines", params={"region": "ams", "state": "started"})
    none = await fly.client.get(f"{APP}/machines", params={"state": "stopped"})

    assert ([m["name"] for m in found.json()], none.json()) == (["two"], [])


@pytest.mark.parametrize("back", [1, 2, 3])
async def test_stale_lists_show_the_past_and_reads_the_present(
    fly: Fly, cloud: FlyCloud, back: int
) -> None:
    """Every list is as many mutations old as asked for; reads by ID are fresh."""
    ids = [await fly.started(name) for name in ("one", "two", "three")]
    cloud.stale_lists = back
    expected = ["one", "two", "three"][: 3 - back]
    apps = (await fly.client.get("/v1/apps?org_slug=invoker")).json()["apps"]

    assert await fly.names() == expected
    assert await _pages(fly) == [expected]
    assert len(apps) == 1
    assert (await fly.get(ids[-1]))["name"] == "three"


async def test_a_stale_list_still_shows_what_was_deleted(fly: Fly, cloud: FlyCloud) -> None:
    """A deleted volume stands in the stale list."""
    volume = await fly.volume()
    await fly.client.delete(f"{APP}/volumes/{volume}")
    cloud.stale_lists = 1
    stale = (await fly.client.get(f"{APP}/volumes")).json()
    across = (await fly.client.get(f"{ORG}/volumes")).json()["volumes"]

    assert [v["id"] for v in stale] == [volume]
    assert [(v["id"], v["app_name"]) for v in across] == [(volume, "alpha")]


async def test_another_organization_is_not_listed(fly: Fly) -> None:
    """403 for a slug that is not ours."""
    assert (await fly.client.get("/v1/orgs/theirs/machines")).status_code == 403
