"""Questions about one person: how many synthetic rows have these of their values? (Houssiau 2022)"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthpriv.evaluation.cells import Array, Cells, is_numeric
from synthpriv.schema.values import MISSING

Floats = npt.NDArray[np.float64]
QUERIES_PER_ORDER = 48
ORDERS = (1, 2, 3, 4, 6)  # columns per query; one more asks for every column
NEAR = 0.02  # of the ranks of a number, to either side


@dataclass(frozen=True, kw_only=True)
class Queries:
    """Random conjunctions of conditions that one row meets.

    low, high: (conditions,) bounds of positions, both included, on the column at `columns`. asked:
    (conditions, queries), 1 where a query asks a condition; QUERIES_PER_ORDER queries for each of ORDERS (or
    for all columns, where there are fewer), and as many on every column.
    """

    columns: Array
    low: Array
    high: Array
    asked: npt.NDArray[np.float32]

    def shares(self, table: Cells) -> Floats:
        """The share of the table's rows that meet every condition of each query: (queries,)."""
        found = table.positions[:, self.columns]
        missed = ((found < self.low) | (found > self.high)).astype(np.float32)
        return np.asarray(((missed @ self.asked) == 0).mean(axis=0), dtype=np.float64)


def queries_on(person: Cells, crowd: Cells, rng: np.random.Generator) -> Queries:
    """Queries that `person` (one row) meets; of a number they ask for the far side, or for nearly the same.

    crowd: rows that tell which side of a number is far, and what is near.
    """
    conditions = [condition for at in range(len(crowd.names)) for condition in _conditions(person, crowd, at)]
    columns, low, high = (np.array(part) for part in zip(*conditions, strict=True))
    present = np.unique(columns)
    orders = [min(order, len(present)) for order in ORDERS for _ in range(QUERIES_PER_ORDER)]
    orders += [len(present)] * QUERIES_PER_ORDER
    asked = np.zeros((len(columns), len(orders)), dtype=np.float32)
    for query, order in enumerate(orders):
        for column in rng.choice(present, size=order, replace=False):
            asked[rng.choice(np.flatnonzero(columns == column)), query] = 1
    return Queries(columns=columns, low=low, high=high, asked=asked)


def _conditions(person: Cells, crowd: Cells, at: int) -> list[tuple[int, int, int]]:
    """Column, lowest and highest position of each condition on one column."""
    value = int(person.positions[0, at])
    if value == MISSING or not is_numeric(crowd.columns[at]):
        return [(at, value, value)]
    known = np.sort(crowd.positions[:, at][crowd.positions[:, at] != MISSING])
    last = crowd.columns[at].size - 1
    if not len(known):
        return [(at, value, last)]
    rank = np.searchsorted(known, value) / len(known)
    far = (at, value, last) if rank >= 0.5 else (at, 0, value)
    below, above = np.quantile(known, [max(rank - NEAR, 0), min(rank + NEAR, 1)])
    return [far, (at, min(value, int(below)), max(value, int(np.ceil(above))))]
