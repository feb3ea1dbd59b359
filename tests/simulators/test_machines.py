from typing import Any

import pytest

from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.runtime import InlineRuntime
from deploy.local.simulators.fly.state import FlyTimings
from tests.simulators.helpers import APP, Fly, config, turns

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def _app(fly: Fly) -> None:
    await fly.app()


async def test_a_machine_starts_by_itself(fly: Fly) -> None:
    """Create answers `created`; the machine is started soon after."""
    created = await fly.machine()
    waited = await fly.wait(created.json()["id"], "started")

    assert (created.json()["state"], waited.json()["state"]) == ("created", "started")


async def test_a_name_is_unique_in_its_app(fly: Fly) -> None:
    """The refusal names the machine that has the name, so that it can be adopted."""
    machine_id = await fly.started()
    answer = await fly.machine()

    assert answer.status_code == 409
    assert answer.json()["error"] == (
        "already_exists: unique machine name violation, machine ID "
        f'{machine_id} already exists with name "main"'
    )


async def test_answers_have_nulls_and_booleans(fly: Fly) -> None:
    """What was not given reads as null, autostop as a boolean."""
    given = config()
    del given["env"]
    shown = (await fly.machine(config=given)).json()["config"]

    assert (shown["env"], shown["metadata"]) == (None, None)
    assert shown["services"][0]["autostop"] is False


@pytest.mark.parametrize(
    "bad",
    [
        {"guest": {"memory_mb": 300}},
        {"size": "shared-cpu-1x"},
        {"services": [{"protocol": "http"}]},
        {"image": ""},
        {"mounts": [{"volume": "a"}, {"volume": "b"}]},
        {"restart": {"policy": "sometimes"}},
    ],
)
async def test_a_bad_configuration_is_refused(fly: Fly, bad: dict[str, Any]) -> None:
    """400 with the field's name."""
    answer = await fly.machine(config=config(**bad))

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("invalid_argument: ")


async def test_a_machine_that_is_not_ready_does_not_start(fly: Fly, cloud: FlyCloud) -> None:
    """`created`, `stopping` and a stop that has only just ended refuse with 412."""
    cloud.timings = FlyTimings(image_pull_seconds=100)
    created = (await fly.machine("slow")).json()["id"]
    early = await fly.do(created, "start")
    cloud.timings = FlyTimings.instant()
    cloud.timings.stop_settle_seconds = 100
    machine_id = await fly.stopped()
    active = await fly.do(machine_id, "start")

    assert [early.status_code, active.status_code] == [412, 412]
    assert early.json()["error"].endswith("from current state: 'created'")
    assert active.json()["error"].endswith("machine still active, refusing to start")


async def test_stop_and_start_answer_as_fly_does(fly: Fly) -> None:
    """Stop says ok; start tells the state before."""
    machine_id = await fly.started()
    stop = await fly.do(machine_id, "stop")
    await fly.wait(machine_id, "stopped")
    start = await fly.do(machine_id, "start")

    assert stop.json() == {"ok": True}
    assert start.json() == {"previous_state": "stopped", "migrated": False, "new_host": ""}


async def test_a_suspended_machine_resumes(fly: Fly) -> None:
    """Suspend and start lead back to started."""
    machine_id = await fly.started()
    await fly.do(machine_id, "suspend")
    await fly.wait(machine_id, "suspended")
    start = await fly.do(machine_id, "start")

    assert start.json()["previous_state"] == "suspended"
    assert (await fly.wait(machine_id, "started")).status_code == 200


async def test_an_update_replaces_the_configuration(fly: Fly) -> None:
    """The version changes; a stale `current_version` is refused with 409."""
    machine_id = await fly.started()
    before = (await fly.get(machine_id))["version"]
    updated = await fly.update(machine_id, config=config(env={"A": "1"}), current_version=before)
    during = await fly.do(machine_id, "start")
    await fly.wait(machine_id, "started")
    stale = await fly.update(machine_id, current_version=before)
    after = await fly.get(machine_id)

    assert updated.json()["state"] == "updating"
    assert during.json()["error"].endswith("machine getting replaced, refusing to start")
    assert (stale.status_code, after["config"]["env"]) == (409, {"A": "1"})
    assert after["version"] != before


@pytest.mark.parametrize(
    "change",
    [{"region": "ams"}, {"name": "other"}, {"config": config(mounts=[{"volume": "v"}])}],
)
async def test_region_name_and_mounts_cannot_be_changed(fly: Fly, change: dict[str, Any]) -> None:
    """An update of what is immutable is refused."""
    machine_id = await fly.started()

    assert (await fly.update(machine_id, **change)).status_code == 400


