"""What may be wished for a dev environment: each function may be repeated at will."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

from api.access import Identity
from api.fleet import admissions
from api.problems import Problem, invalid
from api.rows import revise, stamped
from api.silo.access import MAY, check_may
from api.silo.finding import (
    account_of,
    check_account,
    check_active,
    find,
    get,
    no_such_silo,
)
from api.silo.models import NamedSilo, StartSilo
from api.silo.prerequisites import (
    check_enabled,
    check_front_end,
    check_region,
    check_room,
    refusal,
)
from crds.account import Account
from crds.devenv import DevEnv, DevEnvSpec
from crds.errors import AlreadyExistsError, NotFoundError
from crds.store import Store

# A repeated wish within this time is the same wish.
SAME_WISH: Final = timedelta(seconds=10)
# The least by which one moment is later than another one, here as in JSON.
LATER: Final = timedelta(milliseconds=1)
# What a wish to start says of how it is to be made.
MAKING: Final = (
    "client",
    "app",
    "region",
    "studio",
    "rls_mode",
    "auto_stop_minutes",
    "netlify",
    "preview_url",
)


async def start(store: Store, identity: Identity, wish: StartSilo) -> tuple[DevEnv, bool]:
    """It shall run; who may make it and says how makes it.

    Returns:
        The environment, and whether it was made.

    Raises:
        Problem: Somebody may not, something is missing, or it differs from what is there.
    """
    check_may(identity, "start")
    found = await find(store, identity, wish.silo_id, wish.account)
    if found is None:
        with suppress(AlreadyExistsError):
            return await _make(store, identity, wish), True
        found = await get(store, identity, wish.silo_id, wish.account)
    check_same(found, wish)
    await check_active(store, found)
    check_enabled(found)
    return await _revise(store, found, _running(store.clock.now())), False


async def stop(store: Store, identity: Identity, wish: NamedSilo) -> DevEnv:
    """It shall not run.

    Raises:
        Problem: Somebody may not, or it is not there.
    """
    check_may(identity, "stop")

    def change(devenv: DevEnv) -> bool:
        changed = devenv.spec.power != "Stopped"
        devenv.spec.power = "Stopped"
        return changed

    return await _revise(store, await get(store, identity, wish.silo_id, wish.account), change)


async def rotate(store: Store, identity: Identity, wish: NamedSilo) -> DevEnv:
    """It shall have new keys; asking again while they are being made asks for the same ones.

    Raises:
        Problem: Somebody may not, or it is not there.
    """
    check_may(identity, "rotate")
    found = await get(store, identity, wish.silo_id, wish.account)
    await check_active(store, found)
    return await _revise(store, found, _rotated(store.clock.now()))


def check_same(devenv: DevEnv, wish: StartSilo) -> None:
    """Refuse a wish that says of what is there that it were otherwise: starting changes nothing.

    Raises:
        Problem: With every field that differs.
    """
    differing = [
        (name, "differs from what is there; starting it changes nothing but its power")
        for name, value in _given(wish).items()
        if getattr(devenv.spec, name) != value
    ]
    if differing:
        errors = [{"field": field, "rule": rule} for field, rule in differing]
        detail = f"There is such a silo, and it is another: {', '.join(f for f, _ in differing)}."
        raise Problem(409, "silo-differs", detail, errors=errors)


def _given(wish: StartSilo) -> dict[str, Any]:
    """What a wish says of how it is to be made; null says something of auto-stop only: never."""
    values = {name: getattr(wish, name) for name in MAKING if name in wish.model_fields_set}
    return {
        name: value
        for name, value in values.items()
        if value is not None or name == "auto_stop_minutes"
    }


async def _make(store: Store, identity: Identity, wish: StartSilo) -> DevEnv:
    """Make it, after everything that has to be there was found to be.

    Raises:
        AlreadyExistsError: Somebody made it meanwhile.
        Problem: Somebody may not, or something is missing.
    """
    if identity.role not in MAY["make"] or (wish.client is None and wish.app is None):
        raise no_such_silo("Who may make it has to say client and app.")
    account = await _account(store, _owner(identity, wish))
    nowhere = check_region(wish.region)
    missing = [*nowhere, *check_front_end(account, wish.netlify)]
    said = {name: value for name, value in _given(wish).items() if not nowhere or name != "region"}
    spec = DevEnvSpec(**said)
    async with admissions(store):
        if await find(store, identity, wish.silo_id, wish.account) is not None:
            raise AlreadyExistsError(wish.silo_id)
        if missing := [*missing, *await check_room(store, account, spec)]:
            raise refusal(missing)
        made = await store.create(
            DevEnv(metadata=stamped(wish.silo_id, account.metadata.name), spec=_woken(store, spec))
        )
        # Another process may have taken the last place at the same moment: then both give way.
        if missing := await check_room(store, account, spec, among=made):
            await store.delete(DevEnv, wish.silo_id, account.metadata.name, uid=made.uid)
            raise refusal(missing)
    return made


def _owner(identity: Identity, wish: StartSilo) -> str:
    """Whose it will be.

    Raises:
        Problem: Something that is needed to make it was not said.
    """
    owner = account_of(identity, wish.account)
    said = {"account": owner, "client": wish.client, "app": wish.app}
    if lacking := [name for name, value in said.items() if value is None]:
        raise invalid([(name, "is needed to make it") for name in lacking])
    return owner or ""


async def _account(store: Store, name: str) -> Account:
    account = await store.find(Account, name)
    if account is None:
        raise Problem(404, "no-such-account", "There is no such account.")
    check_account(account)
    return account


def _woken(store: Store, spec: DevEnvSpec) -> DevEnvSpec:
    return spec.model_copy(update={"wake_at": store.clock.now()})


def _running(now: datetime) -> Callable[[DevEnv], bool]:
    def change(devenv: DevEnv) -> bool:
        spec, stopped_at = devenv.spec, devenv.status.last_stopped_at
        started = spec.power != "Running"
        recent = spec.wake_at is not None and _is_recent(spec.wake_at, now)
        # What was stopped since it was asked for has to be asked for anew.
        heeded = spec.wake_at is not None and (stopped_at is None or spec.wake_at > stopped_at)
        woken = started or not (recent and heeded)
        spec.power = "Running"
        if woken:
            # The clock that it was stopped by may be ahead of this one.
            spec.wake_at = now if stopped_at is None else max(now, stopped_at + LATER)
        return woken

    return change


def _is_recent(moment: datetime, now: datetime) -> bool:
    """Whether a moment is about this one, by clocks that may differ."""
    return abs(now - moment) < SAME_WISH


def _rotated(now: datetime) -> Callable[[DevEnv], bool]:
    def change(devenv: DevEnv) -> bool:
        asked, keys = devenv.spec.rotate_at, devenv.status.keys
        # One that is wished for some day says nothing of the keys of today.
        if asked is not None and asked < now + SAME_WISH:
            pending = keys is None or keys.made_at < asked
            if pending or _is_recent(asked, now):
                return False
        devenv.spec.rotate_at = now
        return True

    return change


async def _revise(store: Store, found: DevEnv, change: Callable[[DevEnv], bool]) -> DevEnv:
    def checked(devenv: DevEnv) -> bool:
        if devenv.deleting:
            detail = "The silo is being deleted; it can be made anew after that."
            raise Problem(409, "being-deleted", detail, retry_after=5)
        return change(devenv)

    try:
        return await revise(store, DevEnv, found.metadata.name, found.metadata.namespace, checked)
    except NotFoundError:
        raise no_such_silo() from None
