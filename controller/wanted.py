"""What a workspace's machine should be, by its wishes, the platform's, and what there is."""

from __future__ import annotations

from datetime import datetime

from crds.machine import Machine, MachineSpec, Power, VolumeSpec
from crds.platform import PlatformSpec
from crds.workspace import Workspace


def wanted_spec(
    workspace: Workspace,
    platform: PlatformSpec,
    machine: Machine | None,
    *,
    power: Power,
    now: datetime,
) -> MachineSpec:
    """The machine's spec; where the workspace wishes nothing it is what there is, or a default."""
    spec = workspace.spec
    return MachineSpec(
        power=power,
        account=workspace.metadata.namespace,
        image=spec.image or platform.image,
        region=spec.region or _region(platform, machine),
        size=spec.size or platform.size,
        volume=VolumeSpec(size_gb=spec.volume_gb or _volume_gb(platform, machine)),
        recreate=spec.recreate,
        restart_at=_restart_at(workspace, machine, now),
    )


def spec_at_rest(machine: Machine) -> MachineSpec:
    """A spec that wishes for nothing but rest, for a machine whose own is broken."""
    platform = PlatformSpec()
    return MachineSpec(
        power="Stopped",
        account=machine.metadata.namespace,
        image=platform.image,
        region=_region(platform, machine if machine.status.volume else None),
        volume=VolumeSpec(size_gb=_volume_gb(platform, machine if machine.status.volume else None)),
    )


def _volume_gb(platform: PlatformSpec, machine: Machine | None) -> int:
    """A volume's size is decided once; what was wished once and refused does not count."""
    if machine is None:
        return platform.volume_gb
    volume = machine.status.volume or machine.spec.volume
    return platform.volume_gb if volume is None else volume.size_gb


def _region(platform: PlatformSpec, machine: Machine | None) -> str:
    """The same for its region."""
    if machine is None:
        return platform.region
    volume = machine.status.volume
    return machine.spec.region if volume is None else volume.wished_region or volume.region


def _restart_at(workspace: Workspace, machine: Machine | None, now: datetime) -> datetime | None:
    """When the machine's process should have started at the earliest.

    A machine may be restarted by its own row; a moment to come is the workspace's to wish.
    Who asks for one that was given up, asks for another try.
    """
    spec, own = workspace.spec, None if machine is None else machine.spec.restart_at
    wished = spec.restart_at or (own if own is not None and own <= now else None)
    given_up = None if machine is None else machine.status.restarts.given_up_at
    if given_up is not None and spec.wake_at is not None and given_up < spec.wake_at <= now:
        return spec.wake_at
    return wished
