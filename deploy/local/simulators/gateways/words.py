"""What the protocol fixes: who may be sent what, how long things may take, how much may wait."""

from __future__ import annotations

from typing import Any, Final

Message = dict[str, Any]

PROTOCOL: Final = 1
# As worker/protocol/flows.json has them; a test compares.
ANSWERS: Final = {
    "session.create": "ack",
    "session.end": "ack",
    "session.snapshot.request": "session.snapshot",
    "ssh.authorize": "ack",
    "ssh.revoke": "ack",
    "ssh.list": "ssh.keys",
    "file.list": "file.entries",
    "file.read": "file.content",
    "file.write": "ack",
    "file.remove": "ack",
    "agent.install": "ack",
    "gateway.update": "ack",
}
OBSERVED: Final = frozenset(
    {
        "gateway.hello",
        "gateway.health",
        "gateway.updated",
        "agent.installed",
        "session.started",
        "session.ended",
        "session.error",
    }
)

# As worker/src/hub/limits.ts has them; seconds, bytes and numbers of things.
GRACE_SECONDS: Final = 30.0
SILENCE_SECONDS: Final = 90.0
HELLO_SECONDS: Final = 10.0
COMMAND_SECONDS: Final = 10.0
REMEMBERED_SECONDS: Final = 600.0
COMMANDS_WAITING: Final = 64
ANSWER_REMEMBERED: Final = 4_096
COMMAND_BODY: Final = 524_288
REPORT_SIZE: Final = 100
REPORT_AFTER_SECONDS: Final = 0.2
REPORT_RETRY_SECONDS: Final = 60.0

HEALTH_SECONDS: Final = 30.0
"""How often a gateway says how its machine is."""

# Why a connection ends.
POLICY: Final = 1008
REPLACED: Final = 4000
UNKNOWN: Final = 4004
GONE: Final = 1006
"""It broke, and nobody said why (RFC 6455, 7.4.1)."""


def problem(code: str, message: str) -> Message:
    """What stood in the way, as messages tell it."""
    return {"code": code, "message": message}
