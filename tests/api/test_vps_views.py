"""What is told of a VPS: from its row, and from what its gateway was heard to say."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final, Literal

import pytest
from psycopg import AsyncConnection

from crds.vps import AgentStatus, GatewayStatus, Vps, VpsSpec
from tests.api.service import Service
from tests.api.vpses import COST, HEALTH, OTHER, OWN, Coast, retry, unready

pytestmark = pytest.mark.anyio

STATUSES: Final = {
    "Pending": "provisioning",
    "Provisioning": "provisioning",
    "ProvisioningTimeout": "provisioning_timeout",
    "Running": "running",
    "Offline": "offline",
    "PoweringOff": "powering_off",
    "Off": "off",
    "PoweringOn": "powering_on",
    "Deleting": "deleting",
    "Blocked": "blocked",
    "Suspended": "blocked",
    "Whatever": "blocked",
}
HINDRANCES: Final = [
    ("Blocked", "NotConnected", "/auth/do"),
    ("Running", "DropletIsFixed", "set region, size and image back"),
    ("Blocked", "SizeUnknown", "another size"),
    ("Blocked", "Unheard", "Contact support"),
]
UNSEEN: Final[list[tuple[Literal["Running", "Stopped"], str, str]]] = [
    ("Stopped", "Running", "powering_off"),
    ("Stopped", "Offline", "powering_off"),
    ("Stopped", "Off", "off"),
    ("Running", "Off", "powering_on"),
    ("Running", "PoweringOff", "powering_on"),
    ("Stopped", "Provisioning", "provisioning"),
]


@pytest.fixture
async def coast(service: Service) -> Coast:
    """Two accounts."""
    coast = Coast(service)
    await coast.account(OWN)
    await coast.account(OTHER)
    return coast


async def test_each_phase_has_its_word(coast: Coast) -> None:
    """With a sentence, and with a remedy where its user can do something."""
    vps, views = await coast.vps(), {}
    for phase in STATUSES:
        vps = await coast.tell(vps, phase=phase)
        views[phase] = await coast.good("GET", f"/vps/{vps.uid}")

    assert {phase: view["status"] for phase, view in views.items()} == STATUSES
    assert all(view["message"].endswith(".") for view in views.values())
    assert {"ProvisioningTimeout", "Offline", "Off", "Blocked", "Suspended", "Whatever"} == {
        phase for phase, view in views.items() if view["remedy"] is not None
    }


async def test_the_remedy_of_a_gateway_that_never_came(coast: Coast) -> None:
    """It says where to look, and how to begin anew."""
    vps = await coast.vps(phase="ProvisioningTimeout")
    remedy = (await coast.good("GET", f"/vps/{vps.uid}"))["remedy"]

    assert "console" in remedy
    assert "cloud-init-output.log" in remedy
    assert "delete" in remedy


async def test_what_stands_in_the_way(coast: Coast) -> None:
    """The condition's words are told as a sentence, once, and what helps."""
    vps, told = await coast.vps(), {}
    for phase, reason, _ in HINDRANCES:
        conditions = unready(reason, "it is so", coast.now)
        so = retry(reason, "it is so")
        vps = await coast.tell(vps, phase=phase, conditions=conditions, retry=so)
        told[reason] = await coast.good("GET", f"/vps/{vps.uid}")

    assert {"It is so."} == {view["message"] for view in told.values()}
    for _, reason, remedy in HINDRANCES:
        assert remedy in told[reason]["remedy"]


async def test_trouble_on_the_way(coast: Coast) -> None:
    """What a provider said is told beside what goes on."""
    vps = await coast.vps(phase="Provisioning", retry=retry("RateLimited", "too many requests"))
    view = await coast.good("GET", f"/vps/{vps.uid}")

    assert "It is being made; this takes a few minutes. Too many requests." == view["message"]


async def test_a_wish_that_nobody_has_seen_counts(coast: Coast) -> None:
    """Who has just switched it is told so at once."""
    told = []
    for number, (power, phase, _) in enumerate(UNSEEN):
        vps = await coast.vps(f"vps-{number}", phase=phase, observed_generation=0)
        vps.spec.power = power
        await coast.store.update(vps)
        view = await coast.good("GET", f"/vps/{vps.uid}")
        told.append((view["power"], view["status"]))

    powers = {"Running": "on", "Stopped": "off"}
    assert [(powers[power], status) for power, _, status in UNSEEN] == told


