"""From scores of two neighbouring tables to what they prove: lower bounds on mu and on epsilon.

mu is the parameter of Gaussian differential privacy: telling the neighbours apart is no easier than telling
N(0, 1) from N(mu, 1). It is the exact description of Gaussian noise without subsampling (Dong, Roth and Su
2022); an audit through it needs far fewer runs than one of epsilon alone (Nasr et al. 2023, section 5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from synthpriv.privacy.accounting import epsilon
from synthpriv.privacy.events import Gaussian

Scores = npt.NDArray[np.float64]
CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Upper Clopper-Pearson bounds on both error rates of one threshold, together at `confidence`."""

    false_positive: float
    false_negative: float
    runs: int
    confidence: float

    @property
    def mu(self) -> float:
        """The lower bound on mu: no test of an N(mu, 1) shift has both errors that small."""
        return float(stats.norm.isf(self.false_positive) + stats.norm.isf(self.false_negative))

    def epsilon(self, delta: float) -> float:
        """The lower bound on epsilon without an assumption on the mechanism, the better of both ways."""
        rates = (self.false_positive, self.false_negative), (self.false_negative, self.false_positive)
        return max(0.0, *(math.log(max(1 - miss - delta, 1e-300) / wrong) for wrong, miss in rates))


def errors_at(absent: Scores, present: Scores, threshold: float, confidence: float = CONFIDENCE) -> Errors:
    """The bounds for calling a run 'present' when its score exceeds `threshold`."""
    level = (1 - confidence) / 2
    return Errors(
        false_positive=upper(int((absent > threshold).sum()), len(absent), level),
        false_negative=upper(int((present <= threshold).sum()), len(present), level),
        runs=len(absent) + len(present),
        confidence=confidence,
    )


def upper(errors: int, runs: int, level: float) -> float:
    """The largest rate under which so few errors have a probability of `level` (Clopper and Pearson 1934)."""
    return 1.0 if errors == runs else float(stats.beta.isf(level, errors + 1, runs - errors))


def flawless(runs: int, confidence: float = CONFIDENCE) -> Errors:
    """What an audit with `runs` runs of each table shows if it never errs: the most it could have shown."""
    none = np.zeros(runs)
    return errors_at(none, none + 1, 0.5, confidence)


def best_threshold(absent: Scores, present: Scores, confidence: float = CONFIDENCE) -> float:
    """The threshold with the largest bound on mu; to be used on other runs than these."""
    candidates = np.quantile(np.concatenate([absent, present]), np.linspace(0.01, 0.99, 99))
    return float(max(candidates, key=lambda t: errors_at(absent, present, t, confidence).mu))


def by_threshold(absent: Scores, present: Scores, confidence: float = CONFIDENCE) -> Errors:
    """The threshold from the first half of the runs, its errors on the second."""
    half = min(len(absent), len(present)) // 2
    threshold = best_threshold(absent[:half], present[:half], confidence)
    return errors_at(absent[half:], present[half:], threshold, confidence)


def by_means(absent: Scores, present: Scores, confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """Estimate and exact interval of mu for normal scores, by the noncentral t distribution."""
    n, m = len(absent), len(present)
    pooled = math.sqrt(((n - 1) * absent.var(ddof=1) + (m - 1) * present.var(ddof=1)) / (n + m - 2))
    factor = math.sqrt(n * m / (n + m))
    found = float(present.mean() - absent.mean()) / pooled
    level = (1 - confidence) / 2

    def bound(probability: float) -> float:
        def excess(mu: float) -> float:
            return float(stats.nct.cdf(found * factor, n + m - 2, mu * factor)) - probability

        width = 8 * (1 + abs(found)) / factor
        return float(optimize.brentq(excess, found - width, found + width))

    return bound(1 - level), found, bound(level)


def gaussian_epsilon(mu: float, delta: float) -> float:
    """The epsilon at `delta` of a mechanism that is exactly mu-private in the Gaussian sense."""
    return epsilon([Gaussian(noise_multiplier=1 / mu)], delta) if mu > 1e-3 else 0.0


def linear_score(absent: Scores, present: Scores, training: int) -> tuple[Scores, Scores]:
    """One number per run from its features, by least squares on the first `training` runs of each table."""
    features = np.concatenate([absent[:training], present[:training]])
    mean, scale = features.mean(0), features.std(0) + 1e-9
    labels = np.repeat([0.0, 1.0], training)
    weights = np.linalg.lstsq((features - mean) / scale, labels - labels.mean(), rcond=None)[0]
    return (absent - mean) / scale @ weights, (present - mean) / scale @ weights


def plain(errors: Errors) -> dict[str, Any]:
    """For JSON."""
    return {
        "false_positive_rate_at_most": errors.false_positive,
        "false_negative_rate_at_most": errors.false_negative,
        "runs_evaluated": errors.runs,
        "confidence": errors.confidence,
        "mu_at_least": errors.mu,
    }
