"""The fleet's caps: how many machines, and how much they may cost."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import TypeAdapter

from api.problems import Problem
from crds.compute import MachineSize, monthly_cost_usd
from crds.platform import PLATFORM, Platform
from crds.store import Store

SIZE = TypeAdapter(MachineSize)
RETRY_AFTER_SECONDS = 300


class Tally(NamedTuple):
    """What the whole fleet amounts to, always on."""

    machines: int
    monthly_usd: float

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(self.machines + other.machines, self.monthly_usd + other.monthly_usd)


async def platform_of(store: Store) -> Platform:
    """The installation's row."""
    return await store.get(Platform, PLATFORM)


async def tally(store: Store, platform: Platform) -> Tally:
    """Count all workspaces, those on their way out included: they still cost."""
    rows = await store.database.fetch(
        "SELECT spec->'size' AS size, (spec->>'volumeGb')::int AS volume, count(*) AS number "
        "FROM workspaces GROUP BY 1, 2"
    )
    defaults = platform.spec
    spend = sum(
        row["number"]
        * monthly_cost_usd(
            defaults.size if row["size"] is None else SIZE.validate_python(row["size"]),
            row["volume"] or defaults.volume_gb,
        )
        for row in rows
    )
    return Tally(sum(row["number"] for row in rows), round(spend, 2))


def one_more(platform: Platform) -> Tally:
    """What a new workspace with the platform's defaults adds."""
    return Tally(1, monthly_cost_usd(platform.spec.size, platform.spec.volume_gb))


def check_caps(platform: Platform, fleet: Tally) -> None:
    """Refuse a fleet that is larger than the operator allows.

    Raises:
        Problem: Saying which cap it is.
    """
    caps = platform.spec.caps
    if fleet.machines > caps.machines:
        raise _full("fleet-full", f"runs at most {caps.machines} machines")
    if fleet.monthly_usd > caps.monthly_spend_usd:
        raise _full("spend-cap-reached", f"spends at most {caps.monthly_spend_usd:g} USD a month")


def _full(code: str, rule: str) -> Problem:
    return Problem(
        409,
        code,
        f"This installation {rule}, and they are taken at present. Nothing was made; try later.",
        retry_after=RETRY_AFTER_SECONDS,
    )
