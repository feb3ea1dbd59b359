"""Finding what is an account's own, by uid or by name; what is another's is not there."""

from __future__ import annotations

import re
from typing import Final, TypeVar
from uuid import UUID

from api.problems import Problem
from api.vps.models import UID
from crds.authorized_key import AuthorizedKey
from crds.meta import Resource
from crds.session import Session
from crds.store import Store
from crds.vps import Vps

R = TypeVar("R", bound=Resource)
# Of what is on a VPS.
S = TypeVar("S", Session, AuthorizedKey)

# As the store takes names: anything else could not be there.
NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
WORDS: Final = {Vps.KIND: "VPS", Session.KIND: "session", AuthorizedKey.KIND: "key"}


async def find(store: Store, kind: type[R], account: str, called: str) -> R | None:
    """An account's object with this uid, or else with this name.

    Raises:
        InvalidError: An edit by plain SQL left its spec broken.
    """
    name: str | None = called if NAME.fullmatch(called) else None
    uid = UUID(called) if UID.fullmatch(called) else None
    if uid is not None:
        row = await store.project_one(kind.KIND, uid)
        name = row["name"] if row is not None and row["namespace"] == account else None
    found = None if name is None else await store.find(kind, name, account)
    # Between two questions a name can become another's.
    return found if found is None or uid in (None, found.uid) else None


async def get_vps(store: Store, account: str, called: str) -> Vps:
    """An account's VPS.

    Raises:
        Problem: There is none.
    """
    found = await find(store, Vps, account, called)
    if found is None:
        raise missing(Vps)
    return found


async def get_on(store: Store, kind: type[S], vps: Vps, called: str) -> S:
    """What is on a VPS.

    Raises:
        Problem: There is none.
    """
    found = await find(store, kind, vps.metadata.namespace, called)
    if found is None or found.spec.vps != vps.metadata.name:
        raise missing(kind)
    return found


async def list_on(store: Store, kind: type[S], vps: Vps) -> list[S]:
    """Everything of a kind on a VPS, by age."""
    meta = vps.metadata
    page = await store.list(kind, namespace=meta.namespace, spec={"vps": meta.name})
    return by_age(page.items)


def by_age(found: list[R]) -> list[R]:
    """The oldest first."""
    return sorted(found, key=lambda r: (str(r.metadata.creation_timestamp), r.metadata.name))


def missing(kind: type[Resource]) -> Problem:
    """404, for what is another account's too."""
    word = WORDS[kind.KIND]
    return Problem(404, f"no-such-{word.lower()}", f"There is no such {word}.")
