"""What is desired beside what is observed of it, for any kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from api.console.differences import leaves

# How a status names what the spec names otherwise.
ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "power": ("phase",),
    "state": ("phase",),
    "account": ("entry.account",),
    "redirectTo": ("entry.redirect",),
    "incident.active": ("incident",),
    "incident.message": ("incidentMessage",),
}
# Shown elsewhere on the page, or no observation.
ELSEWHERE: Final = ("conditions", "retry", "intent", "observedGeneration")


class Pair(NamedTuple):
    """One field of the spec, and what is observed of it.

    Attributes:
        path: Where it is in the spec, in dots.
        desired: What is wished.
        seen: Where it is in the status, in dots; empty when nothing tells of it.
        observed: What is observed.
        differs: Whether that is not what is wished.
    """

    path: str
    desired: Any
    seen: str
    observed: Any
    differs: bool


class Comparison(NamedTuple):
    """Spec against status.

    Attributes:
        pairs: Every field of the spec.
        others: Fields of the status that nothing in the spec asks for.
    """

    pairs: list[Pair]
    others: list[tuple[str, Any]]

    @property
    def differing(self) -> int:
        """How many fields are not as wished."""
        return sum(pair.differs for pair in self.pairs)


def compare(spec: Mapping[str, Any], status: Mapping[str, Any], *, ready: bool) -> Comparison:
    """Put spec and status side by side.

    Args:
        spec: What is desired.
        status: What is observed.
        ready: Whether the object says that the wish came true: then a phase of another name, such
            as Asleep for what shall run when it is used, is no difference.
    """
    observed = {
        path: value
        for path, value in leaves(status)
        if path.split(".")[0] not in ELSEWHERE and value is not None
    }
    pairs = [_pair(path, value, observed, ready=ready) for path, value in leaves(spec)]
    told = {pair.seen for pair in pairs}
    # What needs a look comes first, and last what nothing can be said of.
    pairs.sort(key=lambda pair: (not pair.differs, not pair.seen))
    return Comparison(
        pairs, [(path, value) for path, value in observed.items() if path not in told]
    )


def _pair(path: str, desired: Any, observed: Mapping[str, Any], *, ready: bool) -> Pair:
    seen = _place(path, observed)
    if not seen:
        return Pair(path, desired, "", None, differs=False)
    value = _like(desired, observed[seen])
    differs = desired != value and not (seen == "phase" and ready)
    return Pair(path, desired, seen, value, differs)


def _like(desired: Any, observed: Any) -> Any:
    """What is observed, by name where only names are wished for."""
    named = isinstance(observed, list) and all(
        isinstance(each, Mapping) and "name" in each for each in observed
    )
    of_names = isinstance(desired, list) and all(isinstance(each, str) for each in desired)
    return [each["name"] for each in observed] if named and of_names else observed


def _place(path: str, observed: Mapping[str, Any]) -> str:
    """Where the status tells of a field of the spec: the same path, another name, a like name."""
    for candidate in (path, *ALIASES.get(path, ())):
        if candidate in observed:
            return candidate
    last = path.rpartition(".")[2]
    if "." in path or path in ALIASES:
        return ""
    alike = [each for each in observed if each.rpartition(".")[2] == last]
    return alike[0] if len(alike) == 1 else ""
