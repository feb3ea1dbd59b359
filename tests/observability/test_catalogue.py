"""The catalogue of metrics: complete, current, and bounded."""

from __future__ import annotations

import pytest

from controller.metrics.vocabulary import kind_label, phase_label, reason_label, retry_label
from deploy.observability.catalogue import Family, catalogue, words_of
from deploy.observability.metrics_page import PAGE, render

FAMILIES = [(process, each) for process, group in catalogue().items() for each in group]
# What would name somebody or something, one by one.
FORBIDDEN = {
    *("account", "address", "app", "email", "host", "id", "instance", "key", "machine", "message"),
    *("namespace", "object", "path", "pod", "subdomain", "trace_id", "uid", "url", "user"),
}


def test_the_page_is_current() -> None:
    """docs/metrics.md is what the registries say; `make observability` makes it."""
    assert render() == PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("process", "family"), FAMILIES, ids=lambda each: getattr(each, "name", each)
)
def test_a_metric_says_what_it_is(process: str, family: Family) -> None:
    """Its name is in our prefix or the library's, and it is told in a sentence."""
    assert process
    assert family.name.startswith(("invoker_", "process_"))
    assert family.type in {"counter", "gauge", "histogram"}
    assert len(family.meaning) > 10


@pytest.mark.parametrize(
    ("process", "family"), FAMILIES, ids=lambda each: getattr(each, "name", each)
)
def test_a_label_says_one_of_a_few_words(process: str, family: Family) -> None:
    """Every label of every metric has a closed vocabulary, and none names an object or a user."""
    assert process
    for label in family.labels:
        words = words_of(family.name, label)
        assert words.words or words.form
        assert len(words.words) <= 100
        assert not words.allow("0190c7a2-5c1e-7b1e-8f1e-1234567890ab")
        assert not words.allow("alice@example.com")
    assert FORBIDDEN & set(family.labels) == set()


@pytest.mark.parametrize(
    ("label", "name", "word"),
    [
        (kind_label, "kind", "Gadget"),
        (phase_label, "phase", "alice"),
        (retry_label, "retry", "alice"),
        (reason_label, "reason", "alice"),
    ],
)
def test_unknown_words_share_one(label: object, name: str, word: str) -> None:
    """What rows may hold besides is told by the vocabulary's own word for everything else."""
    assert callable(label)
    assert label(word) == "Other"
    assert words_of("invoker_objects", name).allow("Other")
