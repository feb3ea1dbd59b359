"""Overview: whether all is well, on one page."""

from __future__ import annotations

from typing import Final

from deploy.observability.boards.panels import Query, Row, lines, number

ROWS: Final = (
    Row(
        "Objectives (30 days)",
        (
            number(
                "Wishes late (99 % in time)",
                "percentunit",
                Query("slo:wishes:late_ratio_30d"),
                bad_above=0.01,
            ),
            number(
                "Requests routed wrong (99.9 % right)",
                "percentunit",
                Query("slo:routing:wrong_ratio_30d"),
                bad_above=0.001,
            ),
            number(
                "Alerts firing",
                "short",
                Query('count(ALERTS{alertstate="firing",severity!="none"}) or vector(0)'),
                bad_above=0.5,
            ),
            number("Spend cap used", "percentunit", Query("invoker:cost:committed_ratio")),
        ),
    ),
    Row(
        "Fleet",
        (
            lines(
                "Machines by phase",
                "short",
                Query('max by (phase) (invoker_objects{kind="Machine"})', "{{phase}}"),
                stacked=True,
            ),
            lines(
                "Machines that should run, and that answer",
                "short",
                Query("max(invoker_machines_wanted_running)", "should run"),
                Query("max(invoker_machines_healthy)", "answer"),
            ),
            lines(
                "In trouble",
                "short",
                Query("max(invoker_machines_unreachable)", "do not answer"),
                Query("max(invoker_machines_crash_looping)", "crash again and again"),
                Query("sum(max by (kind) (invoker_drifted_objects))", "not as wished any more"),
            ),
        ),
    ),
    Row(
        "Dev environments",
        (
            lines(
                "Services by phase",
                "short",
                Query("sum by (phase) (max by (service, phase) (invoker_services))", "{{phase}}"),
                stacked=True,
            ),
            lines(
                "Services that do not run, by service",
                "short",
                Query(
                    "sum by (service) (max by (service, phase) "
                    '(invoker_services{phase!~"Running|Stopped"}))',
                    "{{service}}",
                ),
            ),
            lines(
                "What users are told",
                "short",
                Query("max by (connection) (invoker_devenv_connections)", "{{connection}}"),
                stacked=True,
            ),
            lines(
                "Moves, drift, traffic",
                "short",
                Query("max by (step) (invoker_devenv_moves)", "move: {{step}}"),
                Query("max(invoker_devenvs_rls_drifted)", "row-level security changed by hand"),
                Query(
                    "(time() - max(invoker_usage_looked_timestamp_seconds)) / 60",
                    "minutes since traffic was known",
                ),
            ),
        ),
    ),
    Row(
        "VPSs",
        (
            lines(
                "VPSs by phase",
                "short",
                Query('max by (phase) (invoker_objects{kind="Vps"})', "{{phase}}"),
                stacked=True,
            ),
            lines(
                "Sessions by phase",
                "short",
                Query('max by (phase) (invoker_objects{kind="Session"})', "{{phase}}"),
                stacked=True,
            ),
            lines(
                "Time to ready of new VPSs",
                "s",
                *(
                    Query(
                        f"histogram_quantile({quantile}, sum by (le) (rate("
                        'invoker_time_to_readiness_seconds_bucket{kind="Vps"}[1h])))',
                        f"p{quantile * 100:g}",
                    )
                    for quantile in (0.5, 0.95)
                ),
            ),
        ),
    ),
    Row(
        "Wishes",
        (
            lines(
                "Wishes by outcome",
                "short",
                Query(
                    "sum by (outcome) (increase(invoker_wishes_total[$__rate_interval]))",
                    "{{outcome}}",
                ),
                stacked=True,
            ),
            lines(
                "Time to ready of new workspaces",
                "s",
                *(
                    Query(
                        f"histogram_quantile({quantile}, sum by (le) (rate("
                        'invoker_time_to_readiness_seconds_bucket{kind="Workspace"}[1h])))',
                        f"p{quantile * 100:g}",
                    )
                    for quantile in (0.5, 0.95, 0.99)
                ),
            ),
            lines(
                "Oldest object that is not as wished",
                "s",
                Query("max by (kind) (invoker_oldest_unconverged_seconds)", "{{kind}}"),
            ),
        ),
    ),
    Row(
        "Machines' lives",
        (
            lines(
                "Made, crashed, recovered",
                "short",
                Query("sum(increase(invoker_machines_created_total[1h]))", "made"),
                Query("sum(increase(invoker_machine_crashes_total[1h]))", "crashed"),
                Query("sum(increase(invoker_machine_recoveries_total[1h]))", "recovered"),
            ),
            lines(
                "Uptime at a stretch",
                "s",
                Query(
                    "histogram_quantile(0.5, sum by (le) "
                    "(rate(invoker_machine_uptime_seconds_bucket[1d])))",
                    "median",
                ),
            ),
            lines(
                "What happened",
                "short",
                Query(
                    'sum by (reason) (increase(invoker_events_total{reason!="Other"}[1h]))',
                    "{{reason}}",
                ),
            ),
        ),
    ),
)
