import pytest

from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.state import FlyTimings
from tests.simulators.helpers import APP, Fly

pytestmark = pytest.mark.anyio


async def test_an_app_name_is_taken_once(fly: Fly) -> None:
    """A second app of the same name is refused with `name_taken`."""
    await fly.app()
    answer = await fly.app()

    assert (answer.status_code, answer.json()["status"]) == (422, "name_taken")


async def test_an_idempotency_key_makes_a_repeat_safe(fly: Fly) -> None:
    """The same key and name answer the first app; the same key with another name is refused."""
    first = await fly.app(idempotency_key="k")
    again = await fly.app(idempotency_key="k")
    other = await fly.app("beta", idempotency_key="k")

    assert first.json() == again.json()
    assert (again.status_code, other.status_code) == (201, 400)


async def test_a_foreign_app_is_forbidden_and_an_absent_one_not_found(
    fly: Fly, cloud: FlyCloud
) -> None:
    """GET tells a name that is taken by others (403) from a free one (404)."""
    cloud.seed_foreign_app("theirs")
    statuses = [(await fly.client.get(f"/v1/apps/{n}")).status_code for n in ("theirs", "none")]

    assert statuses == [403, 404]
    assert (await fly.app("theirs")).json()["status"] == "name_taken"
    assert (await fly.client.get("/v1/apps?org_slug=invoker")).json()["apps"] == []


@pytest.mark.parametrize("status", [404, 401])
async def test_a_new_app_may_not_be_visible_yet(fly: Fly, cloud: FlyCloud, status: int) -> None:
    """For a moment after its creation an app answers 404 or 401."""
    cloud.timings = FlyTimings(app_visible_after_seconds=100)
    cloud.fresh_app_status = status
    await fly.app()

    assert (await fly.client.get(APP)).status_code == status


async def test_deleting_an_app_takes_everything_in_it(fly: Fly, cloud: FlyCloud) -> None:
    """Machines, volumes and addresses go with their app, and its name is free again."""
    await fly.app()
    await fly.address()
    volume = await fly.volume()
    await fly.started(config=_with_volume(volume))
    answer = await fly.client.delete(APP)

    assert answer.status_code == 202
    assert (await fly.client.get(APP)).status_code == 404
    assert cloud.volumes == {}
    assert cloud.running_machines() == []
    assert (await fly.app()).status_code == 201


async def test_addresses_are_assigned_listed_and_released(fly: Fly) -> None:
    """The shared address is given once; a released one is gone."""
    await fly.app()
    first, second = await fly.address(), await fly.address()
    ip = first.json()["ip"]
    released = await fly.client.delete(f"{APP}/ip_assignments/{ip}")
    left = (await fly.client.get(f"{APP}/ip_assignments")).json()["ips"]

    assert (ip, 204, []) == (second.json()["ip"], released.status_code, left)


async def test_apps_are_listed_by_page(fly: Fly) -> None:
    """A limit turns on pagination; the cursor leads on to the end."""
    for name in ("alpha", "beta", "gamma"):
        await fly.app(name)
    first = (await fly.client.get("/v1/apps?org_slug=invoker&limit=2")).json()
    cursor = first["next_cursor"]
    rest = (await fly.client.get(f"/v1/apps?org_slug=invoker&limit=2&cursor={cursor}")).json()
    names = [app["name"] for page in (first, rest) for app in page["apps"]]

    assert (names, rest["next_cursor"]) == (["alpha", "beta", "gamma"], "")


async def test_secrets_are_never_read_back(fly: Fly) -> None:
    """An app's secrets answer with their digest only."""
    await fly.app()
    await fly.client.post(f"{APP}/secrets", json={"values": {"A": "hidden", "B": "b"}})
    await fly.client.delete(f"{APP}/secrets/B")
    answer = await fly.client.get(f"{APP}/secrets")

    assert [secret["name"] for secret in answer.json()["secrets"]] == ["A"]
    assert "hidden" not in answer.text


async def test_a_bad_token_is_refused_and_every_answer_has_a_request_id(fly: Fly) -> None:
    """401 for any token but ours; `fly-request-id` is always there."""
    answer = await fly.client.get(APP, headers={"authorization": "Bearer no"})

    assert answer.status_code == 401
    assert answer.json() == {"error": "Authenticate: token validation error"}
    assert answer.headers["fly-request-id"].endswith("-iad")


def _with_volume(volume: str) -> dict[str, object]:
    return {"image": "x", "mounts": [{"volume": volume, "path": "/data"}]}
