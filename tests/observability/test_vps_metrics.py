"""What Prometheus is told of droplets and of what is on them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from controller.metrics import FleetWatch
from crds.meta import ObjectMeta
from crds.session import Session, SessionSpec, SessionStatus
from crds.store import Store
from crds.vps import Vps, VpsIntent, VpsSpec, VpsStatus

pytestmark = pytest.mark.anyio

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """A store on an empty database."""
    async with Store.opened(database_url) as store:
        yield store


@pytest.fixture
def registry() -> CollectorRegistry:
    """Where the metrics are."""
    return CollectorRegistry()


@pytest.fixture
async def fleet(store: Store, registry: CollectorRegistry) -> FleetWatch:
    """Somebody who looks at the fleet."""
    watch = FleetWatch(store, registry)
    await watch.begin()
    return watch


async def _vps(store: Store, name: str, phase: str, intent: VpsIntent | None = None) -> Vps:
    status = VpsStatus(phase=phase, observed_generation=1, intent=intent)
    ready = phase in {"Running", "Off"}
    status.set_condition("Ready", status=ready, reason=phase, now=NOW, generation=1)
    meta = ObjectMeta(name=name, namespace="acme")
    return await store.create(Vps(metadata=meta, spec=VpsSpec(), status=status))


async def _session(store: Store, phase: str) -> Session:
    status = SessionStatus(phase=phase, observed_generation=1)
    status.set_condition("Ready", status=phase == "Running", reason=phase, now=NOW, generation=1)
    meta = ObjectMeta(name=phase.lower(), namespace="acme")
    return await store.create(Session(metadata=meta, spec=SessionSpec(vps="a"), status=status))


async def _becomes(store: Store, vps: Vps, phase: str) -> Vps:
    vps.status.phase = phase
    ready = phase == "Running"
    vps.status.set_condition("Ready", status=ready, reason=phase, now=NOW, generation=1)
    return await store.update_status(vps)


async def test_every_phase_is_told(
    store: Store, fleet: FleetWatch, registry: CollectorRegistry
) -> None:
    """Each phase of a Vps and of a session is a series of its own, none is called Other."""
    phases = (
        *("Provisioning", "ProvisioningTimeout", "Running", "Offline", "PoweringOff", "Off"),
        *("PoweringOn", "Deleting", "Blocked", "Pending", "Suspended", "Quarantined"),
    )
    for number, phase in enumerate(phases):
        await _vps(store, f"v{number}", phase)
    await fleet.look()

    assert [1] * len(phases) == [
        registry.get_sample_value("invoker_objects", {"kind": "Vps", "phase": phase})
        for phase in phases
    ]


async def test_only_unknown_outcomes_are_pending(
    store: Store, fleet: FleetWatch, registry: CollectorRegistry
) -> None:
    """An action that DigitalOcean has accepted and carries out is no leak."""
    await _vps(store, "a", "Provisioning", VpsIntent(operation="Create", since=NOW))
    accepted = VpsIntent(operation="Shutdown", since=NOW, action=7, accepted_at=NOW)
    await _vps(store, "b", "PoweringOff", accepted)
    await fleet.look()

    assert 1 == registry.get_sample_value("invoker_intents_pending")


async def test_a_droplet_that_its_user_switched_off_wakes_nobody(
    store: Store, fleet: FleetWatch, registry: CollectorRegistry
) -> None:
    """What is offline, waits for it, or is over does not age; one that never came up does."""
    vps = await _vps(store, "a", "Running")
    for phase in ("Waiting", "Ended", "Failed"):
        await _session(store, phase)
    await fleet.look()
    await _becomes(store, vps, "Offline")
    await fleet.look()
    offline = registry.get_sample_value("invoker_unconverged_objects", {"kind": "Vps"})
    waiting = registry.get_sample_value("invoker_unconverged_objects", {"kind": "Session"})
    await _vps(store, "b", "ProvisioningTimeout")
    await fleet.look()

    assert [None, None] == [offline, waiting]
    assert 1 == registry.get_sample_value("invoker_drifted_objects", {"kind": "Vps"})
    assert 1 == registry.get_sample_value("invoker_unconverged_objects", {"kind": "Vps"})


async def test_whoever_begins_to_look_sees_the_same(
    store: Store, fleet: FleetWatch, registry: CollectorRegistry
) -> None:
    """A replica that takes over does not take what is offline for late."""
    await _vps(store, "a", "Offline")
    await fleet.begin()
    await fleet.look()

    assert None is registry.get_sample_value("invoker_unconverged_objects", {"kind": "Vps"})
