"""PromQL, taken apart: which series an expression asks for, and by which labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import promql_parser as promql

OPERATORS: Final = {
    "MatchOp.Equal": "=",
    "MatchOp.NotEqual": "!=",
    "MatchOp.Re": "=~",
    "MatchOp.NotRe": "!~",
}


class Selected(NamedTuple):
    """One selector: a metric and what its labels must be, as (label, operator, value)."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]


def selectors(expression: str) -> list[Selected]:
    """All selectors of an expression.

    Raises:
        ValueError: It is no PromQL.
    """
    return list(_walk(promql.parse(expression)))


def _walk(node: Any) -> Iterator[Selected]:
    match node:
        case promql.VectorSelector():
            yield _selected(node)
        case promql.MatrixSelector():
            yield from _walk(node.vector_selector)
        case promql.BinaryExpr():
            yield from _walk(node.lhs)
            yield from _walk(node.rhs)
        case promql.Call():
            for argument in node.args:
                yield from _walk(argument)
        case (
            promql.AggregateExpr() | promql.SubqueryExpr() | promql.ParenExpr() | promql.UnaryExpr()
        ):
            yield from _walk(node.expr)
        case promql.NumberLiteral() | promql.StringLiteral():
            return
        case _:
            raise ValueError(f"an expression of a sort that is not known: {type(node)}")


def _selected(node: Any) -> Selected:
    found = node.matchers.matchers
    return Selected(node.name, tuple((m.name, OPERATORS[str(m.op)], m.value) for m in found))
