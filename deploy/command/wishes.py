"""Wishes that need a word of their own: pause, restart, quarantine, force a deletion."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from crds.account import Account
from crds.annotations import FORCE_DELETE, PAUSED
from crds.errors import ConflictError
from crds.meta import Resource
from crds.store import Store
from deploy.command.frame import CommandError, framed, note, run, usage
from deploy.command.kinds import Kind, Name, Namespace, find, kind_of
from deploy.command.place import Place, State

# A row that moves so often while one person writes to it is being fought over.
TRIES = 5
LONGEST_REASON = 500

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Change = Callable[[Resource, Store], None]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(pause)
    app.command()(resume)
    app.command()(restart)
    app.command()(quarantine)
    app.command("force-delete")(force_delete)


def pause(
    kind: Kind, name: Name, *, namespace: Namespace = None, yes: Yes = False, state: State = None
) -> None:
    """Take an object out of the controllers' hands: nothing is done about it, drift included."""

    def change(found: Resource, _: Store) -> None:
        found.metadata.annotations[PAUSED] = "true"

    wish(kind, name, namespace, "pause", change, yes=yes, state=state)


def resume(
    kind: Kind, name: Name, *, namespace: Namespace = None, yes: Yes = False, state: State = None
) -> None:
    """Give a paused object back to the controllers."""

    def change(found: Resource, _: Store) -> None:
        if found.metadata.annotations.pop(PAUSED, None) is None:
            raise CommandError(f"{found.key} is not paused")

    wish(kind, name, namespace, "resume", change, yes=yes, state=state)


def restart(
    kind: Kind, name: Name, *, namespace: Namespace = None, yes: Yes = False, state: State = None
) -> None:
    """Restart the process of a workspace or a machine once, if it runs."""

    def change(found: Resource, store: Store) -> None:
        if "restart_at" not in type(found.spec).model_fields:
            raise usage(f"{found.key} cannot be restarted")
        setattr(found.spec, "restart_at", store.clock.now())  # noqa: B010 - of several kinds

    wish(kind, name, namespace, "restart", change, yes=yes, state=state)


def quarantine(
    account: Annotated[str, typer.Argument(help="Its name or its e-mail address.")],
    *,
    lift: Annotated[bool, typer.Option("--lift", help="End it.")] = False,
    yes: Yes = False,
    state: State = None,
) -> None:
    """Stop an account: its machine, its route, and the tokens issued to it so far.

    Lifting it does not make the old tokens good again: its user signs in anew.
    """

    def change(found: Resource, store: Store) -> None:
        if not isinstance(found, Account):
            raise TypeError(found.KIND)
        if lift and found.spec.state != "Quarantined":
            raise CommandError(f"{found.key} is {found.spec.state}, not Quarantined")
        found.spec.state = "Active" if lift else "Quarantined"
        if not lift:
            found.spec.tokens_valid_after = store.clock.now()

    verb = "lift the quarantine of" if lift else "quarantine"
    wish("account", account, None, verb, change, yes=yes, state=state)


def force_delete(
    kind: Kind,
    name: Name,
    *,
    reason: Annotated[str, typer.Option(help="Why; it stands in the audit and the tombstone.")],
    namespace: Namespace = None,
    yes: Yes = False,
    state: State = None,
) -> None:
    """Let a row that is being deleted go although something outside may be left.

    The controllers leave a tombstone, and what is left outside is collected later.
    """
    with framed():
        if not 1 <= len(reason.strip()) <= LONGEST_REASON or not reason.isprintable():
            raise usage(f"--reason: must be 1 to {LONGEST_REASON} printable characters")

    def change(found: Resource, _: Store) -> None:
        if not found.deleting:
            raise CommandError(f"{found.key} is not being deleted; delete it first")
        found.metadata.annotations[FORCE_DELETE] = reason.strip()

    wish(kind, name, namespace, "force the deletion of", change, yes=yes, state=state)


def wish(
    kind: str,
    name: str,
    namespace: str | None,
    verb: str,
    change: Change,
    *,
    yes: bool,
    state: Any,
) -> None:
    """Find an object, ask whether it is meant, and write the change.

    Args:
        kind: The kind's word.
        name: The object's name, or what else it is known by.
        namespace: Its account, if that has to be said.
        verb: What is about to be done, in words.
        change: Does it to the object as read; may refuse.
        yes: Whether not to ask.
        state: Of the local stack.
    """

    async def look() -> Resource:
        wanted = kind_of(kind)
        async with Place.found(state).store() as store:
            found = await find(store, wanted, name, namespace)
            # What would be refused is not asked about.
            change(found.model_copy(deep=True), store)
            return found

    found = run(look)
    with framed():
        confirm(f"{verb} {found.key}", yes=yes)

    async def write() -> None:
        async with Place.found(state).store() as store:
            await _write(store, found, change)

    run(write)
    note(f"{found.key}: done; `invoker why` says what becomes of it")


async def _write(store: Store, meant: Resource, change: Change) -> None:
    """Change the object that was confirmed, however it moved meanwhile.

    Raises:
        CommandError: Another object has its name by now.
        ConflictError: It moves all the time.
    """
    key = meant.key
    for left in reversed(range(TRIES)):
        found = await store.get(type(meant), key.name, key.namespace)
        if found.uid != meant.uid:
            raise CommandError(f"{key} was replaced meanwhile; nothing was changed")
        change(found, store)
        try:
            await store.update(found)
        except ConflictError:
            if not left:
                raise
        else:
            return


def confirm(what: str, *, yes: bool) -> None:
    """Ask whether it is meant.

    Raises:
        CommandError: It is not, or nobody can be asked.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise usage(f"would {what}: say --yes, as there is no terminal to ask at")
    sys.stderr.write(f"{what}? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise CommandError("nothing was changed")
