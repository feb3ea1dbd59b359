"""The life of a service's machine, which runs no agent of ours."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from controller.machine.health import STOPPED_AFTER
from crds.machine import Machine, Scrape
from crds.store import Probe
from tests.controller.service_scenes import (
    APP,
    NETWORK,
    Play,
    config,
    found,
    keep,
    live,
    play,
    until,
    until_gone,
    wish,
)
from tests.simulation.processes import USER
from tests.simulation.world import World

__all__ = ["play"]


def test_private_service(play: Play) -> None:
    """It has its wished app on its network, a private address only, and tells no address."""

    async def scene(here: World) -> None:
        await wish(here)
        row = await until(here, "Running")

        app = here.fly.apps[APP]
        assert NETWORK == app.network
        assert [("private_v6", NETWORK)] == [(a.type, a.network) for a in app.addresses]
        assert row.status.url is None
        assert row.status.is_true("Ready")
        assert row.status.is_true("Healthy")

    play(scene)


def test_public_service(play: Play) -> None:
    """The world reaches it at the usual ports, its siblings by the private address."""

    async def scene(here: World) -> None:
        await wish(here, service={"public": True}, volume=None)
        row = await until(here, "Running")

        kinds = [address.type for address in here.fly.apps[APP].addresses]
        assert ["shared_v4", "v6", "private_v6"] == kinds
        (service,) = config(here)["services"]
        assert [80, 443] == [port["port"] for port in service["ports"]]
        assert row.status.url is None
        assert row.status.volume is None

    play(scene)


def test_config_of_a_service(play: Play) -> None:
    """Its config is what its spec says, and nothing of an agent's."""

    async def scene(here: World) -> None:
        await wish(
            here,
            env={"A": "1"},
            service={
                "check": "http",
                "check_path": "/live",
                "command": ["run", "it"],
                "files": {"/etc/b": "ü", "/etc/a": "1"},
                "metrics": Scrape(port=9187),
                "stop_signal": "SIGINT",
            },
        )
        await until(here, "Running")
        made = config(here)

        assert {"A": "1"} == made["env"]
        (service,) = made["services"]
        assert [{"port": 5432}] == service["ports"]
        assert (5432, "off", False) == (
            service["internal_port"],
            service["autostop"],
            service["autostart"],
        )
        check = made["checks"]["health"]
        assert ("http", 5432, "/live") == (check["type"], check["port"], check["path"])
        assert {"cmd": ["run", "it"]} == made["init"]
        assert [("/etc/a", b"1"), ("/etc/b", "ü".encode())] == [
            (file["guest_path"], base64.b64decode(file["raw_value"])) for file in made["files"]
        ]
        assert {"port": 9187, "path": "/metrics"} == made["metrics"]
        assert {"signal": "SIGINT", "timeout": "30s"} == made["stop_config"]
        assert "/data" == made["mounts"][0]["path"]

    play(scene)


def test_nothing_is_left_of_what_was_wished_before(play: Play) -> None:
    """A command and files that are not wished for any more are taken away, and once is enough."""

    async def scene(here: World) -> None:
        await wish(here, service={"command": ["x"], "files": {"/etc/a": "1"}})
        await until(here, "Running")
        await wish(here, service={"command": [], "files": {}})
        row = await until(here, "Running")
        version = row.status.instance and row.status.instance.version
        await here.pass_time(timedelta(minutes=30))

        assert {"cmd": []} == config(here)["init"]
        assert [] == config(here)["files"]
        assert version == live(here)[0].version

    play(scene)


def test_at_rest_nothing_is_asked(play: Play) -> None:
    """A converged service costs no call of its own, also without a disk."""

    async def scene(here: World) -> None:
        await wish(here, volume=None)
        await until(here, "Running")
        await here.pass_time(timedelta(minutes=10))
        asked: list[str] = []

        def listen(request: httpx.Request) -> httpx.Response | None:
            if f"/apps/{APP}" in request.url.path:
                asked.append(request.url.path)
            return None

        here.plan.interpose = listen
        here.resync()
        await here.pass_time(timedelta(minutes=10))

        assert [] == asked

    play(scene)


@pytest.mark.parametrize("org", ["somebody-else", None])
def test_taken_name_blocks(play: Play, org: str | None) -> None:
    """A name that is taken is neither adopted nor given up; it is tried again for ever."""

    async def scene(here: World) -> None:
        taken = here.fly.seed_foreign_app(APP, org or here.fly.org)
        await wish(here)
        await here.pass_time_seconds(60)
        row = await found(here)

        assert "Blocked" == row.status.phase
        assert row.status.retry is not None
        assert "NameTaken" == row.status.retry.reason
        assert [APP] == list(here.fly.apps)
        assert not taken.addresses
        del here.fly.apps[APP]
        await until(here, "Running")

    play(scene)


