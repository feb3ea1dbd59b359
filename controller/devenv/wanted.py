"""What each service's Machine should be, by the dev environment's wishes and its rendering."""

from __future__ import annotations

import json

from controller.devenv.rendered import Rendered
from crds.connection import variables_name
from crds.devenv import PORTS, DevEnvSpec, Service
from crds.machine import MachineSpec, Power, SecretRef, ServiceSpec, VolumeSpec


def machine_spec(
    spec: DevEnvSpec,
    service: Service,
    rendered: Rendered,
    *,
    account: str,
    network: str,
    region: str,
    machine: str,
    fingerprint: str,
    power: Power = "Running",
    source: str = "",
) -> MachineSpec:
    """The spec of a service's Machine.

    Args:
        spec: The dev environment's.
        service: Which service.
        rendered: What it is told.
        account: Whose it is.
        network: The private network of all its services.
        region: Where the environment is, or moves to.
        machine: The Machine's name, after which its secret variables are called.
        fingerprint: Of its secret variables.
        power: Whether it shall run.
        source: The volume that its own begins as a copy of.
    """
    size_gb = spec.volume_of(service)
    volume = None
    if size_gb is not None and rendered.volume_path is not None:
        volume = VolumeSpec(size_gb=size_gb, path=rendered.volume_path, source=source)
    return MachineSpec(
        power=power,
        account=account,
        image=spec.image_of(service),
        region=region,
        size=spec.size_of(service),
        volume=volume,
        port=PORTS[service],
        env=rendered.env,
        # What keeps nothing may begin anew wherever it is wished for.
        recreate="Never" if volume is not None else "OnRegionChange",
        restart_at=spec.restart_at,
        service=ServiceSpec(
            app=spec.app_of(service),
            network=network,
            public=rendered.public,
            check=rendered.check,
            check_path=rendered.check_path,
            command=rendered.command,
            files=rendered.files,
            secrets=SecretRef(name=variables_name(machine), fingerprint=fingerprint),
            metrics=rendered.metrics,
            stop_signal=rendered.stop_signal,
        ),
    )


def variables_of(rendered: Rendered) -> bytes:
    """A service's secret variables as they are kept; equal ones are the same bytes."""
    return json.dumps(rendered.secrets, sort_keys=True).encode()
