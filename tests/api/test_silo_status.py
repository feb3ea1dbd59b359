"""What agents are told of a dev environment: the words, the numbers and how old they may be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from crds.access import ROLES, Role
from crds.devenv import Cost, DevEnv, RlsStatus, cost_of
from crds.store import Heartbeat, UsageSample
from tests.api.service import Service, code_of
from tests.api.silos import OTHER, OWN, SILO, Town, services

pytestmark = pytest.mark.anyio

# From the requirements: every agent but the clientele.
READERS: Final = {
    "platform-admin",
    "support",
    "account-owner",
    "devops",
    "security-auditor",
    "dev-orchestrator",
    "dev-worker",
}
HOUR: Final = timedelta(hours=1)
MINUTE: Final = timedelta(minutes=1)


@pytest.fixture
async def town(service: Service) -> Town:
    """An account."""
    town = Town(service)
    await town.account(OWN)
    return town


async def running(town: Town, **status: Any) -> DevEnv:
    """A dev environment that has been up for an hour."""
    at = town.now - HOUR
    up = {"phase": "Running", "connection": "Full", "services": services(at), "last_started_at": at}
    return await town.devenv(status={**up, **status})


async def used(town: Town, at: datetime, name: str = "kong") -> None:
    """What the provider told of a service's machine at a moment."""
    machine = await town.machine(f"{SILO}-{name}")
    await town.service.store.heartbeats.record_usage([UsageSample(machine.uid, at, 8.04, 128.0)])


@pytest.mark.parametrize("role", ROLES)
async def test_who_is_told(town: Town, role: Role) -> None:
    """Every role but the clientele's and the scraper's."""
    await running(town)
    answer = await town.ask(role, "GET", "/silo-status", params={"silo_id": SILO})

    assert (200 if role in READERS else 403) == answer.status_code


async def test_an_active_one_in_the_words_of_the_requirements(town: Town) -> None:
    """Services by name with status, machine, usage and uptime; inactivity and what follows."""
    await running(town)
    machine = await town.machine(f"{SILO}-kong")
    seen = town.now - 5 * MINUTE
    await town.service.store.heartbeats.note_activity({machine.uid: seen})
    await town.service.store.heartbeats.record_usage(
        [UsageSample(machine.uid, town.now, 8.04, 128.0)]
    )
    body = await town.status("dev-worker")

    names = ["postgres", "postgrest", "gotrue", "kong", "storage", "studio"]
    assert (SILO, "active", "yyz", names) == (
        body["silo_id"],
        body["overall_status"],
        body["region"],
        [*body["services"]],
    )
    kong = body["services"]["kong"]
    uptime = kong.pop("uptime_seconds")
    assert 3600 <= uptime < 3660
    assert {
        "status": "running",
        "machine_id": "fly-kong",
        "cpu_percent": 8.0,
        "memory_mb": 128.0,
    } == kong
    assert None is body["services"]["gotrue"]["cpu_percent"]
    assert 300 <= body["inactivity_seconds"] < 360
    # Each is told in whole seconds.
    assert body["inactivity_seconds"] + body["auto_stop_trigger_in_seconds"] in (1799, 1800)
    assert seen == datetime.fromisoformat(body["last_request_at"])


@pytest.mark.parametrize(("age", "told"), [(2.9, True), (3.1, False)])
async def test_usage_that_is_old_is_not_told(town: Town, age: float, *, told: bool) -> None:
    """After three minutes without news of the provider there are no numbers."""
    await running(town)
    await used(town, town.now - age * MINUTE)
    kong = (await town.status())["services"]["kong"]

    assert (told, told) == (kong["cpu_percent"] is not None, kong["memory_mb"] is not None)


async def test_a_service_that_is_down_has_neither_usage_nor_uptime(town: Town) -> None:
    """What was measured before it went down is not told as if it were now."""
    at = town.now - HOUR
    await running(town, phase="Degraded", services=services(at, kong="Crashed"))
    await used(town, town.now)
    body = await town.status()

    assert "degraded" == body["overall_status"]
    assert {
        "status": "crashed",
        "machine_id": "fly-kong",
        "cpu_percent": None,
        "memory_mb": None,
        "uptime_seconds": None,
    } == body["services"]["kong"]


async def test_a_service_that_runs_without_answering_is_unhealthy(town: Town) -> None:
    """Running is only what answers."""
    up = services(town.now)
    up[3].ready = False
    await running(town, services=up)

    assert "unhealthy" == (await town.status())["services"]["kong"]["status"]


async def test_what_is_wished_for_and_not_there_yet_is_pending(town: Town) -> None:
    """All services that are wished for are told of, studio only when it is."""
    await town.devenv(studio=False)
    body = await town.status()

    names = ["postgres", "postgrest", "gotrue", "kong", "storage"]
    assert dict.fromkeys(names, "pending") == {
        name: service["status"] for name, service in body["services"].items()
    }


@pytest.mark.parametrize(
    ("phase", "word"),
    [
        ("Pending", "pending"),
        ("Provisioning", "provisioning"),
        ("Starting", "starting"),
        ("Running", "active"),
        ("Degraded", "degraded"),
        ("Moving", "moving"),
        ("Stopping", "stopping"),
        ("Stopped", "stopped"),
        ("Blocked", "blocked"),
        ("Quarantined", "quarantined"),
    ],
)
async def test_the_word_for_each_phase(town: Town, phase: str, word: str) -> None:
    """The requirements' word where they have one."""
    await town.devenv(status={"phase": phase})

    assert word == (await town.status())["overall_status"]


