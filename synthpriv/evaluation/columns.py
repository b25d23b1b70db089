"""Distances of single columns: between shares of bins, and between numbers on their scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt
from scipy.special import rel_entr

from synthpriv.evaluation.bins import BINS, Bins, Codes
from synthpriv.evaluation.cells import Array, Cells, is_numeric
from synthpriv.evaluation.comparisons import ColumnComparison
from synthpriv.evaluation.distances import HALF_NORMAL, Distance, bias_of_gaps, chance_gaps, standard_error
from synthpriv.evaluation.estimate import Estimate
from synthpriv.evaluation.marginals import Joint
from synthpriv.schema.values import MISSING

Floats = npt.NDArray[np.float64]
MOST_BINNED = 1 << 22  # positions up to this are counted in an array, larger ones are sorted
KOLMOGOROV_MEAN = math.sqrt(math.pi / 2) * math.log(2)
SINGLE = (
    "Single columns only: independent columns keep them, so that constant columns (the most common training "
    "value in every row) show what bad looks like."
)
SHARES = {
    "fidelity.jensen_shannon": "Mean Jensen-Shannon distance (base 2) over {} single columns between the "
    "synthetic table and the real holdout",
    "fidelity.missing": "Mean absolute difference between the synthetic table's and the real holdout's share "
    "of missing values over {} columns",
}
NUMBERS = {
    "fidelity.kolmogorov_smirnov": "Mean Kolmogorov-Smirnov distance (the largest gap between two cumulative "
    "shares) over {} columns of numbers or moments between the synthetic table and the real holdout",
    "fidelity.wasserstein": "Mean Wasserstein-1 distance, as a share of the declared range, over {} columns "
    "of numbers or moments between the synthetic table and the real holdout",
}


@dataclass(frozen=True, kw_only=True, repr=False)
class Part:
    """One column's distance between two tables.

    influences: per table, what each sampled row adds to it, to first order. noise, bias: as in Distance.
    """

    value: float
    influences: tuple[Floats, Floats]
    noise: float
    bias: float

    def plus(self, other: Part) -> Part:
        """The sum of two columns' distances between the same tables."""
        first, second = (one + more for one, more in zip(self.influences, other.influences, strict=True))
        return Part(
            value=self.value + other.value,
            influences=(first, second),
            noise=self.noise + other.noise,
            bias=self.bias + other.bias,
        )


def judge_shares(
    singles: Mapping[str, Sequence[Joint]], samples: tuple[Codes, Codes], rows: tuple[int, int]
) -> dict[str, Estimate]:
    """The figures of `SHARES`.

    singles: by contender, the marginals of single columns, contender first and holdout second. samples: bin
    codes of sampled rows of the synthetic table and the holdout. rows: how many rows were counted in each.
    """
    parts: dict[str, Callable[[Joint], Part]] = {
        "fidelity.jensen_shannon": lambda one: _jensen_shannon_part(one, samples, rows),
        "fidelity.missing": lambda one: _missing_part(one, samples, rows),
    }
    controls: dict[str, Callable[[Joint], float]] = {
        "fidelity.jensen_shannon": lambda one: jensen_shannon(one.first, one.second),
        "fidelity.missing": lambda one: abs(float(one.first[-1] - one.second[-1])),
    }
    every = range(len(singles["synthetic"]))
    tables = singles.values()
    lacking = [at for at in every if any(one[at].first[-1] + one[at].second[-1] > 0 for one in tables)]
    found = {}
    for name, words in SHARES.items():
        columns = (lacking or every) if name == "fidelity.missing" else every
        total = reduce(Part.plus, (parts[name](singles["synthetic"][at]) for at in columns))
        own = mean_distance(total, len(columns), rows)
        beside = {
            control: float(np.mean([controls[name](one[at]) for at in columns]))
            for control, one in singles.items()
            if control != "synthetic"
        }
        remark = BINS
        if name == "fidelity.missing":
            remark = "These have missing values in some table." if lacking else "No table misses a value."
        found[name] = own.estimate(words.format(len(columns)), beside, f"{SINGLE} {remark}")
    return found


