"""Dev environments: their services, what users are told, moves, row-level security, cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import Metric
from pydantic import ValidationError

from controller.metrics.families import gauge, one
from controller.metrics.sorts import Sort
from controller.metrics.vocabulary import (
    connection_label,
    phase_label,
    service_label,
    step_label,
)
from crds.devenv import Cost

Labels = tuple[str, ...]


def families(sorts: Mapping[Sort, int] | None) -> Iterator[Metric]:
    """What there is; families without values while another replica looks.

    Args:
        sorts: How many objects of which sort, or None where nobody has looked.
    """
    found = {} if sorts is None else sorts
    yield gauge(
        "invoker_services",
        "Services of dev environments by phase.",
        ("service", "phase"),
        _counted(found, _service),
    )
    yield gauge(
        "invoker_devenv_connections",
        "Dev environments by what their users are told.",
        ("connection",),
        _counted(found, _connection),
    )
    yield gauge(
        "invoker_devenv_moves",
        "Dev environments that move to another region, by what is being done.",
        ("step",),
        _counted(found, _step),
    )
    yield one(
        "invoker_devenvs_rls_drifted",
        "Dev environments in whose database somebody changed row-level security by hand.",
        None if sorts is None else sum(number for sort, number in found.items() if sort.drift),
    )
    yield gauge(
        "invoker_devenv_cost_usd_per_month",
        "What all dev environments cost in a month, in USD: always on, and with auto-stop.",
        ("mode",),
        {} if sorts is None else _cost(found),
    )


def _service(sort: Sort) -> Labels | None:
    if sort.service is None:
        return None
    return service_label(sort.service), phase_label(sort.phase)


def _connection(sort: Sort) -> Labels | None:
    if sort.kind != "DevEnv":
        return None
    return (connection_label(sort.connection),)


def _step(sort: Sort) -> Labels | None:
    return None if sort.move is None else (step_label(sort.move),)


def _counted(
    sorts: Mapping[Sort, int], label: Callable[[Sort], Labels | None]
) -> Mapping[Labels, int]:
    """How many there are of each label; those without one are left out."""
    counts: Counter[Labels] = Counter()
    for sort, number in sorts.items():
        if (labels := label(sort)) is not None:
            counts[labels] += number
    return counts


def _cost(sorts: Mapping[Sort, int]) -> dict[Labels, float]:
    found = {("always_on",): 0.0, ("auto_stop",): 0.0}
    for sort, number in sorts.items():
        if (cost := _cost_of(sort.cost)) is not None:
            found["always_on",] += number * cost.always_on_usd
            found["auto_stop",] += number * cost.auto_stop_usd
    return {mode: round(usd, 2) for mode, usd in found.items()}


def _cost_of(text: str | None) -> Cost | None:
    """A cost as a row has it; what an edit by plain SQL broke counts as none."""
    try:
        return None if text is None else Cost.model_validate_json(text)
    except ValidationError:
        return None
