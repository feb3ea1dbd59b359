"""A change wakes whoever it concerns."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from controller import mapping
from crds.meta import Key
from crds.store import WatchEvent

UID = UUID(int=1)


def event(key: Key, current: dict[str, Any] | None, previous: Any = None) -> WatchEvent:
    """A change of an object."""
    kind = "MODIFIED" if previous else "ADDED"
    return WatchEvent(
        kind,  # type: ignore[arg-type]  # one of the two
        1,
        key,
        UID,
        spec_changed=True,
        object=current,
        previous=previous,
    )


def test_a_child_wakes_its_controller() -> None:
    """Only the owner that controls it, in the child's namespace."""
    owners = [
        {"kind": "Workspace", "name": "main", "uid": str(UID), "controller": True},
        {"kind": "Workspace", "name": "other", "uid": str(UID), "controller": False},
    ]
    change = event(Key("Machine", "a", "main"), {"metadata": {"ownerReferences": owners}})

    assert [("Workspace", Key("Workspace", "a", "main"))] == list(mapping.owners(change))


def test_a_rename_wakes_both_names() -> None:
    """The route that is left and the one that is taken."""
    change = event(
        Key("Workspace", "a", "main"),
        {"spec": {"subdomain": "new"}, "status": {"subdomain": "old"}},
        {"spec": {"subdomain": "old"}, "status": {}},
    )

    woken = {key.name for kind, key in mapping.workspace_dependents(change) if kind == "Route"}
    assert woken == {"new", "old"}


def test_a_machine_wakes_its_route_and_a_route_its_machine() -> None:
    """Health reaches the edge, and a withdrawal lets destruction go on."""
    machine = event(
        Key("Machine", "a", "main"), {"metadata": {"labels": {"invoker.dev/subdomain": "alice"}}}
    )
    route = event(
        Key("Route", "", "alice"),
        {"spec": {"account": "a", "target": {"machine": "main", "workspace": "main"}}},
    )

    assert [("Route", Key("Route", "", "alice"))] == list(mapping.machine_dependents(machine))
    assert ("Machine", Key("Machine", "a", "main")) in list(mapping.route_dependents(route))


def test_an_account_wakes_its_workspace() -> None:
    """Suspension and quarantine reach the machine."""
    change = event(Key("Account", "", "a"), {"spec": {"state": "Quarantined"}})

    assert [("Workspace", Key("Workspace", "a", "main"))] == list(
        mapping.account_dependents(change)
    )
