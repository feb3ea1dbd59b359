"""The log: one line an event, JSON or text, on stderr.

A line says where it belongs: the trace and span that it was written under, and in a reconcile
the object's kind, namespace, name and account.
"""

from __future__ import annotations

import logging
import sys
from typing import Final, Literal

import structlog
from opentelemetry.trace import format_span_id, format_trace_id, get_current_span
from structlog.typing import EventDict, Processor

LogLevel = Literal["debug", "info", "warning", "error"]

# What a line never says, whoever tries.
SECRET_KEYS = frozenset(
    {
        "access_token",
        "api_key",
        "authorization",
        "client_secret",
        "cookie",
        "password",
        "refresh_token",
        "secret",
        "token",
    }
)
OURS: Final = ("invoker", "api", "controller", "crds")
_ACCOUNT: Final = "Account"


def configure(form: Literal["json", "text"], level: LogLevel = "info") -> None:
    """Send our log and the libraries' through the same renderer.

    Args:
        form: JSON for machines, text for people.
        level: The least of our own lines that is written; a library's are from `info` on.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _place,
        _hide_secrets,
    ]
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderer(form),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(threshold, logging.INFO), force=True)
    # Ours alone may go below: a library's debugging shows what it sends, headers included.
    for name in OURS:
        logging.getLogger(name).setLevel(threshold)
    # They log every request at INFO, addresses included.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        cache_logger_on_first_use=True,
    )


def _renderer(form: Literal["json", "text"]) -> list[Processor]:
    if form == "json":
        return [_tracebacks(), structlog.processors.JSONRenderer()]
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]


def _tracebacks() -> Processor:
    """Tracebacks as data, without the values of variables: those may be anything, tokens too."""
    return structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    )


def _place(_: object, __: str, event: EventDict) -> EventDict:
    """Say which trace, span and account the line belongs to, and nothing that is not there."""
    span = get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = format_trace_id(span.trace_id)
        event["span_id"] = format_span_id(span.span_id)
    for key in [key for key, value in event.items() if value is None]:
        del event[key]
    if "account" not in event and (account := _account(event)):
        event["account"] = account
    return event


def _account(event: EventDict) -> str | None:
    """Whose it is: an account is the namespace of everything of a user's, and a user its name."""
    if "kind" not in event:
        return event.get("user_id")
    return event.get("namespace") or (event.get("name") if event["kind"] == _ACCOUNT else None)


def _hide_secrets(_: object, __: str, event: EventDict) -> EventDict:
    for key in SECRET_KEYS & event.keys():
        event[key] = "***"
    return event
