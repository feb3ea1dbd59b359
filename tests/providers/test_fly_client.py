import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from controller.providers import Call, LeaseHeld, Priority, Unavailable
from controller.providers.fly import FlyMachine, Lease, OrgMachine, normalise_config
from controller.providers.fly.models import IPAssignment, MachineEvent
from tests.providers.fakes import Script, fly, reply

pytestmark = pytest.mark.anyio

CALL = Call(Priority.USER)
LEASE = {"nonce": "n0nce", "owner": "ops", "expires_at": 1708569778}


def body(request: httpx.Request) -> Any:
    """Return a request's JSON."""
    return json.loads(request.content)


async def test_create_app_says_whose_and_where() -> None:
    """The app is made in our organisation, in its own network, safe to repeat."""
    script = Script(reply(201))

    await fly(script).create_app("inv-a", network="inv-a", idempotency_key="k", call=CALL)

    assert script.lines == ["POST /v1/apps"]
    assert body(script.asked[0]) == {
        "name": "inv-a",
        "org_slug": "acme",
        "network": "inv-a",
        "idempotency_key": "k",
    }


async def test_update_carries_version_and_nonce() -> None:
    """An update is refused by Fly when somebody else was faster or holds the lease."""
    script = Script(reply(200, {"id": "m", "instance_id": "01V2"}))

    machine = await fly(script).update_machine(
        "app", "m", config={"image": "i"}, current_version="01V1", nonce="n0nce", call=CALL
    )

    assert machine.version == "01V2"
    assert script.asked[0].headers["fly-machine-lease-nonce"] == "n0nce"
    assert body(script.asked[0])["current_version"] == "01V1"


async def test_names_are_encoded_in_paths() -> None:
    """A strange id cannot reach another path."""
    script = Script(reply(200, {"id": "x"}))

    await fly(script).get_volume("app", "../../apps?x=1", call=CALL)

    assert script.lines == ["GET /v1/apps/app/volumes/..%2F..%2Fapps%3Fx%3D1"]


async def test_pages_are_followed_through_empty_ones() -> None:
    """A short or empty page is not the end; the missing cursor is."""
    script = Script(
        reply(200, {"machines": [{"id": "a"}], "next_cursor": "c1"}),
        reply(200, {"machines": [], "next_cursor": "c2", "error_regions": ["ams"]}),
        reply(200, {"machines": [{"id": "b"}], "next_cursor": None}),
    )
    since = datetime(2026, 11, 21, tzinfo=UTC)

    pages = [page async for page in fly(script).iter_org_machines(since, call=CALL)]

    assert [[m.id for m in page.machines] for page in pages] == [["a"], [], ["b"]]
    assert [page.error_regions for page in pages] == [[], ["ams"], []]
    assert [r.url.params.get("cursor") for r in script.asked] == [None, "c1", "c2"]
    assert script.asked[0].url.params["updated_after"] == "2026-11-21T00:00:00+00:00"


async def test_a_cursor_that_stands_still_is_an_error() -> None:
    """A list that cannot be finished is never taken for a complete one."""
    script = Script(reply(200, {"machines": [], "next_cursor": "c"}))

    with pytest.raises(Unavailable):
        _ = [page async for page in fly(script).iter_org_machines(call=CALL)]

    assert len(script.asked) == 2


async def test_apps_and_volumes_are_paged_too() -> None:
    """The collector sees every page of apps and of volumes."""
    apps = Script(
        reply(200, {"apps": [{"name": "a", "organization": {"slug": "acme"}}], "next_cursor": "c"}),
        reply(200, {"apps": None}),
    )
    volumes = Script(reply(200, {"volumes": [{"id": "vol_1", "app_name": "a"}]}))

    listed = [app async for page in fly(apps).list_apps(call=CALL) for app in page]
    kept = [v async for page in fly(volumes).iter_org_volumes(call=CALL) for v in page.volumes]

    assert [(app.name, app.organization) for app in listed] == [("a", "acme")]
    assert [(volume.id, volume.app_name) for volume in kept] == [("vol_1", "a")]


async def test_a_lease_is_released_after_the_block() -> None:
    """Who comes next need not wait for the lease to expire."""
    script = Script(reply(201, {"status": "success", "data": LEASE}), reply())

    async with fly(script).leased("app", "m", ttl=30, call=CALL) as lease:
        assert lease.nonce == "n0nce"

    assert script.lines[-1] == "DELETE /v1/apps/app/machines/m/lease"
    assert script.asked[-1].headers["fly-machine-lease-nonce"] == "n0nce"


async def test_a_lease_is_released_though_the_shard_was_lost() -> None:
    """The block's own error survives, and the lease is given back without the guard."""
    script = Script(reply(201, LEASE), reply(500))
    lost = list[bool]()

    def guard() -> None:
        if lost:
            raise RuntimeError

    async def lose() -> None:
        async with fly(script).leased("app", "m", ttl=30, call=Call(guard=guard)):
            lost.append(True)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await lose()

    assert script.lines[-1] == "DELETE /v1/apps/app/machines/m/lease"