async def test_an_update_can_leave_the_machine_stopped(fly: Fly) -> None:
    """`skip_launch` ends an update in stopped, whatever it was before."""
    machine_id = await fly.started()
    await fly.update(machine_id, skip_launch=True)
    await turns()

    assert (await fly.get(machine_id))["state"] == "stopped"


async def test_a_running_machine_is_destroyed_by_force_only(fly: Fly) -> None:
    """Without force 409; with it the machine goes through destroying."""
    machine_id = await fly.started()
    refused = await fly.destroy(machine_id)
    accepted = await fly.destroy(machine_id, force=True)
    at_once = (await fly.get(machine_id))["state"]
    await fly.wait(machine_id, "destroyed")

    assert (refused.status_code, accepted.status_code, at_once) == (409, 200, "destroying")
    assert refused.json()["error"] == "unable to destroy machine, not currently stopped"
    assert await fly.names() == []


async def test_a_lease_keeps_others_out(fly: Fly) -> None:
    """409 without the nonce, accepted with it, and again by anybody after the release."""
    machine_id = await fly.started()
    lease = (await fly.do(machine_id, "lease", json={"ttl": 60})).json()["data"]
    headers = {"fly-machine-lease-nonce": lease["nonce"]}
    refused = await fly.update(machine_id)
    accepted = await fly.update(machine_id, nonce=lease["nonce"])
    await fly.wait(machine_id, "started")
    path = f"{APP}/machines/{machine_id}/lease"
    released = await fly.client.delete(path, headers=headers)

    assert "lease currently held by" in refused.json()["error"]
    assert [refused.status_code, accepted.status_code, released.status_code] == [409, 200, 200]
    assert (await fly.client.get(path)).status_code == 404
    assert (await fly.update(machine_id)).status_code == 200


async def test_leases_may_come_flat(fly: Fly, cloud: FlyCloud) -> None:
    """With `flat_leases` the answer has no envelope."""
    cloud.flat_leases = True
    machine_id = await fly.started()
    answer = await fly.do(machine_id, "lease", json={"ttl": 60})

    assert (answer.status_code, "nonce" in answer.json()) == (201, True)


async def test_a_lease_can_come_with_the_machine(fly: Fly) -> None:
    """`lease_ttl` on create answers the nonce, once."""
    answer = await fly.machine(lease_ttl=60)

    assert (await fly.do(answer.json()["id"], "stop")).status_code == 409
    assert "nonce" not in await fly.get(answer.json()["id"])
    assert answer.json()["nonce"]


async def test_no_room_is_told_in_three_ways(fly: Fly, cloud: FlyCloud) -> None:
    """422 for a machine, 412 for a volume, a bare 409 on a full host."""
    machine_id = await fly.stopped()
    cloud.machines[machine_id].host_full = True
    cloud.full_regions = {"iad"}
    volume = await fly.client.post(f"{APP}/volumes", json={"name": "v", "region": "iad"})
    machine = await fly.machine("other")
    start = await fly.do(machine_id, "start")

    assert [a.status_code for a in (volume, machine, start)] == [412, 422, 409]
    assert volume.json()["status"] == "volume_placement_capacity"
    assert machine.json()["status"] == "insufficient_capacity"
    assert "status" not in start.json()


async def test_the_quota_is_enforced(fly: Fly, cloud: FlyCloud) -> None:
    """One machine too many is refused with the billing text."""
    cloud.machine_limit = 1
    await fly.machine()
    answer = await fly.machine("second")

    assert (answer.status_code, "machine limit" in answer.text) == (422, True)


async def test_an_unreachable_host_hangs_and_hides_the_configuration(
    fly: Fly, cloud: FlyCloud
) -> None:
    """Reads work with an incomplete configuration; actions end in 504 after a long time."""
    cloud.timings.hang_seconds = 0.01
    machine_id = await fly.started()
    cloud.set_host_status(machine_id)
    shown = await fly.get(machine_id)
    stop = await fly.do(machine_id, "stop")
    cloud.set_host_status(machine_id, "ok")

    assert (shown["host_status"], shown["config"]) == ("unreachable", None)
    assert shown["incomplete_config"]["image"]
    assert stop.status_code == 504
    assert (await fly.get(machine_id))["state"] == "started"


async def test_a_crash_is_restarted_and_seen_in_the_events(fly: Fly, cloud: FlyCloud) -> None:
    """A failed exit restarts the machine; the event tells the code and that nobody asked."""
    machine_id = await fly.started()
    _inline(cloud).crash(machine_id, 137)
    await fly.wait(machine_id, "started")
    await turns()
    events = (await fly.client.get(f"{APP}/machines/{machine_id}/events")).json()
    exit_event = next(e for e in events if e["type"] == "exit")["request"]["exit_event"]

    assert (await fly.get(machine_id))["state"] == "started"
    assert (exit_event["exit_code"], exit_event["oom_killed"]) == (137, True)
    assert (exit_event["requested_stop"], exit_event["restarting"]) == (False, True)


