"""The one clock of the simulators: unix seconds that follow the running loop."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

Now = Callable[[], float]


def wall_anchored() -> Now:
    """Return a clock that shows the wall's time once and then follows the running loop.

    Under a loop with virtual time the clock jumps with it.
    """
    anchor: float | None = None

    def now() -> float:
        nonlocal anchor
        elapsed = asyncio.get_running_loop().time()
        if anchor is None:
            anchor = datetime.now(tz=UTC).timestamp() - elapsed
        return anchor + elapsed

    return now


def rfc3339(at: float) -> str:
    """Return unix seconds as an RFC 3339 time in UTC with microseconds."""
    return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_rfc3339(text: str) -> float:
    """Return the unix seconds of an RFC 3339 time.

    Raises:
        ValueError: the text is not one.
    """
    return datetime.fromisoformat(text).timestamp()
