"""Cost: what runs, what it would come to, and how far the caps are."""

from __future__ import annotations

from typing import Final

from deploy.observability.boards.panels import Query, Row, lines, number

ROWS: Final = (
    Row(
        "Now",
        (
            number(
                "What runs, in USD a month",
                "currencyUSD",
                Query("sum(max by (part) (invoker_cost_usd_per_month))"),
            ),
            number(
                "If all were always on",
                "currencyUSD",
                Query("max(invoker_committed_cost_usd_per_month)"),
            ),
            number(
                "Spend cap used",
                "percentunit",
                Query("invoker:cost:committed_ratio"),
                bad_above=0.8,
            ),
            number(
                "Cap on machines used",
                "percentunit",
                Query("invoker:machines:committed_ratio"),
                bad_above=0.8,
            ),
        ),
    ),
    Row(
        "Over time",
        (
            lines(
                "What runs, in USD a month",
                "currencyUSD",
                Query("max by (part) (invoker_cost_usd_per_month)", "{{part}}"),
                stacked=True,
            ),
            lines(
                "Committed, against the cap",
                "currencyUSD",
                Query("max(invoker_committed_cost_usd_per_month)", "committed"),
                Query("max(invoker_cost_cap_usd_per_month)", "cap"),
            ),
            lines(
                "Machines, against the cap",
                "short",
                Query("max(invoker_committed_machines)", "workspaces and services"),
                Query("max(invoker_machines_cap)", "cap"),
            ),
        ),
    ),
    Row(
        "Dev environments",
        (
            number(
                "With auto-stop, in USD a month",
                "currencyUSD",
                Query('max(invoker_devenv_cost_usd_per_month{mode="auto_stop"})'),
            ),
            number(
                "Saved by auto-stop",
                "percentunit",
                Query(
                    '1 - max(invoker_devenv_cost_usd_per_month{mode="auto_stop"}) '
                    '/ max(invoker_devenv_cost_usd_per_month{mode="always_on"})'
                ),
            ),
            lines(
                "With and without auto-stop, in USD a month",
                "currencyUSD",
                Query("max by (mode) (invoker_devenv_cost_usd_per_month)", "{{mode}}"),
            ),
            lines(
                "Dev environments by phase",
                "short",
                Query('max by (phase) (invoker_objects{kind="DevEnv"})', "{{phase}}"),
                stacked=True,
            ),
        ),
    ),
    Row(
        "What makes it",
        (
            lines(
                "Share of machines that are asleep",
                "percentunit",
                Query(
                    'max(invoker_objects{kind="Machine",phase="Asleep"}) '
                    '/ sum(max by (phase) (invoker_objects{kind="Machine"}))',
                    "asleep",
                ),
            ),
            lines(
                "Accounts by state",
                "short",
                Query('max by (phase) (invoker_objects{kind="Account"})', "{{phase}}"),
                stacked=True,
            ),
        ),
    ),
)
