"""A table as positions in its declared domains: the one form that every figure of the judge reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from synthpriv.errors import EvaluationError
from synthpriv.schema import AnyColumn, Boolean, Categorical, Integer, Schema
from synthpriv.schema.values import MISSING, Placed, place

Array = npt.NDArray[Any]
FEWEST_ROWS = 20  # real rows that a figure needs to mean anything


@dataclass(frozen=True, kw_only=True, repr=False)
class Cells:
    """A table's modelled columns as positions.

    positions: (rows, columns) whole numbers in 0..size-1, or MISSING; a number beyond its bounds is clipped.
    outside: (rows, columns), True for values that the schema does not declare (an unknown category and
    unreadable text have position MISSING). delivered: False for a column that the table does not have.
    """

    names: tuple[str, ...]
    columns: tuple[AnyColumn, ...]
    positions: npt.NDArray[np.int64]
    outside: npt.NDArray[np.bool_]
    delivered: tuple[bool, ...]

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.positions)

    def __repr__(self) -> str:
        """No row, no count."""
        return f"Cells(columns={list(self.names)})"

    def take(self, rows: Array) -> Cells:
        """The rows at these indices, in that order."""
        return replace(self, positions=self.positions[rows], outside=self.outside[rows])

    def sample(self, most: int, rng: np.random.Generator) -> Cells:
        """At most `most` rows, drawn without replacement; the table itself when it is small enough."""
        return self if len(self) <= most else self.take(rng.choice(len(self), size=most, replace=False))

    def columns_at(self, at: Array) -> Cells:
        """The columns at these indices, in that order."""
        return replace(
            self,
            names=tuple(self.names[one] for one in at),
            columns=tuple(self.columns[one] for one in at),
            delivered=tuple(self.delivered[one] for one in at),
            positions=self.positions[:, at],
            outside=self.outside[:, at],
        )

    def joined(self, other: Cells) -> Cells:
        """These rows, then the other table's."""
        return replace(
            self,
            positions=np.concatenate([self.positions, other.positions]),
            outside=np.concatenate([self.outside, other.outside]),
        )

    def shuffled(self, rng: np.random.Generator) -> Cells:
        """Every column shuffled on its own: the same columns, with nothing between them."""
        orders = np.column_stack([rng.permutation(len(self)) for _ in self.names])
        return replace(
            self,
            positions=np.take_along_axis(self.positions, orders, axis=0),
            outside=np.take_along_axis(self.outside, orders, axis=0),
        )

    def missing(self) -> npt.NDArray[np.bool_]:
        """(rows, columns), True where a value is missing rather than unknown."""
        return np.asarray((self.positions == MISSING) & ~self.outside)


@dataclass(frozen=True, kw_only=True, repr=False)
class EveryRow:
    """A table of any length: how many rows it has, and what reads them all, again each time it is called."""

    rows: int
    chunks: Callable[[], Iterator[Cells]]


@dataclass(frozen=True, kw_only=True, repr=False)
class Tables:
    """What a judge looks at: the synthetic table, the rows it was made from, and rows that it never saw.

    Each is a random sample of a table that is too long to be held; `every`, by the field's name, then reads
    all of it. A table without an entry there is whole.
    """

    synthetic: Cells
    train: Cells
    holdout: Cells
    every: Mapping[str, EveryRow] = field(default_factory=dict)

    def all_rows(self, name: str) -> EveryRow:
        """Every row of "synthetic", "train" or "holdout"."""
        return self.every.get(name) or whole(getattr(self, name))

    def contenders(self, seed: int) -> dict[str, Cells]:
        """The synthetic table beside its controls: real rows and independent columns."""
        independent = self.train.shuffled(np.random.default_rng(seed))
        return {"synthetic": self.synthetic, "real rows": self.train, "independent columns": independent}


def whole(cells: Cells) -> EveryRow:
    """A table that is held, as one chunk."""
    return EveryRow(rows=len(cells), chunks=lambda: iter([cells]))


def is_numeric(column: AnyColumn) -> bool:
    """Whether positions of the column are a scale (integer, float, datetime) and not a list."""
    return not isinstance(column, Categorical | Boolean)


def read_cells(table: pd.DataFrame, schema: Schema) -> Cells:
    """The table's cells; a column that it lacks counts as missing in every row.

    Raises EvaluationError when the table has none of the schema's modelled columns.
    """
    modelled = schema.modelled
    lacking = [name for name in modelled if name not in table.columns]
    if len(lacking) == len(modelled):
        raise EvaluationError(
            f"a table under evaluation must have columns of the schema ({', '.join(modelled)}), found none "
            f"of them; rename its columns or read the right file."
        )
    positions = np.full((len(table), len(modelled)), MISSING, dtype=np.int64, order="F")
    outside = np.zeros(positions.shape, dtype=np.bool_, order="F")
    for at, (name, column) in enumerate(modelled.items()):
        if name in lacking:
            continue
        series = table[name]
        series = series.iloc[:, 0] if isinstance(series, pd.DataFrame) else series
        placed = _place_anything(series, column)
        positions[:, at], outside[:, at] = placed.positions, placed.outside
    return Cells(
        names=tuple(modelled),
        columns=tuple(modelled.values()),
        positions=positions,
        outside=outside,
        delivered=tuple(name not in lacking for name in modelled),
    )


def cells_at(positions: Mapping[str, npt.NDArray[np.int64]], schema: Schema) -> Cells:
    """The cells of rows that lie inside the declared domain, from each modelled column's positions."""
    modelled = schema.modelled
    rows = len(positions[next(iter(modelled))])
    stacked = np.empty((rows, len(modelled)), dtype=np.int64, order="F")
    for at, name in enumerate(modelled):
        stacked[:, at] = positions[name]
    return Cells(
        names=tuple(modelled),
        columns=tuple(modelled.values()),
        positions=stacked,
        outside=np.zeros(stacked.shape, dtype=np.bool_, order="F"),
        delivered=(True,) * len(modelled),
    )


def _place_anything(series: pd.Series, column: AnyColumn) -> Placed:
    """The positions of cells of any type, keeping 'missing' and 'fractional' apart from 'outside'."""
    nullable = replace(column, nullable=True)
    cells = series.reset_index(drop=True)
    if isinstance(cells.dtype, pd.CategoricalDtype):
        cells = cells.astype(object)
    try:
        placed = place(cells, nullable)
    except (TypeError, ValueError, ArithmeticError):  # unhashable or exotic cells: judged by their text
        cells = cells.astype(str)
        placed = place(cells, nullable)
    if isinstance(column, Integer):
        numbers = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        within = (numbers >= column.lower) & (numbers <= column.upper)
        return replace(placed, outside=placed.outside & ~within)
    return placed
