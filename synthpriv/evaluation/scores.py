"""Scores of predictions on real rows, for many weightings of the rows at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from synthpriv.evaluation.cells import Array
from synthpriv.evaluation.intervals import Floats

Side = tuple[int, int | None]  # a class, and the only other one where there are two


def margins(scores: Array, sides: Sequence[Side]) -> Floats:
    """(rows, sides): how much more a row looks like the side's class than like the other, or than nothing."""
    columns = [scores[:, one] - (0.0 if other is None else scores[:, other]) for one, other in sides]
    return np.column_stack(columns).astype(np.float64)


def macro_auc(scores: Array, truth: Array, sides: Sequence[Side], weights: Floats) -> Floats:
    """One-vs-rest area under the ROC curve, ties counted half, averaged over `sides`: one per row of weights.

    scores: (rows, classes); truth: (rows,) class codes; weights: (figures, rows), whole numbers. Exact where
    all weights are one; else linear in the rows' placements, as in DeLong (1988), which is what makes
    thousands of resampled areas one matrix product. A resample without a class counts as the whole.
    """
    positive = np.column_stack([truth == one for one, _ in sides])
    looks = margins(scores, sides)
    ranks = rankdata(looks, axis=0)
    placed = np.empty_like(ranks)
    for at, upper in enumerate(positive.T):
        for mine, others in ((upper, ~upper), (~upper, upper)):
            placed[mine, at] = (ranks[mine, at] - rankdata(looks[mine, at])) / others.sum()
    placed = np.where(positive, placed, 1 - placed)
    whole = np.array([column[upper].mean() for column, upper in zip(placed.T, positive.T, strict=True)])
    parts = []
    for side in (positive, ~positive):
        drawn = weights @ side.astype(np.float64)
        parts.append(
            np.divide(
                weights @ np.where(side, placed, 0.0),
                drawn,
                out=np.broadcast_to(whole, drawn.shape).copy(),
                where=drawn > 0,
            )
        )
    return np.asarray(np.clip(parts[0] + parts[1] - whole, 0.0, 1.0).mean(axis=1))


def average_precision(scores: Array, truth: Array, sides: Sequence[Side], weights: Floats) -> Floats:
    """The area under the precision-recall curve by steps, averaged over `sides`: one per row of weights.

    Shapes as in `macro_auc`; each class of `sides` has weight in every figure.
    """
    found = np.zeros(len(weights))
    looks = margins(scores, sides)
    for (one, _), look in zip(sides, looks.T, strict=True):
        order = np.argsort(-look, kind="stable")
        starts = np.flatnonzero(np.append(True, np.diff(look[order]) < 0))
        ordered = weights[:, order]
        ups = np.add.reduceat(ordered * (truth[order] == one), starts, axis=1)
        called = np.cumsum(np.add.reduceat(ordered, starts, axis=1), axis=1)
        precision = np.cumsum(ups, axis=1) / np.maximum(called, 1e-12)
        found += (precision * ups).sum(axis=1) / ups.sum(axis=1)
    return found / len(sides)


def macro_f1(scores: Array, truth: Array, sides: Sequence[Side], weights: Floats) -> Floats:
    """F1 of calling each row's most likely class, averaged over `sides`: one per row of weights."""
    called = scores.argmax(axis=1)
    codes = np.array([one for one, _ in sides])
    calls, trues = called[:, None] == codes, truth[:, None] == codes
    hits, all_calls, all_trues = (weights @ one.astype(np.float64) for one in (calls & trues, calls, trues))
    return np.asarray((2 * hits / np.maximum(all_calls + all_trues, 1e-12)).mean(axis=1))


def r_squared(predicted: Array, truth: Array, weights: Floats) -> Floats:
    """1 - squared error / variance: 1 is perfect, 0 what the mean reaches; one per row of weights."""
    error = (predicted - truth) ** 2
    centred = truth - truth.mean()
    sums = weights @ np.column_stack([np.ones(len(truth)), centred, centred**2, error])
    variance = sums[:, 2] - sums[:, 1] ** 2 / np.maximum(sums[:, 0], 1e-12)
    enough = variance > 1e-12 * max(1.0, float(sums[0, 2]))
    return np.asarray(1 - np.divide(sums[:, 3], variance, out=np.ones(len(weights)), where=enough))
