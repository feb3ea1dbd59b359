"""What may be wished for a VPS: each function writes desired state, and may be repeated at will."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

from api.problems import Problem
from api.rows import revise
from api.vps.admission import (
    active,
    check_connected,
    check_present,
    check_room,
    check_same,
    free_name,
    given,
    making,
    metadata_of,
    repeated,
)
from api.vps.finding import missing
from api.vps.models import MakeVps
from crds.errors import NotFoundError
from crds.store import Store
from crds.store.rows import to_object
from crds.vps import Vps, VpsSpec

STEM = "vps"


async def create(store: Store, owner: str, wish: MakeVps, digest: str | None) -> Vps:
    """There shall be such a VPS.

    Args:
        store: The rows, for whom the wish is.
        owner: Whose it is.
        wish: What it is like.
        digest: Of the request's `Idempotency-Key`.

    Raises:
        Problem: The account may not, is not connected or has no room, or another has the name.
    """
    account = await active(store, owner)
    async with making(store, owner):
        rows = await store.rows(Vps, namespace=owner)
        if (row := repeated(rows, digest, wish.name)) is not None:
            found = to_object(Vps, row)
            check_same(found, wish)
            return found
        await check_connected(store, owner)
        most = account.spec.quota.vps
        check_room(len(rows), most, "too-many-vps", f"This account may have {most} VPSs")
        meta = metadata_of(wish.name or free_name(STEM, rows), owner, digest)
        return await store.create(Vps(metadata=meta, spec=VpsSpec(**given(wish, "name"))))


async def power(store: Store, vps: Vps, wanted: Literal["Running", "Stopped"]) -> Vps:
    """It shall be on, or off.

    Raises:
        Problem: It is being deleted, or gone, or the account may not have it on.
    """
    if wanted == "Running":
        await active(store, vps.metadata.namespace)

    def change(row: Vps) -> bool:
        if row.uid != vps.uid:
            raise missing(Vps)
        check_present(row)
        changed = row.spec.power != wanted
        row.spec.power = wanted
        return changed

    try:
        return await revise(store, Vps, vps.metadata.name, vps.metadata.namespace, change)
    except NotFoundError:
        raise missing(Vps) from None


async def delete(store: Store, vps: Vps) -> Vps:
    """It shall go, the droplet included; returns it as it is then."""
    meta = vps.metadata
    with suppress(NotFoundError):
        await store.delete(Vps, meta.name, meta.namespace, uid=vps.uid)
    meta.deletion_timestamp = meta.deletion_timestamp or store.clock.now()
    return vps


async def check_unused(store: Store, account: str) -> None:
    """Refuse to take away the grant by which an account's droplets are kept.

    Raises:
        Problem: Naming them.
    """
    rows = await store.rows(Vps, namespace=account)
    if rows:
        names = [row["name"] for row in rows]
        detail = (
            f"These VPSs are on your DigitalOcean account: {', '.join(names)}. "
            "Delete them first; without the connection nobody could."
        )
        raise Problem(409, "in-use", detail, vps=names)
