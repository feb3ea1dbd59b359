"""Turns at a gateway: one that answers slowly keeps few callers waiting, whoever they are.

A gateway is its user's own and may do what it likes, also not answer.
Callers that wait for one are missing to all others.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

AT_ONCE: Final = 4
"""Commands that may be under way to one gateway at once."""
SLOW_SECONDS: Final = 2.0
"""What has no answer by then is slow; most gateways need a few hundredths of that."""
REST_SECONDS: Final = 10.0
"""How long a gateway is left alone that was slow; doubled each time that it is again."""
LONGEST_REST_SECONDS: Final = 60.0
FORGIVEN_SECONDS: Final = 600.0
"""A gateway that was not slow for so long has never been."""


class NoTurnError(Exception):
    """The gateway is slow.

    Attributes:
        seconds: After so many it is worth asking again.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"again in {seconds:.1f} s")
        self.seconds = seconds


@dataclass(slots=True)
class _Gateway:
    """Who asks or waits, what is under way by number and beginning, and how slow it was."""

    callers: int = 0
    begun: dict[int, float] = field(default_factory=dict)
    freed: asyncio.Event = field(default_factory=asyncio.Event)
    strikes: int = 0
    struck_at: float = 0.0
    rests_until: float = 0.0


class Turns:
    """Who may ask which gateway; the time is the loop's."""

    def __init__(self) -> None:
        self._gateways: dict[Hashable, _Gateway] = {}
        self._numbers = itertools.count()

    @asynccontextmanager
    async def turn(self, gateway: Hashable) -> AsyncIterator[None]:
        """Ask a gateway inside of this.

        Raises:
            NoTurnError: It was slow, or is being so.
        """
        of = self._gateways.setdefault(gateway, _Gateway())
        of.callers += 1
        try:
            await _wait(of)
            number, began = next(self._numbers), _now()
            of.begun[number] = began
            try:
                yield
            finally:
                del of.begun[number]
                of.freed.set()
                if _now() - began >= SLOW_SECONDS:
                    _strike(of, began)
        finally:
            of.callers -= 1
            if not of.callers:
                self._forget_forgiven()

    def _forget_forgiven(self) -> None:
        """Remember nothing but who is asked and who was slow."""
        now = _now()
        for gateway, of in list(self._gateways.items()):
            if not of.callers and (not of.strikes or now - of.struck_at > FORGIVEN_SECONDS):
                del self._gateways[gateway]


async def _wait(of: _Gateway) -> None:
    """Wait for a turn, but for nobody who is slow."""
    while True:
        now = _now()
        if now < of.rests_until:
            raise NoTurnError(of.rests_until - now)
        if len(of.begun) < AT_ONCE:
            return
        slow_at = min(of.begun.values()) + SLOW_SECONDS
        if slow_at <= now:
            raise NoTurnError(REST_SECONDS)
        of.freed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(slow_at):
                await of.freed.wait()


def _strike(of: _Gateway, began: float) -> None:
    """Have it left alone; what was under way at once was slow once."""
    now = _now()
    if of.strikes and began < of.struck_at:
        return
    if now - of.struck_at > FORGIVEN_SECONDS:
        of.strikes = 0
    rest = min(LONGEST_REST_SECONDS, REST_SECONDS * 2.0**of.strikes)
    # A longer rest is none: the exponent need not grow.
    of.strikes += rest < LONGEST_REST_SECONDS
    of.struck_at, of.rests_until = now, now + rest


def _now() -> float:
    return asyncio.get_running_loop().time()
