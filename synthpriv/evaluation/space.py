"""Rows of mixed tables as points, so that Euclidean distance means 'how different are these two people'."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthpriv.evaluation.cells import Array, Cells, is_numeric
from synthpriv.schema.values import MISSING

Points = npt.NDArray[np.float32]
MOST_AXES = 64


@dataclass(frozen=True, kw_only=True)
class Space:
    """The map from cells to points, the same for every table.

    scales: per column, the sorted positions of real rows that a number's rank is read from; None for a list.
    axes: per list, the point of each category (size, axes), any two 1 apart; None for a number.
    """

    scales: tuple[Array | None, ...]
    axes: tuple[Array | None, ...]

    @classmethod
    def of(cls, real: Cells) -> Space:
        """The space of a pool of real rows, in which no side is more at home than the other."""
        scales: list[Array | None] = []
        axes: list[Array | None] = []
        for at, column in enumerate(real.columns):
            if is_numeric(column):
                positions = real.positions[:, at]
                scales.append(np.sort(positions[positions != MISSING]))
                axes.append(None)
            else:
                scales.append(None)
                axes.append(_axes(column.size))
        return cls(scales=tuple(scales), axes=tuple(axes))

    def points(self, cells: Cells) -> Points:
        """(rows, axes): a number's rank among real rows, spread over 0..sqrt(3); 1 between two categories.

        The mean squared distance of two random ranks is then one half, as it is for a fair coin. A missing
        value lies in the middle with an axis of its own, about 1 away from every other.
        """
        blocks = []
        for at, (scale, axes) in enumerate(zip(self.scales, self.axes, strict=True)):
            positions = cells.positions[:, at]
            known = (positions != MISSING)[:, None]
            if scale is not None:
                below = np.searchsorted(scale, positions, side="left")
                upto = np.searchsorted(scale, positions, side="right")
                rank = (below + upto) / (2 * max(len(scale), 1)) * math.sqrt(3)
                block = np.where(known, rank[:, None], math.sqrt(3) / 2)
            else:
                assert axes is not None
                block = np.where(known, axes[positions], 0.0)
            missing = cells.missing()[:, at, None] * math.sqrt(0.5)
            blocks += [block.astype(np.float32), missing.astype(np.float32)]
        return np.hstack(blocks)


def _axes(size: int) -> Array:
    """One point per category, sqrt(1/2) from the origin: an axis each, or random directions for many."""
    if size <= MOST_AXES:
        return np.eye(size) * math.sqrt(0.5)
    directions = np.random.default_rng(size).choice([-1.0, 1.0], size=(size, MOST_AXES))
    return directions * math.sqrt(0.5 / MOST_AXES)


def nearest_distances(points: Points, among: Points, count: int) -> npt.NDArray[np.float64]:
    """The distances from each of `points` (rows, axes) to the nearest of `among`: (rows, at most `count`)."""
    from sklearn.neighbors import NearestNeighbors
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    nearest = NearestNeighbors(n_neighbors=min(count, len(among)), algorithm="brute")
    with threadpool_limits(limits=1):  # waiting threads cost more than they give on a shared machine
        return np.asarray(nearest.fit(among).kneighbors(points)[0], dtype=np.float64)