@pytest.mark.parametrize(
    ("power", "status", "word"),
    [
        ("Stopped", {"phase": "Running"}, "stopping"),
        ("Stopped", {"phase": "Stopped"}, "stopped"),
        ("Running", {"phase": "Stopped", "stopped_for": "Wish"}, "starting"),
        ("Running", {"phase": "Stopped", "stopped_for": "Account"}, "stopped"),
        ("Running", {"phase": "Stopped", "stopped_for": "Idle"}, "stopped"),
    ],
)
async def test_a_wish_that_nobody_has_acted_upon_yet_counts(
    town: Town, power: str, status: dict[str, Any], word: str
) -> None:
    """Whoever wished is not told that nothing happens; sleep is ended by asking only."""
    await town.devenv(power=power, status={**status, "observed_generation": 0})

    assert word == (await town.status())["overall_status"]


@pytest.mark.parametrize(
    ("minutes", "status"),
    [(0, {}), (30, {"phase": "Stopped", "stopped_for": "Idle"}), (30, {"phase": "Provisioning"})],
)
async def test_what_does_not_stop_by_itself_has_no_moment_for_it(
    town: Town, minutes: int, status: dict[str, Any]
) -> None:
    """Neither one that is down nor one that never stops."""
    at = town.now - HOUR
    await town.devenv(
        auto_stop_minutes=minutes, status={"phase": "Running", "last_started_at": at, **status}
    )
    body = await town.status()

    assert (None, minutes or None) == (
        body["auto_stop_trigger_in_seconds"],
        body["auto_stop_minutes"],
    )
    assert body["inactivity_seconds"] >= 3600


async def test_asking_for_it_counts_as_use(town: Town) -> None:
    """Inactivity counts from the newest of traffic, start and wish; traffic is told by itself."""
    devenv = await running(town, last_activity_at=town.now - 50 * MINUTE)
    await town.post("dev-worker", "/start-silo")
    body = await town.status()

    assert body["inactivity_seconds"] < 60
    assert devenv.status.last_activity_at == datetime.fromisoformat(body["last_request_at"])


async def test_heartbeats_of_the_gateway_are_newer_than_the_row(town: Town) -> None:
    """A row is written seldom: what was heard since counts."""
    await running(town, last_activity_at=town.now - 50 * MINUTE)
    machine = await town.machine(f"{SILO}-kong")
    heard = town.now - 10 * MINUTE
    beat = Heartbeat(machine.uid, town.now, "running", "", heard)
    await town.service.store.heartbeats.record([beat])

    assert heard == datetime.fromisoformat((await town.status())["last_request_at"])


async def test_what_it_costs_and_what_drifted(town: Town) -> None:
    """Cost as recorded, or reckoned before it is; row-level security as wished and as found."""
    devenv = await town.devenv(rls_mode="permissive")
    reckoned = await town.status()
    rls = RlsStatus(mode="production", generation=1, checked_at=town.now, drift=["public.t"])
    await town.tell(devenv, rls=rls, cost=Cost(always_on_usd=2.0, auto_stop_usd=1.0))
    told = await town.status()

    assert cost_of(devenv.spec).model_dump() == reckoned["cost"]
    assert {"always_on_usd": 2.0, "auto_stop_usd": 1.0} == told["cost"]
    assert ("permissive", None, []) == tuple(
        reckoned["rls"][part] for part in ("mode", "applied", "drift")
    )
    assert ("permissive", "production", ["public.t"]) == tuple(
        told["rls"][part] for part in ("mode", "applied", "drift")
    )


async def test_what_is_missing_and_why_is_told(town: Town) -> None:
    """Prerequisites by name and rule, and the words of what holds it up."""
    devenv = await town.devenv(
        status={"missing": ["region: yyz is not on offer", "token: the provider refuses it"]}
    )
    devenv.status.set_condition(
        "Ready", "False", "Blocked", "two things are missing", now=town.now, generation=1
    )
    await town.tell(devenv, warm_up_seconds=42.5)
    body = await town.status()

    assert [
        {"name": "region", "rule": "yyz is not on offer"},
        {"name": "token", "rule": "the provider refuses it"},
    ] == body["missing"]
    assert (["two things are missing"], 42.5) == (body["reasons"], body["warm_up_seconds"])


async def test_another_accounts_is_not_there(town: Town) -> None:
    """404 for who is of another account; whoever is of none may ask about any."""
    await running(town)
    other = await town.ask("devops", "GET", "/silo-status", of=OTHER, params={"silo_id": SILO})
    support = await town.ask("support", "GET", "/silo-status", params={"silo_id": SILO})

    assert (404, "no-such-silo") == (other.status_code, code_of(other))
    assert (200, OWN) == (support.status_code, support.json()["account"])


async def test_wish_for_the_end_of_time(town: Town) -> None:
    """Whoever asked for a day to come uses it at present, and no answer is too large."""
    last = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
    await town.devenv(wake_at=last, status={"phase": "Running"})
    body = await town.status()

    assert (0, 1800) == (body["inactivity_seconds"], body["auto_stop_trigger_in_seconds"])
