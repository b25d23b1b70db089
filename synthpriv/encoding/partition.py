"""Partitions of a column's positions into leaves, and how noisy counts refine them.

A leaf is a run of neighbouring positions. Refining looks only at counts that were already released, so it
is post-processing; each refinement is then counted by a new, charged histogram.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from synthpriv.schema import AnyColumn, Boolean, Categorical, Float, Integer

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

FANOUT = 128
MAX_ROUNDS = 4
MAGNITUDES = 1000.0  # a wide column's leaves keep their relative width down to this part of its domain


class Countable(Protocol):
    """What a column's positions are counted in: every row falls into one cell at most."""

    @property
    def cells(self) -> int:
        """The length of the histogram."""

    def count(self, positions: Ints) -> Ints:
        """The exact histogram of `positions` (shape (cells,)): internal, to be noised before release."""


@dataclass(frozen=True, kw_only=True)
class Partition:
    """Leaves over positions 0..size-1: leaf k covers starts[k]..ends[k]-1; gaps are not counted.

    nullable: one more cell, after the leaves, counts the missing values.
    """

    starts: Ints
    ends: Ints
    nullable: bool

    @property
    def cells(self) -> int:
        """The length of this partition's histogram."""
        return len(self.starts) + int(self.nullable)

    def count(self, positions: Ints) -> Ints:
        """The exact histogram of `positions` (shape (cells,)): internal, to be noised before release."""
        missing = positions < 0
        inside = positions[~missing]
        leaf = np.searchsorted(self.starts, inside, side="right") - 1
        covered = (leaf >= 0) & (inside < self.ends[np.maximum(leaf, 0)])
        counts = np.bincount(leaf[covered], minlength=len(self.starts))
        return np.append(counts, missing.sum()) if self.nullable else counts


def zero_position(column: AnyColumn) -> int | None:
    """Where the value 0 lies among a number's positions, perhaps outside; None: amounts of no such column.

    Only numbers of more than FANOUT^2 values are taken for amounts, small and large, round and not.

    >>> zero_position(Integer(lower=-400_000, upper=2_000_000)), zero_position(Integer(lower=0, upper=99))
    (400000, None)
    """
    if not isinstance(column, Integer | Float) or column.size <= FANOUT**2:
        return None
    decimals = column.decimals if isinstance(column, Float) else 0
    return -int(np.rint(column.lower * 10.0**decimals))


def first_partition(column: AnyColumn) -> Partition:
    """The public partition: every category or value if there are few, else runs of positions.

    Runs are equally long, but of amounts they grow with the distance from 0, which is a leaf of its own.

    >>> from synthpriv.schema import Integer
    >>> partition = first_partition(Integer(lower=0, upper=99_999))
    >>> partition.cells, partition.starts[:4].tolist(), partition.starts[-2:].tolist()
    (126, [0, 1, 6, 12], [88549, 94100])
    """
    zero = zero_position(column)
    if zero is not None:
        starts = _split_by_magnitude(column.size, zero)
    else:
        single = isinstance(column, Categorical | Boolean) or column.size <= FANOUT
        starts = _split(0, column.size, column.size if single else FANOUT)
    return Partition(starts=starts, ends=np.append(starts[1:], column.size), nullable=column.nullable)