@pytest.mark.parametrize(
    ("policy", "code", "state"),
    [
        ("no", 1, "stopped"),
        ("on-failure", 0, "stopped"),
        ("on-failure", 1, "started"),
        ("always", 0, "started"),
    ],
)
async def test_the_restart_policy_decides(
    fly: Fly, cloud: FlyCloud, policy: str, code: int, state: str
) -> None:
    """`no`, `always` and `on-failure` mean what Fly says."""
    machine_id = await fly.started(config=config(restart={"policy": policy}))
    _inline(cloud).crash(machine_id, code)
    await turns()

    assert (await fly.get(machine_id))["state"] == state


async def test_restarts_end_after_ten(fly: Fly, cloud: FlyCloud) -> None:
    """A machine that crashes again and again is left stopped."""
    machine_id = await fly.started()
    for _ in range(11):
        _inline(cloud).crash(machine_id, 1)
        await turns()

    assert (await fly.get(machine_id))["state"] == "stopped"


async def test_auto_destroy_removes_a_finished_machine(fly: Fly, cloud: FlyCloud) -> None:
    """With `auto_destroy` a machine that ended is destroyed."""
    machine_id = await fly.started(config=config(auto_destroy=True))
    _inline(cloud).crash(machine_id, 0)
    await turns()

    assert (await fly.get(machine_id))["state"] == "destroyed"


async def test_waiting_ends_with_408(fly: Fly) -> None:
    """A wait for what does not come ends when its time is up."""
    machine_id = await fly.started()
    path = f"{APP}/machines/{machine_id}/wait"
    answer = await fly.client.get(path, params={"state": "stopped", "timeout": "10ms"})
    settled = await fly.wait(machine_id, "settled")
    wrong = await fly.wait(machine_id, "starting")

    assert [answer.status_code, settled.status_code, wrong.status_code] == [408, 200, 400]


async def test_metadata_is_set_read_and_removed(fly: Fly) -> None:
    """Keys one by one and all at once; another version is refused."""
    machine_id = await fly.started()
    path = f"{APP}/machines/{machine_id}/metadata"
    await fly.client.post(f"{path}/invoker_uid", json={"value": "u"})
    await fly.client.patch(path, json={"metadata": {"b": "2", "c": "3"}})
    await fly.client.delete(f"{path}/b")
    stale = await fly.client.put(path, json={"metadata": {}, "machine_version": "old"})
    found = await fly.client.get(f"{APP}/machines", params={"metadata.invoker_uid": "u"})

    assert (await fly.client.get(path)).json() == {"invoker_uid": "u", "c": "3"}
    assert (await fly.client.get(f"{path}/invoker_uid")).json() == {"value": "u"}
    assert (stale.status_code, len(found.json())) == (412, 1)


async def test_a_launch_can_fail(fly: Fly, cloud: FlyCloud) -> None:
    """A machine whose image does not run ends in `failed`, which is a settled state."""
    cloud.broken_images = {"broken"}
    machine_id = (await fly.machine(config=config(image="broken"))).json()["id"]
    await fly.wait(machine_id, "settled")

    assert (await fly.get(machine_id))["state"] == "failed"


async def test_every_successful_mutation_is_an_effect(fly: Fly, cloud: FlyCloud) -> None:
    """Refusals and reads leave no effect; the log tells who was changed."""
    machine_id = await fly.started()
    await fly.machine()
    await fly.do(machine_id, "stop")
    cloud.monkey_stop(machine_id)

    assert [(e.operation, e.app, e.id) for e in cloud.effects[1:]] == [
        ("machines.create", "alpha", machine_id),
        ("machines.stop", "alpha", machine_id),
    ]


async def test_limits_are_per_action_and_machine(fly: Fly, cloud: FlyCloud) -> None:
    """Three at once pass, the fourth is told to slow down; another machine is not."""
    first, second = await fly.started(), await fly.started("second")
    cloud.limits.enabled = True
    statuses = [(await fly.do(first, "cordon")).status_code for _ in range(4)]
    other = await fly.do(second, "cordon")
    reads = [(await fly.client.get(f"{APP}/machines/{first}")).status_code for _ in range(11)]

    assert (statuses, other.status_code) == ([200, 200, 200, 429], 200)
    assert (reads.count(200), reads[-1]) == (10, 429)


def _inline(cloud: FlyCloud) -> InlineRuntime:
    assert isinstance(cloud.runtime, InlineRuntime)
    return cloud.runtime
