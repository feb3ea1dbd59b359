"""The kinds: what can be wished for, and how a status tells what is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crds.compute import MachineSize, monthly_cost_usd
from crds.devenv import DevEnv
from crds.errors import InvalidError
from crds.machine import Machine
from crds.meta import ObjectMeta, Status
from crds.registry import KINDS
from crds.workspace import Workspace

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)

# Of the right form; nobody has it, its 32 bytes are zero.
KEY = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{'A' * 43} a@example"

GOOD: dict[str, dict[str, Any]] = {
    "Platform": {},
    "Account": {"email": "a@example.com"},
    "Workspace": {"subdomain": "alice"},
    "DevEnv": {"client": "acme", "app": "erp"},
    "CloudConnection": {"provider": "digitalocean"},
    "Vps": {"agents": ["claude-code"]},
    "Session": {"vps": "one"},
    "AuthorizedKey": {"vps": "one", "publicKey": KEY},
    "Machine": {"account": "a", "image": "x"},
    "Route": {"account": "a"},
}
BAD = [
    ("Workspace", {"power": "Off"}, "spec.power"),
    ("Workspace", {"subdomain": "Al"}, "spec.subdomain"),
    ("Workspace", {"subdomain": "api"}, "spec.subdomain"),
    ("Workspace", {"region": "yul"}, "spec.region"),
    ("Workspace", {"size": {"memoryMb": 1000}}, "spec.size.memoryMb"),
    ("Workspace", {"size": {"cpus": 3}}, "spec.size.cpus"),
    ("Workspace", {"size": {"cpus": 1, "memoryMb": 4096}}, "spec.size"),
    ("Workspace", {"image": ""}, "spec.image"),
    ("Workspace", {"volumeGb": 0}, "spec.volumeGb"),
    ("Workspace", {"idleTimeoutSeconds": 60}, "spec.idleTimeoutSeconds"),
    ("Workspace", {"recreate": "Always"}, "spec.recreate"),
    ("Workspace", {"wakeAt": "soon"}, "spec.wakeAt"),
    ("Workspace", {"colour": "red"}, "spec.colour"),
    ("Account", {"email": "x"}, "spec.email"),
    ("Account", {"state": "Banned"}, "spec.state"),
    ("Account", {"plan": "Gold"}, "spec.plan"),
    ("Account", {"quota": {"workspaces": -1}}, "spec.quota.workspaces"),
    ("Account", {"quota": {"vps": -1}}, "spec.quota.vps"),
    ("Platform", {"caps": {"machines": -1}}, "spec.caps.machines"),
    ("Platform", {"incident": {"active": "perhaps"}}, "spec.incident.active"),
    ("Machine", {"power": "On"}, "spec.power"),
    ("Machine", {"volume": {"path": "data"}}, "spec.volume.path"),
    ("Machine", {"port": 0}, "spec.port"),
    ("DevEnv", {"power": "Asleep"}, "spec.power"),
    ("DevEnv", {"client": "Acme"}, "spec.client"),
    ("DevEnv", {"app": "a-"}, "spec.app"),
    ("DevEnv", {"siloId": "x" * 64}, "spec.siloId"),
    ("DevEnv", {"region": "yul"}, "spec.region"),
    ("DevEnv", {"images": {"kong": ""}}, "spec.images"),
    ("DevEnv", {"sizes": {"kong": {"cpus": 3}}}, "spec.sizes.kong.cpus"),
    ("DevEnv", {"volumeGb": 501}, "spec.volumeGb"),
    ("DevEnv", {"rlsMode": "off"}, "spec.rlsMode"),
    ("DevEnv", {"autoStopMinutes": 4}, "spec.autoStopMinutes"),
    ("DevEnv", {"netlify": {"site": "a"}}, "spec.netlify.team"),
    ("DevEnv", {"previewUrl": "javascript:x"}, "spec.previewUrl"),
    ("CloudConnection", {"provider": "hetzner"}, "spec.provider"),
    ("CloudConnection", {"state": "Revoked"}, "spec.state"),
    ("CloudConnection", {"verifyAt": "now"}, "spec.verifyAt"),
    ("Vps", {"power": "Off"}, "spec.power"),
    ("Vps", {"connection": ""}, "spec.connection"),
    ("Vps", {"region": "amsterdam"}, "spec.region"),
    ("Vps", {"size": "s 1"}, "spec.size"),
    ("Vps", {"image": "../x"}, "spec.image"),
    ("Vps", {"agents": ["Claude"]}, "spec.agents.0"),
    ("Vps", {"agents": ["codex", "codex"]}, "spec.agents"),
    ("Vps", {"agents": [f"a{number}" for number in range(17)]}, "spec.agents"),
    ("Session", {"vps": ""}, "spec.vps"),
    ("Session", {"title": "x" * 201}, "spec.title"),
    ("Session", {"title": "a\x1b[2J"}, "spec.title"),
    ("Session", {"agentType": "a b"}, "spec.agentType"),
    ("Session", {"workdir": "root"}, "spec.workdir"),
    ("Session", {"workdir": "/\x00"}, "spec.workdir"),
    ("Session", {"columns": 0}, "spec.columns"),
    ("Session", {"rows": 1001}, "spec.rows"),
    ("AuthorizedKey", {"vps": ""}, "spec.vps"),
    ("AuthorizedKey", {"publicKey": "hunter2"}, "spec.publicKey"),
    ("AuthorizedKey", {"publicKey": f'command="sh" {KEY}'}, "spec.publicKey"),
    ("AuthorizedKey", {"publicKey": f"{KEY}\n{KEY}"}, "spec.publicKey"),
    ("AuthorizedKey", {"label": "x" * 201}, "spec.label"),
    ("AuthorizedKey", {"label": "a\nb"}, "spec.label"),
    ("AuthorizedKey", {"type": "operator"}, "spec.type"),
    ("AuthorizedKey", {"type": "support"}, "spec"),
    ("AuthorizedKey", {"expiresAt": "2030-01-01T00:00:00"}, "spec.expiresAt"),
    ("Route", {"redirectTo": "UPPER"}, "spec.redirectTo"),
    ("Route", {"account": ""}, "spec.account"),
]


@pytest.mark.parametrize("said", [0, None])
def test_never_is_kept(said: int | None) -> None:
    """That a dev environment never stops by itself survives being stored, which leaves None out."""
    spec = {"client": "acme", "app": "erp", "autoStopMinutes": said}
    made = DevEnv.parse({"metadata": {"name": "erp"}, "spec": spec})
    again = DevEnv.parse(made.to_json())

    assert [None, None] == [each.spec.auto_stop_minutes for each in (made, again)]
    assert 0 == made.spec.to_json()["autoStopMinutes"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_good_object_survives_json(kind: str) -> None:
    """What is stored is what was wished."""
    made = KINDS[kind].parse({"metadata": {"name": "platform"}, "spec": GOOD[kind]})
    again = KINDS[kind].parse(made.to_json())

    assert made == again


@pytest.mark.parametrize(("kind", "change", "field"), BAD)
def test_every_illegal_value_names_its_field(kind: str, change: dict[str, Any], field: str) -> None:
    """One clear cause with the field's path as the user wrote it."""
    with pytest.raises(InvalidError) as caught:
        KINDS[kind].parse({"metadata": {"name": "platform"}, "spec": {**GOOD[kind], **change}})

    assert [field] == [cause.field for cause in caught.value.causes]


