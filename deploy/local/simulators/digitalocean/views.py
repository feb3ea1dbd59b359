"""Things as the API shows them."""

from ipaddress import IPv4Address, IPv6Address
from typing import Any

from deploy.local.simulators.clock import rfc3339
from deploy.local.simulators.digitalocean.catalogue import (
    FEATURES,
    SIZES,
    image_view,
    region_view,
    size_view,
)
from deploy.local.simulators.digitalocean.state import Action, Droplet, Key, Team

_PUBLIC = IPv4Address("198.18.0.10")  # the benchmarks' block (RFC 2544), which nobody routes
_PRIVATE = IPv4Address("10.110.0.10")
_PUBLIC6 = IPv6Address("2001:db8::10")


def droplet_view(droplet: Droplet, *, locked: bool) -> dict[str, Any]:
    """Return a droplet."""
    size = SIZES[droplet.size]
    return {
        "id": droplet.id,
        "name": droplet.name,
        "memory": size.memory,
        "vcpus": size.vcpus,
        "disk": size.disk,
        "locked": locked,
        "status": droplet.status,
        "kernel": None,
        "created_at": _second(droplet.created_at),
        "features": FEATURES[2:],
        "backup_ids": [],
        "next_backup_window": None,
        "snapshot_ids": [],
        "image": image_view(droplet.image),
        "volume_ids": [],
        "size": size_view(droplet.size),
        "size_slug": droplet.size,
        "networks": _networks(droplet),
        "region": region_view(droplet.region, full=False),
        "tags": list(droplet.tags),
    }


def action_view(action: Action) -> dict[str, Any]:
    """Return an action."""
    return {
        "id": action.id,
        "status": action.status,
        "type": action.type,
        "started_at": _second(action.started_at),
        "completed_at": None if action.completed_at is None else _second(action.completed_at),
        "resource_id": action.droplet,
        "resource_type": "droplet",
        "region": region_view(action.region, full=False),
        "region_slug": action.region,
    }


def key_view(key: Key) -> dict[str, Any]:
    """Return an SSH key."""
    return {
        "id": key.id,
        "name": key.name,
        "fingerprint": key.fingerprint,
        "public_key": key.public_key,
    }


def account_view(team: Team) -> dict[str, Any]:
    """Return a team's account."""
    return {
        "droplet_limit": team.droplet_limit,
        "floating_ip_limit": 3,
        "email": team.email,
        "name": name_of(team),
        "uuid": team.user_uuid,
        "email_verified": True,
        "status": team.status,
        "status_message": "",
        "team": {"uuid": team.uuid, "name": "My Team"},
    }


def name_of(team: Team) -> str:
    """Return the person's name, made from the address."""
    return team.email.partition("@")[0].replace(".", " ").title()


def _networks(droplet: Droplet) -> dict[str, list[dict[str, Any]]]:
    if not droplet.addressed:
        return {"v4": [], "v6": []}
    public, private = _PUBLIC + droplet.number, _PRIVATE + droplet.number
    v4 = [
        _v4(private, IPv4Address("10.110.0.1"), "private"),
        _v4(public, IPv4Address("198.18.0.1"), "public"),
    ]
    v6 = {
        "ip_address": str(_PUBLIC6 + droplet.number),
        "netmask": 64,
        "gateway": "2001:db8::1",
        "type": "public",
    }
    return {"v4": v4, "v6": [v6] if droplet.ipv6 else []}


def _v4(address: IPv4Address, gateway: IPv4Address, kind: str) -> dict[str, str]:
    return {
        "ip_address": str(address),
        "netmask": "255.255.240.0",
        "gateway": str(gateway),
        "type": kind,
    }


def _second(at: float) -> str:
    """Return a time as DigitalOcean writes it, to the second."""
    return rfc3339(at).partition(".")[0] + "Z"
