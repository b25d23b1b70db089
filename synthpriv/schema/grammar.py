"""The text of an expression, read against the columns of a schema: `age >= 60 and sex = 'Female'`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from lark import Lark, Token, Transformer
from lark.exceptions import LarkError, UnexpectedInput, VisitError

from synthpriv.errors import SchemaError, nearest
from synthpriv.schema.cells import distinct_cells, read_moments
from synthpriv.schema.columns import AnyColumn, Boolean, Categorical, DateTime, Identifier, canonical
from synthpriv.schema.expressions import (
    DAY,
    All,
    Among,
    Comparison,
    Expression,
    Missing,
    Not,
    any_of,
    member_of,
)

LONGEST = 10_000
GRAMMAR = r"""
    ?start: IF disjunction THEN disjunction -> implies
          | disjunction
    ?disjunction: conjunction (_OR conjunction)* -> disjunction
    ?conjunction: negation (_AND negation)*
    ?negation: _NOT negation -> negated
             | "(" start ")"
             | test
    test: sum (SIGN sum)*                           -> comparison
        | name _IN "(" _value ("," _value)* ")"      -> among
        | name _NOT _IN "(" _value ("," _value)* ")" -> not_among
        | name _BETWEEN _value _AND _value           -> between
        | name _IS _MISSING                          -> missing
        | name _IS _NOT _MISSING                     -> present
    sum: ADD? product (ADD product)*
    ?product: name | TEXT | TRUTH | NUMBER
            | NUMBER "*" name -> times
            | name "*" NUMBER -> times
    _value: TEXT | TRUTH | signed
    signed: ADD? NUMBER
    name: NAME | QUOTED
    IF.2: /if\b/i
    THEN.2: /then\b/i
    _OR.2: /or\b/i
    _AND.2: /and\b/i
    _NOT.2: /not\b/i
    _IN.2: /in\b/i
    _BETWEEN.2: /between\b/i
    _IS.2: /is\b/i
    _MISSING.2: /missing\b/i
    TRUTH.2: /(true|false)\b/i
    SIGN: "<=" | ">=" | "!=" | "<>" | "==" | "=" | "<" | ">"
    ADD: "+" | "-"
    NUMBER: /\d+(\.\d+)?([eE][-+]?\d+)?/
    TEXT: /'(?:[^']|'')*'/
    QUOTED: /"[^"]+"|`[^`]+`/
    NAME: /[^\W\d]\w*/
    %ignore /\s+/
