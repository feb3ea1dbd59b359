"""What users may wish for: each function writes desired state, and may be repeated at will."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from api.accounts import NameTakenError, Person, claim, claim_any, ensure_account, suggest
from api.fleet import admissions, check_caps, platform_of
from api.problems import Problem
from api.rows import revise, stamped
from crds.account import Account
from crds.errors import AlreadyExistsError, NotFoundError
from crds.fleet import one, tally
from crds.machine import Machine
from crds.store import Store
from crds.workspace import WORKSPACE, Workspace, WorkspaceSpec

# A repeated wish to wake within this time is the same wish.
SAME_WAKE: Final = timedelta(seconds=10)


async def start(store: Store, person: Person, subdomain: str | None) -> Workspace:
    """The person's machine shall run, under this subdomain when one is given.

    Raises:
        Problem: The account may not, the fleet is full, or the subdomain is taken.
    """
    account = await _active(store, person)
    workspace = await store.find(Workspace, WORKSPACE, person.id)
    if workspace is None:
        name = await _claim(store, account, subdomain) if subdomain else None
        name = name or await claim_any(store, person)
        with suppress(AlreadyExistsError):
            return await _create(store, account, name)
    elif subdomain is not None and subdomain != workspace.spec.subdomain:
        _check_present(workspace)
        await _claim(store, account, subdomain)
    machine = await store.find(Machine, WORKSPACE, person.id)
    resting = machine is not None and machine.spec.power != "Running"
    return await _revise(
        store, person.id, _running(subdomain, resting=resting, now=store.clock.now())
    )


async def stop(store: Store, account: str) -> Workspace:
    """The account's machine shall not run.

    Raises:
        Problem: There is none, or it is being deleted.
    """

    def change(workspace: Workspace) -> bool:
        changed = workspace.spec.power != "Stopped"
        workspace.spec.power = "Stopped"
        return changed

    return await _revise(store, account, change)


async def rename(store: Store, person: Person, subdomain: str) -> Workspace:
    """The person's machine shall answer under another subdomain; the old one redirects.

    Raises:
        Problem: There is no machine, or the subdomain is taken.
    """
    account = await _active(store, person)
    workspace = await store.find(Workspace, WORKSPACE, person.id)
    if workspace is None:
        raise _no_workspace()
    _check_present(workspace)
    if workspace.spec.subdomain != subdomain:
        await _claim(store, account, subdomain)
    return await _revise(store, person.id, _named(subdomain))


async def delete(store: Store, account: str) -> Workspace | None:
    """The account's machine, its disk included, shall go; returns what is left of it."""
    with suppress(NotFoundError):
        await store.delete(Workspace, WORKSPACE, account)
    return await store.find(Workspace, WORKSPACE, account)


def _running(subdomain: str | None, *, resting: bool, now: datetime) -> Callable[[Workspace], bool]:
    def change(workspace: Workspace) -> bool:
        spec = workspace.spec
        renamed = subdomain is not None and _named(subdomain)(workspace)
        started = spec.power != "Running"
        spec.power = "Running"
        # An idle machine rests although its spec says Running; and one that was stopped for long
        # would pass for idle: that somebody wants it now is activity.
        woken = started or ((resting or workspace.status.asleep) and not _just_woken(spec, now))
        if woken:
            spec.wake_at = now
        return renamed or woken

    return change


def _just_woken(spec: WorkspaceSpec, now: datetime) -> bool:
    return spec.wake_at is not None and now - spec.wake_at < SAME_WAKE


def _named(subdomain: str) -> Callable[[Workspace], bool]:
    def change(workspace: Workspace) -> bool:
        changed = workspace.spec.subdomain != subdomain
        workspace.spec.subdomain = subdomain
        return changed

    return change


async def _revise(store: Store, account: str, change: Callable[[Workspace], bool]) -> Workspace:
    def checked(workspace: Workspace) -> bool:
        _check_present(workspace)
        return change(workspace)

    try:
        return await revise(store, Workspace, WORKSPACE, account, checked)
    except NotFoundError:
        raise _no_workspace() from None


async def _create(store: Store, account: Account, subdomain: str) -> Workspace:
    if account.spec.quota.workspaces < 1:
        raise Problem(403, "quota-exhausted", "This account's quota has no room for a machine.")
    name = account.metadata.name
    workspace = Workspace(
        metadata=stamped(WORKSPACE, name), spec=WorkspaceSpec(subdomain=subdomain)
    )
    async with admissions(store):
        platform = await platform_of(store)
        fleet = await tally(store, platform.spec)
        if await store.find(Workspace, WORKSPACE, name) is None:
            check_caps(platform, fleet.plus(one(platform.spec)))
        created = await store.create(workspace)
        try:
            # Another process may have taken the last place at the same moment: then both give way.
            check_caps(platform, await tally(store, platform.spec))
        except Problem:
            await store.delete(Workspace, WORKSPACE, name, uid=created.uid)
            raise
    return created


async def _claim(store: Store, account: Account, subdomain: str) -> str:
    try:
        await claim(store, account.metadata.name, subdomain)
    except NameTakenError:
        raise Problem(
            409,
            "subdomain-taken",
            "This subdomain is taken: try another.",
            suggestions=await suggest(store, subdomain, account),
        ) from None
    return subdomain


async def _active(store: Store, person: Person) -> Account:
    account = await ensure_account(store, person)
    if account.deleting:
        raise Problem(403, "account-deleted", "This account is being deleted.")
    if account.spec.state != "Active":
        state = account.spec.state.lower()
        detail = f"This account is {state} and may not run machines. Contact support."
        raise Problem(403, f"account-{state}", detail)
    return account


def _check_present(workspace: Workspace) -> None:
    if workspace.deleting:
        detail = "The machine is being deleted; a new one can be started after that."
        raise Problem(409, "being-deleted", detail, retry_after=5)


def _no_workspace() -> Problem:
    return Problem(404, "no-machine", "There is no machine; POST /api/vm/start makes one.")
