"""What a service's Fly config says besides what every machine's does."""

from __future__ import annotations

import base64
from typing import Any

from crds.machine import MachineSpec, ServiceSpec

# Names the secrets' fingerprint, so that other secrets are another config.
SECRETS_VARIABLE = "INVOKER_SECRETS"
# A database that is asked to end writes down what it has in memory first.
STOP_GRACE_SECONDS = 30


def service_config(spec: MachineSpec, service: ServiceSpec) -> dict[str, Any]:
    """Environment, ports, checks, command, files, metrics and how it is asked to end.

    The proxy neither starts nor stops it: the order in which services start is ours.
    What is empty is said all the same, or what was there before would stay.
    """
    secrets = service.secrets
    return {
        "env": spec.env if secrets is None else {**spec.env, SECRETS_VARIABLE: secrets.fingerprint},
        "services": [
            {
                "protocol": "tcp",
                "internal_port": spec.port,
                "autostop": "off",
                "autostart": False,
                "min_machines_running": 0,
                "ports": _ports(spec, service),
            }
        ],
        "checks": {"health": _check(spec, service)},
        "init": {"cmd": service.command},
        "files": [
            {"guest_path": path, "raw_value": base64.b64encode(text.encode()).decode()}
            for path, text in sorted(service.files.items())
        ],
        "metrics": None if service.metrics is None else service.metrics.model_dump(),
        "stop_config": {"signal": service.stop_signal, "timeout": f"{STOP_GRACE_SECONDS}s"},
    }


def _ports(spec: MachineSpec, service: ServiceSpec) -> list[dict[str, Any]]:
    """The world's usual ports, or the service's own one for its siblings."""
    if not service.public:
        return [{"port": spec.port}]
    return [{"port": 80, "handlers": ["http"]}, {"port": 443, "handlers": ["tls", "http"]}]


def _check(spec: MachineSpec, service: ServiceSpec) -> dict[str, Any]:
    """Often and early, for on a start each service waits for the one before it."""
    asked = {"method": "GET", "path": service.check_path} if service.check == "http" else {}
    return {
        "type": service.check,
        "port": spec.port,
        "interval": "5s",
        "timeout": "5s",
        "grace_period": "2s",
        **asked,
    }
