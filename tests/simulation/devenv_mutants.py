"""Known bugs of dev environments, seeded one at a time; their lives must notice each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from controller.devenv import relocation, services
from controller.devenv.keys import ensure_keys
from controller.devenv.machines import remove
from controller.devenv.reconciler import DevEnvReconciler
from controller.devenv.tools import DevEnvScope, Tools, Wait
from controller.devenv.wanted import machine_spec
from crds.account import Account
from crds.devenv import SERVICES, MoveStatus
from tests.simulation.mutants import Mutant, Run, replaced

_go_down, _raise_services = DevEnvReconciler._go_down, services.raise_services
_name = DevEnvReconciler._name
SECONDS = timedelta(seconds=5)


async def nothing(*_: Any, **__: Any) -> None:
    """A step that does nothing."""


async def withdraw_last(
    self: DevEnvReconciler, scope: DevEnvScope, account: Account
) -> Wait | None:
    """Stop the services, and tell nobody anything when they are down."""
    with patch("controller.devenv.reconciler.withdraw", nothing):
        wait = await _go_down(self, scope, account)
    return wait or await _go_down(self, scope, account)


async def replace_again(*arguments: Any, **options: Any) -> Any:
    """Replace keys that are a few seconds younger than they have to be."""
    if (before := options["replace_before"]) is not None:
        options["replace_before"] = min(before + SECONDS, options["now"])
    return await ensure_keys(*arguments, **options)


async def remove_first(scope: DevEnvScope, tools: Tools) -> Wait | None:
    """Let go of the old place before the services come up in the new one."""
    moving = scope.object.status.move
    if moving is not None and moving.step == "Remove":
        await remove(scope, tools, keep=relocation.current(scope))
    return await _raise_services(scope, tools)


def same_fingerprint(*arguments: Any, **options: Any) -> Any:
    """Other variables look like the ones before."""
    return machine_spec(*arguments, **{**options, "fingerprint": "the same"})


def mark_of_keys(scope: DevEnvScope, *_: Any) -> str:
    """Whatever the disk is."""
    keys = scope.object.status.keys
    return "" if keys is None else keys.fingerprint


async def forget_record(scope: DevEnvScope, _: Tools) -> None:
    """Say that there is none, and leave it."""
    scope.object.status.connection, scope.object.status.told = "None", ""
    await scope.save()


async def stop_nothing(scope: DevEnvScope, _: Tools, __: MoveStatus) -> Wait | None:
    """Move beneath the services."""
    del scope
    return None


def check_name_first(self: DevEnvReconciler, scope: DevEnvScope) -> None:
    """Refuse other names before anything else is looked at."""
    _name(self, scope)
    self._check_name(scope)


def steps(**changes: Any) -> Callable[[], AbstractContextManager[Any]]:
    """Other steps of a move."""
    return lambda: patch.dict(relocation.STEPS, changes)


DEVENV_MUTANTS: dict[str, Mutant] = {
    "told-too-long": Mutant(
        "users are told how to connect until the services are down",
        replaced("controller.devenv.reconciler.DevEnvReconciler._go_down", withdraw_last),
        (Run("devenv_stop_and_start"),),
    ),
    "record-left": Mutant(
        "the connection record outlives what is said of it",
        replaced("controller.devenv.reconciler.withdraw", forget_record),
        (Run("devenv_stop_and_start"),),
    ),
    "keys-again": Mutant(
        "keys are replaced with every look",
        replaced("controller.devenv.services.ensure_keys", replace_again),
        (Run("devenv_rotate"),),
    ),
    "keys-unknown": Mutant(
        "the database is not told the keys",
        replaced("controller.devenv.services.ensure_prepared", nothing),
        (Run("devenv_bare"),),
    ),
    "keys-of-another-disk": Mutant(
        "a new disk is taken for one that knows the keys",
        replaced(
            "controller.devenv.prepared._mark",
            lambda scope, *_: scope.object.status.keys.fingerprint,
        ),
        (Run("devenv_database_lost"),),
    ),
    "variables-stand": Mutant(
        "other secret variables are no other config",
        replaced("controller.devenv.machines.machine_spec", same_fingerprint),
        (Run("devenv_rotate"),),
    ),
    "all-at-once": Mutant(
        "what changes is not brought up in order",
        replaced("controller.devenv.services._begin_again", nothing),
        (Run("devenv_rotate"),),
    ),
    "upside-down": Mutant(
        "services come up in the reverse order",
        lambda: patch(
            "crds.devenv.DevEnvSpec.services", property(lambda _: tuple(reversed(SERVICES)))
        ),
        (Run("devenv_bare"),),
    ),
    "stops-forwards": Mutant(
        "services stop in the order in which they start",
        replaced("controller.devenv.machines.SERVICES", SERVICES[::-1]),
        (Run("devenv_stop_and_start"),),
    ),
    "not-built": Mutant(
        "the front end is not built anew",
        replaced("controller.devenv.reconciler.tell_front_end", nothing),
        (Run("devenv_up"),),
    ),
    "not-verified": Mutant(
        "a move switches without a comparison",
        steps(Copy=(relocation._copy, "Switch")),
        (Run("devenv_move_written"),),
    ),
    "not-stopped": Mutant(
        "a move begins while the services run",
        steps(Stop=(stop_nothing, "Create")),
        (Run("devenv_move"),),
    ),
    "removed-first": Mutant(
        "the old database goes before all is well",
        replaced("controller.devenv.reconciler.raise_services", remove_first),
        (Run("devenv_move"),),
    ),
    "files-left": Mutant(
        "files do not move along",
        replaced("controller.devenv.services.source_of", lambda *_: None),
        (Run("devenv_move"),),
    ),
    "rls-forgotten": Mutant(
        "another mode of row-level security is not applied",
        replaced("controller.devenv.rls.apply", nothing),
        (Run("devenv_rls"),),
    ),
    "blocked-first": Mutant(
        "what is blocked is not stopped by a quarantine",
        replaced(
            "controller.devenv.reconciler.DevEnvReconciler._name",
            check_name_first,
        ),
        (Run("devenv_quarantined_and_blocked"),),
    ),
    "keys-kept": Mutant(
        "the keys outlive the environment",
        replaced("controller.devenv.reconciler.keys_name", lambda name: f"devenv/{name}/none"),
        (Run("devenv_delete_early"),),
    ),
}