async def test_everything_that_is_known(coast: Coast) -> None:
    """The droplet, its cost, its gateway, its health and its agents."""
    gateway = GatewayStatus(connected=True, version="1.4.0")
    agents = [
        AgentStatus(name="codex", state="Failed", message="no space"),
        AgentStatus(name="claude-code", state="Installed", version="2.0.1"),
        AgentStatus(name="forgotten", state="Installed"),
    ]
    vps = await coast.vps(gateway=gateway, agents=agents, cost=COST)
    vps.spec = VpsSpec(agents=["claude-code", "codex", "gemini"], region="nyc3")
    await coast.store.update(vps)
    await coast.hear(
        vps.uid, ("connection", "connected", None), ("health", "gateway.health", HEALTH)
    )
    view = await coast.good("GET", f"/vps/{vps.uid}")

    health = {name: value for name, value in HEALTH.items() if name != "type"}
    seen = view["gateway"]["last_seen_at"]
    assert health | {"at": seen} == view["health"]
    assert (True, "1.4.0") == (view["gateway"]["connected"], view["gateway"]["version"])
    # What it was made as, whatever is wished for since.
    assert ("192.0.2.7", "ams3", 6.0) == (view["ipv4"], view["region"], view["monthly_usd"])
    assert [
        {"name": "claude-code", "state": "installed", "version": "2.0.1", "message": ""},
        {"name": "codex", "state": "failed", "version": None, "message": "no space"},
        {"name": "gemini", "state": "wished", "version": None, "message": ""},
    ] == view["agents"]


async def test_a_gateway_that_went_was_seen_before(coast: Coast) -> None:
    """That the hub noticed its absence is no sign of it, and broken health is none."""
    vps = await coast.vps()
    await coast.hear(
        vps.uid,
        ("hello", "gateway.hello", {}),
        ("health", "gateway.health", {"cpu_percent": "much"}),
        ("connection", "disconnected", None),
        ("session/x", "session.started", {}),
    )
    await coast.store.database.execute(
        "UPDATE gateway_observations SET observed_at = observed_at + %s "
        "WHERE kind IN ('disconnected', 'session.started')",
        timedelta(hours=1),
    )
    view = await coast.good("GET", f"/vps/{vps.uid}")
    rows = await coast.store.observations.of(vps.uid, "health")

    seen = rows["health"].observed_at.isoformat().replace("+00:00", "Z")
    assert (seen, None) == (view["gateway"]["last_seen_at"], view["health"])


async def test_a_list_takes_as_many_questions_as_one(
    coast: Coast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many VPSs there are, the database is asked equally often."""
    asked: list[str] = []
    execute = AsyncConnection.execute

    async def counted(self: Any, query: Any, *more: Any, **how: Any) -> Any:
        if "FROM objects" in str(query) or "gateway_observations" in str(query):
            asked.append(str(query))
        return await execute(self, query, *more, **how)

    monkeypatch.setattr(AsyncConnection, "execute", counted)
    counts = []
    for names in (["b"], ["a", "c", "d", "e"]):
        for name in names:
            vps = await coast.vps(name)
            await coast.hear(vps.uid, ("health", "gateway.health", HEALTH))
        await coast.token()
        asked.clear()
        told = await coast.good("GET", "/vps")
        counts.append(len(asked))

    # The account, the rows, and what was heard.
    assert [3, 3] == counts
    assert ["b", "a", "c", "d", "e"] == [each["name"] for each in told["vps"]]
    assert all(each["health"] for each in told["vps"])


async def test_a_row_that_somebody_broke(coast: Coast) -> None:
    """A list shows the others; the broken one is nobody's mistake but the operator's."""
    await coast.vps("good")
    broken = await coast.vps("broken")
    await coast.store.database.execute(
        "UPDATE objects SET spec = spec || '{\"region\": 5}' WHERE uid = %s", broken.uid
    )
    told = await coast.good("GET", "/vps")
    answer = await coast.ask("GET", "/vps/broken")

    assert ["good"] == [each["name"] for each in told["vps"]]
    assert 500 == answer.status_code


async def test_a_name_that_went_to_another(coast: Coast) -> None:
    """A uid is of one VPS for ever."""
    old = await coast.vps()
    await coast.store.delete(Vps, "vps-1", OWN)
    new = await coast.vps()
    gone = await coast.ask("GET", f"/vps/{old.uid}")

    assert 404 == gone.status_code
    assert str(new.uid) == (await coast.good("GET", "/vps/vps-1"))["vps_id"]
