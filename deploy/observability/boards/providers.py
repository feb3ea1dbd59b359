"""Providers: how they answer, how fast they may be asked, and who is waiting."""

from __future__ import annotations

from typing import Final

from deploy.observability.boards.panels import Query, Row, lines

RATE: Final = "$__rate_interval"

ROWS: Final = (
    Row(
        "Calls",
        (
            lines(
                "Calls",
                "reqps",
                Query(
                    f"sum by (provider) (rate(invoker_provider_calls_total[{RATE}]))",
                    "{{provider}}",
                ),
            ),
            lines(
                "Calls by operation",
                "reqps",
                Query(
                    "topk(10, sum by (provider, operation) "
                    f"(rate(invoker_provider_calls_total[{RATE}])))",
                    "{{provider}} {{operation}}",
                ),
            ),
            lines(
                "Time to an answer (p95)",
                "s",
                Query(
                    "histogram_quantile(0.95, sum by (provider, operation, le) "
                    f"(rate(invoker_provider_duration_seconds_bucket[{RATE}])))",
                    "{{provider}} {{operation}}",
                ),
            ),
        ),
    ),
    Row(
        "Errors",
        (
            lines(
                "Errors by kind",
                "reqps",
                Query(
                    f"sum by (provider, kind) (rate(invoker_provider_errors_total[{RATE}]))",
                    "{{provider}} {{kind}}",
                ),
            ),
            lines(
                "Share of calls that fail",
                "percentunit",
                Query(
                    f"sum by (provider) (rate(invoker_provider_errors_total[{RATE}])) "
                    f"/ sum by (provider) (rate(invoker_provider_calls_total[{RATE}]))",
                    "{{provider}}",
                ),
            ),
            lines(
                "Breakers that are not closed",
                "short",
                Query(
                    'max by (provider, state) (invoker_provider_breaker_state{state!="closed"})',
                    "{{provider}} {{state}}",
                ),
            ),
        ),
    ),
    Row(
        "Budget",
        (
            lines(
                "Requests that could be sent at once",
                "short",
                Query(
                    "min by (provider) (invoker_provider_budget_left)",
                    "{{provider}}",
                ),
            ),
            lines(
                "Requests that had to wait",
                "reqps",
                Query(
                    "sum by (provider, operation) "
                    f"(rate(invoker_provider_throttled_total[{RATE}]))",
                    "{{provider}} {{operation}}",
                ),
            ),
            lines(
                "How long they waited (p95)",
                "s",
                Query(
                    "histogram_quantile(0.95, sum by (provider, le) "
                    f"(rate(invoker_provider_budget_wait_seconds_bucket[{RATE}])))",
                    "{{provider}}",
                ),
            ),
        ),
    ),
)