@pytest.mark.parametrize(
    ("kind", "name"), [("Account", "default"), ("Platform", "second"), ("DevEnv", "a" * 64)]
)
def test_names_that_a_kind_cannot_have_are_refused(kind: str, name: str) -> None:
    """The cluster's events are nobody's, there is one platform, and labels have 63 characters."""
    with pytest.raises(InvalidError) as caught:
        KINDS[kind].parse({"metadata": {"name": name}, "spec": GOOD[kind]})

    assert ["metadata"] == [cause.field for cause in caught.value.causes]


def test_condition_time_moves_only_with_its_status() -> None:
    """LastTransitionTime is the moment of the last change of status (Kubernetes conventions)."""
    status = Status()
    later = NOON + timedelta(hours=1)

    assert status.set_condition("Ready", True, "Up", now=NOON, generation=1)
    assert not status.set_condition("Ready", True, "Other", now=later, generation=2)
    condition = status.condition("Ready")
    assert condition is not None
    assert (condition.last_transition_time, condition.reason) == (NOON, "Other")
    assert condition.observed_generation == 2
    assert status.set_condition("Ready", False, "Down", now=later, generation=2)
    assert not status.is_true("Ready")


def test_a_status_of_another_version_can_be_read() -> None:
    """A status is rebuilt from observation: unknown fields, however deep, never stop a read."""
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "Up",
        "lastTransitionTime": NOON,
        "mood": "fine",
    }
    status = {"mood": "fine", "app": {"name": "x", "mood": "fine"}, "conditions": [condition]}
    made = Machine.parse({"metadata": {"name": "main"}, "spec": GOOD["Machine"], "status": status})

    assert made.status.is_true("Ready")
    assert made.status.app is not None


def test_an_object_that_was_never_stored_has_no_uid() -> None:
    """A child cannot point at an owner that does not exist."""
    made = Workspace(metadata=ObjectMeta(name="main"), spec={"subdomain": "alice"})
    with pytest.raises(ValueError, match="never stored"):
        made.owner_reference()


def test_costs() -> None:
    """Fly's published prices: the smallest shared machine, extra memory, a volume."""
    assert monthly_cost_usd(MachineSize(memory_mb=256), 0) == 1.94
    assert monthly_cost_usd(MachineSize(memory_mb=1280), 1) == 1.94 + 5.0 + 0.15
