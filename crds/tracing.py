"""Spans, and how a wish carries its trace on the row; without global state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanContext, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACEPARENT = "invoker.dev/traceparent"
"""The annotation in which a wish carries the trace of the request that made it."""


@contextmanager
def tracing(
    endpoint: str | None, *, service: str, instance: str | None = None
) -> Iterator[TracerProvider]:
    """Make spans for as long as the context lasts; at its end what is left is sent.

    Args:
        endpoint: An OTLP/HTTP collector's base URL; None: spans only carry their ids.
        service: `service.name` of the spans.
        instance: `service.instance.id` of the spans.
    """
    attributes = {SERVICE_NAME: service} | ({SERVICE_INSTANCE_ID: instance} if instance else {})
    provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
    if endpoint is not None:
        # The exporter's thread sends; nothing that serves or reconciles waits for it.
        exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")
        provider.add_span_processor(BatchSpanProcessor(exporter))
    try:
        yield provider
    finally:
        provider.shutdown()


def traceparent(context: Context | None = None) -> str | None:
    """The W3C traceparent of a context, by default the current one; None without a span."""
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, context)
    return carrier.get("traceparent")


def span_context(parent: str | None) -> SpanContext | None:
    """The span that a W3C traceparent names; None when it is missing or malformed."""
    if not parent:
        return None
    context = TraceContextTextMapPropagator().extract({"traceparent": parent}, Context())
    found = get_current_span(context).get_span_context()
    return found if found.is_valid else None


def link(span: Span, parent: str | None) -> None:
    """Link a span to the one that a traceparent names, if it is recorded and there is one."""
    if span.is_recording() and (context := span_context(parent)) is not None:
        span.add_link(context)
