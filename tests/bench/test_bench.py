"""The benches run, and say what they found in the form that others read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.__main__ import BENCHES, main
from tests.bench.harness import (
    TIMES,
    Measurement,
    Reference,
    Spent,
    at_most,
    failed,
    middle,
    percentile,
    ratio_at_least,
    ratio_at_most,
    skipped,
)

FIELDS = {"name", "value", "unit", "reference", "ratio", "goal", "met"}


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("bench", ["queue_keys", "store_writes"])
def test_a_bench_says_what_it_found(tmp_path: Path, bench: str) -> None:
    """A quick run ends well and writes the list of figures.

    Slow: it starts a process for the bench, and a durable PostgreSQL where that needs one.
    """
    output = tmp_path / "bench.json"

    code = main(["--quick", "--only", bench, "--output", str(output)])

    written = json.loads(output.read_text())
    assert [] == [one for one in written if str(one["reference"]).startswith("{'name': 'failed")]
    assert code == 0
    assert bench in BENCHES
    for one in written:
        assert one.keys() == FIELDS
        assert (one["goal"] is None) == (one["met"] is None) or one["value"] is None
        if one["value"] is not None and one["reference"] and one["reference"]["value"]:
            expected = one["value"] / one["reference"]["value"]
            assert pytest.approx(one["ratio"], rel=1e-2) == expected


def test_a_ratio_is_judged_by_the_reference_of_its_run() -> None:
    """Half as fast misses a goal of 0.9, and twice as long one of 1.6."""
    rate = Measurement("rate", 50, "1/s", Reference("floor", 100), ratio_at_least(0.9))
    time = Measurement("time", 2, "ms", Reference("floor", 1), ratio_at_most(1.6))

    assert (0.5, False) == (rate.ratio, rate.met)
    assert (2.0, False) == (time.ratio, time.met)
    assert f"≥ 0.9{TIMES}" == rate.to_json()["goal"]


def test_a_value_is_judged_by_itself() -> None:
    """None missed meets a goal of none, and there is no ratio."""
    missed = Measurement("missed", 0.0, "changes", goal=at_most(0))

    assert {
        "name": "missed",
        "value": 0.0,
        "unit": "changes",
        "reference": None,
        "ratio": None,
        "goal": "≤ 0",
        "met": True,
    } == missed.to_json()


def test_what_is_not_there_is_not_a_figure() -> None:
    """A bench that broke misses its goal; one that cannot run here does not."""
    broken, left_out = failed("a", "no disk"), skipped("b", "no workerd")

    assert (None, False, True) == (broken.value, broken.to_json()["met"], broken.failed)
    assert (None, None, False) == (left_out.value, left_out.to_json()["met"], left_out.failed)
    assert {"name": "failed: no disk", "value": None} == broken.to_json()["reference"]


def test_percentiles_are_values_that_were_measured() -> None:
    """The nearest rank: nothing is interpolated."""
    assert [1, 2, 3, 3] == [percentile([3, 1, 2], percent) for percent in (1, 50, 99, 100)]
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 50)


def test_the_middle_of_runs_is_taken_part_by_part() -> None:
    """One run that was slow on the wall does not bring its CPU along."""
    assert Spent(2, 5) == middle([Spent(1, 9), Spent(2, 5), Spent(8, 4)])
