"""API and edge: what users and visitors get, and how fast."""

from __future__ import annotations

from typing import Final

from deploy.observability.boards.panels import Query, Row, lines
from deploy.observability.catalogue import EDGE

RATE: Final = "$__rate_interval"
WRONG: Final = "|".join(EDGE["wrong"])
UNCOUNTED: Final = "|".join(EDGE["uncounted"])

ROWS: Final = (
    Row(
        "API",
        (
            lines(
                "Requests by route",
                "reqps",
                Query(f"sum by (route) (rate(invoker_api_requests_total[{RATE}]))", "{{route}}"),
                stacked=True,
            ),
            lines(
                "Share of requests that fail (5xx)",
                "percentunit",
                Query(
                    f'sum by (route) (rate(invoker_api_requests_total{{status=~"5.."}}[{RATE}])) '
                    f"/ sum by (route) (rate(invoker_api_requests_total[{RATE}]))",
                    "{{route}}",
                ),
            ),
            lines(
                "Requests being served",
                "short",
                Query("sum by (instance) (invoker_api_requests_in_flight)", "{{instance}}"),
            ),
        ),
    ),
    Row(
        "API: time to answer by route",
        tuple(
            lines(
                f"p{percent}",
                "s",
                Query(f"invoker:api_request_duration_seconds:p{percent}_5m", "{{route}}"),
            )
            for percent in (50, 95, 99)
        ),
    ),
    Row(
        "Edge",
        (
            lines(
                "Requests by outcome",
                "reqps",
                Query(
                    f"sum by (outcome) (rate(invoker_edge_requests_total[{RATE}]))", "{{outcome}}"
                ),
                stacked=True,
            ),
            lines(
                "Share of visits routed wrong",
                "percentunit",
                Query(
                    f'sum by (outcome) (rate(invoker_edge_requests_total{{outcome=~"{WRONG}"}}'
                    f"[{RATE}])) / on() group_left sum(rate(invoker_edge_requests_total"
                    f'{{outcome!~"{UNCOUNTED}"}}[{RATE}]))',
                    "{{outcome}}",
                ),
            ),
            lines(
                "Visits that found a stale entry",
                "reqps",
                Query(f"sum(rate(invoker_edge_stale_entries_total[{RATE}]))", "stale"),
            ),
        ),
    ),
    Row(
        "Objective: 99.9 % of requests routed right",
        tuple(
            lines(
                f"Routed wrong over {window}",
                "percentunit",
                Query(f"slo:routing:wrong_ratio_{window}", window),
            )
            for window in ("1h", "6h", "3d")
        ),
    ),
)
