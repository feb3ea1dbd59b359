"""Known bugs of VPSs, their sessions and keys, seeded one at a time; their lives must notice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from controller.gateways import authorized_key, session
from controller.vps import gateway, names
from controller.vps.credentials import new_token
from controller.vps.destruction import destroy_others
from controller.vps.lookup import Found, read
from controller.vps.reconciler import LIFE, REMOVAL, VpsReconciler
from controller.vps.removal import remove_droplets
from controller.vps.tidy import tidy
from controller.vps.tools import VpsScope, VpsTools
from crds.account import Account
from crds.vps import VpsIntent, VpsOperation
from tests.simulation.devenv_mutants import nothing
from tests.simulation.faults import Fault
from tests.simulation.mutants import NEVER, Mutant, Run, replaced, struck

_hear, _account = gateway.hear, VpsReconciler._account
_standing, _authorization = session._standing, authorized_key._authorization
DROPLET = "controller.vps.droplet"
# The first effect of every life.
CREATION = 0


async def keep_nothing(scope: VpsScope, tools: VpsTools) -> str:
    """Make a token of which nothing is kept."""
    del scope
    return tools.random(32).hex()


async def tell_token(scope: VpsScope, tools: VpsTools) -> str:
    """Make a token and tell it."""
    token = await new_token(scope, tools)
    scope.event("Made", f"its gateway shows {token}")
    return token


@asynccontextmanager
async def act_first(
    scope: VpsScope, operation: VpsOperation, droplet: int | None = None
) -> AsyncIterator[VpsIntent]:
    """Write down afterwards what was asked."""
    intent = VpsIntent(operation=operation, since=scope.now, droplet=droplet)
    yield intent
    intent.accepted_at, scope.object.status.intent = scope.now, intent
    await scope.save()


async def find_nothing(*_: Any) -> list[Any]:
    """Have no droplet by its tag."""
    return []


async def list_nothing(*_: Any) -> Found:
    """Have none that a list shows."""
    return Found([], 0)


async def look_by_uid(scope: VpsScope, _: VpsTools) -> Found:
    """Take every droplet with the uid for ours."""
    tag = names.uid_tag(scope.uid)
    listed = await scope.api.list_droplets(scope.access.connection, tag=tag, call=scope.call)
    found = [await read(scope, each.id) for each in listed]
    return Found([each for each in found if each is not None], 0)


def wait_for_nothing(_: VpsScope) -> None:
    """Believe a list's silence."""


async def hear_no_end(scope: VpsScope) -> None:
    """Never note that a gateway is away."""
    before = scope.object.status.gateway.model_copy()
    await _hear(scope)
    now = scope.object.status.gateway
    if before.connected and not now.connected:
        now.connected, now.since = True, before.since


async def take_for_active(self: VpsReconciler, scope: VpsScope) -> Account:
    """Look at nobody's account."""
    account = await _account(self, scope)
    account.spec.state = "Active"
    return account


async def nobody(*_: Any) -> Sequence[Any]:
    """Have no VPS on a connection."""
    return []


def endless(*arguments: Any) -> dict[str, Any]:
    """Let a key in for ever."""
    return {**_authorization(*arguments), "expires_at": None}


def begin_again(*arguments: Any) -> Any:
    """Take what has ended for what is missing."""
    found = _standing(*arguments)
    return "missing" if found == "ended" else found


def believe_running(*arguments: Any) -> Any:
    """Take what is missing for what runs."""
    found = _standing(*arguments)
    return "running" if found in ("missing", "lost") else found


def without(steps: Sequence[Any], step: Any) -> tuple[Any, ...]:
    """The steps but one."""
    return tuple(each for each in steps if each is not step)


