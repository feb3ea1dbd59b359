"""The front ends of a plan: one team in memory, with what the rows say was told to its sites."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from controller.devenv.netlify import ANON_KEY, FINAL, URL
from crds.devenv import DevEnv
from deploy.local.simulators.netlify import BuildTimings, NetlifyTeam
from deploy.local.simulators.netlify.state import Deploy, Value, Variable
from deploy.local.simulators.netlify.words import SCOPES

HOST: Final = "api.netlify.com"


def seed(team: NetlifyTeam, devenvs: Iterable[DevEnv]) -> Iterator[str]:
    """Have every site that is named, with what it was told; says what had to be assumed.

    Args:
        team: Where; it becomes the team of the first site.
        devenvs: As wished, with their statuses.
    """
    wished = [(each, each.spec.netlify) for each in devenvs if each.spec.netlify is not None]
    if not wished:
        return
    team.slug = wished[0][1].team
    team.timings = BuildTimings.instant()
    yield "the front ends' sites are there, and the token opens them"
    for devenv, front_end in wished:
        if front_end.team != team.slug:
            yield f"{devenv.key}: planned without its front end, which is another team's"
            continue
        if front_end.site not in team.sites:
            team.add_site(front_end.site, front_end.site)
        _tell(team, devenv, front_end.site)


def _tell(team: NetlifyTeam, devenv: DevEnv, site: str) -> None:
    told = devenv.status.netlify
    if told is None or not told.fingerprint:
        return
    now = team.now()
    for key in (URL, ANON_KEY):
        values = [Value(f"{site}-{key}", "as told", "all")]
        team.variables[site][key] = Variable(key, values, list(SCOPES), False, now)
    condition = devenv.status.condition("NetlifyCurrent")
    if told.deploy and (condition is None or condition.reason not in FINAL):
        team.deploys[told.deploy] = Deploy(
            id=told.deploy,
            build_id=told.deploy,
            site_id=site,
            branch="main",
            context="production",
            title=told.build,
            created_at=now,
            building_at=now,
            processing_at=now,
            done_at=now,
        )
