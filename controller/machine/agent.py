"""Talks to the agents in the machines, through the provider's proxy."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Annotated, Self
from urllib.parse import urlsplit
from uuid import UUID

import httpx
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from crds.store import Heartbeat

# Fly's proxy sends a request with this header to that machine only.
FORCE_INSTANCE = "fly-force-instance-id"
TIMEOUT_SECONDS = 5.0
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
OK = 200
# An agent's answer has some hundred bytes; what sends more is none.
MOST_BYTES = 16 * 1024


Word = Annotated[str, Field(max_length=100, pattern=r"^[ -~]*$")]


class Report(BaseModel):
    """What an agent answers to a heartbeat (docs/protocols.md).

    The machine is its user's, so its words are checked: one must not spoil the batch of all.
    """

    status: Word = "unknown"
    version: Word = ""
    last_activity_at: AwareDatetime | None = None


class AgentClient:
    """A client of the agents.

    Args:
        transport: How requests go out.
        gateway: Where `https://<app>.fly.dev` is reached instead, empty for itself: the embedded
            cloud's proxy, which routes by Host.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport, *, gateway: str = "") -> None:
        self._client = httpx.AsyncClient(transport=transport, timeout=TIMEOUT_SECONDS)
        self._gateway = gateway.rstrip("/")

    async def __aenter__(self) -> Self:
        """Open the client."""
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the client."""
        await self._client.__aexit__(exc_type, exc, traceback)

    async def healthy(self, url: str, instance: str) -> bool:
        """Whether the machine's health endpoint answers 200."""
        try:
            status, _ = await self._send("GET", url, "/health", instance)
        except (httpx.HTTPError, httpx.InvalidURL):
            return False
        return status == OK

    async def heartbeat(
        self, machine: UUID, url: str, instance: str, token: str, at: datetime
    ) -> Heartbeat | None:
        """Ask the agent how it is; None when it does not answer as an agent does.

        Args:
            machine: Whose agent.
            url: The app's public address.
            instance: Fly's machine id.
            token: The machine's token.
            at: The time to note.
        """
        try:
            status, body = await self._send("POST", url, "/heartbeat", instance, token)
            if status != OK:
                return None
            report = Report.model_validate_json(body)
        except (httpx.HTTPError, httpx.InvalidURL, ValidationError):
            return None
        activity = report.last_activity_at
        # A clock that runs ahead must not keep its machine awake for ever.
        activity = None if activity is None or activity < LONG_AGO else min(activity, at)
        return Heartbeat(machine, at, report.status, report.version, activity)

    async def status(
        self, url: str, path: str, instance: str, headers: Mapping[str, str]
    ) -> int | None:
        """The status with which a machine that is not our agent answers, None when it does not."""
        try:
            status, _ = await self._send("GET", url, path, instance, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL):
            return None
        return status

    async def _send(
        self,
        method: str,
        url: str,
        path: str,
        instance: str,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """The answer's status and body.

        Raises:
            httpx.HTTPError: There is none in time, or more of it than an agent would say.
        """
        headers = {**(headers or {}), FORCE_INSTANCE: instance, "Accept-Encoding": "identity"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if self._gateway:
            headers["Host"] = urlsplit(url).netloc
        # The client's own limit is for each read: a machine that drips would hold a probe for ever.
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                async with self._client.stream(
                    method, (self._gateway or url) + path, headers=headers
                ) as answer:
                    return answer.status_code, await _read(answer)
        except TimeoutError as error:
            raise httpx.ReadTimeout("the answer did not end in time") from error


async def _read(answer: httpx.Response) -> bytes:
    """The body of an answer, unless there is too much of it, or it would have to be unpacked."""
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise httpx.DecodingError("the answer is packed, which was not asked for")
    body = b""
    async for part in answer.aiter_bytes():
        body += part
        if len(body) > MOST_BYTES:
            raise httpx.DecodingError("the answer is too long")
    return body