VPS_MUTANTS: dict[str, Mutant] = {
    "vps-token-unkept": Mutant(
        "a droplet is made whose gateway nobody will know",
        replaced(f"{DROPLET}.new_token", keep_nothing),
        (Run("vps_up"),),
    ),
    "vps-token-told": Mutant(
        "an event tells the gateway's token",
        replaced(f"{DROPLET}.new_token", tell_token),
        (Run("vps_up"),),
    ),
    "vps-acts-first": Mutant(
        "a droplet is asked for before that is on record",
        replaced(f"{DROPLET}.effect", act_first),
        (Run("vps_up"),),
    ),
    "vps-switches-first": Mutant(
        "a droplet is switched before that is on record",
        replaced("controller.vps.power.effect", act_first),
        (Run("vps_power"),),
    ),
    "vps-destroys-first": Mutant(
        "a droplet is destroyed before that is on record",
        replaced("controller.vps.destruction.effect", act_first),
        (Run("vps_deleted_new"),),
    ),
    "vps-adopts-none": Mutant(
        "a droplet whose creation timed out is made once more",
        replaced(f"{DROPLET}.ours", find_nothing),
        (struck("vps_up", Fault.TIMEOUT_AFTER, CREATION),),
    ),
    "vps-silence-believed": Mutant(
        "a list's silence about a droplet is believed at once",
        replaced(f"{DROPLET}.await_evidence", wait_for_nothing),
        (struck("vps_up", Fault.STALE, CREATION),),
    ),
    "vps-namesake": Mutant(
        "another installation's droplet is taken for ours",
        replaced("controller.vps.lookup.look", look_by_uid),
        (Run("vps_namesake"),),
    ),
    "vps-404-believed": Mutant(
        "a droplet that is listed and not found counts as gone",
        replaced(f"{DROPLET}.look", list_nothing),
        (Run("vps_long_404s"),),
    ),
    "vps-cut-off": Mutant(
        "the power is cut off without patience",
        replaced("controller.vps.power.HEED_WITHIN", timedelta(0)),
        (Run("vps_shutdown_ignored"),),
    ),
    "vps-droplet-left": Mutant(
        "a row goes without its droplet",
        replaced("controller.vps.reconciler.REMOVAL", without(REMOVAL, remove_droplets)),
        (Run("vps_deleted_new"),),
    ),
    "vps-hash-left": Mutant(
        "the hash of a gateway's token outlives its VPS",
        replaced("controller.vps.removal.forget_tokens", nothing),
        (Run("vps_deleted_new"),),
    ),
    "vps-twin-left": Mutant(
        "a second droplet of a VPS is left",
        replaced("controller.vps.reconciler.LIFE", without(LIFE, destroy_others)),
        (Run("vps_twin"),),
    ),
    "vps-restless": Mutant(
        "a droplet at rest is asked for by itself",
        replaced(f"{DROPLET}.at_rest", lambda *_: False),
        (Run("vps_up"),),
    ),
    "vps-connected-for-ever": Mutant(
        "a gateway that is away counts as connected",
        replaced("controller.vps.reconciler.hear", hear_no_end),
        (Run("vps_silent"),),
    ),
    "vps-account-unheeded": Mutant(
        "a droplet runs on although its account is suspended",
        replaced("controller.vps.reconciler.VpsReconciler._account", take_for_active),
        (Run("vps_suspended"),),
    ),
    "vps-grant-given-up": Mutant(
        "a grant is given up while a droplet needs it",
        replaced("controller.cloud_connection.CloudConnectionReconciler._users", nobody),
        (Run("vps_disconnected_first"),),
    ),
    "vps-collector-hasty": Mutant(
        "the collector of droplets has no grace",
        replaced("controller.vps.collector.GRACE", -NEVER),
        (Run("vps_let_go"),),
    ),
    "vps-not-tidied": Mutant(
        "what nobody wishes for stays in a gateway that comes back",
        replaced("controller.vps.reconciler.LIFE", without(LIFE, tidy)),
        (Run("vps_rows_go_meanwhile"),),
    ),
    "session-left": Mutant(
        "a session outlives its row",
        replaced("controller.gateways.session.SessionReconciler.remove", nothing),
        (Run("vps_sessions"),),
    ),
    "session-begun-again": Mutant(
        "a session whose program has ended is begun again",
        replaced("controller.gateways.session._standing", begin_again),
        (Run("vps_sessions"),),
    ),
    "session-lost": Mutant(
        "a session that its gateway lost is not begun anew",
        replaced("controller.gateways.session._standing", believe_running),
        (Run("vps_restart_forgotten"),),
    ),
    "key-left": Mutant(
        "a key outlives its row",
        replaced("controller.gateways.authorized_key.AuthorizedKeyReconciler.remove", nothing),
        (Run("vps_sessions"),),
    ),
    "key-endless": Mutant(
        "a gateway is not told when a key ends",
        replaced("controller.gateways.authorized_key._authorization", endless),
        (Run("vps_support"),),
    ),
}

# Those that are noticed only when patience is over, or by what other tests see too.
RARELY = frozenset(
    {
        "vps-switches-first",
        "vps-destroys-first",
        "vps-namesake",
        "vps-404-believed",
        "vps-hash-left",
        "vps-account-unheeded",
        "vps-grant-given-up",
        "vps-collector-hasty",
        "vps-connected-for-ever",
        "vps-twin-left",
        "session-begun-again",
        "session-lost",
    }
)
