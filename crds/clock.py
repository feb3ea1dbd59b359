"""The one place where wall time enters: the loop's clock, anchored once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class Clock:
    """Wall time that advances with the running loop's clock.

    Under a virtual-time loop the same code therefore runs through hours in milliseconds.

    Attributes:
        anchor: The wall time at which the loop's clock read `loop_time`; timezone-aware, UTC.
        loop_time: The loop's clock at `anchor`, in seconds.
    """

    anchor: datetime
    loop_time: float

    @classmethod
    def started(cls, anchor: datetime | None = None) -> Clock:
        """Anchor a clock at the running loop's present.

        Args:
            anchor: The wall time to begin at; the machine's own when left out.
        """
        # The only reading of the machine's clock: everything later follows the loop.
        wall = anchor or datetime.now(UTC)
        return cls(wall, asyncio.get_running_loop().time())

    def now(self) -> datetime:
        """The present wall time, UTC."""
        return self.anchor + timedelta(seconds=self.monotonic() - self.loop_time)

    @staticmethod
    def monotonic() -> float:
        """The running loop's clock, in seconds from an arbitrary point."""
        return asyncio.get_running_loop().time()