def judge_numbers(contenders: Mapping[str, Cells], holdout: Cells) -> dict[str, Estimate]:
    """The figures of `NUMBERS`, over the columns of numbers that the holdout has values of.

    A column of which a contender has no value at all is 1 away. No figure when there is no such column.
    """
    at_numbers = [
        at
        for at, column in enumerate(holdout.columns)
        if is_numeric(column) and (holdout.positions[:, at] != MISSING).any()
    ]
    if not at_numbers:
        return {}
    totals = {
        contender: reduce(
            lambda sums, more: (sums[0].plus(more[0]), sums[1].plus(more[1])),
            (
                number_parts(cells.positions[:, at], holdout.positions[:, at], holdout.columns[at].size)
                for at in at_numbers
            ),
        )
        for contender, cells in contenders.items()
    }
    found = {}
    for order, (name, words) in enumerate(NUMBERS.items()):
        rows = (len(contenders["synthetic"]), len(holdout))
        own = mean_distance(totals["synthetic"][order], len(at_numbers), rows)
        beside = {
            control: both[order].value / len(at_numbers)
            for control, both in totals.items()
            if control != "synthetic"
        }
        found[name] = own.estimate(words.format(len(at_numbers)), beside, SINGLE)
    return found


def mean_distance(total: Part, columns: int, rows: tuple[int, int]) -> Distance:
    """The mean of so many columns' distances, from their sum; rows: the two tables' number of rows."""
    first, second = (one / columns for one in total.influences)
    return Distance(
        value=total.value / columns,
        error=standard_error((first, second), rows),
        noise=total.noise / columns,
        bias=total.bias / columns,
    )


def number_parts(first: Array, second: Array, size: int) -> tuple[Part, Part]:
    """The Kolmogorov-Smirnov and the scaled Wasserstein distance of a column of numbers.

    first, second: (rows,) positions in 0..size-1 or MISSING; missing ones are left out, the second has some.
    """
    present = [one != MISSING for one in (first, second)]
    counts = [int(one.sum()) for one in present]
    if not counts[0]:
        far = Part(value=1.0, influences=(np.zeros(len(first)), np.zeros(len(second))), noise=0.0, bias=0.0)
        return far, far
    values, places, below = _cumulated(first[present[0]], second[present[1]])
    gaps = below[0] - below[1]
    thin = 1 / counts[0] + 1 / counts[1]
    at = int(np.abs(gaps).argmax())
    steps = np.diff(values, append=values[-1:]) / max(size - 1, 1)
    pooled = (below[0] * counts[0] + below[1] * counts[1]) / sum(counts)
    chance = HALF_NORMAL * np.sqrt(np.maximum(pooled * (1 - pooled), 0.0) * thin)
    # a gap that noise may have turned has the sign of the whole: gaps move together, and so must their errors
    clear = np.abs(gaps) > 2 * chance / HALF_NORMAL
    sign = np.sign(np.where(clear, gaps, np.sum(gaps * steps)))
    beyond = np.cumsum((sign * steps)[::-1])[::-1]  # per value: the signed length of the scale from it on
    upto = np.sign(gaps[at]) * (np.arange(len(values)) <= at)
    influences = []
    for by_value in (upto, beyond):
        each = []
        for rows, place, count, way in zip(present, places, counts, (1, -1), strict=True):
            scattered = np.zeros(len(rows))
            own = by_value[place]
            scattered[rows] = way * (own - own.mean()) * len(rows) / count
            each.append(scattered)
        influences.append((each[0], each[1]))
    largest = min(KOLMOGOROV_MEAN * math.sqrt(thin), float(chance.sum()))
    return (
        Part(value=float(abs(gaps[at])), influences=influences[0], noise=largest, bias=largest),
        Part(
            value=float(np.sum(np.abs(gaps) * steps)),
            influences=influences[1],
            noise=float(np.sum(chance * steps)),
            bias=float(np.sum(bias_of_gaps(gaps, chance) * steps)),
        ),
    )


