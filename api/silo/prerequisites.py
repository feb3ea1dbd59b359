"""What has to be there before a dev environment is made: everything missing is told at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from api.fleet import RETRY_AFTER_SECONDS, check_caps, platform_of
from api.problems import Problem
from api.silo.models import Missing
from crds.account import Account
from crds.compute import region_problem
from crds.devenv import DevEnv, DevEnvSpec, NetlifySpec
from crds.fleet import one, tally
from crds.store import Store

# What the caller chose can be chosen otherwise; room in the fleet may come by itself.
CHOSEN: Final = frozenset({"region", "names"})
PASSING: Final = frozenset({"fleet-full", "spend-cap-reached"})


def check_enabled(devenv: DevEnv) -> None:
    """Refuse to start one that is switched off.

    Raises:
        Problem: It is.
    """
    if not devenv.spec.enabled:
        rule = "dev environments are switched off here: have an operator set spec.enabled"
        raise refusal([Missing(name="devenv_enabled", rule=rule)])


def check_region(region: str | None) -> list[Missing]:
    """Whether the provider offers a region."""
    problem = region_problem(region) if region is not None else None
    return [Missing(name="region", rule=problem)] if problem else []


def check_front_end(account: Account, netlify: NetlifySpec | None) -> list[Missing]:
    """Whether a front end is the account's: one token opens everybody's, so it is on record."""
    if netlify is None or netlify.site in account.spec.netlify_sites:
        return []
    rule = (
        f"{netlify.site} is none of the account's sites: have an operator add it to "
        "spec.netlifySites"
    )
    return [Missing(name="netlify", rule=rule)]


async def check_room(
    store: Store, account: Account, spec: DevEnvSpec, *, among: DevEnv | None = None
) -> list[Missing]:
    """Whether quota, names and the fleet's caps have room for one more.

    Args:
        store: The rows.
        account: Whose it is.
        spec: What is wished for.
        among: The environment itself, when it is there already and counted.
    """
    return [
        *await _by_quota(store, account, among),
        *await _by_names(store, spec, among),
        *await _by_caps(store, spec, among),
    ]


def refusal(missing: Sequence[Missing]) -> Problem:
    """422 when the caller can choose otherwise, 409 when somebody has to make room first."""
    words = "; ".join(f"{each.name}: {each.rule}" for each in missing)
    names = {each.name for each in missing}
    return Problem(
        422 if names & CHOSEN else 409,
        "prerequisites-missing",
        f"Nothing was made. {words}",
        missing=[each.model_dump() for each in missing],
        retry_after=RETRY_AFTER_SECONDS if names <= PASSING else None,
    )


async def _by_quota(store: Store, account: Account, among: DevEnv | None) -> list[Missing]:
    most = account.spec.quota.devenvs
    rows = await store.rows(DevEnv, namespace=account.metadata.name)
    others = [row for row in rows if among is None or row["uid"] != among.uid]
    if len(others) < most:
        return []
    rule = f"the account may have {most}: delete one, or have an operator raise quota.devenvs"
    return [Missing(name="quota", rule=rule)]


async def _by_names(store: Store, spec: DevEnvSpec, among: DevEnv | None) -> list[Missing]:
    """Names of apps are the world's: `a-b` of `c` would have the same ones as `a` of `b-c`."""
    rows = await store.database.fetch(
        "SELECT uid FROM objects WHERE kind = 'DevEnv' "
        "AND concat(spec->>'client', '-', spec->>'app') = %s",
        f"{spec.client}-{spec.app}",
    )
    if all(among is not None and row["uid"] == among.uid for row in rows):
        return []
    rule = f"devenv-{spec.client}-{spec.app} is taken: choose another client or app"
    return [Missing(name="names", rule=rule)]


async def _by_caps(store: Store, spec: DevEnvSpec, among: DevEnv | None) -> list[Missing]:
    platform = await platform_of(store)
    fleet = await tally(store, platform.spec)
    try:
        check_caps(platform, fleet if among is not None else fleet.plus(one(platform.spec, spec)))
    except Problem as problem:
        return [Missing(name=problem.code, rule=problem.detail)]
    return []
