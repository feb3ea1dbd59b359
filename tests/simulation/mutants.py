"""Known bugs, seeded one at a time over the product's code; the sweeps must notice each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from controller.engine import Grip
from controller.machine import launch, reconciler, removal, rollout
from tests.simulation import mutations
from tests.simulation.faults import Fault, Perturbation


@dataclass(frozen=True)
class Run:
    """A life that should notice.

    Attributes:
        life: Its name.
        strike: What goes wrong in it.
        replicas: How many controllers run.
    """

    life: str
    strike: tuple[Perturbation, ...] = ()
    replicas: int = 1


@dataclass(frozen=True)
class Mutant:
    """A seeded bug.

    Attributes:
        what: What is wrong, for the table.
        seed: Puts it in place, for as long as the context lasts.
        runs: The fewest lives that notice it.
    """

    what: str
    seed: Callable[[], AbstractContextManager[Any]]
    runs: tuple[Run, ...]


def struck(life: str, fault: Fault, at: int) -> Run:
    """A life with one fault."""
    return Run(life, (Perturbation(fault, at),))


def replaced(target: str, by: Any) -> Callable[[], AbstractContextManager[Any]]:
    """A patch of something by its dotted name."""
    return lambda: patch(target, by)


# The effects of `sign_up`, in their order.
APP, ADDRESS, VOLUME, MACHINE = 0, 1, 3, 4
NEVER, AT_ONCE = timedelta(days=9), timedelta(0)
LAUNCH, HEALTH = "controller.machine.launch", "controller.machine.health"
LOSS = "controller.machine.loss"


@contextmanager
def no_withdrawal() -> Iterator[None]:
    """Destroy without waiting for the routes."""
    with ExitStack() as stack:
        steps = (mutations.pass_by, *reconciler.REMOVAL[1:])
        stack.enter_context(patch.object(reconciler, "REMOVAL", steps))
        stack.enter_context(patch.object(removal, "await_withdrawal", mutations.pass_by))
        yield


@contextmanager
def no_leases() -> Iterator[None]:
    """Everybody works on everything."""
    with ExitStack() as stack:
        shards = "controller.engine.shards.Shards"
        stack.enter_context(patch(f"{shards}.owns", lambda *_: True))
        stack.enter_context(patch(f"{shards}.begin", lambda *_: Grip()))
        stack.enter_context(patch(f"{shards}.end", lambda *_: None))
        yield


@contextmanager
def no_absence_grace() -> Iterator[None]:
    """Believe the first 404."""
    with ExitStack() as stack:
        stack.enter_context(patch(f"{LOSS}.ABSENCE_GRACE", AT_ONCE))
        stack.enter_context(patch(f"{LOSS}.LOST_AFTER", AT_ONCE))
        yield


@contextmanager
def loss_at_once() -> Iterator[None]:
    """Begin anew as soon as something is not found."""
    with ExitStack() as stack:
        stack.enter_context(patch(f"{LOSS}.LOST_AFTER", AT_ONCE))
        stack.enter_context(patch("controller.census.Census.lacks", mutations.lacks_anything))
        yield


@contextmanager
def restarts_again() -> Iterator[None]:
    """Heed a wish for a restart more than once."""
    with ExitStack() as stack:
        for module in ("power", "observation"):
            target = f"controller.machine.{module}.restart_due"
            stack.enter_context(patch(target, mutations.restart_due_again))
        yield


@contextmanager
def never_deletes_volume() -> Iterator[None]:
    """Forget the volume instead of deleting it."""
    with ExitStack() as stack:
        steps = tuple(
            mutations.forget_volume if step is removal.delete_volume else step
            for step in reconciler.REMOVAL
        )
        stack.enter_context(patch.object(reconciler, "REMOVAL", steps))
        stack.enter_context(patch.object(removal, "delete_volume", mutations.forget_volume))
        yield


@contextmanager
def step_replaced(old: Any, new: Any) -> Iterator[None]:
    """Another step in a machine's life."""
    steps = tuple(new if step is old else step for step in reconciler.LIFE)
    with patch.object(reconciler, "LIFE", steps):
        yield