"""
SIGNS = {"==": "=", "<>": "!="}
Value = str | float
Sum = tuple[dict[str, float], float, str | None]  # weights by column, constant, or a lone text


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr")


def read_expression(text: str, columns: Mapping[str, AnyColumn]) -> Expression:
    """The expression that `text` writes; raises SchemaError saying where, for a slip or an unknown column.

    Numbers, 'text', true and false; <, <=, =, !=, >, >=, chained or not; sums of columns with weights; in,
    not in, between, is missing, is not missing; not, and, or; if ... then .... A name that is no plain word
    stands in double quotes. Moments are written as text, and their differences count days.

    >>> from synthpriv.schema.columns import Integer
    >>> sorted(read_expression("18 <= age and age < 65", {"age": Integer(lower=0, upper=99)}).columns)
    ['age']
    """
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST:
        raise SchemaError(f"an expression must be text such as 'age >= 60', found {text!r:.60}.")
    try:
        expression = _Reader(columns).transform(_parser().parse(text))
    except UnexpectedInput as error:
        at = getattr(error, "pos_in_stream", None)
        token = getattr(error, "token", None)
        ended = at is None or (token is not None and token.type == "$END")
        found = "its end" if ended else repr(text[at:][:20])
        raise SchemaError(
            f"the expression {text!r} cannot be read from {found} on; write for example age >= 60 and "
            f"sex = 'Female'."
        ) from None
    except VisitError as error:
        if isinstance(error.orig_exc, SchemaError):
            raise error.orig_exc from None
        raise
    except (LarkError, RecursionError):
        raise SchemaError(f"the expression {text!r:.60} is too deep to be read; split it.") from None
    assert isinstance(expression, Expression)
    return expression


def column_named(text: str, columns: Mapping[str, AnyColumn]) -> str:
    """The modelled column that `text` names, bare or in double quotes; raises SchemaError."""
    name = text[1:-1] if text[:1] in ('"', "`") else text
    if name not in columns or isinstance(columns[name], Identifier):
        known = [one for one, column in columns.items() if not isinstance(column, Identifier)]
        raise SchemaError(
            f"an expression must name a modelled column, and hold texts in single quotes, found {name!r}. "
            f"{nearest(name, known)}"
        )
    return name


class _Reader(Transformer[Token, Any]):
    """Parse tree -> expression, bottom up; the names of methods are the grammar's rules."""

    def __init__(self, columns: Mapping[str, AnyColumn]) -> None:
        super().__init__()
        self.columns = columns

    def implies(self, parts: list[Any]) -> Expression:
        return any_of((Not(inner=parts[1]), parts[3]))

    def disjunction(self, parts: list[Expression]) -> Expression:
        return any_of(tuple(parts))

    def conjunction(self, parts: list[Expression]) -> Expression:
        return All(parts=tuple(parts))

    def negated(self, parts: list[Expression]) -> Expression:
        return Not(inner=parts[0])

    def name(self, parts: list[Token]) -> str:
        return column_named(str(parts[0]), self.columns)

    def TEXT(self, token: Token) -> _Text:  # noqa: N802 - the grammar's terminal
        return _Text(str(token)[1:-1].replace("''", "'"))

    def TRUTH(self, token: Token) -> _Text:  # noqa: N802
        return _Text(str(token).lower())

    def NUMBER(self, token: Token) -> float:  # noqa: N802
        if not math.isfinite(float(token)):
            raise SchemaError(f"a number must be finite, found {token}.")
        return float(token)

    def signed(self, parts: list[Any]) -> float:
        return float(-parts[-1] if parts[0] == "-" else parts[-1])

    def times(self, parts: list[Any]) -> Sum:
        [weight] = [part for part in parts if isinstance(part, float)]
        [name] = [part for part in parts if not isinstance(part, float)]
        return {name: weight}, 0.0, None

    def sum(self, parts: list[Any]) -> Sum:
        weights: dict[str, float] = {}
        constant, sign = 0.0, 1.0
        if len(parts) == 1 and isinstance(parts[0], _Text):
            return {}, 0.0, parts[0].text
        for part in parts:
            if isinstance(part, Token):
                sign = -1.0 if part == "-" else 1.0
                continue
            if isinstance(part, _Text):
                raise SchemaError(f"a sum must be of numbers and columns, found the text {part.text!r}.")
            added: Sum = (
                ({}, part, None)
                if isinstance(part, float)
                else part
                if isinstance(part, tuple)
                else ({part: 1.0}, 0.0, None)
            )
            for name, weight in added[0].items():
                weights[name] = weights.get(name, 0.0) + sign * weight
            constant, sign = constant + sign * added[1], 1.0
        return weights, constant, None

    def comparison(self, parts: list[Any]) -> Expression:
        if len(parts) == 1:
            return self._flag(parts[0])
        tests = [
            self._compare(parts[at], SIGNS.get(str(parts[at + 1]), str(parts[at + 1])), parts[at + 2])
            for at in range(0, len(parts) - 1, 2)
        ]
        return tests[0] if len(tests) == 1 else All(parts=tuple(tests))

    def between(self, parts: list[Any]) -> Expression:
        name, low, high = parts
        return self.comparison(
            [self.sum([low]), Token("SIGN", "<="), self.sum([name]), Token("SIGN", "<="), self.sum([high])]
        )

    def among(self, parts: list[Any]) -> Expression:
        name, *values = parts
        tests = [self._compare(self.sum([name]), "=", self.sum([value])) for value in values]
        members = [test.members for test in tests if isinstance(test, Among)]
        if len(members) == len(tests):
            return Among(column=name, members=frozenset().union(*members))
        return any_of(tuple(tests))

    def not_among(self, parts: list[Any]) -> Expression:
        return Not(inner=self.among(parts))

    def missing(self, parts: list[Any]) -> Expression:
        return Missing(column=parts[0])

    def present(self, parts: list[Any]) -> Expression:
        return Not(inner=Missing(column=parts[0]))

    def _flag(self, lone: Sum) -> Expression:
        names = list(lone[0])
        if len(names) == 1 and isinstance(self.columns[names[0]], Boolean) and lone[1] == 0.0:
            return Among(column=names[0], members=frozenset({1}))
        raise SchemaError("an expression must compare something, found a value alone; write age >= 60.")

    def _compare(self, left: Sum, sign: str, right: Sum) -> Expression:
        if left[2] is not None and right[2] is None:
            mirrored = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
            return self._compare(right, mirrored.get(sign, sign), left)
        name = self._lone(left)
        column = None if name is None else self.columns[name]
        if name is not None and (isinstance(column, Boolean) or _is_text(column)):
            return self._member(name, sign, right)
        constant = right[1]
        if right[2] is not None:
            if not isinstance(column, DateTime):
                raise SchemaError(f"a number must be compared with a number, found the text {right[2]!r}.")
            constant = _days(right[2])
        for other in (*left[0], *right[0]):
            if isinstance(self.columns[other], Boolean) or _is_text(self.columns[other]):
                raise SchemaError(f"a sum must be of numbers or moments, found the column {other!r}.")
        weights = dict(left[0])
        for other, weight in right[0].items():
            weights[other] = weights.get(other, 0.0) - weight
        weights = {other: weight for other, weight in weights.items() if weight}
        if not weights:
            raise SchemaError("an expression must read a column, found numbers alone; name one.")
        return Comparison(weights=weights, constant=left[1] - constant, sign=sign)

    def _lone(self, side: Sum) -> str | None:
        """The column, where a side is nothing but one column."""
        weights, constant, _ = side
        return next(iter(weights)) if list(weights.values()) == [1.0] and not constant else None

    def _member(self, name: str, sign: str, right: Sum) -> Expression:
        column = self.columns[name]
        assert isinstance(column, Categorical | Boolean)
        if sign not in ("=", "!=") or right[0]:
            raise SchemaError(
                f"the categories of {name!r} have no order and are compared with = or != and a category, "
                f"found {sign!r}."
            )
        value: Value = right[1] if right[2] is None else right[2]
        member = member_of(value, column)
        if member is None:
            known = ["true", "false"] if isinstance(column, Boolean) else map(canonical, column.categories)
            raise SchemaError(
                f"a value of {name!r} must be one that the schema declares, found {canonical(value)!r}. "
                f"{nearest(canonical(value), known)}"
            )
        test = Among(column=name, members=frozenset({member}))
        return test if sign == "=" else Not(inner=test)


class _Text:
    """A quoted text or truth value of an expression, apart from names."""

    def __init__(self, text: str) -> None:
        self.text = text


def _is_text(column: AnyColumn | None) -> bool:
    """Whether the column's values are no numbers."""
    return isinstance(column, Categorical) and isinstance(column.categories[0], str)


def _days(text: str) -> float:
    """A moment in days since 1970; raises SchemaError."""
    moment = read_moments(distinct_cells(pd.Series([text]))[1])[0]
    if np.isnat(moment):
        raise SchemaError(f"a moment must be written as 'YYYY-MM-DD', found {text!r}.")
    return float(moment.astype("datetime64[s]").astype(np.int64)) / DAY
