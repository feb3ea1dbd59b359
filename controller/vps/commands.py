"""Commands to the gateway: what stands in the way of one is no trouble of the droplet's."""

from __future__ import annotations

import hashlib
from typing import Any

import structlog

from controller.vps.tools import VpsScope, VpsTools

log = structlog.get_logger("invoker.vps")


async def send(scope: VpsScope, tools: VpsTools, command: dict[str, Any]) -> dict[str, Any]:
    """Send a command, if the Vps is still ours to act on.

    Raises:
        CommandError: It was not carried out, or nobody knows.
        FencedError: The shard was lost.
    """
    scope.request.guard()
    return await tools.gateways.hub.send(scope.uid, command)


def command_id(scope: VpsScope, verb: str, subject: str) -> str:
    """The name of a command, the same for as long as the gateway stays connected.

    Args:
        scope: The Vps.
        verb: What is to be done.
        subject: To what; may hold any character.
    """
    digest = hashlib.sha256(subject.encode()).hexdigest()[:24]
    return f"{verb}.{digest}.{scope.object.status.gateway.hello}"
