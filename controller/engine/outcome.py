"""How a reconcile can fail on purpose.

ReconcileError
 ├─ RetryLater    will pass: again after a backoff, or when somebody said so
 ├─ Blocked       waits until something changes; looked at again once in a while
 └─ Terminal      can never work as it is wished: only a change brings another try

The store's ConflictError means "read again at once", its FencedError "no longer ours".
Everything else is a bug: it is logged with its traceback, counted, and tried again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from traceback import extract_tb

from crds.errors import AlreadyExistsError, ConflictError, FencedError, NotFoundError
from crds.meta import RetryKind


class ReconcileError(Exception):
    """A reconcile did not converge, and knows why.

    Args:
        reason: One CamelCase word for programs.
        message: A sentence for people, without secrets.
        provider: Who refused, if it was a provider.
        request_id: The provider's own name for the refused request.
    """

    def __init__(
        self,
        reason: str,
        message: str = "",
        *,
        provider: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(f"{reason}: {message}" if message else reason)
        self.reason = reason
        self.message = message
        self.provider = provider
        self.request_id = request_id


class RetryLater(ReconcileError):  # noqa: N818 - says what happens next
    """It will pass.

    Args:
        reason: One CamelCase word for programs.
        message: A sentence for people, without secrets.
        after: Seconds until the next try; by default the queue's backoff.
        provider: Who refused, if it was a provider.
        request_id: The provider's own name for the refused request.
    """

    def __init__(
        self,
        reason: str,
        message: str = "",
        after: float | None = None,
        provider: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(reason, message, provider=provider, request_id=request_id)
        self.after = after


class Blocked(ReconcileError):  # noqa: N818 - says what happens next
    """It waits until something changes.

    Args:
        reason: One CamelCase word for programs.
        message: A sentence for people, without secrets.
        recheck_after: Seconds until it is looked at although nothing changed;
            by default the controller's.
        provider: Who refused, if it was a provider.
        request_id: The provider's own name for the refused request.
    """

    def __init__(
        self,
        reason: str,
        message: str = "",
        recheck_after: float | None = None,
        provider: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(reason, message, provider=provider, request_id=request_id)
        self.recheck_after = recheck_after


class Terminal(ReconcileError):  # noqa: N818 - says what happens next
    """It can never work as it is wished."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What the status shows about a reconcile that failed.

    Attributes:
        kind: What follows from it.
        reason: One CamelCase word for programs.
        message: A sentence for people, without secrets.
        attempt: How many times it has failed in a row, this one included.
        next_at: When it is tried again, UTC; None waits for a change.
        provider: Who refused, if it was a provider.
        request_id: The provider's own name for the refused request.
    """

    kind: RetryKind
    reason: str
    message: str
    attempt: int
    next_at: datetime | None
    provider: str | None = None
    request_id: str | None = None


def leading(error: Exception) -> Exception:
    """The error that decides, of those that parallel steps raised together.

    A lost shard outweighs all; then a bug, which must not hide; then a conflict, which makes
    the rest moot; then what is due first.
    """
    return min(_leaves(error), key=_weight)


def describe_bug(error: BaseException) -> str:
    """Where a bug is; not its text, which may hold anything."""
    frames = extract_tb(error.__traceback__)
    where = f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}; the traceback is in the controller's log"


def _leaves(error: Exception) -> Iterator[Exception]:
    if isinstance(error, ExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error


def is_conflict(error: Exception) -> bool:
    """Whether the rows were not as they had been read, so that reading again may do."""
    return isinstance(error, ConflictError | NotFoundError | AlreadyExistsError)


def _weight(error: Exception) -> tuple[int, float]:
    match error:
        case FencedError():
            return 0, 0
        case _ if is_conflict(error):
            return 2, 0
        case RetryLater():
            return 3, error.after or 0
        case Blocked():
            return 4, error.recheck_after or 0
        case Terminal():
            return 5, 0
        case _:
            return 1, 0