def rounds_needed(column: AnyColumn) -> int:
    """How many rounds reach single values: public, from the declared domain alone."""
    first = first_partition(column)
    widest, rounds = int((first.ends - first.starts).max()), 1
    while widest > 1 and rounds < MAX_ROUNDS:
        widest, rounds = -(-widest // FANOUT), rounds + 1
    return rounds


def _split_by_magnitude(size: int, zero: int) -> Ints:
    """Starts of at most FANOUT runs over 0..size-1, even in arcsinh(MAGNITUDES * value / size).

    So they are even near 0 and of even relative width far from it, whatever the unit and wherever 0 lies.
    """
    unit = size / MAGNITUDES
    bounds = np.arcsinh(-zero / unit), np.arcsinh((size - zero) / unit)
    cuts = np.rint(unit * np.sinh(np.linspace(*bounds, FANOUT - 2))) + zero
    starts = np.unique(np.concatenate([[0, zero, zero + 1], cuts[1:-1].astype(np.int64)]))
    kept: Ints = starts[(starts >= 0) & (starts < size)]
    return kept


def _split(low: int, high: int, pieces: int) -> Ints:
    """Starts of at most `pieces` runs of nearly equal length over low..high-1."""
    pieces = max(1, min(pieces, high - low))
    return low + (np.arange(pieces, dtype=np.int64) * (high - low)) // pieces


@dataclass(frozen=True, kw_only=True)
class LeafHistogram:
    """A column's released one-way distribution: leaves in order, the mass of each, the mass of missing.

    Masses are non-negative counts that add up to the public number of rows. noise: the standard deviation
    of the noise that a leaf of the last round carries.
    """

    starts: Ints
    ends: Ints
    mass: Floats
    missing: float
    noise: Floats

    @property
    def widths(self) -> Ints:
        """The number of positions in each leaf."""
        return self.ends - self.starts


def first_histogram(partition: Partition, counts: Ints, rows: float, noise_scale: float) -> LeafHistogram:
    """The leaves of the first round, their noisy counts made consistent with the public row count."""
    mass = project(counts.astype(np.float64), rows)
    leaves = len(partition.starts)
    return LeafHistogram(
        starts=partition.starts,
        ends=partition.ends,
        mass=mass[:leaves],
        missing=float(mass[leaves]) if partition.nullable else 0.0,
        noise=np.full(leaves, noise_scale),
    )


def heavy_leaves(histogram: LeafHistogram, noise_scale: float, rows: float) -> npt.NDArray[np.bool_]:
    """Which leaves the next round should split: wide ones whose mass stands out of that round's noise."""
    threshold = max(6.0 * noise_scale, rows / 100.0)
    return (histogram.widths > 1) & (histogram.mass >= threshold)


def children(histogram: LeafHistogram, heavy: npt.NDArray[np.bool_]) -> Partition:
    """The partition of the next round: every heavy leaf split, nothing else counted."""
    runs = [
        _split(int(start), int(end), FANOUT)
        for start, end in zip(histogram.starts[heavy], histogram.ends[heavy], strict=True)
    ]
    ends = [np.append(run[1:], end) for run, end in zip(runs, histogram.ends[heavy].tolist(), strict=True)]
    return Partition(starts=np.concatenate(runs), ends=np.concatenate(ends), nullable=False)


def refine(
    histogram: LeafHistogram, heavy: npt.NDArray[np.bool_], partition: Partition, counts: Ints, noise: float
) -> LeafHistogram:
    """Replace heavy leaves by their children, whose noisy counts are made to add up to the parent's mass."""
    starts, ends, mass, scale = [], [], [], []
    for k in range(len(histogram.starts)):
        if not heavy[k]:
            starts.append(histogram.starts[k : k + 1])
            ends.append(histogram.ends[k : k + 1])
            mass.append(histogram.mass[k : k + 1])
            scale.append(histogram.noise[k : k + 1])
            continue
        inside = (partition.starts >= histogram.starts[k]) & (partition.starts < histogram.ends[k])
        widths = (partition.ends - partition.starts)[inside].astype(np.float64)
        starts.append(partition.starts[inside])
        ends.append(partition.ends[inside])
        mass.append(denoise(counts[inside].astype(np.float64), widths, float(histogram.mass[k]), noise))
        scale.append(np.full(int(inside.sum()), noise))
    return LeafHistogram(
        starts=np.concatenate(starts),
        ends=np.concatenate(ends),
        mass=np.concatenate(mass),
        missing=histogram.missing,
        noise=np.concatenate(scale),
    )


def denoise(counts: Floats, widths: Floats, total: float, noise: float) -> Floats:
    """Spikes that stand out of the noise keep their count; the rest of `total` is spread over even runs.

    A spike is more than 4 standard deviations above what a flat spread would give. There are as many runs as
    leave each with 3 times as much as its noise: often one, and every leaf where there is no noise.
    """
    flat = total * widths / widths.sum()
    spikes = counts - flat > 4.0 * noise
    mass = np.where(spikes, counts, 0.0)
    rest = max(total - float(mass.sum()), 0.0)
    ordinary = np.flatnonzero(~spikes)
    if rest > 0 and len(ordinary):
        most = len(ordinary)
        clear = most if noise == 0 else int(min((rest / (3.0 * noise)) ** 2 / most, most))
        runs = np.array_split(ordinary, max(clear, 1))
        sums = project(np.array([counts[run].sum() for run in runs]), rest)
        for run, part in zip(runs, sums, strict=True):
            mass[run] = part * widths[run] / widths[run].sum()
    scaled: Floats = mass * (total / mass.sum()) if mass.sum() > 0 else flat
    return scaled


def project(counts: Floats, total: float) -> Floats:
    """The non-negative vector with sum `total` that is closest to `counts` (Duchi et al. 2008, figure 1).

    >>> project(np.array([5.0, 3.0, -4.0]), 6.0).tolist()
    [4.0, 2.0, 0.0]
    """
    if total <= 0:
        return np.zeros_like(counts)
    ordered = np.sort(counts)[::-1]
    excess = (np.cumsum(ordered) - total) / np.arange(1, len(counts) + 1)
    last = np.flatnonzero(ordered > excess)[-1]
    projected: Floats = np.maximum(counts - excess[last], 0.0)
    return projected