def test_removal_of_a_blocked_service_leaves_the_taken_app(play: Play) -> None:
    """What is not ours is not deleted with the row that wanted its name."""

    async def scene(here: World) -> None:
        here.fly.seed_foreign_app(APP, here.fly.org)
        await wish(here)
        await here.pass_time_seconds(60)
        await until_gone(here)

        assert [APP] == list(here.fly.apps)

    play(scene)


def test_stop_and_start(play: Play) -> None:
    """Stopped is cordoned and stopped; a start brings it back healthy."""

    async def scene(here: World) -> None:
        await wish(here)
        await until(here, "Running")
        await wish(here, power="Stopped")
        await until(here, "Stopped")

        (machine,) = live(here)
        assert ("stopped", True) == (machine.state, machine.cordoned)
        await wish(here, power="Running")
        row = await until(here, "Running")
        assert row.status.is_true("Healthy")
        assert not machine.cordoned

    play(scene)


def test_crash_is_restarted(play: Play) -> None:
    """A process that dies by itself is started again after its backoff."""

    async def scene(here: World) -> None:
        await wish(here)
        await until(here, "Running")
        here.runtime.crash(live(here)[0].id, 137)
        await here.until_event("Crashed")
        row = await until(here, "Running")

        assert 1 == row.status.restarts.count

    play(scene)


def test_failing_checks_are_no_health(play: Play) -> None:
    """Started and not well is not ready, and is restarted like what does not answer."""

    async def scene(here: World) -> None:
        boot = here.runtime.boot

        async def boot_ill(machine: object) -> None:
            await boot(machine)  # type: ignore[arg-type]  # as it is called
            here.runtime.machine(live(here)[0].id).healthy = False

        here.runtime.boot = boot_ill  # type: ignore[method-assign]  # for this test
        await wish(here)
        await here.until_event("Crashed", within=600)
        row = await found(here)

        assert not row.status.is_true("Ready")
        assert row.status.healthy_since is None
        here.runtime.boot = boot  # type: ignore[method-assign]  # the same
        here.runtime.machine(live(here)[0].id).healthy = True
        await until(here, "Running")

    play(scene)


async def _probed_in_vain(here: World, row: Machine, span: timedelta) -> None:
    """Probes of it fail for so long."""
    until_ = here.now() + span
    while here.now() < until_:
        await here.store.heartbeats.record_probes([Probe(row.uid, here.now(), None)])
        await here.pass_time_seconds(60)


