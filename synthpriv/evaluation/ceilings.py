"""What a claim of differential privacy leaves to any attack on membership."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from synthpriv.evaluation.cells import Array

Floats = npt.NDArray[np.float64]


def ceiling_curve(false_positive_rate: Array, epsilon: float, delta: float) -> Floats:
    """The highest true positive rate that (epsilon, delta) allows at each rate (Kairouz 2015; Dong 2022).

    The smallest of 1, e^eps x + delta and 1 - e^-eps (1 - delta - x).

    >>> ceiling_curve(np.array([0.0, 0.5, 1.0]), 0.0, 0.1).round(3).tolist()
    [0.1, 0.6, 1.0]
    """
    rates = np.asarray(false_positive_rate, dtype=np.float64)
    steep = np.where(rates > 0, rates * math.exp(min(epsilon, 700.0)), 0.0) + delta
    flat = 1 - math.exp(-epsilon) * np.maximum(1 - delta - rates, 0.0)
    return np.asarray(np.minimum(np.minimum(steep, flat), 1.0))


def auc_ceiling(epsilon: float, delta: float) -> float:
    """The area under `ceiling_curve`: (1 - delta)(1 + delta e^-eps) / (1 + e^-eps) + delta.

    >>> [round(auc_ceiling(epsilon, 0.0), 3) for epsilon in (0.0, 1.0, math.inf)]
    [0.5, 0.731, 1.0]
    """
    inverse = math.exp(-epsilon)
    return (1 - delta) * (1 + delta * inverse) / (1 + inverse) + delta
