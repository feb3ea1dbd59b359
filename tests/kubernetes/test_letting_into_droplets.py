"""Who may be let into somebody's droplet: their owner decides, and every key is on record."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.kubernetes.doors import ACCOUNTS, Door, account

pytestmark = pytest.mark.anyio

KEYS: Final = "/apis/invoker.dev/v1/namespaces/{}/authorizedkeys"
OWN, OTHER = KEYS.format("alice"), KEYS.format("bob")
# Of the right form; nobody has them.
KEY, ANOTHER = (f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{each * 43}" for each in "AQ")


def _key(name: str = "one", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "invoker.dev/v1",
        "kind": "AuthorizedKey",
        "metadata": {"name": name},
        "spec": {"vps": "one", "publicKey": KEY, **spec},
    }


async def test_support_lets_nobody_in(door: Door) -> None:
    """Not by a key of their own, not by one in an owner's place, nor by keeping one for longer."""
    await door.ask("POST", ACCOUNTS, account("alice"))
    of_support = _key(type="support", expiresAt="2030-01-01T00:00:00Z")
    made = await door.ask("POST", OWN, of_support)
    support = await door.token("support")
    codes = [
        (await door.ask("POST", OWN, _key("mine"), token=support)).status_code,
        (
            await door.patch(
                f"{OWN}/mine?fieldManager=x", _key("mine"), "apply-patch+yaml", token=support
            )
        ).status_code,
        *[
            (await door.patch(f"{OWN}/one", {"spec": change}, token=support)).status_code
            for change in (
                {"publicKey": ANOTHER},
                {"expiresAt": "2031-01-01T00:00:00Z"},
                {"vps": "another"},
                {"type": "user", "expiresAt": None},
            )
        ],
        (await door.ask("GET", f"{OWN}/one", token=support)).status_code,
    ]

    assert 201 == made.status_code
    assert [403, 403, 403, 403, 403, 403, 200] == codes


async def test_an_owner_lets_in_whom_they_like_and_only_into_their_own(door: Door) -> None:
    """An owner makes, prolongs and removes keys, those of support too, in their own account."""
    for name in ("alice", "bob"):
        await door.ask("POST", ACCOUNTS, account(name))
    owner = await door.token("account-owner", "alice")
    later = {"spec": {"expiresAt": "2030-01-02T00:00:00Z"}}
    of_support = _key(type="support", expiresAt="2030-01-01T00:00:00Z")
    codes = [
        (await door.ask("POST", OWN, of_support, token=owner)).status_code,
        (await door.patch(f"{OWN}/one", later, token=owner)).status_code,
        (await door.ask("DELETE", f"{OWN}/one", token=owner)).status_code,
        (await door.ask("POST", OTHER, _key(), token=owner)).status_code,
        (await door.ask("GET", OTHER, token=owner)).status_code,
    ]

    assert [201, 200, 200, 403, 403] == codes


async def test_every_key_is_on_record(door: Door) -> None:
    """Who let whom in, and how long, is written down, with what was there before."""
    await door.ask("POST", ACCOUNTS, account("alice"))
    of_support = _key(type="support", expiresAt="2030-01-01T00:00:00Z")
    owner = await door.token("account-owner", "alice")
    await door.ask("POST", OWN, of_support, token=owner)
    await door.ask("DELETE", f"{OWN}/one", token=owner)
    rows = await door.store.database.fetch(
        "SELECT role, before->'spec'->>'type' AS before, after->'spec'->>'type' AS after "
        "FROM audit WHERE kind = 'AuthorizedKey' ORDER BY id"
    )

    assert [("account-owner", None, "support"), ("account-owner", "support", None)] == [
        (row["role"], row["before"], row["after"]) for row in rows
    ]
