"""Wishes: each is counted once, at the latest when it is late."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Self
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from controller.metrics.journal import Change, Facts, Open
from controller.metrics.wishes import OUTCOMES, WISHES, Wishes

START = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass
class Life:
    """One object, told step by step; `seconds` is when each step happens."""

    kind: str = "Machine"
    uid: UUID = field(default_factory=uuid4)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    now: float = 0.0
    facts: Facts | None = None

    def __post_init__(self) -> None:
        self.wishes = Wishes(self.registry)

    def at(self, seconds: float) -> Self:
        """Let time pass until then; whoever looks, looks then too."""
        self.now = seconds
        self.wishes.heed([], self.time)
        return self

    @property
    def time(self) -> datetime:
        """The present."""
        return START + timedelta(seconds=self.now)

    def becomes(self, facts: Facts | None) -> Self:
        """A change is logged and read at once."""
        before, self.facts = self.facts, facts
        self.wishes.heed([Change(self.kind, self.uid, self.time, before, facts)], self.time)
        return self

    def wished(self, generation: int, *, deleting: bool = False) -> Self:
        """A new wish."""
        return self.becomes(Facts(generation, converged=False, deleting=deleting, refused=False))

    def is_so(self, *, converged: bool = True, refused: bool = False) -> Self:
        """The status is written."""
        assert self.facts is not None
        return self.becomes(self.facts._replace(converged=converged, refused=refused))

    def counts(self) -> dict[tuple[str, str], float]:
        """How many wishes of each sort came to what."""
        found = {
            (wish, outcome): self.value(
                "invoker_wishes_total", kind=self.kind, wish=wish, outcome=outcome
            )
            for wish in WISHES
            for outcome in OUTCOMES
        }
        return {sort: number for sort, number in found.items() if number}

    def value(self, name: str, **labels: str) -> float:
        """A sample's value; 0 without one."""
        return self.registry.get_sample_value(name, labels) or 0


def test_a_wish_in_time() -> None:
    """What converges within the promise is in time, and says how long it took since its birth."""
    life = Life().wished(1).at(12).is_so().at(500)

    assert life.counts() == {("create", "in_time"): 1}
    assert life.value("invoker_convergence_seconds_sum", kind="Machine", wish="create") == 12
    assert life.value("invoker_time_to_readiness_seconds_sum", kind="Machine") == 12


def test_a_wish_is_late_while_it_is() -> None:
    """An outage shows when the time is up, not when it is over, and not twice."""
    life = Life().wished(1).at(61)
    during = life.counts()
    life.at(400).is_so()

    assert during == {("create", "late"): 1}
    assert life.counts() == during
    assert life.value("invoker_convergence_seconds_sum", kind="Machine", wish="create") == 400


def test_the_promise_is_kept_at_its_last_moment() -> None:
    """Sixty seconds are within sixty seconds, also when nobody looked meanwhile."""
    life = Life().wished(1)
    life.now = 60.0
    life.is_so()

    assert life.counts() == {("create", "in_time"): 1}


def test_a_droplet_has_five_minutes() -> None:
    """It boots and installs packages before its gateway comes up; then it is late too."""
    life = Life(kind="Vps").wished(1).at(300)
    in_time = life.counts()

    assert {} == in_time
    assert {("create", "late"): 1} == life.at(301).counts()


def test_a_rule_of_ours_is_not_a_failure() -> None:
    """A quota that stands against a wish does not count against the objective."""
    life = Life().wished(1).at(1).is_so(converged=False, refused=True).at(61)

    assert life.counts() == {("create", "refused"): 1}


def test_what_is_refused_does_not_age() -> None:
    """A wish over its quota may stand for days: nobody is to be woken for it."""
    life = Life().wished(1).at(1).is_so(converged=False, refused=True).at(5000)
    refused = life.wishes.ages(life.time)
    life.is_so(converged=False)

    assert (refused, life.wishes.ages(life.time)) == ({}, {"Machine": [5000.0]})


