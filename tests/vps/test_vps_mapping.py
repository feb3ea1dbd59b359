"""Which keys a change of a Vps, or of its connection, concerns besides its own."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

import pytest

from controller.mapping import connection_changed, vps_dependents
from crds.meta import Key
from crds.store import WatchEvent


def event(
    kind: str,
    type_: Literal["ADDED", "MODIFIED", "DELETED"],
    now: dict[str, Any],
    before: dict[str, Any] | None = None,
    *,
    spec_changed: bool = False,
) -> WatchEvent:
    """A change of an object in the namespace `u`."""
    return WatchEvent(type_, 7, Key(kind, "u", "it"), UUID(int=1), spec_changed, now, before)


@pytest.mark.parametrize("type_", ["ADDED", "DELETED"])
def test_connections_and_accounts_wait_for_droplets(type_: Literal["ADDED", "DELETED"]) -> None:
    """Both look again when one comes or goes."""
    targets = set(vps_dependents(event("Vps", type_, {"spec": {"connection": "digitalocean"}})))

    account = ("Account", Key("Account", "", "u"))
    connection = ("CloudConnection", Key("CloudConnection", "u", "digitalocean"))
    assert {account, connection} == targets


def test_a_status_concerns_nobody_else() -> None:
    """A droplet that runs wakes neither its account nor its connection."""
    same = {"spec": {"connection": "digitalocean"}}

    assert [] == [*vps_dependents(event("Vps", "MODIFIED", same, same))]


def test_both_connections_look_when_it_changes_to_another() -> None:
    """The one that it leaves may be given up then."""
    now, before = ({"spec": {"connection": name}} for name in ("new", "old"))
    targets = vps_dependents(event("Vps", "MODIFIED", now, before, spec_changed=True))

    assert ["new", "old"] == [key.name for _, key in targets]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ({"status": {"phase": "Revoked"}}, True),
        ({"status": {"phase": "Connected", "refreshedAt": "later"}}, True),
        ({"status": {"phase": "Connected"}, "spec": {"state": "Disconnected"}}, True),
        ({"status": {"phase": "Connected", "retry": {"attempt": 2}}}, False),
    ],
)
def test_droplets_heed_what_a_connection_can_do(now: dict[str, Any], *, expected: bool) -> None:
    """They are woken when it begins, ends or is renewed, and not by what it writes meanwhile."""
    before = {"status": {"phase": "Connected"}}

    assert expected == connection_changed(event("CloudConnection", "MODIFIED", now, before))