@pytest.mark.parametrize("passing", [True, False])
def test_probes_are_believed_when_checks_agree(play: Play, passing: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """A probe goes through another service: what its own checks find well is not restarted."""

    async def scene(here: World) -> None:
        await wish(here)
        row = await until(here, "Running")
        here.runtime.machine(live(here)[0].id).healthy = passing
        await _probed_in_vain(here, row, STOPPED_AFTER + timedelta(minutes=15))
        row = await found(here)

        assert (0 if passing else 1) == min(1, row.status.restarts.count)
        assert "Unreachable" in await here.events()

    play(scene)


def test_agents_are_probed_and_services_not(play: Play) -> None:
    """Nobody asks a service's machine for an agent's heartbeat."""

    async def scene(here: World) -> None:
        await wish(here, service={"public": True})
        row = await until(here, "Running")
        await here.pass_time(timedelta(minutes=5))
        beat = await here.store.heartbeats.find(row.uid)

        # The provider's metrics tell of it all the same.
        assert beat is None or (None, None) == (beat.healthy_since, beat.unreachable_since)

    play(scene)


def test_another_region_without_a_disk(play: Play) -> None:
    """What keeps nothing is torn down and made anew where it is wished for."""

    async def scene(here: World) -> None:
        await wish(here, volume=None, region="iad", recreate="OnRegionChange")
        before = await until(here, "Running")
        await wish(here, region="yyz")
        after = await until(here, "Running")

        assert ["yyz"] == [machine.region for machine in live(here)]
        assert before.status.instance is not None
        assert after.status.instance is not None
        assert before.status.instance.id != after.status.instance.id
        assert [APP] == list(here.fly.apps)

    play(scene)


def test_another_region_may_be_refused(play: Play) -> None:
    """Without leave to begin anew it stays where it is, and says so."""

    async def scene(here: World) -> None:
        await wish(here, volume=None, region="iad")
        await until(here, "Running")
        await wish(here, region="yyz")
        row = await until(here, "Running")

        refused = row.status.condition("RegionRefused")
        assert refused is not None
        assert "the machine is in iad" in refused.message
        assert ["iad"] == [machine.region for machine in live(here)]

    play(scene)


def test_secrets_come_before_the_machine(play: Play) -> None:
    """The app has its secrets before a machine is made, which is told their fingerprint only."""

    async def scene(here: World) -> None:
        order: list[str] = []

        def listen(request: httpx.Request) -> httpx.Response | None:
            if request.method == "POST":
                order.append(request.url.path.rpartition("/")[2])
            return None

        here.plan.interpose = listen
        secrets = await keep(here, DB_PASSWORD="hunter-2", JWT="tok-1")
        await wish(here, service={"secrets": secrets})
        row = await until(here, "Running")

        assert {"DB_PASSWORD": "hunter-2", "JWT": "tok-1"} == here.fly.apps[APP].secrets
        assert order.index("secrets") < order.index("machines")
        assert {"INVOKER_SECRETS": secrets.fingerprint} == config(here)["env"]
        assert row.status.app is not None
        assert secrets.fingerprint == row.status.app.secrets

    play(scene)


def test_other_secrets_restart_it(play: Play) -> None:
    """What is not kept any more is unset, and the machine starts with what there is."""

    async def scene(here: World) -> None:
        await wish(here, service={"secrets": await keep(here, OLD="a", BOTH="b")})
        await until(here, "Running")
        starts = len(_starts(here))
        await wish(here, service={"secrets": await keep(here, BOTH="c", NEW="d")})
        await until(here, "Running")

        assert {"BOTH": "c", "NEW": "d"} == here.fly.apps[APP].secrets
        assert {"INVOKER_SECRETS": "c-d"} == config(here)["env"]
        assert len(_starts(here)) > starts

    play(scene)


def _starts(here: World) -> list[datetime]:
    (machine,) = live(here)
    return [
        datetime.fromtimestamp(event.at, UTC)
        for event in machine.events
        if (event.type, event.status) == ("start", "started")
    ]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "SecretMissing"),
        (b"[1, 2]", "SecretInvalid"),
        (b'{"A": 1, "B": "hunter-2"}', "SecretInvalid"),
    ],
)
def test_secrets_that_are_not_there(play: Play, value: bytes | None, reason: str) -> None:
    """Without its secrets no machine is made; their name is told, and never a value."""

    async def scene(here: World) -> None:
        secrets = await keep(here, A="x")
        await here.secrets.delete(USER, secrets.name)
        if value is not None:
            await here.secrets.put(USER, secrets.name, value)
        await wish(here, service={"secrets": secrets})
        await here.pass_time_seconds(30)
        row = await found(here)

        assert row.status.retry is not None
        assert reason == row.status.retry.reason
        assert secrets.name in row.status.retry.message
        assert "hunter-2" not in row.status.model_dump_json()
        assert not live(here)
        await keep(here, A="x")
        await until(here, "Running")

    play(scene)


def test_values_are_cleaned_from_refusals(play: Play) -> None:
    """A refusal that repeats a secret is told without it."""

    async def scene(here: World) -> None:
        def echo(request: httpx.Request) -> httpx.Response | None:
            if request.method != "POST" or not request.url.path.endswith("/secrets"):
                return None
            values = json.loads(request.content)["values"]
            return httpx.Response(400, json={"error": f"bad: {values}"}, request=request)

        here.plan.interpose = echo
        await wish(here, service={"secrets": await keep(here, A="hunter", B="hunter-22")})
        await here.pass_time_seconds(60)
        row = await found(here)
        events = await here.store.events.list()

        assert row.status.retry is not None
        assert "bad:" in row.status.retry.message
        told = row.status.model_dump_json() + "".join(event.message for event in events)
        assert "hunter-22" not in told
        assert "'B': '…'" in row.status.retry.message

    play(scene)


def test_unknown_outcome_of_secrets_is_repeated(play: Play) -> None:
    """Secrets whose setting was not answered are set again before a machine is made."""

    async def scene(here: World) -> None:
        lost: list[int] = []

        def lose(request: httpx.Request) -> httpx.Response | None:
            if request.method == "POST" and request.url.path.endswith("/secrets") and not lost:
                lost.append(1)
                return httpx.Response(502, json={"error": "bad gateway"}, request=request)
            return None

        here.plan.interpose = lose
        await wish(here, service={"secrets": await keep(here, A="x")})
        await until(here, "Running")

        assert {"A": "x"} == here.fly.apps[APP].secrets
        assert [1] == lost

    play(scene)
