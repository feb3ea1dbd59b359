"""Platform: what holds for the whole installation. There is one, named `platform`."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from crds.compute import CheckedSize, MachineSize, Region
from crds.meta import READY, REASON, Column, Model, ObjectMeta, Resource, Scope, Status

PLATFORM = "platform"


class Caps(Model):
    """Limits of the fleet, so that a mistake or an attack cannot bankrupt the operator.

    Attributes:
        machines: The most machines.
        monthly_spend_usd: The most that the fleet may cost in USD a month.
    """

    machines: int = Field(default=100, ge=0)
    monthly_spend_usd: float = Field(default=500.0, ge=0)


class Incident(Model):
    """The switch for the "we're experiencing issues" page.

    Attributes:
        active: Whether visitors see the page.
        message: What it tells them.
    """

    active: bool = False
    message: str = Field(default="", max_length=500)


class PlatformSpec(Model):
    """Defaults, caps and the incident switch.

    Attributes:
        image: The container image of workspaces that name none.
        size: The size of workspaces that name none.
        region: The region of workspaces that name none.
        volume_gb: The size in GB of the disk of workspaces that name none.
        caps: Limits of the fleet.
        incident: The incident switch.
    """

    image: str = Field(default="registry.fly.io/counterspell:latest", min_length=1, max_length=512)
    size: CheckedSize = Field(default_factory=MachineSize)
    region: Region = "iad"
    volume_gb: int = Field(default=1, ge=1, le=500)
    caps: Caps = Field(default_factory=Caps)
    incident: Incident = Field(default_factory=Incident)


class PlatformStatus(Status):
    """Whether the incident page is up, and why.

    Attributes:
        incident: Whether the edge was told of an incident.
        incident_message: What it shows.
    """

    incident: bool = False
    incident_message: str = ""


def _the_one(metadata: ObjectMeta) -> ObjectMeta:
    if metadata.name != PLATFORM:
        raise ValueError(f"there is one, and its name is {PLATFORM!r}")
    return metadata


class Platform(Resource):
    """The installation."""

    KIND: ClassVar[str] = "Platform"
    PLURAL: ClassVar[str] = "platforms"
    SCOPE: ClassVar[Scope] = "Cluster"
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("Machines", ".spec.caps.machines", "integer", description="Cap of machines"),
        Column("Spend", ".spec.caps.monthlySpendUsd", "number", description="Cap in USD a month"),
        Column("Incident", ".status.incident", "boolean"),
        READY,
        Column("Image", ".spec.image", priority=1),
        Column("Region", ".spec.region", priority=1),
        REASON,
    )

    metadata: Annotated[ObjectMeta, AfterValidator(_the_one)]
    spec: PlatformSpec = Field(default_factory=PlatformSpec)
    status: PlatformStatus = Field(default_factory=PlatformStatus)
