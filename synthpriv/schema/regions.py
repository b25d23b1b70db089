"""Regions: the part of one column's domain that a condition allows, as intervals of positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Intervals = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """Disjoint half-open intervals of positions in order, shape (k, 2), and whether missing is allowed.

    >>> young = Region.of(np.array([True, True, False, True]))
    >>> young.intervals.tolist()
    [[0, 2], [3, 4]]
    >>> young.intersection(Region(intervals=np.array([[1, 9]]))).intervals.tolist()
    [[1, 2], [3, 4]]
    """

    intervals: Intervals
    missing: bool = False

    @classmethod
    def of(cls, allowed: npt.NDArray[np.bool_], missing: bool = False) -> Region:
        """The positions at which `allowed` (shape (size,)) is true."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], allowed, [False]]).astype(np.int8)))
        return cls(intervals=edges.reshape(-1, 2).astype(np.int64), missing=missing)

    @classmethod
    def between(cls, start: int, end: int, missing: bool = False) -> Region:
        """The positions start..end-1; none if end <= start."""
        held = [[start, end]] if end > start else np.zeros((0, 2))
        return cls(intervals=np.array(held, dtype=np.int64), missing=missing)

    @property
    def empty(self) -> bool:
        """Whether nothing is allowed."""
        return not self.missing and len(self.intervals) == 0

    def intersection(self, other: Region) -> Region:
        """What both allow."""
        return self._swept(other, 2, self.missing and other.missing)

    def union(self, other: Region) -> Region:
        """What either allows."""
        return self._swept(other, 1, self.missing or other.missing)

    def without(self, other: Region, size: int) -> Region:
        """What this one of a domain of `size` positions allows and the other does not."""
        edges = np.concatenate([[0], other.intervals.ravel(), [size]]).reshape(-1, 2)
        rest = Region(intervals=edges[edges[:, 0] < edges[:, 1]].astype(np.int64), missing=not other.missing)
        return self.intersection(rest)

    def _swept(self, other: Region, needed: int, missing: bool) -> Region:
        """Where at least `needed` of the two hold: one pass over all ends."""
        ends = np.concatenate([self.intervals, other.intervals])
        if not len(ends):
            return Region(intervals=ends, missing=missing)
        places = np.unique(ends)
        change = np.zeros(len(places), dtype=np.int64)
        np.add.at(change, np.searchsorted(places, ends[:, 0]), 1)
        np.add.at(change, np.searchsorted(places, ends[:, 1]), -1)
        inside = Region.of(np.cumsum(change) >= needed)
        return Region(intervals=places[inside.intervals], missing=missing)

    def holds(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which positions (-1: missing) lie inside (shape (n,))."""
        inside = np.searchsorted(self.intervals.ravel(), positions, side="right") % 2 == 1
        return np.where(positions < 0, self.missing, inside)
