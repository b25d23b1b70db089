"""Areas under curves, rates and their 95% intervals: the statistics that utility and attacks share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from synthpriv.evaluation.cells import Array

Floats = npt.NDArray[np.float64]
RESAMPLES = 200


def clopper_pearson(hits: int, trials: int, alpha: float = 0.05) -> tuple[float, float]:
    """The exact interval of a share, `hits` of `trials`; covers with probability at least 1 - alpha.

    >>> [round(bound, 3) for bound in clopper_pearson(0, 10)]
    [0.0, 0.308]
    """
    if trials == 0:
        return 0.0, 1.0
    low = float(beta.ppf(alpha / 2, hits, trials - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1 - alpha / 2, hits + 1, trials - hits)) if hits < trials else 1.0
    return low, high


def stratified_weights(strata: Array, rng: np.random.Generator, resamples: int = RESAMPLES) -> Floats:
    """How often each row is drawn in each bootstrap resample: (resamples, rows).

    Rows are resampled within their stratum (strata: (rows,) whole numbers), so that no class ever vanishes.
    """
    weights = np.zeros((resamples, len(strata)), dtype=np.float64)
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        for at in range(resamples):
            drawn = rng.integers(0, len(rows), size=len(rows))
            weights[at, rows] = np.bincount(drawn, minlength=len(rows))
    return weights


def auc(scores: Array, positive: Array, weights: Array | None = None) -> Floats:
    """The area under the ROC curve, ties counted half: one figure per row of `weights`.

    scores: (rows,) finite, higher means positive; positive: (rows,) of bool, both values present. weights:
    (figures, rows), default one row of ones.

    >>> auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])).tolist()
    [0.75]
    """
    weights = np.ones((1, len(scores))) if weights is None else weights
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(scores[order]) > 0))
    ordered, upper = weights[:, order], positive[order]
    ups = np.add.reduceat(ordered * upper, starts, axis=1)
    downs = np.add.reduceat(ordered * ~upper, starts, axis=1)
    below = np.cumsum(downs, axis=1) - downs / 2
    return np.asarray((ups * below).sum(axis=1) / (ups.sum(axis=1) * downs.sum(axis=1)))


def percentile_interval(resampled: Array) -> tuple[float, float]:
    """The middle 95% of bootstrap figures."""
    low, high = np.percentile(resampled, [2.5, 97.5])
    return float(low), float(high)


def roc_points(members: Array, others: Array, rates: Array) -> Floats:
    """The true positive rate of 'score above a threshold' at each false positive rate, linear in between.

    members, others: scores, higher means member; rates: (points,) in 0..1.
    """
    thresholds = np.unique(np.concatenate([members, others]))[::-1]
    true = 1 - np.searchsorted(np.sort(members), thresholds, side="left") / len(members)
    false = 1 - np.searchsorted(np.sort(others), thresholds, side="left") / len(others)
    false, true = np.append(0.0, false), np.append(0.0, true)
    return np.asarray(np.interp(rates, false, true))
