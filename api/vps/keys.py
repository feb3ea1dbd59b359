"""SSH keys that are let into VPSs."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.answers import answer
from api.context import api_of
from api.grants.visitors import Visitor, visited
from api.problems import Problem, invalid
from api.requests import read_body
from api.vps.admission import (
    Row,
    active,
    check_present,
    check_room,
    check_same,
    digest_of,
    free_name,
    given,
    making,
    metadata_of,
    repeated,
)
from api.vps.finding import get_on, list_on
from api.vps.models import KeyList, KeyState, KeyView, MakeKey
from api.vps.routes import acting, named
from api.vps.views import sentence
from crds.authorized_key import AuthorizedKey, AuthorizedKeySpec, fingerprint_of
from crds.errors import NotFoundError
from crds.store import Store
from crds.store.rows import to_object
from crds.vps import Vps

STEM: Final = "key"
MOST: Final = 64
SUPPORT_LIFETIME: Final = timedelta(hours=24)
"""Support is let in for a day at most."""
STATES: Final[dict[str, KeyState]] = {
    "Authorized": "authorized",
    "Expired": "expired",
    "Failed": "failed",
}
MESSAGES: Final[dict[KeyState, str]] = {
    "waiting": "It is let in when the VPS is connected.",
    "authorized": "It is let in.",
    "expired": "Its time is over: it is not let in any more.",
    "failed": "It could not be let in.",
}


@visited
async def list_keys(request: Request, visitor: Visitor) -> Response:
    """The SSH keys of a VPS, the oldest first."""
    store, vps = api_of(request).store, await named(request, visitor)
    now, found = store.clock.now(), await list_on(store, AuthorizedKey, vps)
    return answer(KeyList(keys=[key_view(vps, each, now) for each in found]))


@visited
async def make_key(request: Request, visitor: Visitor) -> Response:
    """Let an SSH key into a VPS, for ever or until a moment."""
    digest, wish = digest_of(request), await read_body(request, MakeKey)
    store, vps = acting(request, visitor), await named(request, visitor)
    made = await _make(store, vps, wish, digest)
    return answer(key_view(vps, made, store.clock.now()), 202)


@visited
async def delete_key(request: Request, visitor: Visitor) -> Response:
    """Let an SSH key in no more."""
    digest_of(request)
    store, vps = acting(request, visitor), await named(request, visitor)
    found = await get_on(store, AuthorizedKey, vps, request.path_params["key"])
    meta, now = found.metadata, store.clock.now()
    with suppress(NotFoundError):
        await store.delete(AuthorizedKey, meta.name, meta.namespace, uid=found.uid)
    meta.deletion_timestamp = meta.deletion_timestamp or now
    return answer(key_view(vps, found, now), 202)


def key_view(vps: Vps, key: AuthorizedKey, now: datetime) -> KeyView:
    """Everything about a key but the key."""
    spec, state = key.spec, state_of(key, now)
    return KeyView(
        key_id=key.uid,
        name=key.metadata.name,
        vps_id=vps.uid,
        fingerprint=spec.fingerprint,
        label=spec.label,
        type=spec.type,
        expires_at=key.ends_at,
        status=state,
        message=_message_of(key, state),
    )


def state_of(key: AuthorizedKey, now: datetime) -> KeyState:
    """The word for how it is; what is over is so whoever has noticed it."""
    if key.ends_at is not None and key.ends_at <= now:
        return "expired"
    return STATES.get(key.status.phase, "waiting")


def _message_of(key: AuthorizedKey, state: KeyState) -> str:
    if key.deleting:
        return "It is being taken away."
    retry = key.status.retry
    if state != "expired" and retry is not None and retry.message:
        return f"{MESSAGES[state]} {sentence(retry.message)}"
    return MESSAGES[state]


async def _make(store: Store, vps: Vps, wish: MakeKey, digest: str | None) -> AuthorizedKey:
    """There shall be such a key.

    Raises:
        Problem: The account may not, the VPS goes or is full, the key is there, or it ends too
            late or too early.
    """
    owner = vps.metadata.namespace
    await active(store, owner)
    check_present(vps)
    async with making(store, owner):
        rows = await store.rows(AuthorizedKey, namespace=owner)
        if (row := repeated(rows, digest, None)) is not None:
            found = to_object(AuthorizedKey, row)
            check_same(found, wish, vps=vps.metadata.name)
            return found
        _check_end(wish, store.clock.now())
        there = [row for row in rows if row["spec"].get("vps") == vps.metadata.name]
        _check_new(wish, there)
        check_room(len(there), MOST, "too-many-keys", f"A VPS has at most {MOST} keys")
        meta = metadata_of(free_name(STEM, rows), owner, digest)
        meta.owner_references = [vps.owner_reference()]
        spec = AuthorizedKeySpec(vps=vps.metadata.name, **given(wish))
        return await store.create(AuthorizedKey(metadata=meta, spec=spec))


def _check_end(wish: MakeKey, now: datetime) -> None:
    """Refuse an end that is wrong.

    Raises:
        Problem: Naming the rule.
    """
    end, latest = wish.expires_at, now + SUPPORT_LIFETIME
    if wish.type == "support" and (end is None or end > latest):
        raise invalid([("expires_at", "a key of support must end within 24 hours from now")])
    if end is not None and end <= now:
        raise invalid([("expires_at", "must be in the future")])


def _check_new(wish: MakeKey, there: Iterable[Row]) -> None:
    """Refuse a key that is on the VPS already.

    Raises:
        Problem: Naming the one that is there.
    """
    fingerprint = fingerprint_of(wish.public_key)
    for row in there:
        if row["deletion_timestamp"] is None and _fingerprint(row) == fingerprint:
            detail = f"This key is on the VPS already, as {row['name']}. Delete that one first."
            raise Problem(409, "key-exists", detail, key_id=str(row["uid"]), key=row["name"])


def _fingerprint(row: Row) -> str | None:
    try:
        return fingerprint_of(str(row["spec"].get("publicKey", "")))
    except ValueError:  # an edit by plain SQL
        return None
