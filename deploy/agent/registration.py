"""Tells the control plane that the machine is there, and goes on telling it."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import httpx
import tenacity
from pydantic import BaseModel, Field, ValidationError

from deploy.agent.state import Machine

PERIOD_SECONDS: Final = 60.0
LONGEST_WAIT_SECONDS: Final = 60.0

_log = logging.getLogger("agent")


class Answer(BaseModel):
    """What the control plane answers a heartbeat."""

    subdomain: str | None = None
    url: str | None = None
    next_heartbeat_seconds: float = Field(default=PERIOD_SECONDS, ge=1, le=3600)


class Registration:
    """Sends heartbeats for as long as the machine runs.

    Args:
        client: Sends them.
        url: The control plane's address for this machine's heartbeats.
        token: The machine token.
        machine: What the heartbeats tell of, and where the answer's subdomain is kept.
        sleep: Waits that many seconds.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        url: str,
        token: str,
        machine: Machine,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._client = client
        self._url = url
        self._token = token
        self._machine = machine
        self._sleep = sleep

    async def run(self) -> None:
        """Register, then send a heartbeat whenever the last answer asked for the next."""
        while True:
            await self._sleep(await self.beat())

    async def beat(self) -> float:
        """Send one heartbeat, again and again with growing pauses until it is taken.

        Returns:
            Seconds until the next one is due.
        """
        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type((httpx.HTTPError, ValueError)),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=LONGEST_WAIT_SECONDS),
            sleep=self._sleep,
            before_sleep=_report,
        )
        answer: Answer = await attempts(self._send)
        self._machine.subdomain = answer.subdomain
        self._machine.url = answer.url
        return answer.next_heartbeat_seconds

    async def _send(self) -> Answer:
        activity = self._machine.activity
        response = await self._client.post(
            self._url,
            headers={"Authorization": f"Bearer {self._token}"},
            json={
                "state": self._machine.state,
                "version": self._machine.version,
                "uptime_seconds": activity.uptime,
                "last_activity_at": activity.last_activity_at,
            },
        )
        response.raise_for_status()
        return Answer.model_validate_json(response.content)


def _report(state: tenacity.RetryCallState) -> None:
    """Say that a heartbeat failed and when the next try is; the address holds no secret."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, httpx.HTTPStatusError):
        words = f"HTTP {error.response.status_code}"
    elif isinstance(error, ValidationError):
        words = "an answer that makes no sense"
    else:
        words = type(error).__name__
    _log.warning("heartbeat failed (%s), next try in %.1f s", words, state.upcoming_sleep)
