"""Waiting for other processes: they send no event, so they are asked until a deadline."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

import httpx
import psycopg

T = TypeVar("T")

_PAUSE: Final = 0.05
_NOT_YET: Final = (httpx.HTTPError, psycopg.OperationalError, AssertionError, OSError)


def eventually(ask: Callable[[], T | None], *, within: float) -> T:
    """Ask until there is an answer that is true, and return it.

    Args:
        ask: May raise what a part that is away brings about, or a failed assertion.
        within: Seconds.

    Raises:
        AssertionError: It did not come true in time; the last answer or error is told.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            answer = ask()
        except _NOT_YET as error:
            told: object = error
            cause: BaseException | None = error
        else:
            if answer:
                return answer
            told, cause = answer, None
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:.0f} s, last: {told!r}") from cause
        time.sleep(_PAUSE)
