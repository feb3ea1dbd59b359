"""The clouds of a plan, in memory, with what the rows' statuses say exists outside."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from controller.edge import PREFIX
from controller.machine import names
from controller.machine.config import config_hash, desired_config
from controller.machine.tools import Tools
from crds.compute import MONTHLY_VOLUME_USD_PER_GB, MachineSize, monthly_cost_usd
from crds.devenv import MONTHLY_HOURS, MONTHLY_WORKING_HOURS, DevEnv
from crds.errors import InvalidError
from crds.machine import InstanceStatus, Machine, MachineSpec
from crds.meta import Resource
from crds.route import Route
from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.runtime import InlineRuntime
from deploy.local.simulators.fly.state import PERSISTENT, TERMINAL, Address, App, Volume
from deploy.local.simulators.fly.state import Machine as FlyMachine
from deploy.local.simulators.kv.store import KV, Entry

PUBLIC = ("shared_v4", "v6")
# Documentation addresses (RFC 5737, RFC 3849), and a private one: they are only counted.
ADDRESSES = (("shared_v4", "192.0.2.1"), ("v6", "2001:db8::1"), ("private_v6", "fd00::1"))

WORKED = MONTHLY_WORKING_HOURS / MONTHLY_HOURS


class Outside:
    """What is outside at present, as far as the rows know.

    Args:
        fly: The cloud to fill.
        kv: The same, for the edge's entries.
        tools: What the configuration of a machine is made with.
        exact: Whether the tools are the controller's own, so that fingerprints can be compared.

    Attributes:
        known: The names and ids of what was put there.
        notes: What had to be assumed.
    """

    def __init__(self, fly: FlyCloud, kv: KV, tools: Tools, *, exact: bool) -> None:
        self.fly, self.kv = fly, kv
        self._tools = tools
        self._exact = exact
        self.known: set[str] = set()
        self.notes: list[str] = []

    def seed(
        self, objects: Iterable[Resource], carried_out: Mapping[UUID, Mapping[str, object]]
    ) -> None:
        """Put everything there that the statuses name.

        What a status says cannot be found is not there; what was begun and is not on record counts
        as not done. Both are told in `notes`.

        Args:
            objects: The rows.
            carried_out: By machine, the spec that was last carried out, where it is another one.
        """
        for each in objects:
            if isinstance(each, Machine):
                self._seed_machine(each, carried_out)
            elif isinstance(each, Route):
                self._seed_entry(each)

    def take(self, taken: Mapping[str, str]) -> None:
        """Have the apps of other accounts' services, whose names are fixed, with their networks."""
        for name, network in taken.items():
            self.fly.apps[name] = App(name, name, self.fly.org, network, self.fly.now())

    def monthly_usd(self, resting: frozenset[str] = frozenset()) -> float:
        """What all machines with their volumes cost a month.

        Args:
            resting: The apps whose machines run in working hours only; all others always.
        """
        live = [m for m in self.fly.machines.values() if m.state not in TERMINAL]
        guests = sum(
            monthly_cost_usd(MachineSize.model_validate(m.config["guest"]), 0)
            * (WORKED if m.app in resting else 1.0)
            for m in live
        )
        disks = sum(v.size_gb for v in self.fly.volumes.values() if v.state == "created")
        return round(guests + MONTHLY_VOLUME_USD_PER_GB * disks, 2)

    def _seed_machine(
        self, machine: Machine, carried_out: Mapping[UUID, Mapping[str, object]]
    ) -> None:
        status = machine.status
        if status.intent is not None:
            self.notes.append(
                f"{machine.key}: nobody knows what became of {status.intent.operation}; "
                "planned as if it was not done"
            )
        app = status.app
        if app is None or app.created_at is None or self._is_missing(machine, app.missing_since):
            return
        self._add_app(machine)
        volume = status.volume
        if volume is not None and not self._is_missing(machine, volume.missing_since):
            self._add_volume(machine)
        instance = status.instance
        if instance is not None and not self._is_missing(machine, instance.missing_since):
            done = self._as_carried_out(machine, carried_out)
            self._add_machine(machine, instance, self._config(machine, done, instance))

    def _is_missing(self, machine: Machine, since: datetime | None) -> bool:
        if since is not None:
            self.notes.append(f"{machine.key}: planned without what cannot be found since {since}")
        return since is not None

    def _add_app(self, machine: Machine) -> None:
        status, service = machine.status.app, machine.spec.service
        if status is None or status.created_at is None or status.name in self.fly.apps:
            return
        at = status.created_at.timestamp()
        network = status.name if service is None else service.network
        app = App(status.name, status.name, self.fly.org, network, at)
        app.idempotency_key = status.name if service is None else f"{network}/{status.name}"
        if status.addresses:
            app.addresses = [
                Address(ip, kind, "global", kind == "shared_v4", at)
                for kind, ip in ADDRESSES
                if kind in (status.assigned if service else PUBLIC)
            ]
        self.fly.apps[app.name] = app
        self.fly.show_app(app)
        self.known.add(app.name)

    def _add_volume(self, machine: Machine) -> None:
        status, app = machine.status.volume, machine.status.app
        if status is None or app is None or app.created_at is None:
            return
        volume = Volume(
            id=status.id,
            app=app.name,
            name=names.volume_name(machine.uid),
            region=status.region,
            size_gb=status.size_gb,
            created_at=app.created_at.timestamp(),
        )
        self.fly.volumes[volume.id] = volume
        self.fly.apps[app.name].volumes[volume.id] = None
        self.fly.show_volume(volume)
        self.known.add(volume.id)

    def _add_machine(
        self, machine: Machine, instance: InstanceStatus, config: dict[str, Any]
    ) -> None:
        app, volume = machine.status.app, machine.status.volume
        if app is None or (volume is None and machine.spec.volume is not None):
            return
        shared = machine.spec.service is not None
        made = FlyMachine(
            id=instance.id,
            app=app.name,
            name=names.shared_instance_name(machine.uid) if shared else names.INSTANCE_NAME,
            region=instance.region if volume is None else volume.region,
            config=config,
            version=instance.version,
            private_ip="fdaa::1",
            created_at=instance.since.timestamp(),
            state=instance.state,
            volume=None if volume is None else volume.id,
            cordoned=instance.cordoned,
            host_status=instance.host_status,
        )
        self.fly.machines[made.id] = made
        self.fly.apps[app.name].machines[made.id] = None
        if held := self.fly.volumes.get(made.volume or ""):
            held.machine = made.id
            self.fly.show_volume(held)
        self.fly.show_machine(made)
        self.known.add(made.id)
        self._bring_to_life(made)

    def _bring_to_life(self, made: FlyMachine) -> None:
        """What runs answers; what was under way goes on."""
        if made.state == "started" and isinstance(self.fly.runtime, InlineRuntime):
            self.fly.runtime.machine(made.id).running = True
        elif made.state not in PERSISTENT or made.state == "created":
            self.fly.resume_work(made)

    def _config(self, machine: Machine, done: Machine, instance: InstanceStatus) -> dict[str, Any]:
        """The configuration outside.

        Args:
            machine: As wished for.
            done: As last carried out.
            instance: With the fingerprint that is on record, if one is.
        """
        volume = machine.status.volume
        configs = [
            desired_config(each, self._tools, volume.id if volume else "")
            for each in (done, machine)
        ]
        if not self._exact or not instance.config_hash:
            return configs[0]
        for config in configs:
            if config_hash(config) == instance.config_hash:
                return config
        # Whatever is there, it is another one than the present settings make.
        return {**configs[0], "env": {**configs[0]["env"], "INVOKER_OTHER_SETTINGS": "1"}}

    def _as_carried_out(
        self, machine: Machine, carried_out: Mapping[UUID, Mapping[str, object]]
    ) -> Machine:
        """The machine with the spec that its configuration outside was made from."""
        if machine.status.observed_generation == machine.metadata.generation:
            return machine
        spec = carried_out.get(machine.uid)
        try:
            if spec is not None:
                return machine.model_copy(update={"spec": MachineSpec.model_validate(spec)})
        except ValueError:
            pass
        self.notes.append(
            f"{machine.key}: the wish that was last carried out is not in the log any more; "
            "planned as if the present one had been"
        )
        return machine

    def _seed_entry(self, route: Route) -> None:
        status = route.status
        if status.entry is None or not status.published:
            return
        marks = {
            "installation": self._tools.installation,
            "uid": str(route.uid),
            "stamp": status.stamp,
        }
        key = PREFIX + route.metadata.name
        self.kv.put(key, Entry(status.entry.model_dump_json().encode(), marks))
        self.known.add(key)


def installation_of(objects: Iterable[Resource]) -> str | None:
    """The installation that apps and networks are marked with, if there are any."""
    for each in objects:
        mark = ""
        if isinstance(each, Machine) and each.status.app is not None:
            mark = each.status.app.name
        elif isinstance(each, DevEnv):
            mark = each.status.network
        found = mark.removeprefix("inv-").rpartition(names.encode_uid(each.uid))[0]
        if found.endswith("-"):
            return found.removesuffix("-")
    return None


def seeded(number: int) -> random.Random:
    """Randomness that repeats: two plans of the same rows are the same."""
    return random.Random(number)  # noqa: S311 - an order to repeat, not a secret


def readable(rows: Iterable[tuple[type[Resource], Mapping[str, object]]]) -> Iterator[Resource]:
    """The objects of those rows whose spec keeps its kind's rules."""
    for kind, data in rows:
        try:
            yield kind.parse(dict(data))
        except InvalidError:
            continue
