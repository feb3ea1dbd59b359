"""Spans: always made, sent only where an endpoint is set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


@contextmanager
def tracing(endpoint: str | None) -> Iterator[TracerProvider]:
    """Make spans for as long as the context lasts; at its end what is left is sent.

    Args:
        endpoint: An OTLP/HTTP collector's base URL; None: spans only carry their ids.
    """
    provider = TracerProvider(
        resource=Resource.create({SERVICE_NAME: "invoker-api"}), shutdown_on_exit=False
    )
    if endpoint is not None:
        exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")
        provider.add_span_processor(BatchSpanProcessor(exporter))
    try:
        yield provider
    finally:
        provider.shutdown()
