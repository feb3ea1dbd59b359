"""One Netlify team: sites, variables, builds."""

import random
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from deploy.local.simulators.clock import Now, wall_anchored
from deploy.local.simulators.effects import EffectLog
from deploy.local.simulators.ids import Ids
from deploy.local.simulators.netlify.limits import NetlifyLimits
from deploy.local.simulators.netlify.state import (
    BUILDS,
    BuildTimings,
    Deploy,
    NetlifyError,
    Site,
    Value,
    Variable,
)

DEFAULT_ACCOUNT = "5f0000000000000000000001"
DEFAULT_SLUG = "invoker"
DEFAULT_TOKEN = "sim-netlify-token"  # noqa: S105 - opens nothing but the simulator
TEAM = ""
"""Where the variables are that belong to no site but to the team."""
EXPOSED = "VITE_"
"""Variables that a front end's build writes into its files."""
_SHORTEST_SECRET = 5
_FOUND = "Secrets scanning found secrets in build output: {}"


class NetlifyTeam:
    """A team with its sites.

    A build sees the variables of the moment in which it was triggered. Netlify does not say
    which moment before the build's start counts; the earliest is the hardest for a caller.

    Args:
        account: the team's ID.
        slug: its other name in addresses.
        token: the one access token that is ours.
        now: clock, unix seconds; the running loop's by default.
        rng: where identifiers come from.
        limits: rate limits, off by default.
        timings: how long builds take.
        capacity: builds at a time, the others wait for them.

    Attributes:
        effects: every successful mutation.
        sites: by ID.
        variables: by site (`TEAM` for the team's own) and name.
        deploys: by ID, oldest first.
        fail_builds: texts with which the next builds fail, first come first served.
        specific_scopes: whether the plan allows a variable only some scopes.
        on_change: called after every change; persistence hooks in here.
    """

    def __init__(
        self,
        *,
        account: str = DEFAULT_ACCOUNT,
        slug: str = DEFAULT_SLUG,
        token: str = DEFAULT_TOKEN,
        now: Now | None = None,
        rng: random.Random | None = None,
        limits: NetlifyLimits | None = None,
        timings: BuildTimings | None = None,
        capacity: int = 1,
    ) -> None:
        self.account = account
        self.slug = slug
        self.token = token
        self.now = now or wall_anchored()
        self.ids = Ids(rng or random.Random(1))  # noqa: S311 - reproducible, not secret
        self.limits = limits or NetlifyLimits()
        self.timings = timings or BuildTimings()
        self.capacity = capacity
        self.effects = EffectLog()
        self.sites: dict[str, Site] = {}
        self.variables: dict[str, dict[str, Variable]] = {TEAM: {}}
        self.deploys: dict[str, Deploy] = {}
        self.fail_builds: list[str] = []
        self.specific_scopes = True
        self.on_change: Callable[[], None] | None = None

    def add_site(self, name: str, site_id: str = "") -> Site:
        """Make a site; its ID is drawn unless it is given."""
        site = Site(site_id or self.ids.uuid(), name, self.now())
        self.sites[site.id] = site
        self.variables[site.id] = {}
        self.changed()
        return site

    def site(self, site_id: str) -> Site:
        """Return a site.

        Raises:
            NetlifyError: there is none.
        """
        if site_id not in self.sites:
            raise NetlifyError(404, "Not Found")
        return self.sites[site_id]

    def trigger(self, site_id: str, *, branch: str = "", title: str = "") -> Deploy:
        """Begin a build with the variables of this moment; it may have to wait for others.

        Raises:
            NetlifyError: there is no such site, or it is not built.
        """
        site = self.site(site_id)
        if site.stop_builds:
            raise NetlifyError(422, "Builds are stopped for this site")
        branch = branch or site.branch
        context = "production" if branch == site.branch else "branch-deploy"
        now, timings = self.now(), self.timings
        building = max(now + timings.enqueued, self._free_at(now))
        processing = building + timings.building
        deploy = Deploy(
            id=self.ids.hex(24),
            build_id=self.ids.hex(24),
            site_id=site_id,
            branch=branch,
            context=context,
            title=title,
            created_at=now,
            building_at=building,
            processing_at=processing,
            done_at=processing + timings.processing,
            error=self._fate(site_id, context, branch),
            baked=self.baked(site_id, context, branch),
        )
        self.deploys[deploy.id] = deploy
        self.changed()
        return deploy

    def baked(self, site_id: str, context: str, branch: str = "") -> dict[str, str]:
        """Return what a build would see now: the team's variables under the site's."""
        seen = {}
        for variable in self._effective(site_id).values():
            value = variable.seen_by(context, branch)
            if value is not None and BUILDS in variable.scopes:
                seen[variable.key] = value
        return seen

    def published(self, site_id: str) -> Deploy | None:
        """Return what visitors of the site see: the newest production deploy that is ready."""
        now = self.now()
        ready = [
            deploy
            for deploy in self.deploys.values()
            if deploy.site_id == site_id
            and deploy.context == "production"
            and deploy.state(now) == "ready"
        ]
        return ready[-1] if ready else None

    def record(
        self, method: str, path: str, operation: str, site: str, key: str, body: Any
    ) -> None:
        """Note a mutation that succeeded."""
        details = body if isinstance(body, dict) else {"body": body}
        self.effects.add(self.now(), method, path, operation, site, key, details)
        self.changed()

    def changed(self) -> None:
        """Tell who saves the state."""
        if self.on_change:
            self.on_change()

    # What a test or an operator may do behind our back

    def monkey_set(self, site_id: str, key: str, value: str) -> None:
        """Overwrite a variable's values behind our back."""
        variable = self.variables[site_id][key]
        for each in variable.values:
            each.value = value
        variable.updated_at = self.now()
        self.changed()

    # Persistence

    def dump(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {
            "rng": self.ids.dump(),
            "sites": [asdict(site) for site in self.sites.values()],
            "variables": {
                site: [asdict(variable) for variable in variables.values()]
                for site, variables in self.variables.items()
            },
            "deploys": [asdict(deploy) for deploy in self.deploys.values()],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `dump` returned."""
        self.ids.load(state["rng"])
        self.sites = {saved["id"]: Site(**saved) for saved in state["sites"]}
        self.deploys = {saved["id"]: Deploy(**saved) for saved in state["deploys"]}
        self.variables = {
            site: {saved["key"]: _variable(saved) for saved in variables}
            for site, variables in state["variables"].items()
        }

    # Steps

    def _effective(self, site_id: str) -> dict[str, Variable]:
        return self.variables[TEAM] | self.variables[site_id]

    def _free_at(self, now: float) -> float:
        """When one of the places for builds is free."""
        ends = sorted(deploy.done_at for deploy in self.deploys.values() if deploy.done_at > now)
        return ends[-self.capacity] if len(ends) >= self.capacity else now

    def _fate(self, site_id: str, context: str, branch: str) -> str:
        """Why the build will fail: it was told to, or a secret would be in its files."""
        if self.fail_builds:
            return self.fail_builds.pop(0)
        found = [
            key
            for key, value in self.baked(site_id, context, branch).items()
            if key.startswith(EXPOSED)
            and self._effective(site_id)[key].is_secret
            and len(value) >= _SHORTEST_SECRET
        ]
        return _FOUND.format(", ".join(sorted(found))) if found else ""


def _variable(saved: dict[str, Any]) -> Variable:
    values = [Value(**value) for value in saved["values"]]
    return Variable(**{**saved, "values": values})
