"""Panels, as few sorts as possible: lines over time, and numbers of the moment."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from string import ascii_uppercase
from typing import Final

with warnings.catch_warnings():
    # It would rather have schema v2, which Grafana before 12 cannot be provisioned with.
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import common as shared
    from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models

WIDTH: Final = 24
HEIGHT: Final = 7
SOURCE: Final = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
Panel = timeseries.Panel | stat.Panel


@dataclass(frozen=True, slots=True)
class Query:
    """One question to Prometheus, and how its answers are called."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels beside each other, under a heading."""

    title: str
    panels: Sequence[Panel]


def lines(title: str, unit: str, *queries: Query, stacked: bool = False) -> timeseries.Panel:
    """A panel of lines over time.

    Args:
        title: What it shows.
        unit: Grafana's name of the unit, such as `s`, `percentunit`, `reqps`.
        queries: What the lines are.
        stacked: Whether the lines are parts of a whole.
    """
    panel = (
        timeseries.Panel()
        .title(title)
        .unit(unit)
        .datasource(SOURCE)
        .min(0)
        .line_width(1)
        .fill_opacity(25 if stacked else 5)
        .show_points(common.VisibilityMode.NEVER)
        .height(HEIGHT)
    )
    if stacked:
        panel = panel.stacking(_stacked())
    for query, name in zip(queries, ascii_uppercase, strict=False):
        panel = panel.with_target(_target(query).ref_id(name))
    return panel


def number(title: str, unit: str, query: Query, *, bad_above: float | None = None) -> stat.Panel:
    """A panel with one number.

    Args:
        title: What it is.
        unit: Grafana's name of the unit.
        query: What it is read from.
        bad_above: It turns red above this.
    """
    panel = (
        stat.Panel()
        .title(title)
        .unit(unit)
        .datasource(SOURCE)
        .height(HEIGHT)
        .reduce_options(shared.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_target(query).ref_id("A").instant())
    )
    if bad_above is not None:
        panel = panel.thresholds(_red_above(bad_above))
    return panel


def board(uid: str, title: str, rows: Sequence[Row]) -> models.Dashboard:
    """A dashboard; each row's panels share its width.

    Args:
        uid: Its address in Grafana.
        title: Its name.
        rows: From top to bottom.
    """
    built = (
        dashboard.Dashboard(title)
        .uid(uid)
        .tags(["invoker"])
        .refresh("30s")
        .time("now-6h", "now")
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
        )
    )
    ids = count(1)
    for row in rows:
        built = built.with_row(dashboard.Row(row.title).id(next(ids)))
        for panel in row.panels:
            built = built.with_panel(panel.id(next(ids)).span(WIDTH // len(row.panels)))
    return built.build()


def _target(query: Query) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expression).datasource(SOURCE)
    return target.legend_format(query.legend) if query.legend else target


def _stacked() -> shared.StackingConfig:
    return shared.StackingConfig().mode(common.StackingMode.NORMAL)


def _red_above(value: float) -> dashboard.ThresholdsConfig:
    steps = [models.Threshold(value=None, color="green"), models.Threshold(value, color="red")]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)
