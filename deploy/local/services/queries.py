"""PostgREST's query strings, read into SQL; every name is quoted, every value is a parameter."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg import sql

_OPERATORS: Final = {
    "eq": "=",
    "neq": "<>",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "like": "like",
    "ilike": "ilike",
}
_IS: Final = frozenset({"null", "true", "false", "unknown"})
_RESERVED: Final = frozenset({"select", "order", "limit", "offset", "columns", "on_conflict"})
# A column, an alias before it and a type behind it.
_SELECTED: Final = re.compile(r'(?:([^:"]+):(?!:))?("[^"]+"|[^:()"]+)(?:::([a-z_][a-z0-9_]*))?')
_DIRECTIONS: Final = {
    "asc": "asc",
    "desc": "desc",
    "nullsfirst": "nulls first",
    "nullslast": "nulls last",
}

Pairs = Iterable[tuple[str, str]]


class QueryError(Exception):
    """A request that PostgREST refuses by itself.

    Attributes:
        status: The HTTP status.
        code: PostgREST's own code.
        message: What is wrong.
        details: More of it.
    """

    def __init__(self, status: int, code: str, message: str, details: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details


@dataclass(frozen=True, slots=True)
class Clause:
    """A piece of SQL and the parameters in it."""

    text: sql.Composable
    values: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """What a query string asks for.

    Attributes:
        columns: What of each row is shown.
        conditions: What a row has to fulfil, all of it.
        order: In which order rows come, if it matters.
        limit: How many rows at most, if it matters.
        offset: How many rows are left out at the beginning.
        given: The columns of an insertion, when they are named.
    """

    columns: sql.Composable
    conditions: tuple[Clause, ...] = ()
    order: sql.Composable | None = None
    limit: int | None = None
    offset: int = 0
    given: tuple[str, ...] | None = field(default=None)

    @property
    def where(self) -> Clause:
        """The condition, ready to be put behind a table; empty when there is none."""
        if not self.conditions:
            return Clause(sql.SQL(""))
        text = sql.SQL(" and ").join(condition.text for condition in self.conditions)
        values = tuple(value for condition in self.conditions for value in condition.values)
        return Clause(sql.SQL(" where {}").format(text), values)


def name(text: str) -> sql.Identifier:
    """A name, quoted; a percent sign in it is no placeholder.

    Raises:
        QueryError: It cannot be a name.
    """
    if not text or "\0" in text:
        raise _unreadable("name", "")
    return sql.Identifier(text.replace("%", "%%"))


def parse(pairs: Pairs, table: sql.Composable) -> Query:
    """Read a query string.

    Args:
        pairs: Its names and values, decoded.
        table: What columns are columns of.

    Raises:
        QueryError: It cannot be read.
    """
    pairs = list(pairs)
    if any("\0" in text for pair in pairs for text in pair):
        raise _unreadable("filter", "a NUL")
    last = dict(pairs)
    filters = [(key, text) for key, text in pairs if key not in _RESERVED]
    return Query(
        columns=_selection(last.get("select") or "*", table),
        conditions=tuple(_condition(key, text, table) for key, text in filters),
        order=_order(last["order"], table) if last.get("order") else None,
        limit=_whole("limit", last["limit"]) if "limit" in last else None,
        offset=_whole("offset", last["offset"]) if "offset" in last else 0,
        given=tuple(_split(last["columns"])) if last.get("columns") else None,
    )


def read_rows(body: bytes, given: Sequence[str] | None) -> tuple[list[Any], tuple[str, ...]]:
    """Read what is to be written: rows as JSON, and their columns.

    Args:
        body: One object or an array of objects.
        given: The columns, when the query string names them.

    Raises:
        QueryError: It is not that, or the objects have different keys.
    """
    try:
        data = json.loads(body)
    except ValueError:
        raise QueryError(400, "PGRST102", "Empty or invalid json") from None
    rows = data if isinstance(data, list) else [data]
    if not all(isinstance(row, dict) for row in rows):
        raise QueryError(400, "PGRST102", "Empty or invalid json")
    keys = {tuple(sorted(row)) for row in rows}
    if given is not None:
        return rows, tuple(given)
    if len(keys) > 1:
        raise QueryError(400, "PGRST102", "All object keys must match")
    return rows, tuple(rows[0]) if rows else ()


def _selection(text: str, table: sql.Composable) -> sql.Composable:
    return sql.SQL(", ").join(_selected(item, table) for item in _split(text, keep_quotes=True))


def _selected(item: str, table: sql.Composable) -> sql.Composable:
    if item == "*":
        return sql.SQL("{}.*").format(table)
    if "(" in item:
        relation = item.partition("(")[0]
        raise QueryError(
            400,
            "PGRST200",
            f"Could not find a relationship to '{relation}' in the schema cache",
            "Resources are not embedded here",
        )
    match = _SELECTED.fullmatch(item)
    if match is None:
        raise _unreadable("select", item)
    alias, column, kind = match.groups()
    column = column.strip('"')
    shown = sql.SQL("{}.{}").format(table, name(column))
    if kind:
        shown = sql.SQL("({})::{}").format(shown, sql.SQL(kind))
    return sql.SQL("{} as {}").format(shown, name(alias or column))


def _condition(key: str, text: str, table: sql.Composable) -> Clause:
    if key in {"and", "or", "not.and", "not.or"} or "." in key:
        raise _unreadable("filter", key)
    column = sql.SQL("{}.{}").format(table, name(key.strip('"')))
    operator, dot, value = text.partition(".")
    if operator != "not":
        return _compared(column, operator, dot, value, text)
    operator, dot, value = value.partition(".")
    clause = _compared(column, operator, dot, value, text)
    return Clause(sql.SQL("not ({})").format(clause.text), clause.values)


def _compared(column: sql.Composable, operator: str, dot: str, value: str, whole: str) -> Clause:
    if not dot:
        raise _unreadable("filter", whole)
    if operator == "is":
        if value.lower() not in _IS:
            raise _unreadable("filter", whole)
        return Clause(sql.SQL("{} is {}").format(column, sql.SQL(value.lower())))
    if operator == "in":
        return _within(column, value, whole)
    if operator not in _OPERATORS:
        raise _unreadable("filter", whole)
    if operator.endswith("like"):
        value = value.replace("*", "%")
    comparison = sql.SQL("{} " + _OPERATORS[operator] + " %s")
    return Clause(comparison.format(column), (value,))


def _within(column: sql.Composable, value: str, whole: str) -> Clause:
    if not (value.startswith("(") and value.endswith(")")):
        raise _unreadable("filter", whole)
    values = tuple(_split(value[1:-1])) if value != "()" else ()
    if not values:
        return Clause(sql.SQL("false"))
    places = sql.SQL(", ").join([sql.Placeholder()] * len(values))
    return Clause(sql.SQL("{} in ({})").format(column, places), values)


def _order(text: str, table: sql.Composable) -> sql.Composable:
    terms = []
    for term in _split(text, keep_quotes=True):
        column, *words = term.split(".")
        if not column or any(word not in _DIRECTIONS for word in words):
            raise _unreadable("order", term)
        how = " ".join(["", *(_DIRECTIONS[word] for word in words)])
        place = sql.SQL("{}.{}").format(table, name(column.strip('"')))
        terms.append(place + sql.SQL(how))
    return sql.SQL(", ").join(terms)


def _whole(what: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) >= 2**63:
        raise _unreadable(what, text)
    return int(text)


def _split(text: str, *, keep_quotes: bool = False) -> list[str]:
    """Split at commas that stand neither in quotes nor in parentheses."""
    items, item, depth, quoted = [], "", 0, False
    letters = iter(text)
    for letter in letters:
        if quoted and letter == "\\":
            item += next(letters, "")
        elif letter == '"':
            quoted = not quoted
            item += letter if keep_quotes else ""
        elif letter == "," and not quoted and depth == 0:
            items.append(item)
            item = ""
        else:
            depth += 0 if quoted else (letter == "(") - (letter == ")")
            item += letter
    return [*items, item]


def _unreadable(what: str, text: str) -> QueryError:
    return QueryError(400, "PGRST100", f'"failed to parse {what} ({text})" (line 1, column 1)')