async def test_a_lease_is_released_when_cancelled() -> None:
    """Cancellation gives the lease back too."""
    script, inside = Script(reply(201, LEASE), reply()), asyncio.Event()

    async def hold() -> None:
        async with fly(script).leased("app", "m", ttl=30, call=CALL):
            inside.set()
            await asyncio.Event().wait()

    holder = asyncio.ensure_future(hold())
    await inside.wait()
    holder.cancel()
    await asyncio.wait([holder])

    assert holder.cancelled()
    assert script.lines[-1] == "DELETE /v1/apps/app/machines/m/lease"


async def test_a_held_lease_releases_nothing() -> None:
    """What was not acquired is not released."""
    script = Script(reply(409, {"error": "machine ID x lease currently held by bob"}))

    with pytest.raises(LeaseHeld) as caught:
        async with fly(script).leased("app", "m", ttl=30, call=CALL):
            pass

    assert (caught.value.owner, len(script.asked)) == ("bob", 1)


async def test_wait_is_bounded_by_fly() -> None:
    """Fly waits a minute at most."""
    script = Script(reply(200, {"ok": True}))

    await fly(script).wait("app", "m", state="stopped", version="01V", timeout=900, call=CALL)

    assert dict(script.asked[0].url.params) == {
        "state": "stopped",
        "timeout": "60",
        "version": "01V",
    }


async def test_nulls_are_taken() -> None:
    """Real answers carry null where the specification does not."""
    machine = FlyMachine.model_validate(
        {"id": "m", "config": None, "events": None, "checks": None, "image_ref": None}
    )

    assert (machine.config, machine.events, machine.metadata) == ({}, [], {})
    assert await fly(Script(reply(200, {"ips": None}))).list_addresses("app", call=CALL) == []


def test_autostop_is_normalised() -> None:
    """Answers carry booleans where requests carry words; both compare equal."""
    config = {"services": [{"autostop": True}, {"autostop": False}, {"autostop": "suspend"}]}

    actual = normalise_config(config)

    assert [s["autostop"] for s in actual["services"]] == ["stop", "off", "suspend"]


@pytest.mark.parametrize("wrapper", ["exit_event", "MonitorEvent"])
def test_the_newest_exit_counts(wrapper: str) -> None:
    """A crash is told from a requested stop by the newest exit, in both shapes."""
    detail: dict[str, Any] = {"exit_code": 137, "oom_killed": True, "requested_stop": False}
    request = {wrapper: detail if wrapper == "exit_event" else {"exit_event": detail}}
    machine = FlyMachine(
        id="m",
        events=[
            MachineEvent(type="exit", timestamp=1000, request={}),
            MachineEvent(type="exit", timestamp=2000, request=request),
            MachineEvent(type="start", timestamp=3000),
        ],
    )

    last = machine.last_exit()

    assert last is not None
    assert (last.exit_code, last.oom_killed, last.requested_stop) == (137, True, False)
    assert last.at == datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)


def test_no_exit_is_none() -> None:
    """A machine that never ended has no last exit."""
    assert FlyMachine(id="m").last_exit() is None


def test_metadata_of_an_unreachable_host() -> None:
    """Our mark is found in the incomplete config too."""
    machine = FlyMachine.model_validate(
        {
            "id": "m",
            "host_status": "unreachable",
            "incomplete_config": {"metadata": {"invoker_uid": "u"}},
        }
    )

    assert (machine.reachable, machine.metadata) == (False, {"invoker_uid": "u"})


def test_org_machine_keeps_only_its_marks() -> None:
    """The list of everything costs little memory an object."""
    machine = OrgMachine.model_validate(
        {"id": "m", "config": {"image": "i", "metadata": {"k": "v"}, "guest": {"cpus": 1}}}
    )
    bare = OrgMachine.model_validate({"id": "m", "config": None})

    assert (machine.image, machine.metadata) == ("i", {"k": "v"})
    assert (bare.image, bare.metadata) == ("", {})


@pytest.mark.parametrize("answer", [LEASE, {"status": "success", "data": LEASE}])
def test_both_shapes_of_a_lease(answer: dict[str, Any]) -> None:
    """A lease is read flat and in its envelope, and its nonce is not shown."""
    lease = Lease.model_validate(answer)

    assert (lease.nonce, lease.expires_at) == ("n0nce", datetime.fromtimestamp(1708569778, UTC))
    assert "n0nce" not in repr(lease)


@pytest.mark.parametrize(
    ("ip", "shared", "kind"),
    [
        ("66.241.1.1", True, "shared_v4"),
        ("137.66.1.1", None, "v4"),
        ("2a09:8280:1::1", None, "v6"),
        ("fdaa:0:1::3", None, "private_v6"),
    ],
)
def test_an_address_knows_its_type(
    ip: str,
    shared: bool | None,  # noqa: FBT001 - a table
    kind: str,
) -> None:
    """The list does not name the types that were asked for; the address tells them."""
    assert IPAssignment(ip=ip, shared=shared).kind == kind
