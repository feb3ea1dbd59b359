"""DigitalOcean, in memory."""

from dataclasses import asdict
from typing import Any

from deploy.local.simulators.digitalocean.droplets import Droplets
from deploy.local.simulators.digitalocean.grants import Grants
from deploy.local.simulators.digitalocean.state import Action, Code, Droplet, Grant, Key, Team
from deploy.local.simulators.digitalocean.team import Teams
from deploy.local.simulators.wire import Call, Endpointed


class DigitalOceanCloud(Droplets, Teams, Grants):
    """DigitalOcean with any number of teams; see `CloudCore` for arguments and switches."""

    def request_id(self) -> str:
        """Return an `x-request-id`."""
        return self.ids.uuid()

    def record(self, route: Endpointed, call: Call, team: Team, result: Any) -> None:
        """Note a mutation that succeeded; what starts in a droplet may hold secrets."""
        details = {k: v for k, v in call.json().items() if k != "user_data"} if call.body else {}
        made = next(iter(result.values())) if isinstance(result, dict) else {}
        key = next(iter(call.params.values()), None) or str(made.get("id", ""))
        self.effects.add(
            self.now(), route.method, route.template, route.operation, team.uuid, key, details
        )

    def dump(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {
            "teams": [asdict(team) for team in self.teams.values()],
            "droplets": [asdict(droplet) for droplet in self.droplets.values()],
            "actions": [asdict(action) for action in self.actions.values()],
            "grants": [asdict(grant) for grant in self.grants.values()],
            "codes": [asdict(code) for code in self.codes.values()],
            "next_id": self.next_id,
            "rng": self.ids.dump(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `dump` returned; `resume` then goes on with it."""
        self.next_id = state["next_id"]
        self.ids.load(state["rng"])
        self.teams = {team.uuid: team for team in map(_team, state["teams"])}
        self.actions = {saved["id"]: Action(**saved) for saved in state["actions"]}
        self.grants = {saved["id"]: Grant(**saved) for saved in state["grants"]}
        self.codes = {saved["code"]: Code(**saved) for saved in state["codes"]}
        self.droplets = {saved["id"]: Droplet(**saved) for saved in state["droplets"]}
        for droplet in self.droplets.values():
            self.show(droplet)


def _team(saved: dict[str, Any]) -> Team:
    keys = {int(number): Key(**key) for number, key in saved["keys"].items()}
    return Team(**saved | {"keys": keys})
