"""Which marginals a fit measures, in how many cells: public rules of the schema, the rows and the noise."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from synthpriv.schema import AnyColumn, Boolean, Categorical, Schema

MOST_CLASSES = 8  # a label with more would spread the rows of every marginal too thin
FEWEST_CELLS, MOST_CELLS = 8, 48
MOST_NOISY_CELLS = 1_500_000  # of discrete noise at 12 microseconds each


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Groups of columns, by position, whose joint counts are measured.

    given: the label column, which is the first of every group of three; None where groups are pairs.
    """

    groups: tuple[tuple[int, ...], ...]
    given: int | None


def workload_of(schema: Schema, within_classes: bool = True) -> Workload:
    """All pairs of columns; with a target of few classes, all pairs within each of its classes.

    Pairs within classes say more than pairs and cost the same: a row falls into one class only.
    within_classes: False for a model that learns the label's relations elsewhere.
    """
    columns = range(len(schema.modelled))
    given = label_column(schema) if within_classes else None
    if given is None or len(columns) < 3 or _cells(list(schema.modelled.values())[given]) > MOST_CLASSES:
        return Workload(groups=tuple(itertools.combinations(columns, 2)), given=None)
    others = [column for column in columns if column != given]
    groups = ((given, first, second) for first, second in itertools.combinations(others, 2))
    return Workload(groups=tuple(groups), given=given)


def label_column(schema: Schema) -> int | None:
    """The first target that has categories, by position: the label that models are given."""
    names = list(schema.modelled)
    for target in schema.targets:
        if isinstance(schema.columns[target], Categorical | Boolean):
            return names.index(target)
    return None


def cells_per_column(schema: Schema, workload: Workload, rows: int, noise_scale: float) -> int:
    """How finely columns are cut: an average cell of a pair should hold as many rows as its noise.

    rows: the public row count. noise_scale: of every count (0: no noise). Bounded by what counting costs.
    """
    cells = MOST_CELLS
    if noise_scale > 0:
        cells = round(min(max(math.sqrt(rows / noise_scale), FEWEST_CELLS), MOST_CELLS))
    columns = list(schema.modelled.values())
    while cells > FEWEST_CELLS and _noisy_cells(columns, workload, cells) > MOST_NOISY_CELLS:
        cells -= 1
    return cells


def _noisy_cells(columns: list[AnyColumn], workload: Workload, cells: int) -> int:
    sizes = [min(_cells(column), cells) for column in columns]
    return sum(math.prod(sizes[at] for at in group) for group in workload.groups)


def _cells(column: AnyColumn) -> int:
    return column.size + int(column.nullable)
