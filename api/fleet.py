"""The fleet's caps: how many machines, and how much they may cost."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from api.problems import Problem
from crds.fleet import Tally
from crds.platform import PLATFORM, Platform
from crds.store import Store
from crds.store.database import Database

RETRY_AFTER_SECONDS = 300
_admissions: WeakKeyDictionary[Database, asyncio.Lock] = WeakKeyDictionary()


def admissions(store: Store) -> asyncio.Lock:
    """Admissions of one process go one by one, so that the last place is not given away twice."""
    return _admissions.setdefault(store.database, asyncio.Lock())


async def platform_of(store: Store) -> Platform:
    """The installation's row."""
    return await store.get(Platform, PLATFORM)


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
