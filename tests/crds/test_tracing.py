"""Spans, and the trace that a wish carries."""

from opentelemetry.sdk.trace import TracerProvider

from crds.tracing import span_context, traceparent, tracing


def test_without_an_endpoint_nothing_is_sent() -> None:
    """No endpoint: spans have ids, no exporter runs, and outside a span there is no trace."""
    with tracing(None, service="controller", instance="me") as provider:
        assert provider.get_tracer("test").start_span("x").get_span_context().is_valid
        assert not provider._active_span_processor._span_processors

    assert traceparent() is None


def test_malformed_traceparents_are_ignored() -> None:
    """What stands in an annotation may be anything."""
    assert [None] * 3 == [span_context(text) for text in (None, "", "00-zz-zz-01")]


def test_traceparent_of_the_current_span() -> None:
    """A wish can carry the trace in which it was made."""
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("wish") as span:
        context = span.get_span_context()

        assert f"00-{context.trace_id:032x}-{context.span_id:016x}" == (traceparent() or "")[:-3]