@asynccontextmanager
async def no_intent(*_: Any) -> Any:
    """Just do it."""
    yield


MUTANTS: dict[str, Mutant] = {
    "no-finalizer": Mutant(
        "rows go without what they stand for",
        replaced("controller.scope.Scope.keep", mutations.keep_without_finalizer),
        (Run("sign_up"),),
    ),
    "conflict-ignored": Mutant(
        "an intent is written although the wish moved",
        replaced("controller.scope.Scope.save_if_unmoved", mutations.save_anyway),
        (Run("fickle"),),
    ),
    "random-machine-name": Mutant(
        "a machine's name differs from try to try",
        replaced("controller.providers.fly.Fly.create_machine", mutations.create_under_any_name),
        (struck("sign_up", Fault.TIMEOUT_AFTER, MACHINE),),
    ),
    "random-app-name": Mutant(
        "an app's name does not tell whose it is",
        replaced("controller.machine.names.app_name", mutations.any_app_name),
        (Run("late_leftovers"),),
    ),
    "stale-list-believed": Mutant(
        "a list's silence is believed at once",
        replaced("controller.machine.intent.LISTING_GRACE", AT_ONCE),
        (struck("sign_up", Fault.STALE, VOLUME),),
    ),
    "404-believed": Mutant(
        "the first 404 after a creation means gone", no_absence_grace, (Run("slow_birth"),)
    ),
    "read-believed": Mutant(
        "a loss is believed although the lists show the thing",
        replaced("controller.census.Census.lacks", mutations.lacks_anything),
        (Run("long_404s"),),
    ),
    "loss-at-once": Mutant(
        "a loss is believed at once, where a list agrees", loss_at_once, (Run("one_404"),)
    ),
    "no-intent": Mutant(
        "a volume is asked for before that is on record",
        replaced("controller.machine.disk.effect", no_intent),
        (struck("sign_up", Fault.CRASH_AFTER, VOLUME),),
    ),
    "status-before-effect": Mutant(
        "addresses are on record before they are there",
        lambda: step_replaced(launch.ensure_addresses, mutations.addresses_recorded_first),
        (struck("sign_up", Fault.CRASH_BEFORE, ADDRESS),),
    ),
    "no-leases": Mutant(
        "two replicas work on the same key", no_leases, (Run("sign_up", replicas=2),)
    ),
    "recreate-on-409": Mutant(
        "any 409 on creation is answered with another name",
        replaced(f"{LAUNCH}._adopt", mutations.create_again),
        (struck("sign_up", Fault.TIMEOUT_AFTER, MACHINE),),
    ),
    "no-withdrawal": Mutant(
        "a machine is destroyed while routes lead to it", no_withdrawal, (Run("move"),)
    ),
    "route-before-health": Mutant(
        "a route is published before the machine answered",
        replaced("controller.route.RouteReconciler._entry_for", mutations.entry_at_once),
        (Run("sign_up"),),
    ),
    "volume-left": Mutant("a volume is never deleted", never_deletes_volume, (Run("move"),)),
    "adopts-anything": Mutant(
        "a machine without our marks is taken over",
        replaced(f"{LAUNCH}._adopt", mutations.adopt_anything),
        (Run("impostor"),),
    ),
    "collector-hasty": Mutant(
        "the collector has no grace",
        replaced("controller.collector.GRACE", AT_ONCE),
        (Run("late_leftovers"),),
    ),
    "collector-greedy": Mutant(
        "the collector takes other installations' apps for ours",
        replaced("controller.machine.names.uid_of_app", mutations.uid_of_any_app),
        (Run("unmarked_things"),),
    ),
    "collector-gullible": Mutant(
        "the collector removes what this database never knew",
        replaced("controller.orphans.Evidence.known", lambda *_: True),
        (Run("empty_database"),),
    ),
    "stamp-stands": Mutant(
        "an entry's stamp does not grow",
        replaced("controller.route.RouteReconciler._publish", mutations.publish_with_stamp_one),
        (Run("entry_overwritten"),),
    ),
    "wake-is-drift": Mutant(
        "a machine that a request woke is put to sleep again",
        replaced("controller.machine.power._sleep", mutations.sleep_regardless),
        (Run("sleep_and_wake"),),
    ),
    "restart-forever": Mutant(
        "a restart that was wished once comes with every start",
        restarts_again,
        (Run("restart"),),
    ),
    "power-last": Mutant(
        "what is blocked is not stopped by a quarantine",
        replaced("controller.workspace.WorkspaceReconciler._apply_power", mutations.leave_power),
        (Run("quarantined_and_blocked"),),
    ),
    "launches-stopped": Mutant(
        "what shall be stopped is started when it is made",
        replaced(f"{LAUNCH}.needs_a_machine", lambda _: True),
        (Run("quarantined_and_lost"),),
    ),
    "crashes-remembered": Mutant(
        "a crash loop is never forgotten",
        replaced(f"{HEALTH}._forget_crashes", lambda _: None),
        (Run("crash_loop"),),
    ),
    "never-gives-up": Mutant(
        "what crashes for ever is restarted for ever",
        replaced("controller.machine.power._stay_down", mutations.start_again),
        (Run("crash_for_ever"),),
    ),
    "loop-is-use": Mutant(
        "a crash loop keeps its machine awake",
        replaced(
            "controller.workspace.WorkspaceReconciler._last_activity", mutations.start_is_activity
        ),
        (Run("crash_unused"),),
    ),
    "nudged-for-ever": Mutant(
        "what stays stuck is nudged for ever",
        replaced("controller.machine.rollout.MOST_NUDGES", 10_000),
        (Run("stuck_for_good"),),
    ),
    "no-backoff": Mutant(
        "every restart comes after 5 seconds",
        replaced("controller.machine.power.BACKOFF_LAST_SECONDS", 5.0),
        (Run("crash_loop"),),
    ),
    "blind-retry": Mutant(
        "a creation that timed out is sent again at once",
        replaced("controller.providers.fly.Fly.create_volume", mutations.create_volume_twice),
        (struck("sign_up", Fault.TIMEOUT_AFTER, VOLUME),),
    ),
    "no-alert": Mutant(
        "nobody is told of a machine that does not answer",
        replaced(f"{HEALTH}.ALERT_AFTER", NEVER),
        (Run("unhealthy"),),
    ),
    "restart-hasty": Mutant(
        "a machine that misses one probe is restarted",
        replaced(f"{HEALTH}.STOPPED_AFTER", timedelta(minutes=1)),
        (Run("unhealthy"),),
    ),
    "host-lost-is-gone": Mutant(
        "a machine on a host that is away counts as destroyed",
        lambda: step_replaced(rollout.settle, mutations.forget_when_unreachable),
        (Run("host_lost"),),
    ),
    "no-breaker": Mutant(
        "an outage is not noticed",
        replaced("controller.providers.breaker.Breaker._is_down", lambda *_: False),
        (Run("outage_of_errors"),),
    ),
    "recreate-unasked": Mutant(
        "another region begins anew without being asked to",
        lambda: step_replaced(rollout.check_region, mutations.recreate_regardless),
        (Run("move"),),
    ),
    "still-routed": Mutant(
        "a stopped machine stays in the proxy's routing",
        replaced("controller.machine.power._set_cordon", mutations.leave_cordon),
        (Run("request_while_stopped"),),
    ),
    "token-told": Mutant(
        "an event tells the machine's token",
        replaced(f"{LAUNCH}._create_instance", mutations.create_and_tell),
        (Run("sign_up"),),
    ),
}
