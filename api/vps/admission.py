"""Who may make something, and how often: accounts, connections, names, numbers, repeated wishes."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Final

from psycopg import errors as pg
from pydantic import BaseModel
from starlette.requests import Request

from api.fleet import admissions
from api.grants.views import connection_of
from api.problems import Problem
from api.requests import check_idempotency_key
from api.rows import stamped
from api.vps.finding import WORDS
from crds.account import Account
from crds.annotations import PREFIX
from crds.cloud_connection import DIGITALOCEAN, CloudConnection
from crds.errors import ConflictError
from crds.meta import ObjectMeta, Resource
from crds.store import Store

REQUEST: Final = f"{PREFIX}idempotency-key"
"""The annotation with the digest of the `Idempotency-Key` of the request that made an object."""
CONNECT: Final = "/auth/do"
UNDER_WAY_SECONDS: Final = 5
PATIENCE: Final = "2s"

Row = Mapping[str, Any]


@asynccontextmanager
async def making(store: Store, account: str) -> AsyncIterator[None]:
    """Nobody else makes anything of an account meanwhile, whatever process they came to.

    What is counted, and which names are free, stays so until it was used.

    Raises:
        ConflictError: Somebody else does so for long.
    """
    async with (
        # One at a time in this process: each holds a connection while it needs a second one.
        admissions(store),
        store.database.pool.connection() as connection,
        connection.transaction(),
    ):
        try:
            await connection.execute("SELECT set_config('lock_timeout', %s, true)", (PATIENCE,))
            await connection.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"making:{account}",)
            )
        except pg.LockNotAvailable:
            raise ConflictError(f"somebody else makes something of {account}") from None
        yield


async def active(store: Store, name: str) -> Account:
    """The account, if what is its may run.

    Raises:
        Problem: Saying what the account is.
    """
    account = await store.find(Account, name)
    if account is None:
        raise Problem(403, "no-account", "There is no account yet: sign up first.")
    if account.deleting:
        raise Problem(403, "account-deleted", "This account is being deleted.")
    if account.spec.state != "Active":
        state = account.spec.state.lower()
        detail = f"This account is {state} and may not run VPSs. Contact support."
        raise Problem(403, f"account-{state}", detail)
    return account


async def check_connected(store: Store, account: str) -> None:
    """Refuse what needs a grant without one.

    Raises:
        Problem: Pointing to where one is given.
    """
    state = connection_of(await store.find(CloudConnection, DIGITALOCEAN, account)).state
    if state in ("connected", "refreshing"):
        return
    if state == "connecting":
        detail, again = "DigitalOcean is just being connected: try again.", UNDER_WAY_SECONDS
        raise Problem(409, "not-connected", detail, retry_after=again, connect=CONNECT)
    detail = f"DigitalOcean is not connected. Connect it at {CONNECT} first."
    raise Problem(409, "not-connected", detail, connect=CONNECT)


def check_room(there: int, most: int, code: str, whose: str) -> None:
    """Refuse one more than there may be.

    Args:
        there: How many there are.
        most: How many there may be.
        code: The problem's code.
        whose: Who may have them, and what.

    Raises:
        Problem: With the number.
    """
    if there >= most:
        detail = f"{whose} at once, and there are {there}. Delete one first."
        raise Problem(409, code, detail, limit=most)


def digest_of(request: Request) -> str | None:
    """What is kept of a request's `Idempotency-Key`; None without one.

    Raises:
        Problem: It is too long or empty.
    """
    check_idempotency_key(request)
    key = request.headers.get("idempotency-key")
    return None if key is None else hashlib.sha256(key.encode()).hexdigest()


def repeated(rows: Iterable[Row], digest: str | None, name: str | None) -> Row | None:
    """What this wish has made before: by its `Idempotency-Key`, or else by the name it gives."""
    found = list(rows)
    for row in found:
        if digest is not None and row["annotations"].get(REQUEST) == digest:
            return row
    return next((row for row in found if name is not None and row["name"] == name), None)


def check_same(found: Resource, wish: BaseModel, **more: object) -> None:
    """Refuse a wish that says of what is there that it were otherwise.

    Args:
        found: What is there.
        wish: What the wish says; what it leaves out, or null, says nothing.
        more: What it says beside its body.

    Raises:
        Problem: It is being deleted, or with every field that differs.
    """
    check_present(found)
    said = {name: getattr(wish, name) for name in wish.model_fields_set} | more
    differing = [
        name
        for name, value in said.items()
        if value is not None
        and value != (found.metadata.name if name == "name" else getattr(found.spec, name))
    ]
    if differing:
        word, rule = WORDS[found.KIND], "differs from what is there"
        errors = [{"field": field, "rule": rule} for field in differing]
        detail = (
            f"The {word} {found.metadata.name} is there already, and it is another: "
            f"{', '.join(differing)}."
        )
        raise Problem(409, f"{word.lower()}-differs", detail, errors=errors)


def check_present(found: Resource) -> None:
    """Refuse to change what is on its way out.

    Raises:
        Problem: It is.
    """
    if found.deleting:
        detail = f"The {WORDS[found.KIND]} is being deleted; wait until it is gone."
        raise Problem(409, "being-deleted", detail, retry_after=UNDER_WAY_SECONDS)


def free_name(stem: str, rows: Sequence[Row]) -> str:
    """The first name of the stem and a number that nothing among the rows has."""
    taken = {row["name"] for row in rows}
    return next(name for number in count(1) if (name := f"{stem}-{number}") not in taken)


def metadata_of(name: str, namespace: str, digest: str | None) -> ObjectMeta:
    """Metadata of what a request makes."""
    meta = stamped(name, namespace)
    if digest is not None:
        meta.annotations = {**meta.annotations, REQUEST: digest}
    return meta


def given(wish: BaseModel, *but: str) -> dict[str, Any]:
    """What a wish says, for a spec whose fields are called the same."""
    values = {name: getattr(wish, name) for name in wish.model_fields_set if name not in but}
    return {name: value for name, value in values.items() if value is not None}
