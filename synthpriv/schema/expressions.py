"""Expressions over the columns of one row: what the language of constraints and conditions means.

Three-valued, as in SQL: a comparison with a missing value is neither true nor false. A constraint is broken
only where it is false; a condition is met only where it is true.
"""

from __future__ import annotations

import bisect
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from synthpriv.schema.columns import (
    SECONDS,
    AnyColumn,
    Boolean,
    Categorical,
    DateTime,
    Float,
    Integer,
    canonical,
)
from synthpriv.schema.regions import Region

Booleans = npt.NDArray[np.bool_]
Truth = tuple[Booleans, Booleans]  # where it is true, where it is false
Positions = npt.NDArray[np.int64]
COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}
DAY = 86_400.0
CLOSE = 1e-9  # numbers that differ by less are equal: sums of decimals are not exact


def numbers_at(positions: Positions, column: AnyColumn) -> npt.NDArray[np.float64]:
    """The numbers at these positions, NaN for missing; moments in days since 1970.

    >>> numbers_at(np.array([0, -1]), Integer(lower=17, upper=90, nullable=True)).tolist()
    [17.0, nan]
    """
    if isinstance(column, Integer):
        numbers = positions + float(column.lower)
    elif isinstance(column, Float):
        scale = 10.0**column.decimals
        numbers = (positions + round(column.lower * scale)) / scale
    elif isinstance(column, DateTime):
        start = float(np.datetime64(column.start, "s").astype(np.int64))
        numbers = (start + positions * float(SECONDS[column.resolution])) / DAY
    else:
        assert isinstance(column, Categorical)
        numbers = np.array(column.categories, dtype=np.float64)[np.maximum(positions, 0)]
    return np.where(positions < 0, np.nan, numbers)


class Expression(ABC):
    """True, false or unknown in every row."""

    @property
    @abstractmethod
    def columns(self) -> frozenset[str]:
        """The columns that it reads."""

    @abstractmethod
    def truth(self, positions: Mapping[str, Positions], columns: Mapping[str, AnyColumn]) -> Truth:
        """Where it is true and where it is false, in rows given as positions (shape (n,) each)."""

    @abstractmethod
    def regions(self, column: AnyColumn) -> tuple[Region, Region]:
        """Where it is true and where it is false; for an expression that reads this one column only."""


@dataclass(frozen=True, kw_only=True)
class Comparison(Expression):
    """A weighted sum of columns, plus a constant, compared with 0."""

    weights: Mapping[str, float]
    constant: float
    sign: str

    @property
    def columns(self) -> frozenset[str]:
        """The columns of the sum."""
        return frozenset(self.weights)

    def truth(self, positions: Mapping[str, Positions], columns: Mapping[str, AnyColumn]) -> Truth:
        """Unknown where a column of the sum is missing."""
        parts = [weight * numbers_at(positions[name], columns[name]) for name, weight in self.weights.items()]
        total = reduce(np.add, parts) + self.constant
        scale = np.max(np.abs([*parts, np.full_like(total, self.constant)]), axis=0)
        total = np.where(np.abs(total) <= CLOSE * np.maximum(scale, 1.0), 0.0, total)
        known = ~np.isnan(total)
        holds = COMPARISONS[self.sign](total, 0.0)
        return known & holds, known & ~holds

    def regions(self, column: AnyColumn) -> tuple[Region, Region]:
        """A number's positions are in order, so that the edges are found by bisection."""
        [name] = self.weights

        def at(positions: Positions, sign: str) -> Booleans:
            other = Comparison(weights=self.weights, constant=self.constant, sign=sign)
            return other.truth({name: positions}, {name: column})[0]

        if isinstance(column, Categorical):
            yes = at(np.arange(column.size), self.sign)
            return Region.of(yes), Region.of(~yes)
        rising = self.weights[name] > 0
        below, upto = (
            bisect.bisect_left(
                range(column.size), True, key=lambda p: bool(at(np.array([p]), sign)[0]) == rising
            )
            for sign in ((">=", ">") if rising else (">", ">="))
        )
        less, equal, more = (
            Region.between(0, below),
            Region.between(below, upto),
            Region.between(upto, column.size),
        )
        if not rising:
            less, more = more, less
        chosen = {"<": (less,), "<=": (less, equal), ">": (more,), ">=": (equal, more), "=": (equal,)}
        yes_parts = chosen.get(self.sign, (less, more))
        no_parts = [part for part in (less, equal, more) if part not in yes_parts]
        return reduce(Region.union, yes_parts), reduce(Region.union, no_parts, Region.between(0, 0))


