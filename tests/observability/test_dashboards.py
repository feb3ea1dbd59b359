"""Dashboards: current, whole, and asking for what there is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.observability.boards.__main__ import BOARDS, FOLDER, render
from deploy.observability.catalogue import BUILT_IN, catalogue
from tests.observability.expressions import Selected, selectors
from tests.observability.test_rules import problems
from tests.observability.tools import rules


def panels(name: str) -> Iterator[dict[str, Any]]:
    """The panels of a dashboard's JSON, without its headings."""
    for panel in json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["panels"]:
        if panel["type"] != "row":
            yield panel


def asked(panel: dict[str, Any]) -> Iterator[Selected]:
    """What a panel asks Prometheus for; Grafana fills in the interval."""
    for target in panel["targets"]:
        yield from selectors(target["expr"].replace("$__rate_interval", "5m"))


@pytest.mark.parametrize("name", BOARDS)
def test_the_json_is_current(name: str) -> None:
    """It is what the code makes; `make observability` makes it."""
    assert render(name) == (FOLDER / f"{name}.json").read_text(encoding="utf-8")


def test_nothing_else_is_there() -> None:
    """Every file is a dashboard of the code."""
    assert {path.stem for path in FOLDER.iterdir()} == set(BOARDS)


@pytest.mark.parametrize("name", BOARDS)
def test_panels_ask_for_what_there_is(name: str) -> None:
    """Every expression is PromQL, and every name and label in it is ours or a rule's."""
    ours = {name for families in catalogue().values() for each in families for name in each.series}
    known = ours | {rule["record"] for rule in rules() if "record" in rule} | BUILT_IN
    wrong = {
        (panel["title"], problem)
        for panel in panels(name)
        for selected in asked(panel)
        for problem in [
            *problems(selected),
            *([] if selected.metric in known else [f"nothing is called {selected.metric}"]),
        ]
    }

    assert wrong == set()


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_fits_the_screen(name: str) -> None:
    """Panels have titles, units and ids of their own, and none covers another."""
    shown = list(panels(name))
    places = {
        (x, panel["gridPos"]["y"])
        for panel in shown
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
    }

    assert all(panel["title"] and panel["fieldConfig"]["defaults"]["unit"] for panel in shown)
    assert len({panel["id"] for panel in shown}) == len(shown)
    assert len(places) == sum(panel["gridPos"]["w"] for panel in shown)
    assert max(x for x, _ in places) < 24


def test_the_boards_show_what_is_counted() -> None:
    """Hardly a metric of ours is collected for nobody: those left out are parts of others."""
    shown = {
        selected.metric for name in BOARDS for panel in panels(name) for selected in asked(panel)
    }
    used = shown | {s.metric for rule in rules() for s in selectors(rule["expr"])}
    unused = {
        family.name
        for families in catalogue().values()
        for family in families
        if family.name.startswith("invoker_") and not used & set(family.series)
    }

    assert unused == {
        "invoker_database_waiting",
        "invoker_unconverged_objects",
        "invoker_workqueue_adds",
        "invoker_workqueue_delayed",
        "invoker_workqueue_retries",
        "invoker_workqueue_unfinished_work_seconds",
    }
