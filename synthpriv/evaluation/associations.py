"""How strongly each pair of columns is associated, as one matrix for columns of all kinds."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from synthpriv.evaluation.cells import Array, Cells, is_numeric
from synthpriv.evaluation.distances import HALF_NORMAL, Distance, bias_of_gaps
from synthpriv.evaluation.estimate import Estimate
from synthpriv.schema.values import MISSING

Floats = npt.NDArray[np.float64]
RESAMPLED_ROWS = 10_000  # the bootstrap's; its spread is scaled to all rows


def association_matrix(cells: Cells) -> Floats:
    """(columns, columns), symmetric with a diagonal of ones; 0 where a column is constant.

    Pearson's correlation (-1..1) between two numeric columns, Cramer's V (0..1) between two lists, the
    correlation ratio (0..1) between one of each. A missing number leaves its row out of the pair; missing
    and unknown categories are categories of their own.
    """
    numeric = np.array([is_numeric(column) for column in cells.columns])
    matrix = np.eye(len(cells.names))
    at_numbers, at_lists = np.flatnonzero(numeric), np.flatnonzero(~numeric)
    present = (cells.positions[:, at_numbers] != MISSING).astype(np.float64)
    numbers = _centred(cells.positions[:, at_numbers], present)
    codes = [_compact(cells, int(at)) for at in at_lists]
    matrix[np.ix_(at_numbers, at_numbers)] = pearson(numbers, present)
    for first, (at, code) in enumerate(zip(at_lists, codes, strict=True)):
        for other, other_code in zip(at_lists[:first], codes[:first], strict=True):
            matrix[at, other] = matrix[other, at] = cramers_v(code, other_code)
        for column, number in enumerate(at_numbers):
            rows = present[:, column] > 0
            inside = slice(None) if rows.all() else rows
            ratio = correlation_ratio(code[inside], numbers[inside, column])
            matrix[at, number] = matrix[number, at] = ratio
    return matrix


def judge_associations(
    contenders: Mapping[str, Cells], holdout: Cells, rows: int, resamples: int, seed: int
) -> Estimate:
    """The figure "fidelity.association": the mean difference of association between pairs of columns.

    As many rows of each table are read, at most `rows`: associations of lists are larger in fewer rows. The
    tables have at least two columns.
    """
    rng = np.random.default_rng(seed)
    rows = min(rows, len(holdout), *map(len, contenders.values()))
    real = holdout.sample(rows, rng)
    sampled = {name: cells.sample(rows, rng) for name, cells in contenders.items()}
    matrix = association_matrix(real)
    gaps = {name: association_matrix(cells) - matrix for name, cells in sampled.items()}
    some = min(rows, RESAMPLED_ROWS)
    both = sampled["synthetic"].sample(some, rng), real.sample(some, rng)
    redrawn = np.array([_redrawn_difference(*both, rng) for _ in range(resamples)])
    upper = np.triu_indices(len(matrix), k=1)
    spread = (redrawn - redrawn.mean(axis=0))[:, *upper] * math.sqrt(some / rows)
    own, *controls = (float(np.abs(gap[upper]).mean()) for gap in gaps.values())
    chance = HALF_NORMAL * np.std(spread, axis=0, ddof=1)
    found = Distance(
        value=own,
        error=float(np.std(np.abs(gaps["synthetic"][upper] + spread).mean(axis=1), ddof=1)),
        noise=float(chance.mean()),
        bias=float(bias_of_gaps(gaps["synthetic"][upper], chance).mean()),
    )
    return found.estimate(
        "Mean absolute difference of association between pairs of columns (Pearson between numbers, Cramer's "
        "V between lists, correlation ratio between one of each), synthetic table against real holdout",
        dict(zip(list(gaps)[1:], controls, strict=True)),
        f"Read from {rows} rows of each table.",
        method=f"bootstrap standard error over rows, {resamples} resamples",
    )


def _redrawn_difference(first: Cells, second: Cells, rng: np.random.Generator) -> Floats:
    """The difference of two tables' association matrices, each from as many rows drawn with replacement."""
    redrawn = (cells.take(rng.integers(0, len(cells), len(cells))) for cells in (first, second))
    own, other = (association_matrix(cells) for cells in redrawn)
    return own - other


