"""Everything that is to be sent, in its order."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from deploy.gateway.flow import Flow
from deploy.gateway.frames import frame
from deploy.gateway.protocol import Message, encode

MOST_LASTING: Final = 1000
"""Messages that wait for a connection: as many things as the hub itself keeps for the API."""

Send = Callable[[str | bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Item:
    content: str | bytes
    lasting: bool = False


class Outbound:
    """What waits to be sent on the connection, and what outlives one.

    Output is taken from its flow when its turn comes, so that little pieces travel together and
    sessions take turns.
    """

    def __init__(self) -> None:
        self._queue: deque[_Item | Flow] = deque()
        self._waiting: set[Flow] = set()
        self._some = asyncio.Event()
        self._open = False

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._open

    def begin(self, hello: Message) -> None:
        """Begin on a new connection: the hello, and what no connection has taken yet."""
        self.end()
        self._open = True
        self._queue.appendleft(_Item(encode(hello)))
        self._some.set()

    def end(self) -> None:
        """Forget what was meant for the connection that is gone."""
        self._open = False
        lasting = [item for item in self._queue if isinstance(item, _Item) and item.lasting]
        self._queue = deque(lasting[-MOST_LASTING:])
        self._waiting.clear()

    def restore(self, unsaid: list[str]) -> None:
        """Take over what an earlier program could not say."""
        self._queue.extend(_Item(text, lasting=True) for text in unsaid)

    def unsaid(self) -> list[str]:
        """Return what waits for the next connection."""
        items = (item for item in self._queue if isinstance(item, _Item) and item.lasting)
        return [item.content for item in items if isinstance(item.content, str)]

    def say(self, message: Message, *, lasting: bool = False) -> None:
        """Send a message; only a lasting one waits for the next connection."""
        if self._open or lasting:
            self._put(_Item(encode(message), lasting))
        if not self._open and len(self._queue) > MOST_LASTING:
            self._queue.popleft()

    def wake(self, flow: Flow) -> None:
        """Send what a flow has, when its turn comes."""
        if self._open and flow not in self._waiting:
            self._waiting.add(flow)
            self._put(flow)

    def flush(self, flow: Flow) -> None:
        """Let what a flow has go before whatever is said next, and what it gets then behind it."""
        if flow in self._waiting:
            self._waiting.discard(flow)
            self._queue.remove(flow)
        while self._open and (taken := flow.take(all_=True)) is not None:
            self._put(_Item(frame(flow.session, *taken)))

    async def drain(self, send: Send) -> None:
        """Send, until cancelled; what could not be sent and lasts stays."""
        while True:
            item = self._next()
            if item is None:
                self._some.clear()
                await self._some.wait()
                continue
            try:
                await send(item.content)
            except BaseException:
                if item.lasting:
                    self._queue.appendleft(item)
                raise

    def _put(self, item: _Item | Flow) -> None:
        self._queue.append(item)
        self._some.set()

    def _next(self) -> _Item | None:
        while self._queue:
            item = self._queue.popleft()
            if isinstance(item, _Item):
                return item
            taken = item.take()
            if taken is None:
                self._waiting.discard(item)
                continue
            self._queue.append(item)
            return _Item(frame(item.session, *taken))
        return None
