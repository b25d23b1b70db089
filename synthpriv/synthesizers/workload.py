"""Which marginals a fit measures, in how many cells: public rules of the schema, the rows and the noise."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthpriv.schema import AnyColumn, Boolean, Categorical, Schema

MOST_CLASSES = 8  # a label with more would spread the rows of every marginal too thin
FEWEST_CELLS, MOST_CELLS = 8, 48
MOST_NOISY_CELLS = 1_500_000  # of discrete noise at 12 microseconds each
MOST_GROUPS = 1_000  # beyond, in tables of more than 45 columns, pairs are chosen


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Groups of columns, by position, whose joint counts are measured.

    given: the label column, which is the first of every group of three; None where groups are pairs.
    chosen: how many of the groups are measured, after a private choice (None: all).
    """

    groups: tuple[tuple[int, ...], ...]
    given: int | None
    chosen: int | None = None

    @property
    def size(self) -> int:
        """How many groups are measured."""
        return len(self.groups) if self.chosen is None else self.chosen


def workload_of(schema: Schema, within_classes: bool = True) -> Workload:
    """All pairs of columns; with a target of few classes, all pairs within each of its classes.

    Pairs within classes say more than pairs and cost the same: a row falls into one class only. Of more than
    MOST_GROUPS pairs as many are chosen. within_classes: False for a model that learns the label's relations
    elsewhere.
    """
    columns = range(len(schema.modelled))
    given = label_column(schema) if within_classes else None
    if math.comb(len(columns), 2) > MOST_GROUPS:
        pairs = tuple(itertools.combinations(columns, 2))
        return Workload(groups=pairs, given=None, chosen=MOST_GROUPS)
    if given is None or len(columns) < 3 or _cells(list(schema.modelled.values())[given]) > MOST_CLASSES:
        return Workload(groups=tuple(itertools.combinations(columns, 2)), given=None)
    others = [column for column in columns if column != given]
    groups = ((given, first, second) for first, second in itertools.combinations(others, 2))
    return Workload(groups=tuple(groups), given=given)


def choose_groups(
    workload: Workload,
    scores: npt.NDArray[np.int64],
    shares: Sequence[npt.NDArray[np.float64]],
    rows: int,
    label: int | None,
) -> Workload:
    """The groups to measure: every pair with the label, then those whose noisy distance from independence is
    largest (post-processing).

    scores: as `PrivateTable.dependence` releases them. What rows drawn from independent columns would show by
    chance is taken off. Source: the selection step of McKenna et al. (2022, AIM), in a single round.
    """
    chance = []
    for first, second in workload.groups:
        expected = rows * np.outer(shares[first], shares[second])
        chance.append(np.minimum(np.sqrt(2 * expected / np.pi), 2 * expected).sum())
    with_label = [label in group for group in workload.groups]
    order = np.lexsort((-(scores - np.array(chance)), np.logical_not(with_label)))
    groups = tuple(workload.groups[at] for at in sorted(order[: workload.size].tolist()))
    return Workload(groups=groups, given=None)


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
    every = sum(math.prod(sizes[at] for at in group) for group in workload.groups)
    return every * workload.size // max(1, len(workload.groups))


def _cells(column: AnyColumn) -> int:
    return column.size + int(column.nullable)
