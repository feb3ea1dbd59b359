"""Instant queries: as much of PromQL as a few dashboards' worth of arithmetic needs.

Numbers, selectors with `=` and `!=`, `increase(…[…])`, `sum by` and `max by`, and `+ - * /`
between numbers and vectors of the same labels.
"""

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Value = float | Vector

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?)(?P<unit>[smhd])?|(?P<name>[A-Za-z_:][\w:]*)"
    r'|(?P<text>"(?:[^"\\]|\\.)*")|(?P<sign>!=|[-+*/(){}\[\],=]))'
)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_ALL: dict[str, Callable[[Iterable[float]], float]] = {"sum": sum, "max": max}
_NAME = "__name__"


class QueryError(ValueError):
    """The query is none that is understood here."""


class Data(Protocol):
    """Where series are."""

    def select(self, name: str) -> Iterator[tuple[Mapping[str, str], float]]:
        """Yield the labels and the newest value of each series of a name."""

    def increase(self, name: str, seconds: float) -> Iterator[tuple[Mapping[str, str], float]]:
        """Yield the labels of each series of a name, and by how much it grew lately."""


def evaluate(query: str, data: Data) -> Vector:
    """Return what a query finds; a number is a vector without labels.

    Raises:
        QueryError: it is not understood.
    """
    value = _Parser(query, data).whole()
    return value if isinstance(value, dict) else {frozenset(): value}


class _Parser:
    """Reads a query from left to right and evaluates it on the way."""

    def __init__(self, query: str, data: Data) -> None:
        self._data = data
        self._tokens = list(_tokens(query))
        self._at = 0

    def whole(self) -> Value:
        value = self._sums()
        if self._at < len(self._tokens):
            raise QueryError(f"unexpected {self._tokens[self._at]!r}")
        return value

    def _sums(self) -> Value:
        value = self._products()
        while self._peek() in {"+", "-"}:
            sign = self._next()
            value = _combined(sign, value, self._products())
        return value

    def _products(self) -> Value:
        value = self._factor()
        while self._peek() in {"*", "/"}:
            sign = self._next()
            value = _combined(sign, value, self._factor())
        return value

    def _factor(self) -> Value:
        word = self._next()
        if word == "(":
            value = self._sums()
            self._expect(")")
            return value
        if word[0].isdigit():
            if word[-1] in _SECONDS:
                raise QueryError("a duration stands for no value")
            return float(word)
        if word in _ALL and self._peek() == "by":
            return self._aggregation(word)
        if word == "increase" and self._peek() == "(":
            return self._increase()
        if not _is_name(word):
            raise QueryError(f"unexpected {word!r}")
        matches = self._matchers()
        return {_labels(of): v for of, v in self._data.select(word) if matches(of)}

    def _aggregation(self, kind: str) -> Vector:
        self._expect("by")
        self._expect("(")
        names = [self._next()]
        while self._peek() == ",":
            self._next()
            names.append(self._next())
        self._expect(")")
        self._expect("(")
        inner = self._sums()
        self._expect(")")
        if not isinstance(inner, dict):
            raise QueryError(f"{kind} needs a vector")
        groups: dict[Labels, list[float]] = {}
        for labels, value in inner.items():
            key = frozenset((name, text) for name, text in labels if name in names)
            groups.setdefault(key, []).append(value)
        return {key: _ALL[kind](values) for key, values in groups.items()}

    def _increase(self) -> Vector:
        self._expect("(")
        name = self._next()
        matches = self._matchers()
        self._expect("[")
        window = self._next()
        self._expect("]")
        self._expect(")")
        if not _is_name(name) or window[-1] not in _SECONDS or not window[0].isdigit():
            raise QueryError("increase needs a metric and a duration")
        seconds = float(window[:-1]) * _SECONDS[window[-1]]
        return {_labels(of): v for of, v in self._data.increase(name, seconds) if matches(of)}

    def _matchers(self) -> Callable[[Mapping[str, str]], bool]:
        wanted: list[tuple[str, bool, str]] = []
        if self._peek() == "{":
            self._next()
            while self._peek() != "}":
                name, sign, text = self._next(), self._next(), self._next()
                if sign not in {"=", "!="} or not text.startswith('"'):
                    raise QueryError("a matcher is a label, = or !=, and a text")
                wanted.append((name, sign == "=", text[1:-1].replace('\\"', '"')))
                if self._peek() == ",":
                    self._next()
            self._next()
        return lambda of: all((of.get(n, "") == text) is same for n, same, text in wanted)

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            raise QueryError("unexpected end of input")
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, token: str) -> None:
        if (found := self._next()) != token:
            raise QueryError(f"expected {token!r}, got {found!r}")


def _tokens(query: str) -> Iterator[str]:
    at, text = 0, query.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise QueryError(f"cannot read {text[at:].strip()[:20]!r}")
        yield found[0].strip()
        at = found.end()


def _is_name(token: str) -> bool:
    return token[0].isalpha() or token[0] in "_:"


def _labels(of: Mapping[str, str]) -> Labels:
    return frozenset((name, text) for name, text in of.items() if name != _NAME)


_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda one, other: one / other if other else float("nan"),
}


def _combined(sign: str, one: Value, other: Value) -> Value:
    apply = _ARITHMETIC[sign]
    if not isinstance(one, dict):
        if not isinstance(other, dict):
            return apply(one, other)
        return {labels: apply(one, value) for labels, value in other.items()}
    if not isinstance(other, dict):
        return {labels: apply(value, other) for labels, value in one.items()}
    return {labels: apply(v, other[labels]) for labels, v in one.items() if labels in other}
