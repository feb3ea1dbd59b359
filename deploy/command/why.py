"""`invoker why`: everything that is known of why an object is not as it should be."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.command import gauges
from deploy.command.explanation import Explanation, explain
from deploy.command.frame import run
from deploy.command.kinds import Kind, Name, Namespace, find_row, kind_of
from deploy.command.output import Form, Output, ago, show, show_json, table, until
from deploy.command.place import Place, State


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(why)


def why(
    kind: Kind,
    name: Name,
    *,
    namespace: Namespace = None,
    controller: Annotated[
        str | None,
        typer.Option(
            help="A controller's address, for what is left of its budgets.",
            envvar="INVOKER_CONTROLLER_URL",
            show_default="http://127.0.0.1:8081",
        ),
    ] = None,
    output: Output = Form.TABLE,
    state: State = None,
) -> None:
    """Say why an object is as it is: what it waits for, what comes next, what to do."""

    async def read() -> Explanation:
        wanted, place = kind_of(kind), Place.found(state)
        async with place.store() as store:
            row = await find_row(store, wanted, name, namespace)
            url = controller or gauges.controller_url(place.environ)
            return await explain(store, row, await gauges.read(url, place.environ))

    found = run(read)
    if output is Form.JSON:
        show_json(found.to_json())
        return
    _show_state(found)
    _show_conditions(found)
    _show_relatives(found)
    _show_events(found)
    _show_budgets(found)
    show("", *(f"what to do: {line}" for line in found.remedies))


def _show_state(found: Explanation) -> None:
    status = found.status
    lines = [f"{found.key}: {status.phase}"]
    lines += [f"waits for: {each}" for each in found.waits_for]
    if (retry := status.retry) is not None:
        when = until(retry.next_at, found.now) or "not by itself"
        lines.append(
            f"retry: {retry.kind}, {retry.reason}, attempt {retry.attempt}, next try {when}"
        )
        said_by = retry.provider or "the controller"
        request = f" (request {retry.request_id})" if retry.request_id else ""
        lines.append(f"last answer: {said_by}: {retry.message}{request}")
    if (intent := found.intent) is not None:
        lines.append(
            f"intent pending: {intent.operation}, attempt {intent.attempt}, "
            f"begun {ago(intent.since, found.now)}"
        )
    show(*lines)


def _show_conditions(found: Explanation) -> None:
    rows = [
        (c.type, c.status, c.reason, ago(c.last_transition_time, found.now), c.message)
        for c in found.status.conditions
    ]
    if rows:
        show("", table(("Condition", "Status", "Reason", "Since", "Message"), rows))


def _show_relatives(found: Explanation) -> None:
    rows = [(each.relation, each.key, each.status.phase, each.ready) for each in found.relatives]
    if rows:
        show("", table(("Relation", "Object", "Phase", "Ready"), rows))


def _show_events(found: Explanation) -> None:
    rows = [
        (ago(e.last_at, found.now), e.kind, e.type, e.reason, e.count, e.message)
        for e in found.events
    ]
    if rows:
        show("", table(("Last", "Of", "Type", "Reason", "Count", "Message"), rows))


def _show_budgets(found: Explanation) -> None:
    if found.gauges.problem is not None:
        show("", f"budgets: not known, {found.gauges.problem}")
        return
    rows = [(each.name, f"{each.calls_left:.0f}", each.breaker) for each in found.gauges.providers]
    show("", table(("Provider", "Calls left", "Breaker"), rows))
