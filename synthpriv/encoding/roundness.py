"""How round a column's amounts are: where a leaf holds 50,000 and 50,003, which of them is likelier.

The class of an amount is the largest of the steps 1, 5, 10, 50, 100, ... that divides it. A released
histogram of classes, one per column, gives each class a lift, by which its values outweigh the others of
their leaf: the distribution of greatest entropy given the leaves and the classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthpriv.encoding.partition import Floats, Ints, LeafHistogram, project, zero_position
from synthpriv.schema import AnyColumn

STEPS = np.array([one * 10**power for power in range(18) for one in (1, 5)], dtype=np.int64)
FITTING_ROUNDS = 50
LEAST_LIFT = 1e-6


@dataclass(frozen=True, kw_only=True)
class Classes:
    """The classes of amounts, to be counted: 0 is of none, nor is a missing value."""

    zero: int
    cells: int

    def count(self, positions: Ints) -> Ints:
        """The exact histogram of classes (shape (cells,)): internal, to be noised before release."""
        values = positions[(positions >= 0) & (positions != self.zero)] - self.zero
        divided = sum((values % step == 0).astype(np.int64) for step in STEPS[1 : self.cells])
        return np.bincount(divided + np.zeros_like(values), minlength=self.cells)


def classes_of(column: AnyColumn) -> Classes | None:
    """The classes of an amount, up to a tenth of the domain; None: the column's values are no amounts."""
    zero = zero_position(column)
    return None if zero is None else Classes(zero=zero, cells=int((column.size >= 10 * STEPS).sum()))


@dataclass(frozen=True, kw_only=True)
class Roundness:
    """The lift of every class: the weight of one value of it within its leaf, in (0, 1].

    zero: the position of the value 0.
    """

    zero: int
    lifts: Floats

    def mass(self, starts: Ints, ends: Ints) -> Floats:
        """The sum of lifts over positions starts..ends-1, for each pair (shape (n,))."""
        counts = values_of_classes(starts - self.zero, ends - self.zero, len(self.lifts))
        return np.asarray(counts @ self.lifts, dtype=np.float64)

    def draw(self, starts: Ints, ends: Ints, rng: np.random.Generator) -> Ints:
        """One position of starts..ends-1 for each pair (shape (n,)), by the lifts."""
        low = starts - self.zero
        counts = values_of_classes(low, ends - self.zero, len(self.lifts))
        weights = np.cumsum(counts * self.lifts, axis=1)
        level = (rng.random(len(starts)) * weights[:, -1] >= weights.T).sum(axis=0)
        level = np.minimum(level, (counts > 0).cumsum(axis=1).argmax(axis=1))
        step = STEPS[level]
        ratio = STEPS[level + 1] // step
        # the multiples of step that are none of the next are numbered from the first one at or above `low`
        first = -(-low // step)
        number = rng.integers(0, counts[np.arange(len(level)), level])
        number += first - -(-first // ratio)
        multiple = number + number // (ratio - 1) + 1
        highest = level == len(self.lifts) - 1  # no next: all multiples count
        multiple = np.where(highest, rng.integers(first, -(-(ends - self.zero) // step)), multiple)
        return np.asarray(multiple * step + self.zero, dtype=np.int64)


def values_of_classes(low: Ints, high: Ints, classes: int) -> Ints:
    """How many values of each class lie in low..high-1 (shape (n, classes)).

    >>> values_of_classes(np.array([1]), np.array([101]), 4).tolist()
    [[80, 10, 8, 2]]
    """
    steps = STEPS[:classes]
    multiples = -(-high[:, None] // steps) - -(-low[:, None] // steps)
    multiples[:, :-1] -= multiples[:, 1:]
    return multiples


def fit_roundness(classes: Classes, histogram: LeafHistogram, counts: Ints, noise: float) -> Roundness:
    """The lifts under which the leaves would show the released counts of classes (post-processing).

    A class whose count lies within two standard deviations of what even leaves would show is left at that.
    Source: iterative proportional fitting (Deming and Stephan 1940).
    """
    ends = histogram.ends - classes.zero
    inside = values_of_classes(histogram.starts - classes.zero, ends, classes.cells).astype(np.float64)
    mass = np.where((histogram.starts == classes.zero) & (histogram.widths == 1), 0.0, histogram.mass)

    def shown(lifts: Floats) -> Floats:
        weights = inside * lifts
        return np.asarray(mass @ (weights / weights.sum(axis=1, keepdims=True)), dtype=np.float64)

    lifts = np.ones(classes.cells)
    wanted, even = project(counts.astype(np.float64), float(mass.sum())), shown(lifts)
    wanted = np.where(np.abs(wanted - even) > 2.0 * noise, wanted, even)
    for _ in range(FITTING_ROUNDS):
        lifts = lifts * np.clip((wanted + 1.0) / (shown(lifts) + 1.0), 0.1, 10.0)
        lifts = np.maximum(lifts / lifts.max(), LEAST_LIFT)
    return Roundness(zero=classes.zero, lifts=lifts)
