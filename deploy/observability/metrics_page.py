"""`python -m deploy.observability.metrics_page`: write docs/metrics.md anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deploy.observability.catalogue import EDGE, Family, Words, catalogue, words_of

PAGE: Final = Path(__file__).parents[2] / "docs" / "metrics.md"
HEAD: Final = """\
# Metrics

Made from the registries by `make observability`; a test fails when it is not current.

Nobody and nothing in particular is named in a label: every label says one of a few words.
Counters begin at 0 with their process; the fleet's metrics are shown by the one replica
that leads `fleet`, so add over `instance` what counts, and take the `max` of what is.
"""
NOTHING: Final = "-"
ABOUT: Final = {
    "API": "`GET /metrics` of every API process, port 8080.",
    "controller": "`GET /metrics` of every controller replica, port 8081.",
    "edge": "`GET /.invoker/metrics` on the bare domain, with the edge token.",
}


def render() -> str:
    """The page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield HEAD
    for process, families in catalogue().items():
        yield f"## {process}\n\n{ABOUT[process]}\n"
        yield "| metric | type | labels | meaning |\n| --- | --- | --- | --- |"
        yield from map(_row, families)
        yield ""
    yield "## Outcomes at the edge\n\n| outcome | meaning | counts as |\n| --- | --- | --- |"
    for outcome, meaning in EDGE["outcomes"].items():
        yield f"| `{outcome}` | {meaning} | {_verdict(outcome)} |"
    yield ""


def _row(family: Family) -> str:
    name = family.series[0] if family.type == "counter" else family.name
    labels = "; ".join(
        f"`{label}`: {_told(words_of(family.name, label))}" for label in family.labels
    )
    return f"| `{name}` | {family.type} | {labels or NOTHING} | {_cell(family.meaning)} |"


def _told(words: Words) -> str:
    if words.told is not None:
        return words.told
    told = [f"`{word}`" for word in words.words]
    if words.form is not None:
        told.append(f"what matches `{words.form}`")
    return _cell(", ".join(told))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").rstrip(".").replace("\n", " ")


def _verdict(outcome: str) -> str:
    if outcome in EDGE["wrong"]:
        return "routed wrong"
    return NOTHING if outcome in EDGE["uncounted"] else "routed right"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
