"""What a plan would do outside, call by call, in words that give no secret away."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx

from controller.edge import PREFIX
from deploy.local.simulators.digitalocean import DigitalOceanCloud
from deploy.local.simulators.effects import Effect
from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.kv.store import KV
from deploy.local.simulators.netlify import NetlifyTeam

NOUNS = {
    "apps": "app",
    "addresses": "addresses",
    "volumes": "volume",
    "machines": "machine",
    "leases": "machine",
    "metadata": "machine",
    "kv": "entry",
    "secrets": "secrets",
    "variables": "variable",
    "builds": "build",
    "droplets": "droplet",
    "actions": "droplet",
}
# An app's own, and not called after anything else.
OF_APPS = frozenset({"app", "addresses", "secrets"})
OURS = "inv-"


class Step(NamedTuple):
    """One call that changes something.

    Attributes:
        provider: `fly`, `cloudflare`, `netlify` or `digitalocean`.
        operation: Such as `machines.create`.
        object: The row on whose behalf, if that is known.
        thing: What is changed; `new …` for what the plan itself made.
        attributes: What of it matters, such as region and size.
    """

    provider: str
    operation: str
    object: str | None
    thing: str
    attributes: dict[str, str]


class Recorder(httpx.AsyncBaseTransport):
    """Passes calls on to the simulators and keeps their effects in one order.

    Args:
        inner: The simulators.
        fly: Whose effects are kept.
        kv: The same.
        team: The same.
        droplets: The same.
    """

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        *,
        fly: FlyCloud,
        kv: KV,
        team: NetlifyTeam,
        droplets: DigitalOceanCloud,
    ) -> None:
        self._inner = inner
        self._logs = (
            ("fly", fly.effects),
            ("cloudflare", kv.effects),
            ("netlify", team.effects),
            ("digitalocean", droplets.effects),
        )
        self._read = dict.fromkeys((provider for provider, _ in self._logs), 0)
        self.effects: list[tuple[str, Effect]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a call on."""
        answer = await self._inner.handle_async_request(request)
        for provider, log in self._logs:
            new = log[self._read[provider] :]
            self._read[provider] += len(new)
            self.effects += [(provider, effect) for effect in new]
        return answer


def step(
    provider: str, effect: Effect, known: set[str], owner: str | None, does: str | None = None
) -> Step:
    """Describe an effect.

    Args:
        provider: Whose.
        effect: What was done.
        known: Names and ids that were there before.
        owner: The object on whose behalf.
        does: What a command does.
    """
    operation, noun = effect.operation, NOUNS.get(effect.operation.partition(".")[0], "")
    if provider == "cloudflare":
        name = effect.id.removeprefix(PREFIX)
        behind = f"Route/{name}" if effect.id.startswith(PREFIX) else "Platform/platform"
        return Step(provider, operation, behind, f"{noun} {effect.id}", _of_entry(effect.details))
    if provider == "netlify":
        thing = f"{noun} {effect.id}" if noun == "variable" else noun
        return Step(provider, operation, owner, f"{thing} of site {effect.app}", {})
    shown = _attributes(effect) if does is None else {"does": does}
    return Step(provider, operation, owner, _thing(effect, noun, known), shown)


def _thing(effect: Effect, noun: str, known: set[str]) -> str:
    """What is changed; names that are drawn in the plan are not shown, they will be others."""
    if noun not in OF_APPS:
        return f"{noun} {effect.id}" if effect.id in known else f"new {noun}"
    name = effect.app
    app = f"app {name}" if name in known or not name.startswith(OURS) else "app"
    app = app if name in known else f"new {app}"
    return {"addresses": f"address of {app}", "secrets": f"secrets of {app}"}.get(noun, app)


def _attributes(effect: Effect) -> dict[str, str]:
    """Only what is named here is shown: a configuration holds the machine's token."""
    details = effect.details
    shown: dict[str, Any] = {}
    match effect.operation:
        case "addresses.create":
            shown = {"type": details.get("type")}
        case "secrets.update":
            shown = {"number": len(details.get("names") or ())}
        case "droplets.create":
            shown = {name: details.get(name) for name in ("region", "size", "image")}
        case "actions.create":
            shown = {"does": str(details.get("type")).replace("_", " ")}
        case "volumes.create" | "volumes.extend":
            shown = {
                "region": details.get("region"),
                "size": _gb(details.get("size_gb")),
                "copy": details.get("source_volume_id"),
            }
        case "machines.create" | "machines.update":
            config = details.get("config") or {}
            shown = {
                "region": details.get("region"),
                "size": _size(config.get("guest") or {}),
                "image": config.get("image"),
                "start": "no" if details.get("skip_launch") else None,
            }
    return {name: str(value) for name, value in shown.items() if value}


def _of_entry(details: Mapping[str, Any]) -> dict[str, str]:
    try:
        value = json.loads(details.get("value") or "{}")
    except ValueError:
        return {}
    shown = {name: value.get(name) for name in ("state", "redirect", "message")}
    return {name: str(found) for name, found in shown.items() if found}


def _gb(size: Any) -> str | None:
    return f"{size} GB" if size else None


def _size(guest: Mapping[str, Any]) -> str:
    return f"{guest.get('cpu_kind')}-{guest.get('cpus')}x {guest.get('memory_mb')} MB"