def pearson(numbers: Array, present: Array) -> Floats:
    """Pearson's correlation of every pair of columns over the rows where both are present.

    numbers: (rows, columns), 0 where absent; present: the same shape, 1 or 0.
    """
    count = np.maximum(present.T @ present, 1.0)
    sums = numbers.T @ present
    squares = (numbers**2).T @ present
    covariance = numbers.T @ numbers - sums * sums.T / count
    variance = squares - sums**2 / count
    variance[variance <= 1e-12 * np.maximum(squares, 1e-300)] = 0.0
    spread = np.sqrt(variance * variance.T)
    correlation = np.divide(covariance, spread, out=np.zeros_like(covariance), where=spread > 0)
    correlation = np.clip(correlation, -1.0, 1.0)
    np.fill_diagonal(correlation, 1.0)
    return np.asarray(correlation)


def cramers_v(first: Array, second: Array) -> float:
    """Cramer's V of two columns of codes, each in 0..count-1 with every code in use (no bias correction)."""
    rows, columns = int(first.max(initial=0)) + 1, int(second.max(initial=0)) + 1
    if min(rows, columns) < 2:
        return 0.0
    # sum of squared standardised counts over the cells that occur: chi2 / n = sum(n_ij^2 / (n_i n_j)) - 1
    cells, counts = _count_pairs(first, second, columns)
    totals = np.bincount(first)[cells // columns] * np.bincount(second)[cells % columns].astype(np.float64)
    return float(np.sqrt(max(np.sum(counts**2 / totals) - 1, 0.0) / (min(rows, columns) - 1)))


def correlation_ratio(codes: Array, numbers: Array) -> float:
    """The share of spread in `numbers` that the groups `codes` explain, as a root (Pearson 1905): 0..1."""
    if not len(codes):
        return 0.0
    counts = np.bincount(codes)
    means = np.bincount(codes, weights=numbers) / np.maximum(counts, 1)
    centre = numbers.mean()
    total = float(np.sum((numbers - centre) ** 2))
    if total <= 1e-12 * max(float(np.sum(numbers**2)), 1e-300):
        return 0.0
    return float(np.sqrt(min(np.sum(counts * (means - centre) ** 2) / total, 1.0)))


def _centred(positions: Array, present: Array) -> Floats:
    """Positions around their mean, in units of their spread, 0 where absent."""
    count = np.maximum(present.sum(axis=0), 1.0)
    values = np.where(present > 0, positions, 0).astype(np.float64)
    centred = (values - values.sum(axis=0) / count) * present
    spread = np.sqrt((centred**2).sum(axis=0) / count)
    return np.asarray(centred / np.where(spread > 0, spread, 1.0))


def _compact(cells: Cells, at: int) -> Array:
    """A list's codes, renumbered so that every code occurs; unknown and missing have their own."""
    codes = np.where(cells.outside[:, at], -2, cells.positions[:, at])
    counts = np.bincount(codes + 2)
    return np.asarray((np.cumsum(counts > 0) - 1)[codes + 2])


def _count_pairs(first: Array, second: Array, columns: int) -> tuple[Array, Floats]:
    """The joint codes that occur and how often each does."""
    joint = first * columns + second
    if (int(first.max()) + 1) * columns > max(4 * len(joint), 10_000):
        occurring, counts = np.unique(joint, return_counts=True)
        return occurring, counts.astype(np.float64)
    table = np.bincount(joint)
    occurring = np.flatnonzero(table)
    return occurring, table[occurring].astype(np.float64)
