"""How the Machines API shows what it remembers, nulls and booleans included."""

import hashlib
from typing import Any

from deploy.local.simulators.clock import rfc3339
from deploy.local.simulators.fly.state import Address, App, Lease, Machine, Snapshot, Volume

_BLOCK = 4096
_SHOWN_EVENTS = 5
_AUTOSTOP = {"off": False, "stop": True}
_NULLED: dict[str, Any] = {"init": {}, "env": None, "metadata": None, "restart": {}}


def app_view(app: App) -> dict[str, Any]:
    """Return an app."""
    return {
        "id": app.id,
        "internal_numeric_id": app.number,
        "name": app.name,
        "organization": {"name": app.org, "slug": app.org},
        "status": "deployed" if app.machines else "pending",
        "network": app.network,
        "machine_count": len(app.machines),
        "volume_count": len(app.volumes),
    }


def address_view(address: Address, org: str) -> dict[str, Any]:
    """Return an address; `network` is null for a public one."""
    network = {"name": address.network, "org_slug": org} if address.network is not None else None
    return {
        "ip": address.ip,
        "region": address.region,
        "created_at": rfc3339(address.created_at),
        "shared": address.shared,
        "egress": address.type.startswith("egress"),
        "service_name": "",
        "network": network,
    }


def volume_view(volume: Volume) -> dict[str, Any]:
    """Return a volume."""
    size = volume.size_gb * 1024**3
    return {
        "id": volume.id,
        "name": volume.name,
        "state": volume.state,
        "size_gb": volume.size_gb,
        "region": volume.region,
        "zone": f"{volume.region}-0",
        "encrypted": volume.encrypted,
        "attached_machine_id": volume.machine,
        "attached_alloc_id": None,
        "created_at": rfc3339(volume.created_at),
        "updated_at": rfc3339(volume.updated_at),
        "blocks": size // _BLOCK,
        "block_size": _BLOCK,
        "blocks_free": size // _BLOCK,
        "blocks_avail": size // _BLOCK,
        "bytes_used": 0,
        "bytes_total": size,
        "fstype": "ext4",
        "type": "local",
        "snapshot_retention": volume.retention_days,
        "auto_backup_enabled": volume.auto_backup,
        "host_status": "ok",
        "host_features": None,
    }


def snapshot_view(snapshot: Snapshot, now: float) -> dict[str, Any]:
    """Return a snapshot; its digest is empty until it is ready."""
    ready = now >= snapshot.ready_at
    return {
        "id": snapshot.id,
        "created_at": rfc3339(snapshot.created_at),
        "status": "created" if ready else "pending",
        "digest": _digest(snapshot.id) if ready else "",
        "size": 0,
        "volume_size": snapshot.size_gb * 1024**3,
        "retention_days": 5,
    }


def lease_view(lease: Lease) -> dict[str, Any]:
    """Return a lease with its nonce, as its holder sees it."""
    return {
        "nonce": lease.nonce,
        "expires_at": int(lease.expires_at),
        "owner": lease.owner,
        "description": lease.description,
        "version": lease.version,
    }


def stripped_lease_view(lease: Lease) -> dict[str, Any]:
    """Return a lease as others see it."""
    return {
        "expires_at": int(lease.expires_at),
        "owner": lease.owner,
        "description": lease.description,
    }


def machine_view(machine: Machine) -> dict[str, Any]:
    """Return a machine; an unreachable host knows its configuration only in part."""
    config = config_view(machine.config)
    reachable = machine.host_status == "ok"
    body = {
        "id": machine.id,
        "name": machine.name,
        "state": machine.state,
        "region": machine.region,
        "image_ref": image_ref(machine.config.get("image", "")),
        "instance_id": machine.version,
        "version": machine.version,
        "private_ip": machine.private_ip,
        "created_at": rfc3339(machine.created_at),
        "updated_at": rfc3339(machine.updated_at),
        "events": [e.view() for e in machine.events[: -_SHOWN_EVENTS - 1 : -1]],
        "cordoned": machine.cordoned,
        "host_status": machine.host_status,
    }
    if reachable:
        return body | {"config": config}
    known = {key: config[key] for key in ("guest", "image", "metadata") if key in config}
    return body | {"config": None, "incomplete_config": known}


def overview(app: str, view: dict[str, Any], *, summary: bool) -> dict[str, Any]:
    """Return a machine as the organization's list shows it."""
    config = view["config"] or view.get("incomplete_config") or {}
    short = {key: config.get(key) for key in ("guest", "image", "metadata")}
    kept = ("id", "name", "state", "region", "version", "private_ip", "created_at", "updated_at")
    body = {"app_name": app} | {key: view[key] for key in kept}
    return body if summary else body | {"config": short}


def config_view(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration as it is read back: defaults filled in, autostop as a boolean."""
    shown = _NULLED | config
    if services := config.get("services"):
        shown["services"] = [_service_view(service) for service in services]
    return shown


def _service_view(service: dict[str, Any]) -> dict[str, Any]:
    autostop = service.get("autostop")
    return service | ({} if autostop is None else {"autostop": _AUTOSTOP.get(autostop, autostop)})


def image_ref(image: str) -> dict[str, Any]:
    """Return an image's parts; a tag is resolved to a digest that is always the same."""
    name, _, digest = image.partition("@")
    path, _, tag = name.rpartition(":") if ":" in name.rpartition("/")[2] else (name, "", "latest")
    registry, slash, repository = path.partition("/")
    known = bool(slash) and ("." in registry or ":" in registry)
    return {
        "registry": registry if known else "",
        "repository": repository if known else path,
        "tag": tag,
        "digest": digest or _digest(image),
        "labels": None,
    }


def _digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def secret_digest(value: str) -> str:
    """Return what is shown of a secret instead of its value."""
    return hashlib.sha256(value.encode()).hexdigest()[:16]
