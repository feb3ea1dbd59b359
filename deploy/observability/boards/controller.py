"""Controller: queues, reconciles, leaders, database, drift, leaks."""

from __future__ import annotations

from typing import Final

from deploy.observability.boards.panels import Query, Row, lines

RATE: Final = "$__rate_interval"


def _quantile(metric: str, by: str, legend: str) -> Query:
    inner = f"sum by ({by}, le) (rate({metric}_bucket[{RATE}]))"
    return Query(f"histogram_quantile(0.99, {inner})", legend)


ROWS: Final = (
    Row(
        "Reconciles",
        (
            lines(
                "Reconciles by result",
                "ops",
                Query(
                    f"sum by (result) (rate(invoker_controller_runtime_reconcile_total[{RATE}]))",
                    "{{result}}",
                ),
                stacked=True,
            ),
            lines(
                "Time a reconcile takes (p99)",
                "s",
                _quantile(
                    "invoker_controller_runtime_reconcile_time_seconds",
                    "controller",
                    "{{controller}}",
                ),
            ),
            lines(
                "Errors and bugs",
                "ops",
                Query(
                    "sum by (controller) "
                    f"(rate(invoker_controller_runtime_reconcile_errors_total[{RATE}]))",
                    "{{controller}} errors",
                ),
                Query(
                    "sum by (controller) "
                    f"(rate(invoker_controller_runtime_reconcile_panics_total[{RATE}]))",
                    "{{controller}} bugs",
                ),
            ),
        ),
    ),
    Row(
        "Queues",
        (
            lines(
                "Keys that wait",
                "short",
                Query("sum by (name) (invoker_workqueue_depth)", "{{name}}"),
            ),
            lines(
                "Time from queued to taken (p99)",
                "s",
                _quantile("invoker_workqueue_queue_duration_seconds", "name", "{{name}}"),
            ),
            lines(
                "Workers",
                "short",
                Query("sum(invoker_controller_runtime_active_workers)", "at work"),
                Query("sum(invoker_controller_runtime_max_concurrent_reconciles)", "there are"),
                Query("sum(invoker_controller_runtime_stuck_workers)", "stuck"),
            ),
            lines(
                "Longest running reconcile",
                "s",
                Query(
                    "max by (name) (invoker_workqueue_longest_running_processor_seconds)",
                    "{{name}}",
                ),
            ),
        ),
    ),
    Row(
        "Convergence",
        (
            lines(
                "Objects by kind of error",
                "short",
                Query(
                    "sum by (retry) "
                    '(max by (kind, retry) (invoker_objects_by_retry{retry!="None"}))',
                    "{{retry}}",
                ),
            ),
            lines(
                "Drift",
                "short",
                Query("sum by (kind) (increase(invoker_drift_total[1h]))", "{{kind}} seen"),
                Query(
                    "sum by (kind) (increase(invoker_drift_seconds_count[1h]))",
                    "{{kind}} repaired",
                ),
            ),
            lines(
                "Time to repair a drift (p95)",
                "s",
                Query(
                    "histogram_quantile(0.95, sum by (kind, le) "
                    "(rate(invoker_drift_seconds_bucket[1h])))",
                    "{{kind}}",
                ),
            ),
            lines(
                "Time from wish to converged (p95)",
                "s",
                Query(
                    "histogram_quantile(0.95, sum by (kind, wish, le) "
                    "(rate(invoker_convergence_seconds_bucket[1h])))",
                    "{{kind}} {{wish}}",
                ),
            ),
        ),
    ),
    Row(
        "Leaks",
        (
            lines(
                "Orphans and open effects",
                "short",
                Query("max by (thing) (invoker_orphans)", "{{thing}}"),
                Query("max(invoker_intents_pending)", "effects of unknown outcome"),
            ),
            lines(
                "Removed and refused",
                "short",
                Query("sum by (thing) (increase(invoker_orphans_removed_total[1h]))", "{{thing}}"),
                Query("sum(increase(invoker_collections_refused_total[1h]))", "refused"),
            ),
        ),
    ),
    Row(
        "Replicas and database",
        (
            lines(
                "Shards by replica",
                "short",
                Query("sum by (instance) (invoker_shard_owned)", "{{instance}}"),
                stacked=True,
            ),
            lines(
                "Leaders",
                "short",
                Query("sum by (name) (invoker_leader_election_master_status)", "{{name}}"),
            ),
            lines(
                "Database: time until it answers (p99)",
                "s",
                _quantile("invoker_database_ping_seconds", "instance", "{{instance}}"),
            ),
            lines(
                "Memory",
                "bytes",
                Query('process_resident_memory_bytes{job="invoker-controller"}', "{{instance}}"),
            ),
        ),
    ),
)
