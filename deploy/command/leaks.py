"""`invoker leaks`: what may have been left outside, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from deploy.command.frame import Exit, note, run
from deploy.command.output import Form, Output, ago, camel, show, show_json, table
from deploy.command.place import Place, State

if TYPE_CHECKING:
    from deploy.command.ledger import Ledger


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(leaks)


def leaks(*, output: Output = Form.TABLE, state: State = None) -> None:
    """Show effects of unknown outcome, orphans seen, adopted and removed, and their cost.

    With the providers' credentials in the environment what is outside is listed and compared with
    the rows, by the collector's own judgement; without them only what the rows tell is shown.
    Nothing is changed.
    """

    async def read() -> Ledger:
        # The providers' clients take longer to load than most commands to run.
        from deploy.command.ledger import gather  # noqa: PLC0415 - see above

        place = Place.found(state)
        async with place.store() as store:
            return await gather(store, place.environ)

    found = run(read)
    if output is Form.JSON:
        show_json(
            {
                "openEnds": [camel(end._asdict()) for end in found.open_ends],
                "events": [camel(event) for event in found.events],
                "orphans": found.orphans and [camel(each._asdict()) for each in found.orphans],
                "monthlyUsd": None if found.orphans is None else found.monthly_usd,
                "incomplete": found.incomplete,
                "unseen": found.unseen,
            }
        )
    else:
        _show(found)
    if found.unseen is not None:
        note(f"only what the rows tell; cannot look outside: {found.unseen}")
    if found.incomplete:
        note("a provider left regions out of its lists: there may be more")
    if found.failed:
        raise typer.Exit(Exit.FAILED)


def _show(found: Ledger) -> None:
    ends = [(end.object, end.what, ago(end.since, found.now)) for end in found.open_ends]
    if ends:
        show(table(("Object", "What", "Since"), ends), "")
    else:
        show("rows: nothing is open")
    if found.events:
        events = [
            (ago(e.last_at, found.now), e.reason, f"{e.kind} {e.name}", e.count, e.message)
            for e in found.events
        ]
        show(table(("Last", "Event", "Object", "Count", "Message"), events), "")
    if found.orphans:
        orphans = [
            (
                each.thing,
                each.app or None,
                None if each.monthly_usd is None else f"{each.monthly_usd:.2f}",
                each.verdict,
            )
            for each in found.orphans
        ]
        show(table(("Outside", "App", "USD a month", "Verdict"), orphans), "")
    if found.orphans is not None:
        show(f"outside without a row: {len(found.orphans)}, {found.monthly_usd:.2f} USD a month")
