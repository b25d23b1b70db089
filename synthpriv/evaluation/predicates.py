"""Predicates that single out: 'there is exactly one person like this', guessed from a synthetic table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthpriv.evaluation.cells import Array, Cells, is_numeric
from synthpriv.schema.values import MISSING

Ints = npt.NDArray[np.int64]
COLUMNS_ASKED = 6  # three, as in anonymeter, are rarely enough to be met by one of thousands of rows
TRIES = 10  # random predicates per predicate wanted


@dataclass(frozen=True, kw_only=True)
class Predicates:
    """Conjunctions of ranges: positions from `low` to `high` of a column; each (predicates, conditions)."""

    columns: Ints
    low: Ints
    high: Ints

    def __len__(self) -> int:
        """The number of predicates."""
        return len(self.columns)

    def take(self, at: Array) -> Predicates:
        """The predicates at these indices."""
        return Predicates(columns=self.columns[at], low=self.low[at], high=self.high[at])

    def counts(self, table: Cells) -> Ints:
        """How many rows of the table meet each predicate: (predicates,)."""
        columns = [np.ascontiguousarray(table.positions[:, at]) for at in range(len(table.names))]
        found = np.empty(len(self), dtype=np.int64)
        for at, (names, lows, highs) in enumerate(zip(self.columns, self.low, self.high, strict=True)):
            met = (columns[names[0]] >= lows[0]) & (columns[names[0]] <= highs[0])
            rows = np.flatnonzero(met)
            for name, low, high in zip(names[1:], lows[1:], highs[1:], strict=True):
                cells = columns[name][rows]
                rows = rows[(cells >= low) & (cells <= high)]
            found[at] = len(rows)
        return found


def univariate(table: Cells, most: int, rng: np.random.Generator) -> Predicates:
    """Predicates on one column that one row of the table meets: extremes, and values that come once."""
    conditions: list[tuple[int, int, int]] = []
    for at, column in enumerate(table.columns):
        values, times = np.unique(table.positions[:, at], return_counts=True)
        conditions += [(at, int(value), int(value)) for value in values[times == 1]]
        known = values[values != MISSING]
        if is_numeric(column) and len(known):
            conditions += [(at, 0, int(known[0])), (at, int(known[-1]), column.size - 1)]
    distinct = sorted(set(conditions))
    drawn = [distinct[at] for at in rng.permutation(len(distinct))[: 2 * most]]
    columns, low, high = np.array(drawn, dtype=np.int64).reshape(-1, 3).T
    made = Predicates(columns=columns[:, None], low=low[:, None], high=high[:, None])
    return made.take(np.flatnonzero(made.counts(table) == 1)[:most])


def multivariate(table: Cells, most: int, rng: np.random.Generator) -> Predicates:
    """Predicates on COLUMNS_ASKED columns of a random row that no other row of the table meets.

    Of a number the side is asked that is farther from the median, so that few meet it.
    """
    tries, width = TRIES * most, len(table.names)
    rows = rng.integers(0, len(table), tries)
    chosen = np.argsort(rng.random((tries, width)), axis=1)[:, : min(COLUMNS_ASKED, width)]
    values = table.positions[rows[:, None], chosen]
    middle, last, numeric = (np.array(part) for part in zip(*_sides(table), strict=True))
    side = numeric[chosen] & (values != MISSING)
    above = side & (values > middle[chosen])
    made = Predicates(
        columns=chosen,
        low=np.where(side & ~above, 0, values),
        high=np.where(above, last[chosen], values),
    )
    distinct = np.unique(np.hstack([made.columns, made.low, made.high]), axis=0, return_index=True)[1]
    made = made.take(np.sort(distinct))
    found: list[Array] = []
    for start in range(0, len(made), most):
        part = np.arange(start, min(start + most, len(made)))
        found.append(part[made.take(part).counts(table) == 1])
        if sum(map(len, found)) >= most:
            break
    return made.take(np.concatenate(found)[:most])


def guessed(table: Cells, like: Predicates, rng: np.random.Generator) -> Predicates:
    """As many predicates, on as many columns each, of random values of the table with a random comparison."""
    if not len(like):
        return like
    tries, width = like.columns.shape
    chosen = np.argsort(rng.random((tries, len(table.names))), axis=1)[:, :width]
    values = table.positions[rng.integers(0, len(table), (tries, width)), chosen]
    _, last, numeric = (np.array(part) for part in zip(*_sides(table), strict=True))
    side = np.where(numeric[chosen] & (values != MISSING), rng.integers(0, 3, (tries, width)), 0)
    return Predicates(
        columns=chosen,
        low=np.where(side == 1, 0, values),
        high=np.where(side == 2, last[chosen], values),
    )


def _sides(table: Cells) -> list[tuple[float, int, bool]]:
    """Of each column: its median, its last position, and whether it is a number."""
    found = []
    for at, column in enumerate(table.columns):
        known = table.positions[:, at][table.positions[:, at] != MISSING]
        found.append((float(np.median(known)) if len(known) else 0.0, column.size - 1, is_numeric(column)))
    return found
