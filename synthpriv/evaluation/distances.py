"""Distances between two samples: their standard error, and how much of them chance alone would give."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, ndtr

from synthpriv.evaluation.cells import Array
from synthpriv.evaluation.estimate import Estimate

Floats = npt.NDArray[np.float64]
NORMAL = 1.96
HALF_NORMAL = math.sqrt(2 / math.pi)  # the mean size of a standard normal number


@dataclass(frozen=True, kw_only=True)
class Distance:
    """A distance of two samples: 0 for equal shares, and never below the populations' on average.

    error: its standard error. noise: what it is on average when both samples come from one population. bias:
    how much the samples' distance exceeds the populations' on average, at most; it is the noise where the
    populations hardly differ, and less where they do.
    """

    value: float
    error: float
    noise: float
    bias: float

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of the populations' distance: wide enough below for the bias."""
        return max(self.value - self.bias - NORMAL * self.error, 0.0), self.value + NORMAL * self.error

    def estimate(
        self, words: str, controls: Mapping[str, float], remark: str, method: str = "delta method over rows"
    ) -> Estimate:
        """The estimate of a figure whose sentence starts with `words` and ends with `remark`."""
        low, high = self.interval
        return Estimate(
            value=self.value,
            low=low,
            high=max(min(high, 1.0), self.value),
            method=f"{method}, the lower end less the bias of sampling",
            direction="lower",
            sentence=(
                f"{words}: {self.value:.4f}, where {beside(controls)}. Tables of these sizes that were "
                f"drawn from one population would differ by {self.noise:.4f}. {remark}"
            ),
            controls=dict(controls),
        )


def bias_of_gaps(gaps: Array, chance: Array) -> Floats:
    """How much the sizes of noisy gaps exceed those of the true gaps on average, at most.

    gaps: any shape; chance: the same shape, the mean size of each if the true gap is 0. The size of a normal
    number is biased the most, by `chance`, around 0, and hardly from two standard deviations on; a gap is
    taken to be two closer to 0 than it was found.
    """
    spread = chance / HALF_NORMAL
    known = np.divide(np.abs(gaps), spread, out=np.zeros(np.shape(gaps)), where=spread > 0)
    away = np.maximum(known - 2.0, 0.0)
    return np.asarray(chance * np.exp(-(away**2) / 2) - spread * 2 * away * ndtr(-away))


def beside(controls: Mapping[str, float]) -> str:
    """What the controls give, for a sentence."""
    *others, last = (f"{name} give {value:.4f}" for name, value in controls.items())
    return f"{', '.join(others)} and {last}" if others else last


def standard_error(influences: tuple[Array, Array], rows: tuple[int, int]) -> float:
    """The standard error of a figure from what each sampled row of two tables adds to it.

    influences: per table, (sampled rows,); the figure is the sum of both tables' means, to first order. rows:
    how many rows of each table the figure was computed from.
    """
    parts = zip(influences, rows, strict=True)
    return math.sqrt(sum(float(np.var(one)) / max(count, 1) for one, count in parts if len(one)))


def chance_gaps(pooled: Array, rows: tuple[int, int]) -> Floats:
    """The mean gap between two tables' shares of a bin if the pool's rows fell to them at random.

    pooled: any shape, how many rows of both tables together lie in each bin. The number of a bin's rows that
    fall to the first table is binomial; its mean deviation is De Moivre's (1730). The root corrects for
    drawing without replacement.
    """
    first, second = rows
    share = first / (first + second)
    counts = np.maximum(np.asarray(pooled, dtype=np.float64), 1.0)
    above = np.floor(counts * share) + 1
    choose = gammaln(counts + 1) - gammaln(above + 1) - gammaln(counts - above + 1)
    logs = choose + above * math.log(share) + (counts - above + 1) * math.log1p(-share)
    deviation = 2 * above * np.exp(logs) * np.sqrt(np.maximum(1 - counts / (first + second), 0.0))
    gaps = deviation * (first + second) / (first * second)
    return np.asarray(np.where(np.asarray(pooled) > 0, gaps, 0.0))
