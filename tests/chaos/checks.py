"""What must hold when the faults have stopped, as far as it shows from outside."""

from collections import Counter
from typing import Any, Final

from tests.chaos.citizen import Citizen
from tests.chaos.fleet import Fleet

STRANGER: Final = "somebody-elses"
STRANGERS_KEY: Final = "route:somebody-elses"


async def violations(fleet: Fleet, citizens: list[Citizen]) -> list[str]:
    """Everything that is wrong at rest; empty if all is well."""
    machines = await fleet.machines()
    return [
        *await _one_each(fleet, machines),
        *await _orphans(fleet, machines),
        *await _routes(fleet),
        *await _stranger(fleet),
        *_secrets(fleet, citizens),
    ]


def duplicates(machines: list[dict[str, Any]]) -> list[str]:
    """The uids for which there is more than one machine that is not being removed."""
    uids = Counter(machine["config"].get("metadata", {}).get("invoker_uid") for machine in machines)
    return [f"{count} machines of {uid}" for uid, count in uids.items() if uid and count > 1]


async def _one_each(fleet: Fleet, machines: list[dict[str, Any]]) -> list[str]:
    """Every machine row has exactly its machine, in the state that it asks for."""
    found = duplicates(machines)
    by_id = {machine["id"]: machine for machine in machines}
    for row in await fleet.rows("SELECT * FROM machines"):
        instance = row["status"]["instance"]["id"]
        machine = by_id.pop(instance, None)
        if machine is None:
            found.append(f"{row['uid']}: its machine {instance} is not there")
            continue
        if machine["config"]["metadata"].get("invoker_uid") != str(row["uid"]):
            found.append(f"{row['uid']}: machine {instance} is marked as somebody else's")
        state = {"Running": "started", "Stopped": "stopped"}[row["spec"]["power"]]
        if machine["state"] != state:
            found.append(f"{row['uid']}: {machine['state']} instead of {state}")
    return found + [f"machine {instance} has no row" for instance in by_id]


async def _orphans(fleet: Fleet, machines: list[dict[str, Any]]) -> list[str]:
    """Every app and volume at the provider belongs to a row, and is the only one."""
    rows = await fleet.rows("SELECT * FROM machines")
    wanted = {row["status"]["app"]["name"]: row["status"]["volume"]["id"] for row in rows}
    apps = {app["name"] for app in (await fleet.fly("GET", "/v1/apps?org_slug=invoker"))["apps"]}
    found = [f"app {app} has no row" for app in apps - wanted.keys() - {STRANGER}]
    found += [f"app {app} is not there" for app in wanted.keys() - apps]
    for app in wanted.keys() & apps:
        volumes = await fleet.fly("GET", f"/v1/apps/{app}/volumes")
        ids = {volume["id"] for volume in volumes if "destroy" not in volume["state"]}
        if ids != {wanted[app]}:
            found.append(f"app {app} has volumes {ids} instead of {wanted[app]}")
    return found + [f"{m['app']}: no row" for m in machines if m["app"] not in wanted]


async def _routes(fleet: Fleet) -> list[str]:
    """The edge's entries are those of the routes, and lead to their own account's machine."""
    rows = await fleet.rows("SELECT * FROM routes")
    entries = await fleet.entries()
    told = {f"route:{row['name']}": row["status"]["entry"] for row in rows}
    told = {name: entry for name, entry in told.items() if entry is not None}
    ours = {
        name: entry
        for name, entry in entries.items()
        if name.startswith("route:") and name != STRANGERS_KEY
    }
    found = [f"{name} has no route" for name in ours.keys() - told.keys()]
    found += [f"{name} is missing" for name in told.keys() - ours.keys()]
    found += [
        f"{name} differs: {ours[name]} instead of {told[name]}"
        for name in ours.keys() & told.keys()
        if _said(ours[name]) != _said(told[name])
    ]
    accounts = {
        str(row["uid"]): row["namespace"] for row in await fleet.rows("SELECT * FROM machines")
    }
    return found + [
        f"{name} leads to a machine of another account, or of none"
        for name, entry in ours.items()
        if entry.get("machine") and accounts.get(entry["machine"]) != entry["account"]
    ]


def _said(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if value is not None}


async def _stranger(fleet: Fleet) -> list[str]:
    """What carries no mark of ours is as it was."""
    apps = {app["name"] for app in (await fleet.fly("GET", "/v1/apps?org_slug=invoker"))["apps"]}
    found = [] if STRANGER in apps else ["somebody else's app is gone"]
    entries = await fleet.entries()
    return found if STRANGERS_KEY in entries else [*found, "somebody else's entry is gone"]


def _secrets(fleet: Fleet, citizens: list[Citizen]) -> list[str]:
    """No part has written a secret to its log."""
    keys = fleet.stack.keys
    secrets = {
        "the encryption key": keys.encryption_keys,
        "the edge token": keys.edge_token,
        "the edge's signing key": keys.edge_signing_key,
        "the machines' provider's token": keys.fly_token,
        "Cloudflare's token": keys.cloudflare_token,
        **{f"{citizen.name}'s password": citizen.password for citizen in citizens},
    }
    text = "\n".join(fleet.lines)
    return [f"{name} is in the log" for name, secret in secrets.items() if secret in text]
