"""A Vps with a session and a key as rows, in whatever state a test needs them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from crds.authorized_key import AuthorizedKey, AuthorizedKeySpec, AuthorizedKeyStatus
from crds.cloud_connection import DIGITALOCEAN, CloudConnection, CloudConnectionSpec
from crds.meta import ObjectMeta
from crds.session import Session, SessionSpec, SessionStatus
from crds.store import Store
from crds.vps import (
    AgentStatus,
    DropletStatus,
    GatewayStatus,
    Vps,
    VpsCost,
    VpsSpec,
    VpsStatus,
)
from tests.console.seeds import Citizen

OWNER: Final = Citizen("vera")
# As a subdomain of hers is called: a route leads to that, and not to her droplet.
NAME: Final = "main"
VPS: Final = f"/console/vpses/{OWNER.account}/{NAME}"
SESSION: Final = f"/console/sessions/{OWNER.account}/build"
KEY: Final = f"/console/authorizedkeys/{OWNER.account}/laptop"
ADDRESS: Final = "203.0.113.7"
DROPLET: Final = 4711007


async def settle_vps(store: Store, phase: str = "Running", **status: Any) -> Vps:
    """Write a Vps and what is on it as the controllers would.

    Args:
        store: The rows.
        phase: The phase of the Vps.
        status: Fields of its status other than those of one that is well.
    """
    now = store.clock.now()
    told = {
        "phase": phase,
        "observed_generation": 1,
        "droplet": DropletStatus(
            id=DROPLET,
            status="active",
            ipv4=ADDRESS,
            region="ams3",
            size="s-1vcpu-1gb",
            image="ubuntu-24-04-x64",
            created_at=now,
        ),
        "gateway": GatewayStatus(connected=phase == "Running", since=now, version="1.0.0", hello=3),
        "agents": [AgentStatus(name="claude-code", state="Installed", version="2.1.0")],
        "cost": VpsCost(monthly_usd=6.0, hourly_usd=0.00893),
        **status,
    }
    known = VpsStatus.model_validate(told)
    known.set_condition("Ready", status=phase == "Running", reason=phase, now=now, generation=1)
    connection = CloudConnection(metadata=_named(DIGITALOCEAN), spec=CloudConnectionSpec())
    await store.create(connection)
    vps = await store.create(
        Vps(metadata=_named(NAME), spec=VpsSpec(agents=["claude-code"]), status=known)
    )
    await _upon(store)
    return vps


async def _upon(store: Store) -> None:
    session = SessionSpec(vps=NAME, title="The build")
    await store.create(
        Session(metadata=_named("build"), spec=session, status=SessionStatus(phase="Running"))
    )
    line = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{'A' * 43}"
    ends = store.clock.now() + timedelta(hours=2)
    key = AuthorizedKeySpec(vps=NAME, public_key=line, type="support", expires_at=ends)
    status = AuthorizedKeyStatus(phase="Authorized", fingerprint=key.fingerprint)
    await store.create(AuthorizedKey(metadata=_named("laptop"), spec=key, status=status))


def _named(name: str) -> ObjectMeta:
    return ObjectMeta(name=name, namespace=OWNER.account, finalizers=["x"])
