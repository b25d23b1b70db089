"""Values <-> positions in a column's declared domain: the public rule that maps every raw cell.

A position is a whole number in 0..column.size-1 (the k-th category, integer, decimal step or moment), or
MISSING. A cell outside the domain is mapped by a public rule and never dropped: numbers and moments are
clipped to the nearest bound; what cannot be read, an unknown category, and a missing value where none is
declared become missing if the column is nullable, else the first value of the domain. The position of a
cell depends on that cell alone, never on the rows around it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from synthpriv.schema.cells import cell_texts, distinct_cells, read_moments, read_number, read_numbers
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

MISSING = -1
_OUTSIDE = -2
TRUE_WORDS = frozenset({"true", "t", "yes", "y", "1", "1.0"})
FALSE_WORDS = frozenset({"false", "f", "no", "n", "0", "0.0"})

Positions = npt.NDArray[np.int64]
_Found = tuple[Positions, npt.NDArray[np.bool_]]


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A column's cells as positions; `outside` marks the cells that the public rule had to map."""

    positions: Positions
    outside: npt.NDArray[np.bool_]


def place(cells: pd.Series, column: AnyColumn) -> Placed:
    """The position of every cell (shape (n,)), by the public rule where a cell lies outside the domain.

    >>> place(pd.Series([17, 200, None]), Integer(lower=17, upper=90)).positions.tolist()
    [0, 73, 0]
    """
    codes, values = distinct_cells(cells)
    if isinstance(column, Categorical):
        found, clipped = _place_categories(cell_texts(values), column)
    elif isinstance(column, Boolean):
        found, clipped = _place_words(cell_texts(values))
    elif isinstance(column, Integer | Float):
        found, clipped = _place_numbers(read_numbers(values), column)
    elif isinstance(column, DateTime):
        found, clipped = _place_moments(read_moments(values), column)
    else:
        raise TypeError(f"an {type(column).__name__} column has no positions")
    if isinstance(values, list):
        blank = np.array([not text or text.isspace() for text in values], dtype=bool)
        found = np.where(blank & (found == _OUTSIDE), MISSING, found)
    positions = np.append(found, MISSING)[codes]
    outside = np.append(clipped, False)[codes] | (positions == _OUTSIDE)
    if not column.nullable:
        outside |= positions == MISSING
    fallback = MISSING if column.nullable else 0
    return Placed(positions=np.where(positions < 0, fallback, positions), outside=outside)


def restore(positions: Positions, column: AnyColumn, name: str) -> pd.Series:
    """The values at `positions` with the column's own dtype; the inverse of `place` inside the domain.

    >>> restore(np.array([0, 73]), Integer(lower=17, upper=90), "age").tolist()
    [17, 90]
    """
    missing = positions == MISSING
    at = np.where(missing, 0, positions)
    if isinstance(column, Categorical):
        text = isinstance(column.categories[0], str)
        pool = np.array(column.categories, dtype=object if text else None)
        series = pd.Series(pool[at], dtype="str" if text else None, name=name)
        if column.nullable and not text:
            series = series.astype("Int64" if series.dtype.kind == "i" else "float64")
    elif isinstance(column, Boolean):
        series = pd.Series(at.astype(bool), dtype="boolean" if column.nullable else "bool", name=name)
    elif isinstance(column, Integer):
        series = pd.Series(at + column.lower, dtype="Int64" if column.nullable else "int64", name=name)
    elif isinstance(column, Float):
        scale = 10.0**column.decimals
        numbers = (at + int(np.rint(column.lower * scale))) / scale
        series = pd.Series(np.clip(numbers, column.lower, column.upper), dtype="float64", name=name)
    elif isinstance(column, DateTime):
        start = np.datetime64(column.start, "s")
        series = pd.Series(start + (at * SECONDS[column.resolution]).astype("timedelta64[s]"), name=name)
    else:
        raise TypeError(f"an {type(column).__name__} column has no positions")
    return series.mask(missing) if missing.any() else series


def _place_categories(texts: list[str], column: Categorical) -> _Found:
    """By the same text, else the same text without the spaces around it, else the same number."""
    exact = {canonical(category): k for k, category in enumerate(column.categories)}
    numbers: dict[float, int] = {}
    for label, k in exact.items():
        numbers.setdefault(read_number(label), k)
    numbers = {number: k for number, k in numbers.items() if np.isfinite(number)}

    def find(text: str) -> int:
        if (stripped := text.strip()) in exact:
            return exact[stripped]
        return numbers.get(read_number(stripped), _OUTSIDE) if numbers else _OUTSIDE

    found = [exact[text] if text in exact else find(text) for text in texts]
    return np.array(found, dtype=np.int64), np.zeros(len(texts), dtype=bool)


def _place_words(texts: list[str]) -> _Found:
    words = [text.strip().lower() for text in texts]
    found = [1 if w in TRUE_WORDS else 0 if w in FALSE_WORDS else _OUTSIDE for w in words]
    return np.array(found, dtype=np.int64), np.zeros(len(words), dtype=bool)


def _place_numbers(numbers: npt.NDArray[np.float64], column: Integer | Float) -> _Found:
    unread = np.isnan(numbers)
    inside = np.clip(np.where(unread, column.lower, numbers), column.lower, column.upper)
    scale = 10.0**column.decimals if isinstance(column, Float) else 1.0
    steps = np.rint(inside * scale).astype(np.int64) - int(np.rint(column.lower * scale))
    mapped = numbers != inside
    if isinstance(column, Integer):
        mapped |= np.abs(inside - np.rint(inside)) > 1e-9
    return np.where(unread, _OUTSIDE, steps), mapped & ~unread


def _place_moments(moments: npt.NDArray[np.datetime64], column: DateTime) -> _Found:
    unread = np.isnat(moments)
    start = np.datetime64(column.start, "s")
    seconds = np.where(unread, start, moments).astype(np.int64) - start.astype(np.int64)
    steps = seconds // SECONDS[column.resolution]
    inside = np.clip(steps, 0, column.size - 1)
    return np.where(unread, _OUTSIDE, inside), (steps != inside) & ~unread
