"""What has to be there before anything is made: everything that is missing is told at once."""

from __future__ import annotations

from controller.devenv.tools import DevEnvScope, Tools
from controller.engine import Blocked
from controller.providers import Unauthorized
from crds.account import Account
from crds.devenv import DevEnv
from crds.fleet import one, tally
from crds.platform import PLATFORM, Platform, PlatformSpec

CONDITION = "Prerequisites"
RECHECK_SECONDS = 60.0


async def check_prerequisites(scope: DevEnvScope, tools: Tools, account: Account) -> None:
    """Refuse to begin while something is missing; what was begun is not asked again.

    Raises:
        Blocked: With everything that is missing.
    """
    status = scope.object.status
    if scope.known.machines:
        return
    status.missing = [
        *_by_wish(scope, tools),
        *await _by_quota(scope, account),
        *await _by_caps(scope),
        *await _by_provider(scope, tools),
    ]
    if status.missing:
        message = "; ".join(status.missing)
        scope.condition(CONDITION, status=False, reason="PrerequisitesMissing", message=message)
        raise Blocked("PrerequisitesMissing", message, recheck_after=RECHECK_SECONDS)
    scope.condition(CONDITION, status=True, reason="Present")


def _by_wish(scope: DevEnvScope, tools: Tools) -> list[str]:
    spec, missing = scope.object.spec, []
    if not spec.enabled:
        missing.append("enabled: dev environments are switched off here (spec.enabled)")
    if spec.fly_org not in (None, tools.fly.org):
        missing.append(f"organisation: {spec.fly_org} is not the one that the token opens")
    return missing


async def _by_quota(scope: DevEnvScope, account: Account) -> list[str]:
    """The older environments are the ones within the quota."""
    most = account.spec.quota.devenvs
    page = await scope.store.list(DevEnv, namespace=scope.namespace)
    older = [each for each in page.items if _age(each) < _age(scope.object)]
    return [f"quota: the account may have {most}"] if len(older) >= most else []


async def _by_caps(scope: DevEnvScope) -> list[str]:
    """The older ones of the whole fleet are the ones within its caps."""
    found = await scope.store.find(Platform, PLATFORM)
    platform = PlatformSpec() if found is None else found.spec
    fleet = await tally(scope.store, platform, older_than=scope.object)
    fleet = fleet.plus(one(platform, scope.object.spec))
    missing = []
    if fleet.machines > platform.caps.machines:
        missing.append(f"fleet: the platform may have {platform.caps.machines} machines")
    if fleet.monthly_usd > platform.caps.monthly_spend_usd:
        missing.append(
            f"fleet: the platform may spend {platform.caps.monthly_spend_usd:.2f} USD a month"
        )
    return missing


async def _by_provider(scope: DevEnvScope, tools: Tools) -> list[str]:
    """The token opens the provider, and the region is on offer there."""
    try:
        regions = await tools.fly.regions(call=scope.call)
    except Unauthorized:
        return ["token: the provider refuses it"]
    offered = {region.code for region in regions if not region.deprecated}
    region = scope.object.spec.region
    return [] if region in offered else [f"region: {region} is not on offer"]


def _age(devenv: DevEnv) -> tuple[str, str]:
    return str(devenv.metadata.creation_timestamp), str(devenv.uid)
