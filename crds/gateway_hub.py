"""Commands to gateways: the hub of each carries them and brings the answer (docs/protocols.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import httpx
from pydantic import SecretStr

from crds.gateway_turns import NoTurnError, Turns
from crds.words import plain

OK: Final = 200
# The Worker does not take our token.
UNWELCOME: Final = frozenset({401, 403})
# The command itself is wrong. Anything else passes, also what a Worker says that is not ours yet.
WRONG: Final = frozenset({400, 413})
ANSWER_SECONDS: Final = 15.0
"""The hub answers after 10 s at the latest; what takes longer is a hub that is not there."""


class CommandError(Exception):
    """A command was not carried out, or nobody knows whether it was.

    Attributes:
        code: Why, lowercase words joined by hyphens.
        detail: The same in a sentence.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        # A gateway's own words may be among them, and it may say what it likes.
        code, detail = plain(code), plain(detail)
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail


class GatewayOfflineError(CommandError):
    """No gateway is connected: nothing was sent."""


class CommandUnknownError(CommandError):
    """The answer was lost or did not come in time: it may have been carried out.

    The same command with the same id can be sent again.
    """


class TokenRefusedError(CommandError):
    """The Worker does not take our token: nothing was sent, and nothing will be until it does."""


class GatewaySlowError(CommandError):
    """The gateway did not answer lately, and is left alone for a while: nothing was sent.

    Attributes:
        seconds: After so many it is worth trying again.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__("gateway-slow", "the gateway answers slowly, and is asked again soon")
        self.seconds = seconds


class CommandRefusedError(CommandError):
    """The hub or the gateway did not take it: sent again as it is, it is refused again."""


class GatewayHub:
    """Sends commands to gateways, a few at once to each, and fewer to one that is slow.

    Args:
        transport: How the Worker is reached.
        base_url: The Worker's bare domain.
        token: Proves the control plane to the Worker.
    """

    def __init__(
        self, transport: httpx.AsyncBaseTransport, *, base_url: str, token: SecretStr
    ) -> None:
        self._client = httpx.AsyncClient(
            transport=transport,
            base_url=base_url,
            timeout=ANSWER_SECONDS,
            headers={"authorization": f"Bearer {token.get_secret_value()}"},
        )
        self._turns = Turns()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def send(self, gateway: UUID, command: Mapping[str, Any]) -> dict[str, Any]:
        """Send a command and return the gateway's answer.

        Args:
            gateway: The Vps' uid.
            command: A message of worker/protocol, with its `id`, by which it is done once
                however often it is sent.

        Raises:
            GatewayOfflineError: Nothing was sent.
            GatewaySlowError: Nothing was sent: it was slow, or is being so.
            CommandUnknownError: It may have been carried out.
            TokenRefusedError: Nothing was sent: the Worker does not know us.
            CommandRefusedError: It was not taken, or it was answered with `ok` false.
        """
        try:
            async with self._turns.turn(gateway):
                answer = await self._client.post(f"/hub/{gateway}/commands", json=dict(command))
        except NoTurnError as error:
            raise GatewaySlowError(error.seconds) from None
        except httpx.ConnectError as error:
            raise GatewayOfflineError("hub-unreachable", type(error).__name__) from error
        except httpx.HTTPError as error:
            raise CommandUnknownError("hub-unavailable", type(error).__name__) from error
        body = _body(answer)
        if answer.status_code != OK:
            raise _refusal(answer.status_code, body)
        if body.get("type") == "ack" and not body.get("ok"):
            problem = body.get("error") or {}
            raise CommandRefusedError(
                str(problem.get("code", "refused")), str(problem.get("message", ""))
            )
        return body


def _body(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _refusal(status: int, body: Mapping[str, Any]) -> CommandError:
    code = str(body.get("type", "")).rpartition(":")[2] or f"status-{status}"
    detail = str(body.get("detail", ""))
    if code == "gateway-offline":
        return GatewayOfflineError(code, detail)
    if status in UNWELCOME:
        return TokenRefusedError(code, detail)
    return (
        CommandRefusedError(code, detail) if status in WRONG else CommandUnknownError(code, detail)
    )
