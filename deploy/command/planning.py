"""`invoker plan`: what a wish would do outside, and what it would cost, before it is made."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from crds.store.migrate import migrations
from deploy.command.frame import CommandError, Exit, framed, note, run, usage
from deploy.command.kinds import Namespace, find_row, kind_of
from deploy.command.output import Form, Output, show, show_json, table, waiting
from deploy.command.place import Place, State
from deploy.command.running import applied_versions

if TYPE_CHECKING:
    from deploy.plan import Known, Rehearsal, Wish

STDIN = "-"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(plan)


def plan(
    target: Annotated[
        str | None,
        typer.Argument(metavar="[KIND/NAME]", help="An object: what would happen to it now."),
    ] = None,
    *,
    file: Annotated[
        str | None,
        typer.Option("--file", "-f", help="Wishes in YAML or JSON; - for standard input."),
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Wish the objects gone.")] = False,
    namespace: Namespace = None,
    output: Output = Form.TABLE,
    state: State = None,
) -> None:
    """Say what the next reconciles would do, call by call, and what it would cost a month.

    The real reconcilers run on virtual time on a copy of the rows, against clouds in memory:
    nothing of the real rows or clouds is touched.
    Fields that a wish does not name stay as they are; null removes one.
    Costs are those of machines that are always on;
    for dev environments that stop by themselves also those of 240 working hours.
    Droplets are on their users' own bills, and are left out.
    Ends with 4 when a wish would not come true.
    """
    with framed(), _interruptible():
        if (target is None) == (file is None):
            raise usage("name an object, or a file with -f")
        place = Place.found(state)
        with waiting("rehearsing"):
            found = _rehearsed(place, target, file, namespace, delete=delete)
    if output is Form.JSON:
        show_json(_to_json(found))
    else:
        _show(found)
    for line in found.notes:
        note(f"assumed: {line}")
    note(f"planned on a scratch {found.scratch}, which is gone")
    if found.problems or not found.at_rest:
        raise typer.Exit(Exit.NOT_CONVERGED)


def _rehearsed(
    place: Place, target: str | None, file: str | None, namespace: str | None, *, delete: bool
) -> Rehearsal:
    # The controller and the simulators take longer to load than most commands to run.
    from deploy.plan import DocumentError, ScratchError, parse, rehearse  # noqa: PLC0415 - see above

    try:
        if file is not None:
            wishes = parse(_text(file), namespace=namespace, delete=delete)
        else:
            wishes = [run(lambda: _wish(place, target or "", namespace, delete=delete))]
        return rehearse(place.url, wishes, run(lambda: _known(place)))
    except DocumentError as error:
        raise usage(f"{file}: {error}" if file else str(error)) from None
    except ScratchError as error:
        raise CommandError(str(error)) from None


def _text(file: str) -> str:
    if file == STDIN:
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise usage(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise usage(f"{file}: is not UTF-8") from None


async def _wish(place: Place, target: str, namespace: str | None, *, delete: bool) -> Wish:
    from deploy.plan import Wish  # noqa: PLC0415 - loaded by the caller already

    word, slash, name = target.partition("/")
    if not slash:
        raise usage("name the object as KIND/NAME, such as workspace/alice")
    kind = kind_of(word)
    async with place.store() as store:
        row = await find_row(store, kind, name, namespace)
    return Wish(kind, row["namespace"], row["name"], delete=delete)


async def _known(place: Place) -> Known:
    """What is known of the controller's settings; rows of another schema are not copied.

    Raises:
        CommandError: The database has not the schema of this version.
    """
    from deploy.plan import Known  # noqa: PLC0415 - loaded by the caller already

    if await applied_versions(place.url) != {step.version for step in migrations()}:
        raise CommandError("the database has not the schema of this version: `invoker migrate`")
    async with place.store() as store:
        return await Known.load(store, place.environ)


def _show(found: Rehearsal) -> None:
    if found.steps:
        rows: list[Sequence[object]] = [
            (
                number,
                step.provider,
                step.operation,
                step.object,
                step.thing,
                " ".join(f"{name}={value}" for name, value in step.attributes.items()),
            )
            for number, step in enumerate(found.steps, 1)
        ]
        show(table(("#", "Provider", "Operation", "For", "Thing", "Attributes"), rows), "")
    else:
        show("nothing to do")
    show(*_told(found))


def _told(found: Rehearsal) -> Iterator[str]:
    for outcome in found.outcomes:
        if outcome.before != outcome.after:
            yield f"{outcome.key}: {outcome.before or 'absent'} → {outcome.after or 'gone'}"
    for outcome in found.problems:
        yield f"{outcome.key} does not come to what is wished: {outcome.problem}"
    if not found.at_rest:
        yield f"it has not come to rest within {found.seconds / 60:.0f} minutes"
    yield f"cost a month: {found.cost_before:.2f} → {found.cost_after:.2f} USD"
    if (found.worked_before, found.worked_after) != (found.cost_before, found.cost_after):
        worked = f"{found.worked_before:.2f} → {found.worked_after:.2f} USD"
        yield f"with dev environments stopped outside working hours: {worked}"


def _to_json(found: Rehearsal) -> dict[str, Any]:
    return {
        "steps": [step._asdict() for step in found.steps],
        "outcomes": [{**outcome._asdict(), "key": str(outcome.key)} for outcome in found.outcomes],
        "monthlyUsd": {"before": found.cost_before, "after": found.cost_after},
        "monthlyUsdWithAutoStop": {"before": found.worked_before, "after": found.worked_after},
        "atRest": found.at_rest,
        "assumed": found.notes,
    }


@contextmanager
def _interruptible() -> Iterator[None]:
    """Clean up on SIGTERM as on Ctrl-C."""

    def interrupt(_: int, __: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