@dataclass(frozen=True, kw_only=True)
class Among(Expression):
    """A column of categories, or a flag, has one of the positions."""

    column: str
    members: frozenset[int]

    @property
    def columns(self) -> frozenset[str]:
        """The one column."""
        return frozenset({self.column})

    def truth(self, positions: Mapping[str, Positions], columns: Mapping[str, AnyColumn]) -> Truth:
        """Unknown where it is missing."""
        known = positions[self.column] >= 0
        found = np.isin(positions[self.column], list(self.members))
        return known & found, known & ~found

    def regions(self, column: AnyColumn) -> tuple[Region, Region]:
        """The members, and all others."""
        found = np.isin(np.arange(column.size), list(self.members))
        return Region.of(found), Region.of(~found)


@dataclass(frozen=True, kw_only=True)
class Missing(Expression):
    """A column is missing."""

    column: str

    @property
    def columns(self) -> frozenset[str]:
        """The one column."""
        return frozenset({self.column})

    def truth(self, positions: Mapping[str, Positions], columns: Mapping[str, AnyColumn]) -> Truth:
        """Never unknown."""
        found = positions[self.column] < 0
        return found, ~found

    def regions(self, column: AnyColumn) -> tuple[Region, Region]:
        """Missing, and every value."""
        return Region.between(0, 0, missing=column.nullable), Region.between(0, column.size)


@dataclass(frozen=True, kw_only=True)
class Not(Expression):
    """True where another is false."""

    inner: Expression

    @property
    def columns(self) -> frozenset[str]:
        """The other's."""
        return self.inner.columns

    def truth(self, positions: Mapping[str, Positions], columns: Mapping[str, AnyColumn]) -> Truth:
        """The other's, turned round."""
        yes, no = self.inner.truth(positions, columns)
        return no, yes

    def regions(self, column: AnyColumn) -> tuple[Region, Region]:
        """The other's, turned round."""
        yes, no = self.inner.regions(column)
        return no, yes


@dataclass(frozen=True, kw_only=True)
class All(Expression):
    """True where every part is, false where any part is."""

    parts: tuple[Expression, ...]

    @property
    def columns(self) -> frozenset[str]:
        """Those of all parts."""
        return frozenset().union(*(part.columns for part in self.parts))

    def truth(self, positions: Mapping[str, Positions], columns: Mapping[str, AnyColumn]) -> Truth:
        """Kleene's conjunction."""
        yes, no = zip(*(part.truth(positions, columns) for part in self.parts), strict=True)
        return reduce(np.logical_and, yes), reduce(np.logical_or, no)

    def regions(self, column: AnyColumn) -> tuple[Region, Region]:
        """Intersection and union."""
        yes, no = zip(*(part.regions(column) for part in self.parts), strict=True)
        return reduce(Region.intersection, yes), reduce(Region.union, no)


def any_of(parts: tuple[Expression, ...]) -> Expression:
    """True where any part is, false where every part is."""
    return parts[0] if len(parts) == 1 else Not(inner=All(parts=tuple(Not(inner=part) for part in parts)))


def conjuncts(expression: Expression) -> tuple[Expression, ...]:
    """The parts that must all be true for the expression to be."""
    if isinstance(expression, All):
        return tuple(one for part in expression.parts for one in conjuncts(part))
    return (expression,)


def member_of(text: object, column: Categorical | Boolean) -> int | None:
    """The position of a category or flag written in an expression; None if it is not declared."""
    if isinstance(column, Boolean):
        return {"true": 1, "false": 0}.get(str(text).lower())
    known = [canonical(category) for category in column.categories]
    return known.index(canonical(text)) if canonical(text) in known else None
