"""Finding a dev environment by its silo id, among those that somebody may know of."""

from __future__ import annotations

import asyncio
from typing import Final

from api.access import Identity
from api.problems import Problem
from crds.access import ROLES_OF_ACCOUNTS
from crds.account import Account
from crds.devenv import DevEnv
from crds.store import Store
from crds.store.rows import to_object

# Two would do to see that it is not one; a few more are named.
SEVERAL: Final = 5


def account_of(identity: Identity, wanted: str | None) -> str | None:
    """The one account among whose environments somebody looks; None: among all.

    Raises:
        Problem: They want another account's: as good as none.
    """
    if identity.role not in ROLES_OF_ACCOUNTS:
        return wanted
    if wanted not in (None, identity.account):
        raise no_such_silo()
    return identity.account


async def find(store: Store, identity: Identity, silo_id: str, wanted: str | None) -> DevEnv | None:
    """The environment with this silo id, or else with this name; None when there is none.

    Raises:
        Problem: It is another account's, or there are several.
        InvalidError: An edit by plain SQL left its spec broken.
    """
    account = account_of(identity, wanted)
    called, named = await asyncio.gather(
        store.rows(DevEnv, namespace=account, spec={"siloId": silo_id}, limit=SEVERAL),
        store.rows(DevEnv, namespace=account, name=silo_id, limit=SEVERAL),
    )
    found = {row["uid"]: to_object(DevEnv, row) for row in (*called, *named)}
    best = [each for each in found.values() if each.silo_id == silo_id] or [*found.values()]
    if len(best) > 1:
        raise _ambiguous(best, named=account is not None)
    return best[0] if best else None


async def get(store: Store, identity: Identity, silo_id: str, wanted: str | None) -> DevEnv:
    """The same of one that must be there.

    Raises:
        Problem: It is not there, it is another account's, or there are several.
    """
    found = await find(store, identity, silo_id, wanted)
    if found is None:
        raise no_such_silo()
    return found


async def check_active(store: Store, devenv: DevEnv) -> None:
    """Refuse what an account that is not active asks for.

    Raises:
        Problem: Saying what the account is.
    """
    account = await store.find(Account, devenv.metadata.namespace)
    if account is not None:
        check_account(account)


def check_account(account: Account) -> None:
    """Refuse what an account that is not active asks for.

    Raises:
        Problem: Saying what the account is.
    """
    if account.deleting:
        raise Problem(403, "account-deleted", "This account is being deleted.")
    if account.spec.state != "Active":
        state = account.spec.state.lower()
        detail = f"This account is {state} and may not run dev environments. Contact support."
        raise Problem(403, f"account-{state}", detail)


def no_such_silo(hint: str = "") -> Problem:
    """404, for what is another account's too."""
    detail = f"There is no such silo. {hint}".strip()
    return Problem(404, "no-such-silo", detail)


def _ambiguous(found: list[DevEnv], *, named: bool) -> Problem:
    if named:
        names = ", ".join(each.metadata.name for each in found)
        detail = f"Several dev environments have this silo id ({names}): name the one you mean."
    else:
        detail = "Several accounts have a silo of this id: say whose you mean with account."
    return Problem(409, "ambiguous-silo", detail)
