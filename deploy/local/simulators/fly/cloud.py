"""Fly, in memory."""

from typing import Any

from deploy.local.simulators.fly.apps import Apps
from deploy.local.simulators.fly.execs import Execs
from deploy.local.simulators.fly.lists import Lists
from deploy.local.simulators.fly.machines import Machines
from deploy.local.simulators.fly.prometheus import Prometheus
from deploy.local.simulators.fly.saved import Saved
from deploy.local.simulators.fly.state import REGIONS, TERMINAL, FlyError, Machine
from deploy.local.simulators.fly.volumes import Volumes
from deploy.local.simulators.wire import Call, Endpointed

_FLY_REQUEST_REGION = "iad"


class FlyCloud(Apps, Saved, Volumes, Machines, Execs, Prometheus, Lists):
    """One Fly organization and its neighbours; see `CloudCore` for arguments and switches."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.runtime.on_exit = self.exited

    # What every call goes through

    def authenticate(self, authorization: str) -> None:
        """Check the token.

        Raises:
            FlyError: 401 for any but ours.
        """
        if authorization.rpartition(" ")[2] != self.token:
            raise FlyError(401, "Authenticate: token validation error")

    def request_id(self) -> str:
        """Return a `fly-request-id`."""
        return f"{self.ids.ulid(self.now())}-{_FLY_REQUEST_REGION}"

    def record(self, route: Endpointed, call: Call, result: Any) -> None:
        """Note a mutation that succeeded."""
        params = call.params
        made = result.get("id") or result.get("ip") if isinstance(result, dict) else None
        named = next((params[name] for name in route.names if name.endswith("_id")), None)
        app = params.get("app_name") or str(call.json().get("name") or made or "")
        details = _recorded(route.operation, call.json() if call.body else {})
        key = named or params.get("ip") or params.get("secret_name") or made or app
        self.effects.add(
            self.now(), route.method, route.template, route.operation, app, key, details
        )

    def unreachable(self, call: Call) -> bool:
        """Return whether a call is for a machine whose host does not answer."""
        machine = self.machines.get(call.params.get("machine_id", ""))
        return machine is not None and machine.host_status != "ok"

    def get_token(self) -> dict[str, Any]:
        """Return what the token may do."""
        return {"tokens": [{"token_id": "sim", "org_slug": self.org, "organization": self.org}]}

    def list_regions(self) -> dict[str, Any]:
        """Return the regions on offer."""
        rows = [{"code": code, "name": code, "deprecated": False} for code in REGIONS]
        return {"nearest": _FLY_REQUEST_REGION, "regions": rows}

    # What a test or an operator may do behind our back

    def set_host_status(self, machine_id: str, status: str = "unreachable") -> None:
        """Lose a machine's host, or (`ok`) find it again."""
        machine = self.machines[machine_id]
        machine.host_status = status
        self.show_machine(machine)

    def monkey_stop(self, machine_id: str) -> None:
        """Stop a machine behind our back."""
        self.begin_stop(self.machines[machine_id], source="fly-admin")

    async def monkey_destroy(self, machine_id: str) -> None:
        """Destroy a machine behind our back, at once."""
        machine = self.machines[machine_id]
        if machine.state in TERMINAL:
            return
        machine.epoch += 1
        await self.runtime.kill(machine)
        self.bury(machine)
        self.release_volume(machine)

    def monkey_delete_volume(self, volume_id: str) -> None:
        """Delete a volume behind our back, bound or not."""
        self.forget_volume(self.volumes[volume_id])

    # Reading for tests

    def running_machines(self) -> list[Machine]:
        """Return the machines that run, in the order they were made."""
        return [machine for machine in self.machines.values() if machine.state == "started"]


def _recorded(operation: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return a request's body without what is secret."""
    if operation.startswith("secrets."):
        return {"names": sorted(body.get("values") or ())}
    return {key: value for key, value in body.items() if key != "stdin"}
