"""What goes to a provider and what comes back, without the machinery between."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.providers.errors import ProviderError

DEADLINE = 20.0
"""Seconds for connecting, sending and reading together."""
LONGEST_MESSAGE = 500


@dataclass(slots=True)
class Ask:
    """One request in the provider's terms.

    Attributes:
        operation: The name in metrics and spans, `<noun>.<verb>`.
        method: The HTTP method; everything but GET is mutating.
        path: Below the base address, already URL-encoded.
        subject: What the budget counts under, beside the operation.
        app: The app or namespace, for the span.
        deadline: Seconds for one sending and its answer.
        retry: Whether a read may be tried again.
        secrets: What must not be in the words of an error that answers this.
    """

    operation: str
    method: str
    path: str
    subject: str
    app: str = ""
    params: Mapping[str, str] | None = None
    json: Any = field(default=None, repr=False)
    content: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] | None = None
    deadline: float = DEADLINE
    retry: bool = True
    secrets: Collection[str] = field(default=(), repr=False)

    @property
    def mutating(self) -> bool:
        """Whether the provider may change something."""
        return self.method != "GET"


@dataclass(frozen=True, slots=True)
class Answer:
    """A provider's answer, read completely."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """What every error says about where it comes from; spread into an error's constructor."""

    provider: str
    operation: str
    message: str
    status: int | None = None
    request_id: str | None = None
    sent: bool | None = True

    def fields(self) -> dict[str, Any]:
        """The keyword arguments of `ProviderError`."""
        return {name: getattr(self, name) for name in self.__slots__}


def clean(text: str, *secrets: str) -> str:
    """Return a provider's words fit for a row: no control characters, no secret, bounded.

    A secret may be quoted as JSON, and one may be a part of another.
    """
    quoted = [json.dumps(secret)[1:-1] for secret in secrets]
    for secret in sorted(filter(None, {*secrets, *quoted}), key=len, reverse=True):
        text = text.replace(secret, "…")
    text = "".join(c if c.isprintable() else " " for c in text[: 4 * LONGEST_MESSAGE])
    return " ".join(text.split())[:LONGEST_MESSAGE]


def retry_after(answer: Answer, default: float | None = None) -> float | None:
    """Return the seconds of the `retry-after` header, or the default.

    A date is not read: it would need the wall clock.
    """
    try:
        return max(0.0, float(answer.headers.get("retry-after", "")))
    except ValueError:
        return default


def told_status(answer: Answer | None) -> str:
    """The answer's status for metrics and spans; `none` when there was no answer."""
    return "none" if answer is None else str(answer.status)


def call_line(
    provider: str,
    ask: Ask,
    answer: Answer | None,
    *,
    error: ProviderError | None,
    attempt: int,
    seconds: float,
) -> dict[str, Any]:
    """What the log says of one request; no header, no body and no parameter is in it.

    Args:
        provider: Who was asked.
        ask: What was asked.
        answer: What came back, if anything did.
        error: What it means, unless all is well.
        attempt: Which try of the same read this was, from 1.
        seconds: From sending to the whole answer.
    """
    return {
        "event": "provider call",
        "provider": provider,
        "operation": ask.operation,
        "app": ask.app or None,
        "subject": ask.subject,
        "status": None if answer is None else answer.status,
        "seconds": round(seconds, 4),
        "attempt": attempt,
        "provider_request_id": None if answer is None else answer.request_id,
        "error": None if error is None else error.kind,
        "message": None if error is None else error.message,
    }
