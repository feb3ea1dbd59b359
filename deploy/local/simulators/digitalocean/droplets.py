"""Droplets: made, listed, deleted, and what is done to them."""

import re
from typing import Any

import anyio

from deploy.local.simulators.digitalocean.catalogue import IMAGES, REGIONS, SIZES
from deploy.local.simulators.digitalocean.core import CloudCore, not_found
from deploy.local.simulators.digitalocean.state import (
    MOST_USER_DATA,
    Action,
    Droplet,
    Team,
    refused,
)
from deploy.local.simulators.digitalocean.views import action_view, droplet_view

_HOST = re.compile(r"[a-zA-Z0-9]?[a-z0-9A-Z.\-]*[a-z0-9A-Z]")
_TAG = re.compile(r"[a-zA-Z0-9_\-:]{1,255}")
_NEEDS = {"power_on": "off", "power_off": "active", "shutdown": "active", "reboot": "active"}
_KEPT_ACTIONS = 1000


class Droplets(CloudCore):
    """Everything about droplets; an accepted order is carried out later."""

    def create_droplet(self, team: Team, body: dict[str, Any]) -> dict[str, Any]:
        """Accept a droplet; a second one of the same name is a second one.

        Raises:
            DigitalOceanError: 422, in the texts of the real API where they are known.
        """
        self._check(team, body)
        now = self.now()
        droplet = Droplet(
            id=self.number(),
            team=team.uuid,
            name=body["name"],
            region=body["region"],
            size=body["size"],
            image=body["image"],
            tags=[str(tag) for tag in body.get("tags") or []],
            user_data=body.get("user_data") or "",
            created_at=now,
            listed_at=now + self.timings.tag_seconds,
            number=self._free_number(),
            ipv6=bool(body.get("ipv6")),
            key_ids=[self._key(team, key) for key in body.get("ssh_keys") or []],
        )
        self.droplets[droplet.id] = droplet
        action = self._begin(droplet, "create")
        href = f"https://api.digitalocean.com/v2/actions/{action.id}"
        link = {"id": action.id, "rel": "create", "href": href}
        view = droplet_view(droplet, locked=True)
        return {"droplet": view, "links": {"actions": [link]}}

    def get_droplet(self, team: Team, number: str) -> dict[str, Any]:
        """Return a droplet."""
        droplet = self.droplet(team, number)
        return {"droplet": droplet_view(droplet, locked=self.pending(droplet) is not None)}

    def list_droplets(self, team: Team, tag: str = "", name: str = "") -> list[dict[str, Any]]:
        """Return a team's droplets in the order they were made; a new one's tags show late."""
        now = self.now()
        seen = [v for v in self.history.all("droplet", self.stale_lists).values() if v]
        return [
            view
            for droplet, view in sorted(seen, key=lambda entry: int(entry[0].id))
            if droplet.team == team.uuid
            and (not tag or (tag in view["tags"] and droplet.listed_at <= now))
            and (not name or view["name"] == name)
        ]

    def delete_droplet(self, team: Team, number: str) -> None:
        """Accept the end of a droplet.

        Raises:
            DigitalOceanError: 404, or 422 while something is under way.
        """
        droplet = self.droplet(team, number)
        self._check_idle(droplet)
        self._begin(droplet, "destroy")

    def act(self, team: Team, number: str, body: dict[str, Any]) -> dict[str, Any]:
        """Accept an action.

        Raises:
            DigitalOceanError: 404, or 422 where it makes no sense now.
        """
        droplet = self.droplet(team, number)
        kind = str(body.get("type", ""))
        if kind not in _NEEDS:
            raise refused("You specified an invalid type for the Droplet action.")
        self._check_idle(droplet)
        if droplet.status != _NEEDS[kind]:
            raise refused(f"Droplet is already powered {'on' if kind == 'power_on' else 'off'}.")
        return {"action": action_view(self._begin(droplet, kind))}

    def get_action(self, team: Team, number: str, droplet: str = "") -> dict[str, Any]:
        """Return an action.

        Raises:
            DigitalOceanError: 404.
        """
        found = self.actions.get(int(number)) if number.isdigit() else None
        if found is None or found.team != team.uuid or droplet not in {"", str(found.droplet)}:
            raise not_found()
        return {"action": action_view(found)}

    def list_actions(self, team: Team, droplet: str = "") -> list[dict[str, Any]]:
        """Return what was done to a droplet, or to all of a team, newest first.

        Raises:
            DigitalOceanError: 404 without such a droplet.
        """
        number = self.droplet(team, droplet).id if droplet else None
        return [
            action_view(action)
            for action in reversed(self.actions.values())
            if action.team == team.uuid and number in {None, action.droplet}
        ]

    def resume(self) -> None:
        """Boot the droplets that ran, and finish what was under way."""
        for droplet in list(self.droplets.values()):
            action = self.pending(droplet)
            if droplet.status != "new" and not droplet.addressed:
                self.spawn(self._address_later(droplet, self.timings.address_seconds))
            if action is not None:
                self.spawn(self._carry_out(droplet, action))
            elif droplet.status == "active":
                self.spawn(self.boot(droplet))

    # What somebody may do behind our back

    async def monkey_destroy(self, number: int) -> None:
        """Destroy a droplet in the control panel, at once."""
        droplet = self.droplets.pop(number)
        self.show(droplet)
        await self.halt(droplet)

    async def monkey_power(self, number: int, status: str) -> None:
        """Switch a droplet `active` or `off` in the control panel, at once."""
        await self._switch(self.droplets[number], status)

    # How it is carried out

    def _begin(self, droplet: Droplet, kind: str) -> Action:
        action = Action(self.number(), droplet.team, droplet.id, kind, droplet.region, self.now())
        self.actions[action.id] = action
        while len(self.actions) > _KEPT_ACTIONS:
            del self.actions[next(iter(self.actions))]
        self.show(droplet)
        self.spawn(self._carry_out(droplet, action))
        return action

    async def _carry_out(self, droplet: Droplet, action: Action) -> None:
        if action.type == "create":
            await self._address(droplet)
        else:
            await anyio.sleep(self._seconds(action.type))
        if droplet.id not in self.droplets or action.type in self.failing_actions:
            self._end(droplet, action, "errored")
        else:
            self._end(droplet, action, "completed")
            await self._take_effect(droplet, action.type)

    async def _address(self, droplet: Droplet) -> None:
        """Wait for the creation, with the addresses somewhere on the way or after it."""
        late = self.timings.address_seconds - self.timings.create_seconds
        await anyio.sleep(self.timings.create_seconds + min(0.0, late))
        if late <= 0:
            self._give_addresses(droplet)
            await anyio.sleep(-late)
        else:
            self.spawn(self._address_later(droplet, late))

    async def _address_later(self, droplet: Droplet, seconds: float) -> None:
        await anyio.sleep(seconds)
        self._give_addresses(droplet)

    def _give_addresses(self, droplet: Droplet) -> None:
        droplet.addressed = True
        self.show(droplet)

    async def _take_effect(self, droplet: Droplet, kind: str) -> None:
        if kind == "destroy":
            del self.droplets[droplet.id]
            self.show(droplet)
            await self.halt(droplet)
        elif kind == "shutdown" and self.ids.rng.random() < self.ignored_shutdowns:
            return  # the command was issued, which is all that the action promises
        elif kind == "reboot":
            await self.halt(droplet)
            await self.boot(droplet)
        else:
            await self._switch(droplet, "active" if kind in {"create", "power_on"} else "off")

    async def _switch(self, droplet: Droplet, status: str) -> None:
        droplet.status = status
        self.show(droplet)
        await (self.boot(droplet) if status == "active" else self.halt(droplet))

    def _end(self, droplet: Droplet, action: Action, status: str) -> None:
        action.status = status
        action.completed_at = self.now()
        self.show(droplet)

    def _seconds(self, kind: str) -> float:
        timings = self.timings
        return {
            "shutdown": timings.shutdown_seconds,
            "reboot": timings.reboot_seconds,
            "destroy": timings.destroy_seconds,
        }.get(kind, timings.power_seconds)

    # What is refused

    def _check(self, team: Team, body: dict[str, Any]) -> None:
        if not _HOST.fullmatch(str(body.get("name") or "")):
            raise refused("Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)")
        for what, known in (("region", REGIONS), ("size", SIZES), ("image", IMAGES)):
            if body.get(what) not in known:
                raise refused(f"You specified an invalid {what} for Droplet creation.")
        if body["region"] in self.full_regions:
            raise refused("Size is not available in this region.")
        if len(str(body.get("user_data") or "").encode()) > MOST_USER_DATA:
            raise refused("User data is too long (maximum is 64 KiB).")
        tags = body.get("tags") or []
        if not isinstance(tags, list) or not all(_TAG.fullmatch(str(tag)) for tag in tags):
            raise refused("Tags may only contain letters, numbers, colons, dashes and underscores.")
        mine = [d for d in self.droplets.values() if d.team == team.uuid]
        if len(mine) >= team.droplet_limit:
            raise refused("creating this/these droplet(s) will exceed your droplet limit")

    def _check_idle(self, droplet: Droplet) -> None:
        if self.pending(droplet) is not None:
            raise refused("Droplet already has a pending event.")

    def _key(self, team: Team, asked: int | str) -> int:
        for key in team.keys.values():
            if asked in {key.id, key.fingerprint} and key.known_at <= self.now():
                return key.id
        raise refused(f"{asked} are invalid key identifiers for Droplet creation.")

    def _free_number(self) -> int:
        taken = {droplet.number for droplet in self.droplets.values()}
        return next(number for number in range(len(taken) + 1) if number not in taken)
