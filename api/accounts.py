"""Accounts and the names they hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from api.problems import Problem
from api.rows import stamped
from crds.account import Account, AccountSpec
from crds.errors import AlreadyExistsError, ConflictError, NotFoundError
from crds.meta import Key
from crds.names import subdomain_candidates
from crds.route import Route, RouteSpec
from crds.store import Store
from crds.workspace import WORKSPACE, Workspace

# The present name and a few that redirect to it: names are scarce, renaming must not hoard them.
MAX_NAMES = 5
SUGGESTIONS = 3
# Popular first names have many bearers: look at more candidates at once, the longer it takes.
FIRST_LOOK = 4
MAX_CANDIDATES = 5000


@dataclass(frozen=True, slots=True)
class Person:
    """Whom an account is for.

    Attributes:
        id: The user's Supabase id.
    """

    id: str
    email: str
    first_name: str
    last_name: str


class NameTakenError(Exception):
    """The subdomain belongs to somebody else."""


async def ensure_account(store: Store, person: Person) -> Account:
    """The person's account, made when missing.

    Raises:
        Problem: There is no e-mail address to make it with.
    """
    found = await store.find(Account, person.id)
    if found is not None:
        return found
    if not person.email:  # a user who signed up by telephone
        raise Problem(403, "email-required", "An account here needs an e-mail address.")
    spec = AccountSpec(email=person.email, first_name=person.first_name, last_name=person.last_name)
    with suppress(AlreadyExistsError):
        return await store.create(Account(metadata=stamped(person.id), spec=spec))
    return await store.get(Account, person.id)


async def held_names(store: Store, account: str) -> list[Route]:
    """The account's subdomains, oldest first."""
    page = await store.list(Route, spec={"account": account})
    return sorted(page.items, key=lambda r: (str(r.metadata.creation_timestamp), r.metadata.name))


async def present_name(store: Store, account: str) -> str | None:
    """The subdomain that the account goes by, None when it has none yet."""
    workspace = await store.find(Workspace, WORKSPACE, account)
    if workspace is not None:
        return workspace.spec.subdomain
    held = await held_names(store, account)
    return next(
        (r.metadata.name for r in held if not r.deleting and r.spec.redirect_to is None), None
    )


async def claim(store: Store, account: str, subdomain: str) -> None:
    """Make a subdomain the account's; the row's key decides between those who want it at once.

    Raises:
        NameTakenError: Somebody else has it.
        Problem: The account holds as many names as it may.
    """
    if await _owned(store, account, subdomain):
        return
    if len(await held_names(store, account)) >= MAX_NAMES:
        raise _too_many_names()
    try:
        route = await store.create(
            Route(metadata=stamped(subdomain), spec=RouteSpec(account=account))
        )
    except AlreadyExistsError:
        if not await _owned(store, account, subdomain):
            raise NameTakenError(subdomain) from None
        return
    # Two claims at once may both have seen room for one.
    if len(await held_names(store, account)) > MAX_NAMES:
        await store.delete(Route, subdomain, uid=route.uid)
        raise _too_many_names()


async def claim_any(store: Store, person: Person) -> str:
    """The name that a person goes by; the best free one for them when they have none yet.

    Raises:
        Problem: No name is free.
    """
    if (present := await present_name(store, person.id)) is not None:
        return present
    async for name in _free(store, _candidates(person), mine=person.id):
        with suppress(NameTakenError):
            await claim(store, person.id, name)
            return name
    raise Problem(409, "no-name-free", "No subdomain is free for this name: choose one.")


async def suggest(store: Store, wanted: str, account: Account) -> list[str]:
    """Free subdomains that resemble a wanted one."""
    spec = account.spec
    candidates = subdomain_candidates(wanted, spec.last_name, spec.email)
    found: list[str] = []
    async for name in _free(store, candidates):
        found.append(name)
        if len(found) == SUGGESTIONS:
            break
    return found


async def release(store: Store, account: str, subdomain: str) -> None:
    """Give a subdomain up that is not in use; one that nobody has is given up already.

    Raises:
        Problem: It is another account's, or the one in use.
    """
    route = await store.find(Route, subdomain)
    if route is None or route.deleting:
        return
    if route.spec.account != account:
        raise Problem(403, "not-your-subdomain", "This subdomain is somebody else's.")
    workspace = await store.find(Workspace, WORKSPACE, account)
    if workspace is not None and workspace.spec.subdomain == subdomain:
        detail = "This subdomain is in use: rename or delete the machine first."
        raise Problem(409, "subdomain-in-use", detail)
    version = route.metadata.resource_version
    with suppress(NotFoundError):
        await store.delete(Route, subdomain, uid=route.uid, resource_version=version)


async def _owned(store: Store, account: str, subdomain: str) -> bool:
    route = await store.find(Route, subdomain)
    if route is None:
        return False
    if route.spec.account != account:
        raise NameTakenError(subdomain)
    if route.deleting:
        raise ConflictError(f"{route.key} is being released")
    return True


async def _free(
    store: Store, candidates: Iterator[str], mine: str | None = None
) -> AsyncIterator[str]:
    """The candidates that nobody has, or that are `mine` already."""
    candidates = islice(candidates, MAX_CANDIDATES)
    look = FIRST_LOOK
    while names := list(islice(candidates, look)):
        # Finds at the same time share a statement.
        rows = await asyncio.gather(*(store.find_row(Key(Route.KIND, "", n)) for n in names))
        for name, row in zip(names, rows, strict=True):
            if row is None or (mine is not None and row["spec"].get("account") == mine):
                yield name
        look *= 4


def _candidates(person: Person) -> Iterator[str]:
    return subdomain_candidates(person.first_name, person.last_name, person.email)


def _too_many_names() -> Problem:
    return Problem(
        409,
        "too-many-subdomains",
        f"An account holds at most {MAX_NAMES} subdomains: "
        "release one with DELETE /api/routing/{subdomain}.",
    )
