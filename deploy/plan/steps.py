"""What a plan would do outside, call by call, in words that give no secret away."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import httpx

from controller.edge import PREFIX
from deploy.local.simulators.effects import Effect
from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.kv.store import KV

NOUNS = {
    "apps": "app",
    "addresses": "addresses",
    "volumes": "volume",
    "machines": "machine",
    "leases": "machine",
    "metadata": "machine",
    "kv": "entry",
}


class Step(NamedTuple):
    """One call that changes something.

    Attributes:
        provider: `fly` or `cloudflare`.
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
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, fly: FlyCloud, kv: KV) -> None:
        self._inner = inner
        self._logs = (("fly", fly.effects), ("cloudflare", kv.effects))
        self._read = {"fly": 0, "cloudflare": 0}
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
    provider: str, effect: Effect, known: set[str], owner: Callable[[str], str | None]
) -> Step:
    """Describe an effect.

    Args:
        provider: Whose.
        effect: What was done.
        known: Names and ids that were there before.
        owner: The object behind an app's name.
    """
    operation, noun = effect.operation, NOUNS.get(effect.operation.partition(".")[0], "")
    if provider == "cloudflare":
        name = effect.id.removeprefix(PREFIX)
        behind = f"Route/{name}" if effect.id.startswith(PREFIX) else "Platform/platform"
        return Step(provider, operation, behind, f"{noun} {effect.id}", _of_entry(effect.details))
    name = effect.app if noun in {"app", "addresses"} else effect.id
    thing = f"{noun} {name}" if name in known else f"new {noun}"
    if noun == "addresses":
        thing = f"address of {'app ' + name if name in known else 'new app'}"
    return Step(provider, operation, owner(effect.app), thing, _attributes(effect))


def _attributes(effect: Effect) -> dict[str, str]:
    """Only what is named here is shown: a configuration holds the machine's token."""
    details = effect.details
    shown: dict[str, Any] = {}
    match effect.operation:
        case "addresses.create":
            shown = {"type": details.get("type")}
        case "volumes.create" | "volumes.extend":
            shown = {"region": details.get("region"), "size": _gb(details.get("size_gb"))}
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
