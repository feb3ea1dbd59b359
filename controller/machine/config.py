"""The Fly config of a machine: what it should be, and whether it is."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from controller.machine import names
from controller.machine.service_config import service_config
from controller.machine.tools import MachineScope, Tools
from crds.machine import Machine


def desired_config(machine: Machine, tools: Tools, volume_id: str) -> dict[str, Any]:
    """The whole config, in the terms of Fly's API (its specification, fly.MachineConfig).

    Restarts are ours (with a backoff that shows in the status), so Fly's policy is `no`.

    Args:
        machine: What is wished for.
        tools: What agents are told besides.
        volume_id: Fly's id of its volume; unused where none is wished for.
    """
    spec = machine.spec
    service = spec.service
    own = _agent_config(machine, tools) if service is None else service_config(spec, service)
    return {
        **own,
        "image": spec.image,
        "guest": {
            "cpu_kind": spec.size.cpu_kind,
            "cpus": spec.size.cpus,
            "memory_mb": spec.size.memory_mb,
        },
        "mounts": [{"volume": volume_id, "path": spec.volume.path}] if spec.volume else [],
        "restart": {"policy": "no"},
        "auto_destroy": False,
        "metadata": names.marks(
            tools.installation, machine.uid, machine.metadata.namespace, machine.metadata.name
        ),
    }


def wished_config(scope: MachineScope, tools: Tools) -> dict[str, Any]:
    """The config with the volume that is on record."""
    volume = scope.object.status.volume
    return desired_config(scope.object, tools, "" if volume is None else volume.id)


def _agent_config(machine: Machine, tools: Tools) -> dict[str, Any]:
    """What a machine with our agent has: stopping it when idle is ours, starting it the proxy's."""
    spec = machine.spec
    data = {} if spec.volume is None else {"INVOKER_DATA_DIR": spec.volume.path}
    return {
        "env": {
            **spec.env,
            **tools.agent_env,
            "INVOKER_MACHINE_ID": str(machine.uid),
            "INVOKER_OWNER": spec.account,
            "USER_ID": spec.account,
            "INVOKER_MACHINE_TOKEN": tools.tokens.issue(machine.uid),
            **data,
            "PORT": str(spec.port),
        },
        "services": [
            {
                "protocol": "tcp",
                "internal_port": spec.port,
                "autostop": "off",
                "autostart": True,
                "min_machines_running": 0,
                "ports": [
                    {"port": 80, "handlers": ["http"]},
                    {"port": 443, "handlers": ["tls", "http"]},
                ],
            }
        ],
        "checks": {
            "health": {
                "type": "http",
                "port": spec.port,
                "method": "GET",
                "path": "/health",
                "interval": "15s",
                "timeout": "5s",
                "grace_period": "10s",
            }
        },
    }


def config_hash(config: dict[str, Any]) -> str:
    """A short fingerprint; one-way, because the config holds the machine's token."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def covers(actual: Any, desired: Any) -> bool:
    """Whether the actual config says all that the desired one does.

    Fly fills in fields of its own, and leaves out what is empty;
    but lists and the environment must be exactly ours.
    """
    if isinstance(desired, dict):
        return isinstance(actual, dict | None) and all(
            ((found or {}) == value) if key == "env" else covers(found, value)
            for key, value in desired.items()
            for found in ((actual or {}).get(key),)
        )
    if isinstance(desired, list):
        if actual is None:
            return not desired
        return (
            isinstance(actual, list)
            and len(actual) == len(desired)
            and all(covers(*pair) for pair in zip(actual, desired, strict=True))
        )
    return bool(actual == desired) or (desired is False and actual is None)


def in_sync(scope: MachineScope, config: dict[str, Any]) -> bool:
    """Whether the Fly machine has this config.

    A version's config never changes, so one that was compared before need not be read again.
    """
    instance = scope.instance
    fingerprint = config_hash(config)
    if instance.config_hash == fingerprint:
        return True
    if scope.seen is not None and covers(scope.seen.config, config):
        instance.config_hash = fingerprint
        return True
    return False
