"""What the Machines API does to machines."""

from typing import Any

from deploy.local.simulators.fly import views
from deploy.local.simulators.fly.checks import DEFAULT_GUEST, check_config, seconds
from deploy.local.simulators.fly.leases import Leases
from deploy.local.simulators.fly.state import (
    REGIONS,
    SETTLED,
    TERMINAL,
    WAITABLE,
    FlyError,
    Machine,
    Volume,
)

_DEFAULT_REGION = "iad"
_MAX_WAIT_SECONDS = 60
_UPDATABLE = frozenset({"created", "starting", "started", "stopped", "suspended", "failed"})
_KEPT_VERSIONS = 10
_USABLE = frozenset({"created", "hydrating"})


class Machines(Leases):
    """Create, read, update, order about and wait for machines."""

    def create_machine(self, app_name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create a machine and, unless `skip_launch`, start it.

        Raises:
            FlyError: 400 for a bad configuration, 409 for a name in use,
                412 for a volume in use, 422 without room or quota.
        """
        app = self.app(app_name)
        config = body.get("config") or {}
        check_config(config)
        name = body.get("name") or f"machine-{self.ids.hex(8)}"
        self._check_name(app_name, name)
        volume = self._mounted(app_name, config)
        region = body.get("region") or (volume.region if volume else _DEFAULT_REGION)
        self._check_place(region, volume)
        machine = Machine(
            id=self.ids.machine(),
            app=app_name,
            name=name,
            region=region,
            config={"guest": DEFAULT_GUEST} | config,
            version=self.ids.ulid(self.now()),
            private_ip=f"fdaa:0:{app.number & 0xFFFF:x}:a7b:{self.ids.rng.getrandbits(16):x}::2",
            created_at=self.now(),
            volume=volume.id if volume else None,
            skip_launch=bool(body.get("skip_launch")),
        )
        self._add(machine, volume)
        answer = views.machine_view(machine)
        if ttl := body.get("lease_ttl"):
            answer["nonce"] = self.grant_lease(machine, ttl, "").nonce
        self.begin_launch(machine)
        return answer

    def get_machine(
        self, app_name: str, machine_id: str, *, include_leases: bool = False
    ) -> dict[str, Any]:
        """Return a machine, destroyed ones included."""
        machine = self.machine(app_name, machine_id)
        view = self.with_checks(self.shown("machine", machine.id), machine)
        return self.with_lease(view, machine) if include_leases else view

    def update_machine(
        self, app_name: str, machine_id: str, body: dict[str, Any], nonce: str
    ) -> dict[str, Any]:
        """Replace a machine's whole configuration, and start it unless `skip_launch`.

        Raises:
            FlyError: 409 for a lease or a stale `current_version`, 400 for a bad
                configuration or a change of region, name or mounts, 412 from a transient state.
        """
        machine = self.held(app_name, machine_id, nonce)
        config = body.get("config") or {}
        current = body.get("current_version")
        if current and current != machine.version:
            raise FlyError(
                409,
                f"aborted: machine version mismatch: current version is {machine.version}, "
                f"got {current}",
            )
        check_config(config)
        _check_fixed(machine, body, config)
        if machine.state not in _UPDATABLE:
            raise FlyError(
                412,
                "failed_precondition: unable to update machine from current state: "
                f"'{machine.state}'",
            )
        self.check_host_room(machine)
        self._set_version(machine, {"guest": DEFAULT_GUEST} | config)
        self.begin_replace(machine, launch=not body.get("skip_launch"))
        if ttl := body.get("lease_ttl"):
            self.grant_lease(machine, ttl, "")
        return views.machine_view(machine)

    def start_machine(self, app_name: str, machine_id: str, nonce: str) -> dict[str, Any]:
        """Start a machine; one that runs already stays so."""
        machine = self.held(app_name, machine_id, nonce)
        previous = self.begin_start(machine)
        return {"previous_state": previous, "migrated": False, "new_host": ""}

    def stop_machine(
        self, app_name: str, machine_id: str, body: dict[str, Any], nonce: str
    ) -> dict[str, Any]:
        """Stop a machine; `timeout` is a duration such as `30s`."""
        machine = self.held(app_name, machine_id, nonce)
        self.begin_stop(machine, timeout=seconds(body.get("timeout")))
        return {"ok": True}

    def suspend_machine(self, app_name: str, machine_id: str, nonce: str) -> dict[str, Any]:
        """Suspend a running machine."""
        self.begin_suspend(self.held(app_name, machine_id, nonce))
        return {"ok": True}

    def restart_machine(
        self, app_name: str, machine_id: str, timeout: str, nonce: str
    ) -> dict[str, Any]:
        """Restart a running machine."""
        machine = self.held(app_name, machine_id, nonce)
        machine.stop_timeout = seconds(timeout)
        self.begin_restart(machine)
        return {"ok": True}

    def destroy_machine(
        self, app_name: str, machine_id: str, nonce: str, *, force: bool
    ) -> dict[str, Any]:
        """Begin to destroy a machine.

        Raises:
            FlyError: 404 when it is destroyed already, 409 when it runs and `force` is not set.
        """
        machine = self.held(app_name, machine_id, nonce)
        if machine.state in TERMINAL:
            raise FlyError(404, "machine not found")
        self.begin_destroy(machine, force=force)
        return {"ok": True}

    def cordon_machine(
        self, app_name: str, machine_id: str, nonce: str, *, cordoned: bool
    ) -> dict[str, Any]:
        """Take a machine out of routing, or put it back."""
        machine = self.held(app_name, machine_id, nonce)
        machine.cordoned = cordoned
        self.show_machine(machine)
        return {"ok": True}

    def list_events(self, app_name: str, machine_id: str, limit: int) -> list[dict[str, Any]]:
        """Return a machine's events, newest first."""
        machine = self.machine(app_name, machine_id)
        return [event.view() for event in machine.events[::-1][:limit]]

    def list_versions(self, app_name: str, machine_id: str) -> list[dict[str, Any]]:
        """Return a machine's earlier and present configurations, newest first."""
        machine = self.machine(app_name, machine_id)
        known = [*machine.versions, (machine.version, machine.config)]
        return [
            {"version": version, "user_config": views.config_view(config)}
            for version, config in reversed(known)
        ]

    async def wait_machine(
        self, app_name: str, machine_id: str, states: list[str], version: str, within: str
    ) -> dict[str, Any]:
        """Return once the machine is in one of the states.

        Raises:
            FlyError: 408 when it was not `within` the time (60 s at most), 400 for a bad state.
        """
        machine = self.machine(app_name, machine_id)
        wanted = set(states) or {"started"}
        if not wanted <= WAITABLE:
            raise FlyError(400, f"invalid_argument: unsupported state: {', '.join(states)}")
        most = min(seconds(within) or _MAX_WAIT_SECONDS, _MAX_WAIT_SECONDS)
        deadline = self.now() + most
        while not _reached(machine, wanted, version):
            left = deadline - self.now()
            if left <= 0:
                raise FlyError(
                    408,
                    "deadline_exceeded: machine failed to reach desired state, "
                    f"{', '.join(sorted(wanted))}, currently {machine.state}",
                )
            await self.changed(machine, left)
        event = machine.events[-1].id if machine.events else ""
        return {"ok": True, "state": machine.state, "version": machine.version, "event_id": event}

    # Steps

    def _check_name(self, app_name: str, name: str) -> None:
        for machine in self.live_machines(app_name):
            if machine.name == name:
                raise FlyError(
                    409,
                    "already_exists: unique machine name violation, machine ID "
                    f'{machine.id} already exists with name "{name}"',
                )
        if self.machine_limit is not None and self._live() >= self.machine_limit:
            raise FlyError(
                422,
                "Your organization has reached its machine limit. Please contact billing@fly.io",
            )

    def _live(self) -> int:
        ours = (app for app in self.apps.values() if app.org == self.org)
        return sum(len(app.machines) for app in ours)

    def _mounted(self, app_name: str, config: dict[str, Any]) -> Volume | None:
        mounts = config.get("mounts") or []
        if not mounts:
            return None
        volume = self.volumes.get(mounts[0].get("volume") or "")
        if volume is None or volume.app != app_name or volume.state not in _USABLE:
            raise FlyError(404, "volume not found")
        if volume.machine:
            holder = self.machines.get(volume.machine)
            gone = holder is None or holder.state in TERMINAL
            # The platform forgets who held a volume before it lets go of it.
            name = "\0" * len(volume.machine) if gone else volume.machine
            raise FlyError(412, f"failed_precondition: volume already claimed by machine {name}")
        return volume

    def _check_place(self, region: str, volume: Volume | None) -> None:
        if region not in REGIONS:
            raise FlyError(400, f"invalid region: {region}")
        if volume is not None and volume.region != region:
            raise FlyError(400, f"volume {volume.id} is in {volume.region}, not in {region}")
        if region in self.full_regions:
            what = "machine with existing volume" if volume else "machine"
            text = f"insufficient resources to create new {what}"
            raise FlyError(422, text, "insufficient_capacity")

    def _add(self, machine: Machine, volume: Volume | None) -> None:
        self.machines[machine.id] = machine
        app = self.apps[machine.app]
        app.machines[machine.id] = None
        if volume is not None:
            volume.machine = machine.id
            self.show_volume(volume)
        self.event(machine, "launch", "created", "user")
        self.show_machine(machine)
        self.show_app(app)

    def _set_version(self, machine: Machine, config: dict[str, Any]) -> None:
        machine.versions.append((machine.version, machine.config))
        del machine.versions[:-_KEPT_VERSIONS]
        machine.config = config
        machine.version = self.ids.ulid(self.now())


def _check_fixed(machine: Machine, body: dict[str, Any], config: dict[str, Any]) -> None:
    for name in ("region", "name"):
        if body.get(name) and body[name] != getattr(machine, name):
            raise FlyError(400, f"invalid_argument: machine {name} cannot be changed")
    before, after = machine.config.get("mounts") or [], config.get("mounts") or []
    if [m.get("volume") for m in before] != [m.get("volume") for m in after]:
        raise FlyError(400, "invalid_argument: machine mounts cannot be changed")


def _reached(machine: Machine, wanted: set[str], version: str) -> bool:
    if version and machine.version != version:
        return False
    return machine.state in wanted or ("settled" in wanted and machine.state in SETTLED)
