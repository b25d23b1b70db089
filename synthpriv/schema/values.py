"""Values <-> positions in a column's declared domain: the one place where raw cells are parsed.

A position is a whole number in 0..column.size-1 (the k-th category, integer, decimal step or moment), or
MISSING. A cell outside the domain is mapped by a public rule and never dropped: numbers and moments are
clipped to the nearest bound; what cannot be read, an unknown category, and a missing value where none is
declared become missing if the column is nullable, else the first value of the domain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from synthpriv.schema.columns import (
    SECONDS,
    AnyColumn,
    Boolean,
    Categorical,
    DateTime,
    Float,
    Identifier,
    Integer,
)

MISSING = -1
_OUTSIDE = -2
TRUE_WORDS = frozenset({"true", "t", "yes", "y", "1"})
FALSE_WORDS = frozenset({"false", "f", "no", "n", "0"})

Positions = npt.NDArray[np.int64]


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
    codes, distinct = pd.factorize(cells)
    values = pd.Series(distinct)
    missing = np.array(values.isna(), dtype=bool)
    if isinstance(column, Categorical):
        found = _place_categories(values, column)
    elif isinstance(column, Boolean):
        found = _place_words(values)
    elif isinstance(column, Integer | Float):
        found = _place_numbers(values, column)
    elif isinstance(column, DateTime):
        found = _place_moments(values, column)
    else:
        raise TypeError(f"an {type(column).__name__} column has no positions")
    raw, clipped = found
    if not isinstance(column, Categorical):
        missing |= (values.astype(str).str.strip() == "").to_numpy(dtype=bool)
    elif "" not in column.categories:
        missing |= (values.astype(str) == "").to_numpy(dtype=bool)
    raw = np.where(missing, MISSING, raw)
    lookup = np.append(raw, MISSING)
    positions = lookup[codes]
    outside = np.append(clipped & ~missing, False)[codes] | (positions == _OUTSIDE)
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
        steps = at + round(column.lower * 10**column.decimals)
        numbers = np.clip(
            np.round(steps / 10.0**column.decimals, column.decimals), column.lower, column.upper
        )
        series = pd.Series(numbers, dtype="float64", name=name)
    elif isinstance(column, DateTime):
        start = np.datetime64(column.start, "s")
        series = pd.Series(start + (at * SECONDS[column.resolution]).astype("timedelta64[s]"), name=name)
    else:
        raise TypeError(f"an {type(column).__name__} column has no positions")
    return series.mask(missing) if missing.any() else series


_Found = tuple[Positions, npt.NDArray[np.bool_]]


def _place_categories(values: pd.Series, column: Categorical) -> _Found:
    index = pd.Index([_canonical(category) for category in column.categories])
    found = index.get_indexer(pd.Index([_canonical(value) for value in values], dtype=index.dtype))
    return np.where(found < 0, _OUTSIDE, found).astype(np.int64), np.zeros(len(values), dtype=bool)


def _canonical(value: object) -> str:
    """One text per category however a reader typed it: 1, 1.0 and '1' are the same category."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _place_words(values: pd.Series) -> _Found:
    words = [_canonical(value).strip().lower() for value in values]
    found = [1 if w in TRUE_WORDS else 0 if w in FALSE_WORDS else _OUTSIDE for w in words]
    return np.array(found, dtype=np.int64), np.zeros(len(values), dtype=bool)


def _place_numbers(values: pd.Series, column: Integer | Float) -> _Found:
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    unread = np.isnan(numbers)
    scale = 10.0**column.decimals if isinstance(column, Float) else 1.0
    inside = np.clip(np.where(unread, column.lower, numbers), column.lower, column.upper)
    steps = np.rint(inside * scale) - np.rint(column.lower * scale)
    tolerance = 0.0 if isinstance(column, Float) else 1e-9
    fractional = np.abs(inside * scale - np.rint(inside * scale)) > tolerance
    mapped = (numbers != inside) | (fractional if isinstance(column, Integer) else False)
    return np.where(unread, _OUTSIDE, steps).astype(np.int64), mapped & ~unread


def _place_moments(values: pd.Series, column: DateTime) -> _Found:
    if pd.api.types.is_numeric_dtype(values.dtype):
        values = values.astype(str)
    moments = pd.to_datetime(values, errors="coerce", format="mixed", utc=True).dt.tz_localize(None)
    unread = moments.isna().to_numpy(dtype=bool)
    start, end = pd.Timestamp(column.start), pd.Timestamp(column.end)
    inside = moments.fillna(start)
    inside = inside.mask(inside < start, start).mask(inside > end, end)
    seconds = (inside - start).dt.total_seconds().to_numpy(dtype=np.float64)
    steps = np.minimum(seconds // SECONDS[column.resolution], column.size - 1)
    mapped = (inside != moments).to_numpy(dtype=bool)
    return np.where(unread, _OUTSIDE, steps).astype(np.int64), mapped & ~unread


def identifiers(count: int, column: Identifier, name: str, seed: int | None = None) -> pd.Series:
    """`count` new values from the column's pattern, unique where declared; carries no information."""
    import random

    import rstr

    from synthpriv.errors import ConfigurationError

    maker = rstr.Rstr(random.Random(seed) if seed is not None else random.SystemRandom())
    if not column.unique:
        return pd.Series([maker.xeger(column.pattern) for _ in range(count)], dtype="str", name=name)
    made: dict[str, None] = {}
    tries = 0
    while len(made) < count:
        made[maker.xeger(column.pattern)] = None
        tries += 1
        if tries > 20 * count + 1000:
            raise ConfigurationError(
                f"identifier {name!r} must have at least {count} distinct values, found {len(made)} from "
                f"pattern {column.pattern!r}; widen the pattern or declare unique = false."
            )
    return pd.Series(list(made), dtype="str", name=name)
