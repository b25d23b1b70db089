"""How sure one may be that an attack does better than some level, also when several attacks were tried."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm, rankdata

from synthpriv.evaluation.cells import Array
from synthpriv.evaluation.intervals import auc


def p_value_above(scores: Array, is_member: Array, level: float) -> float:
    """The one-sided p-value of 'the AUC is at most `level`' (normal; the ordinary Wilcoxon test at 0.5).

    The variance is the larger of DeLong's, which sees a few rows that stand out, and of Hanley and McNeil's
    at the level, which does not vanish where members and others are told apart without error.
    """
    value = float(auc(scores, is_member)[0])
    return _p_value(value, _delong_variance(scores, is_member), is_member, level)


def lower_bound(scores: Array, is_member: Array, alpha: float) -> float:
    """What the AUC exceeds with confidence 1 - alpha: the level whose p-value is alpha, at least 0."""
    value = float(auc(scores, is_member)[0])
    variance = _delong_variance(scores, is_member)
    if _p_value(value, variance, is_member, 0.0) >= alpha:
        return 0.0
    return float(brentq(lambda level: _p_value(value, variance, is_member, level) - alpha, 0.0, value))


def upper_bound(scores: Array, is_member: Array, alpha: float) -> float:
    """What the AUC stays below with confidence 1 - alpha."""
    return 1.0 - lower_bound(-scores, is_member, alpha)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) adjusted p-values, in the given order: right for the whole family, however dependent.

    >>> holm([0.04, 0.01, 0.03])
    [0.06, 0.03, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(np.asarray(p_values)[order] * factors), 1.0)
    return [float(one) for one in adjusted]


def _p_value(value: float, variance: float, is_member: Array, level: float) -> float:
    deviation = math.sqrt(max(variance, _model_variance(is_member, level)))
    if deviation == 0:
        return float(value <= level)
    return float(norm.sf((value - level) / deviation))


def _delong_variance(scores: Array, is_member: Array) -> float:
    """DeLong's (1988) variance of the AUC, from each row's share of the other side that it beats."""
    ranks = rankdata(scores)
    placed = []
    for side in (is_member, ~is_member):
        count, rest = int(side.sum()), int((~side).sum())
        placed.append(float(np.var((ranks[side] - rankdata(scores[side])) / rest)) / count)
    return sum(placed)


def _model_variance(is_member: Array, level: float) -> float:
    """Hanley and McNeil's (1982) variance of an AUC of `level`; at 0.5 that of the rank sum without ties."""
    members, others = int(is_member.sum()), int((~is_member).sum())
    pairs = level / (2 - level) - level**2, 2 * level**2 / (1 + level) - level**2
    spread = level * (1 - level) + (members - 1) * pairs[0] + (others - 1) * pairs[1]
    return max(spread, 0.0) / (members * others)
