"""Transports that answer from a script, and clients over them."""

from collections.abc import Callable
from typing import Any

import httpx

from controller.providers import Budget, Gear, Rate
from controller.providers.cloudflare import WorkersKV
from controller.providers.fly import Fly

TOKEN = "fo1_verysecret"
Reply = httpx.Response | Exception
AMPLE = Rate(1e6, 1e6)


def reply(status: int = 200, json: Any = None, **headers: str) -> httpx.Response:
    """Return an answer."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json={} if json is None else json, headers=names)


class Script(httpx.AsyncBaseTransport):
    """Answers in order, the last one for ever; keeps what was asked."""

    def __init__(self, *replies: Reply | Callable[[httpx.Request], httpx.Response]) -> None:
        self.replies = list(replies) or [reply()]
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Keep the request and return or raise what comes next."""
        self.asked.append(request)
        answer = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(answer, Exception):
            raise answer
        if not isinstance(answer, httpx.Response):
            return answer(request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    @property
    def lines(self) -> list[str]:
        """The asked requests as `METHOD path`."""
        return [f"{r.method} {r.url.raw_path.decode()}" for r in self.asked]


def ample() -> Budget:
    """Return a budget that never makes anybody wait."""
    return Budget(default=AMPLE, wide=AMPLE)


def fly(transport: httpx.AsyncBaseTransport, gear: Gear | None = None) -> Fly:
    """Return a Fly client that does not wait."""
    return Fly(transport, token=TOKEN, org="acme", gear=gear or Gear(budget=ample()))


def kv(transport: httpx.AsyncBaseTransport, gear: Gear | None = None) -> WorkersKV:
    """Return a Workers KV client that does not wait."""
    return WorkersKV(
        transport,
        token=TOKEN,
        account="acc",
        namespace="ns",
        gear=gear or Gear(budget=ample()),
    )
