"""OpenTelemetry without global state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NoOpTracer,
    Span,
    SpanContext,
    Tracer,
    get_current_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_SCOPE = "invoker.controller"


@contextmanager
def tracing(endpoint: str | None, *, service: str, instance: str) -> Iterator[Tracer]:
    """A tracer that exports for as long as the context lasts.

    Args:
        endpoint: The OTLP/HTTP traces URL; None traces nothing and starts nothing.
        service: `service.name` of the spans.
        instance: `service.instance.id` of the spans.
    """
    if endpoint is None:
        yield NoOpTracer()
        return
    resource = Resource.create({SERVICE_NAME: service, SERVICE_INSTANCE_ID: instance})
    provider = TracerProvider(resource=resource)
    # The exporter's thread sends; nothing that reconciles waits for it.
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    try:
        yield provider.get_tracer(_SCOPE)
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