def compare_columns(
    holdout: Cells, synthetic: Cells, bins: Sequence[Bins], shares: Sequence[tuple[Floats, Floats]]
) -> tuple[ColumnComparison, ...]:
    """Every distance of every single column; shares: of each column's bins, synthetic and real."""
    compared = []
    for at, (name, column) in enumerate(zip(holdout.names, holdout.columns, strict=True)):
        size = len(bins[at].labels)
        made, real = shares[at]
        shown = (np.arange(size) < size - 2) | (real + made > 0)
        numbers = [cells.positions[:, at] for cells in (holdout, synthetic)]
        numbers = [values[values != MISSING] for values in numbers]
        comparable = is_numeric(column) and all(len(values) for values in numbers)
        compared.append(
            ColumnComparison(
                name=name,
                kind=column.kind,
                total_variation=float(np.abs(real - made).sum() / 2),
                jensen_shannon=jensen_shannon(real, made),
                kolmogorov_smirnov=kolmogorov_smirnov(*numbers) if comparable else None,
                wasserstein=wasserstein(*numbers) / max(column.size - 1, 1) if comparable else None,
                missing_real=float(real[-1]),
                missing_synthetic=float(made[-1]),
                labels=tuple(label for label, show in zip(bins[at].labels, shown, strict=True) if show),
                real=tuple(real[shown].tolist()),
                synthetic=tuple(made[shown].tolist()),
            )
        )
    return tuple(compared)


def jensen_shannon(first: Array, second: Array) -> float:
    """The Jensen-Shannon distance (base 2) of two arrays of shares: 0..1 (Endres and Schindelin 2003)."""
    middle = (first + second) / 2
    divergence = (rel_entr(first, middle).sum() + rel_entr(second, middle).sum()) / (2 * math.log(2))
    return float(np.sqrt(np.clip(divergence, 0.0, 1.0)))


def kolmogorov_smirnov(first: Array, second: Array) -> float:
    """The largest gap between two empirical distribution functions of whole numbers >= 0: 0..1."""
    _, _, below = _cumulated(first, second)
    return float(np.abs(below[0] - below[1]).max())


def wasserstein(first: Array, second: Array) -> float:
    """The area between two empirical distribution functions (Wasserstein-1), in the values' units."""
    values, _, below = _cumulated(first, second)
    return float(np.sum(np.abs(below[0] - below[1])[:-1] * np.diff(values)))


def _cumulated(first: Array, second: Array) -> tuple[Array, list[Array], list[Floats]]:
    """The values of two arrays of whole numbers >= 0, each number's place among them, and both shares of
    numbers up to each value."""
    top = int(max(first.max(), second.max())) + 1
    if top <= MOST_BINNED:
        tables = [np.bincount(one, minlength=top) for one in (first, second)]
        occurs = tables[0] + tables[1] > 0
        values = np.flatnonzero(occurs)
        lookup = np.cumsum(occurs) - 1
        places = [lookup[one] for one in (first, second)]
        counts = [table[values] for table in tables]
    else:
        values, inverse = np.unique(np.concatenate([first, second]), return_inverse=True)
        places = [inverse[: len(first)], inverse[len(first) :]]
        counts = [np.bincount(one, minlength=len(values)) for one in places]
    return values, places, [np.cumsum(count) / count.sum() for count in counts]


def _jensen_shannon_part(one: Joint, samples: tuple[Codes, Codes], rows: tuple[int, int]) -> Part:
    value = jensen_shannon(one.first, one.second)
    middle = (one.first + one.second) / 2
    influences = []
    for shares, sample in zip((one.first, one.second), samples, strict=True):
        ratio = np.divide(shares, middle, out=np.ones_like(middle), where=shares > 0)
        by_bin = np.log2(ratio) / (4 * value) if value > 0 else np.zeros(len(shares))
        influences.append(by_bin[sample[:, one.group[0]]])
    # the squared distance is a quarter of chi-squared, over 2 ln 2, in small samples of one population
    free = max(int((middle > 0).sum()) - 1, 0)
    noise = min(math.sqrt(free * (1 / rows[0] + 1 / rows[1]) / (8 * math.log(2))), 1.0)
    return Part(value=value, influences=(influences[0], influences[1]), noise=noise, bias=noise)


def _missing_part(one: Joint, samples: tuple[Codes, Codes], rows: tuple[int, int]) -> Part:
    gap = float(one.first[-1] - one.second[-1])
    last = len(one.first) - 1
    at = one.group[0]
    first, second = (np.sign(gap) * (codes[:, at] == last) for codes in samples)
    chance = chance_gaps(np.round(one.first[-1:] * rows[0] + one.second[-1:] * rows[1]), rows)
    bias = bias_of_gaps(np.array([gap]), chance)
    return Part(value=abs(gap), influences=(first, -second), noise=float(chance[0]), bias=float(bias[0]))
