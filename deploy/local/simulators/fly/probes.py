"""How a check finds out whether a process is well."""

import asyncio
from typing import Any

import httpx

from deploy.local.simulators.fly.checks import seconds

_TIMEOUT_SECONDS = 2.0  # the example of the specification
_SCRAPE_SECONDS = 5.0
_ONCE = httpx.Limits(max_keepalive_connections=0)
_PASSING = range(200, 300)

Finding = tuple[bool, str]
"""Whether a check passed, and the words for it."""


def prober() -> httpx.AsyncClient:
    """Return a client that keeps no connection: one may be to a process that is gone."""
    return httpx.AsyncClient(timeout=None, limits=_ONCE, trust_env=False)  # noqa: S113 - `probe` has one


async def probe(client: httpx.AsyncClient, host: str, port: int, check: dict[str, Any]) -> Finding:
    """Run one check of `config.checks` against a process.

    Args:
        client: What asks for HTTP checks.
        host: Where the process listens.
        port: On which port; the check's own is the one inside the machine.
        check: The check: `tcp` passes by a connection, `http` by any status of 2xx.

    Returns:
        Whether it passed, and the words for it.
    """
    within = seconds(check.get("timeout")) or _TIMEOUT_SECONDS
    kind = _http if check.get("type") == "http" else _tcp
    try:
        async with asyncio.timeout(within):
            return await kind(client, host, port, check)
    except TimeoutError:
        return False, f"no answer within {within:g}s"


async def scraped(client: httpx.AsyncClient, host: str, port: int, path: str) -> str:
    """Return a process's own metrics, empty when it does not answer well in time."""
    try:
        async with asyncio.timeout(_SCRAPE_SECONDS):
            answer = await client.get(f"http://{host}:{port}{path}")
    except (TimeoutError, httpx.TransportError):
        return ""
    return answer.text if answer.status_code in _PASSING else ""


async def _tcp(client: httpx.AsyncClient, host: str, port: int, check: dict[str, Any]) -> Finding:
    del client, check
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        return False, f"connect: {error.strerror or type(error).__name__}"
    writer.close()
    return True, "Success"


async def _http(client: httpx.AsyncClient, host: str, port: int, check: dict[str, Any]) -> Finding:
    method, path = check.get("method") or "GET", check.get("path") or "/"
    headers = [(h["name"], value) for h in check.get("headers") or [] for value in h["values"]]
    try:
        answer = await client.request(
            method.upper(), f"http://{host}:{port}{path}", headers=headers
        )
    except httpx.TransportError as error:
        return False, f"{method} {path}: {type(error).__name__}"
    told = f"{method} {path}: {answer.status_code} {answer.reason_phrase}"
    return answer.status_code in _PASSING, told