def test_another_wish_begins_anew() -> None:
    """Who changes their mind in time is counted by the last wish; readiness counts from birth."""
    life = Life().wished(1).at(10).wished(2).at(65).is_so()

    assert life.counts() == {("create", "superseded"): 1, ("change", "in_time"): 1}
    assert life.value("invoker_time_to_readiness_seconds_sum", kind="Machine") == 65


def test_changing_ones_mind_hides_no_lateness() -> None:
    """A wish that was late stays late, whatever is wished then."""
    life = Life().wished(1).at(61).wished(2).at(70).is_so()

    assert life.counts() == {("create", "late"): 1, ("change", "in_time"): 1}


def test_a_deletion_is_a_wish() -> None:
    """It comes true when the row is gone."""
    life = Life().wished(1).is_so().at(100).wished(2, deleting=True).at(130).becomes(None)

    assert life.counts() == {("create", "in_time"): 1, ("delete", "in_time"): 1}


def test_drift_is_no_wish() -> None:
    """What stops being as wished is drift until it is repaired, however long that takes."""
    life = Life().wished(1).is_so().at(100).is_so(converged=False)
    open_ = life.wishes.drifting()
    life.at(300).is_so()

    assert life.counts() == {("create", "in_time"): 1}
    assert open_ == {"Machine": 1}
    assert life.wishes.drifting() == {}
    assert life.value("invoker_drift_total", kind="Machine") == 1
    assert life.value("invoker_drift_seconds_sum", kind="Machine") == 200


def test_what_only_mirrors_a_child_does_not_drift() -> None:
    """A machine's crash is not counted once more for its workspace."""
    life = Life(kind="Workspace").wished(1).is_so().is_so(converged=False).is_so()

    assert life.value("invoker_drift_total", kind="Workspace") == 0


def test_a_new_leader_tells_what_the_old_one_could_not() -> None:
    """What was late is told already; what is still in time goes on from when it was wished."""
    life = Life()
    life.now = 100
    facts = Facts(2, converged=False, deleting=False, refused=False)
    found = [
        Open("Machine", life.uid, START + timedelta(seconds=45), facts),
        Open("Machine", uuid4(), START, facts),
    ]
    life.wishes.begin(found, life.time)
    life.facts = facts
    life.at(104).is_so()

    assert life.counts() == {("change", "in_time"): 1}
    assert life.wishes.ages(life.time) == {"Machine": [104.0]}


def test_unknown_kinds_share_a_label() -> None:
    """A label is one of a few words, whatever kinds there are."""
    life = Life(kind="Gadget7").wished(1).is_so()

    assert life.value("invoker_wishes_total", kind="Other", wish="create", outcome="in_time") == 1


STEPS = st.lists(
    st.tuples(
        st.floats(0, 90), st.sampled_from(["wish", "converge", "drift", "refuse", "delete", "gone"])
    ),
    max_size=30,
)


@pytest.mark.slow  # a few hundred lives
@given(STEPS)
def test_every_wish_is_counted_once(steps: list[tuple[float, str]]) -> None:
    """Whatever happens in whatever order, wishes told and wishes open are all wishes."""
    life, made, generation = Life().wished(1), 1, 1
    for pause, step in steps:
        life.at(life.now + pause)
        if life.facts is None:
            break
        if step in ("wish", "delete") and not life.facts.deleting:
            generation, made = generation + 1, made + 1
            life.wished(generation, deleting=step == "delete")
        elif step == "gone" and life.facts.deleting:
            life.becomes(None)
        elif step in ("converge", "drift", "refuse") and not life.facts.deleting:
            life.is_so(converged=step == "converge", refused=step == "refuse")
    life.at(life.now + 61)

    assert sum(life.counts().values()) == made


def test_a_dev_environment_has_more_time() -> None:
    """Six services start one after the other: three minutes are in time, and then it is late."""
    devenv = Life(kind="DevEnv").wished(1).at(170)
    before = devenv.counts()

    assert before == {}
    assert devenv.at(181).counts() == {("create", "late"): 1}
    assert Life(kind="DevEnv").wished(1).at(170).is_so().counts() == {("create", "in_time"): 1}
