"""What users are told of their VPSs, derived from the rows and from what gateways report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from pydantic import ValidationError

from api.vps.models import AgentView, GatewayView, HealthView, VpsState, VpsView
from crds.meta import Condition
from crds.store import Store
from crds.store.observations import CONNECTION, HEALTH, HELLO
from crds.vps import AgentStatus, Vps

STATES: Final[Mapping[str, VpsState]] = {
    "Pending": "provisioning",
    "Provisioning": "provisioning",
    "ProvisioningTimeout": "provisioning_timeout",
    "Running": "running",
    "Offline": "offline",
    "PoweringOff": "powering_off",
    "Off": "off",
    "PoweringOn": "powering_on",
    "Deleting": "deleting",
}
"""By phase; what stands in no line of it is blocked."""
DOWN: Final = frozenset[VpsState]({"powering_off", "off"})
UP: Final = frozenset[VpsState]({"running", "offline", "powering_on", "provisioning_timeout"})
ACCOUNT_STATES: Final = ("Suspended", "Quarantined")

MESSAGES: Final[Mapping[VpsState, str]] = {
    "provisioning": "It is being made; this takes a few minutes.",
    "provisioning_timeout": (
        "The droplet runs, but nothing has been heard of the gateway in it for ten minutes."
    ),
    "running": "It runs.",
    "offline": (
        "Its gateway is away. Sessions go on in the droplet, and can be seen when it is back."
    ),
    "powering_off": "It is being switched off.",
    "off": "It is switched off. At DigitalOcean it costs the same as when it runs.",
    "powering_on": "It is being switched on.",
    "deleting": "It is being deleted, the droplet included.",
    "blocked": "It waits for something to change.",
}
_CONSOLE: Final = "open the droplet's console at DigitalOcean"
REMEDIES: Final[Mapping[VpsState, str]] = {
    "provisioning_timeout": (
        f"Look at what the droplet says: {_CONSOLE} and read /var/log/cloud-init-output.log. "
        "Or delete this VPS and make it anew."
    ),
    "offline": f"Wait a minute; then power it off and on again, or {_CONSOLE} and look at it.",
    "off": "Power it on to use it, or delete it to pay nothing for it.",
}
# By the reason of the condition Ready.
REMEDIES_OF_REASONS: Final = {
    "NotConnected": "Connect DigitalOcean at /auth/do.",
    "DropletIsFixed": (
        "A droplet stays what it was made as: set region, size and image back, "
        "or delete this VPS and make another one."
    ),
    "SizeUnknown": "Delete this VPS and make one of another size.",
    "SizeNotInRegion": "Delete this VPS and make one of another size, or in another region.",
    "QuotaReached": "Delete another VPS, or ask support for more.",
}
SUPPORT: Final = "Contact support if this does not change."


class Seen(NamedTuple):
    """What was heard of a gateway.

    Attributes:
        at: When it was last heard of.
        health: How its machine was when it last said so.
    """

    at: datetime | None = None
    health: HealthView | None = None


NOTHING: Final = Seen()


async def seen_of(store: Store, vpses: Sequence[Vps]) -> dict[UUID, Seen]:
    """What was heard of the gateways of several VPSs, in one question."""
    rows = await store.database.fetch(
        "SELECT gateway, max(observed_at) FILTER (WHERE kind <> 'disconnected') AS seen_at, "
        "max(observed_at) FILTER (WHERE subject = %s) AS health_at, "
        "(array_agg(message) FILTER (WHERE subject = %s))[1] AS health "
        "FROM gateway_observations WHERE gateway = ANY(%s) AND subject = ANY(%s) GROUP BY gateway",
        HEALTH,
        HEALTH,
        [vps.uid for vps in vpses],
        [CONNECTION, HELLO, HEALTH],
    )
    return {row["gateway"]: Seen(row["seen_at"], _health(row)) for row in rows}


async def told(store: Store, vpses: Sequence[Vps]) -> list[VpsView]:
    """What is told of several VPSs."""
    seen = await seen_of(store, vpses) if vpses else {}
    return [vps_view(vps, seen.get(vps.uid, NOTHING)) for vps in vpses]


def vps_view(vps: Vps, seen: Seen) -> VpsView:
    """Everything about a VPS that is no secret."""
    meta, spec, status = vps.metadata, vps.spec, vps.status
    made = status.droplet or spec
    state = state_of(vps)
    return VpsView(
        vps_id=vps.uid,
        name=meta.name,
        status=state,
        message=message_of(vps, state),
        remedy=remedy_of(vps, state),
        region=made.region,
        size=made.size,
        image=made.image,
        ipv4=status.droplet and status.droplet.ipv4,
        power="on" if spec.power == "Running" else "off",
        created_at=meta.creation_timestamp,
        monthly_usd=status.cost and status.cost.monthly_usd,
        gateway=GatewayView(
            connected=status.gateway.connected,
            version=status.gateway.version or None,
            last_seen_at=seen.at,
        ),
        health=seen.health,
        agents=_agents(vps),
    )


def state_of(vps: Vps) -> VpsState:
    """The word for how it is; a wish that nobody has acted upon yet counts."""
    if vps.deleting:
        return "deleting"
    state = STATES.get(vps.status.phase, "blocked")
    if vps.status.observed_generation < vps.metadata.generation:
        if vps.spec.power == "Stopped" and state in UP:
            return "powering_off"
        if vps.spec.power == "Running" and state in DOWN:
            return "powering_on"
    return state


def message_of(vps: Vps, state: VpsState) -> str:
    """How it is, and what stands in its way, in sentences."""
    retry, ready = vps.status.retry, _unready(vps)
    words = [MESSAGES[state]]
    if vps.status.phase in ACCOUNT_STATES:
        words = [f"Your account is {vps.status.phase.lower()}, so it is switched off."]
    elif state in ("running", "blocked") and ready is not None and ready.message:
        words = [sentence(ready.message)]
    if retry is not None and retry.message:
        words.append(sentence(retry.message))
    return " ".join(dict.fromkeys(words))


def remedy_of(vps: Vps, state: VpsState) -> str | None:
    """What its user can do about it, if there is anything."""
    known = (
        REMEDIES_OF_REASONS.get(each.reason) for each in (vps.status.retry, _unready(vps)) if each
    )
    if (remedy := next(filter(None, known), None)) is not None:
        return remedy
    return SUPPORT if state == "blocked" else REMEDIES.get(state)


def sentence(words: str) -> str:
    """Words as a sentence."""
    words = words.strip()
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "!", "?")) else ".")


def _unready(vps: Vps) -> Condition | None:
    ready = vps.status.condition("Ready")
    return None if ready is None or ready.status == "True" else ready


def _agents(vps: Vps) -> list[AgentView]:
    """All that are wished for, those included that nobody has looked at yet."""
    known = {agent.name: agent for agent in vps.status.agents}
    return [_agent(known.get(name) or AgentStatus(name=name)) for name in vps.spec.agents]


def _agent(agent: AgentStatus) -> AgentView:
    return AgentView(
        name=agent.name,
        state=agent.state.lower(),
        version=agent.version or None,
        message=agent.message,
    )


def _health(row: Mapping[str, Any]) -> HealthView | None:
    if row["health"] is None:
        return None
    try:
        return HealthView.model_validate({**row["health"], "at": row["health_at"]})
    except ValidationError:  # reported by another version
        return None
