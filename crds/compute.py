"""Regions, sizes and what they cost: shared by every kind that asks for a machine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from crds.meta import Model

# Fly's published region list.
REGIONS = frozenset(
    "ams arn bom cdg dfw ewr fra gru iad jnb lax lhr nrt ord sin sjc syd yyz".split()
)
# Regions that Fly once offered, and what is on offer nearest to them.
NEAREST = {"yul": "yyz", "sea": "sjc", "sfo": "sjc"}
MEMORY_STEP_MB = 256
MAX_MEMORY_PER_CPU_MB = {"shared": 2048, "performance": 8192}
MIN_MEMORY_PER_CPU_MB = {"shared": 256, "performance": 2048}

# USD a month: Fly's prices for iad; a volume costs 0.15 a GB.
MONTHLY_CPU_USD = {"shared": 1.94, "performance": 31.0}
MONTHLY_EXTRA_MEMORY_USD_PER_GB = 5.0
MONTHLY_VOLUME_USD_PER_GB = 0.15


def region_problem(value: str) -> str | None:
    """Say why nothing can run in a region, and what to take in its place; None when it can."""
    if value in REGIONS:
        return None
    rule = f"must be one of {', '.join(sorted(REGIONS))}"
    nearest = NEAREST.get(value)
    return f"{rule}; Fly no longer offers {value}, take {nearest}" if nearest else rule


def _known_region(value: str) -> str:
    if problem := region_problem(value):
        raise ValueError(problem)
    return value


Region = Annotated[str, AfterValidator(_known_region)]


class MachineSize(Model):
    """A machine's processors and memory, in Fly's own terms.

    Attributes:
        cpu_kind: Whether the processors are shared with other machines.
        cpus: How many processors.
        memory_mb: Memory in MiB; its bounds depend on the kind and number of processors.
    """

    cpu_kind: Literal["shared", "performance"] = "shared"
    cpus: Literal[1, 2, 4, 8, 16] = 1
    memory_mb: Annotated[int, Field(ge=256, le=131072, multiple_of=MEMORY_STEP_MB)] = 1024

    def problem(self) -> str | None:
        """Say which of Fly's bounds on memory per processor the size breaks, or None."""
        low = MIN_MEMORY_PER_CPU_MB[self.cpu_kind] * self.cpus
        high = MAX_MEMORY_PER_CPU_MB[self.cpu_kind] * self.cpus
        if low <= self.memory_mb <= high:
            return None
        return f"memoryMb must be {low} to {high} for {self.cpus} {self.cpu_kind} processors"


def _possible(size: MachineSize) -> MachineSize:
    if problem := size.problem():
        raise ValueError(problem)
    return size


CheckedSize = Annotated[MachineSize, AfterValidator(_possible)]


def monthly_cost_usd(size: MachineSize, volume_gb: int) -> float:
    """What an always-on machine of this size with its volume costs, in USD a month."""
    included = MIN_MEMORY_PER_CPU_MB[size.cpu_kind] * size.cpus
    extra_gb = max(0, size.memory_mb - included) / 1024
    return round(
        MONTHLY_CPU_USD[size.cpu_kind] * size.cpus
        + MONTHLY_EXTRA_MEMORY_USD_PER_GB * extra_gb
        + MONTHLY_VOLUME_USD_PER_GB * volume_gb,
        2,
    )
