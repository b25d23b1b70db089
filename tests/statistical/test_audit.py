"""Audits in their fast form: the trainer and the whole fit leak what they claim, and breaches are noticed.

The noise is really random. What a sound trainer must meet is asserted with a confidence of 1 - 1e-4, so that
an assertion fails it less often than once in ten thousand runs. What must catch a breach is asserted at 95%:
the breaches lie more than five deviations beyond the claim.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.audit import gradient_canary, scoring, worst_case
from synthpriv.privacy.randomness import NoiseSource

CONFIDENCE = 1 - 1e-4


@pytest.fixture(scope="module")
def sound() -> tuple[scoring.Scores, scoring.Scores]:
    return gradient_canary.scores(1500, NoiseSource(), steps=4)


@pytest.fixture(scope="module")
def halved() -> tuple[scoring.Scores, scoring.Scores]:
    return gradient_canary.scores(500, gradient_canary.HalvedNoise(), steps=4)


def test_the_canary_attains_mu_and_no_more(sound: tuple[scoring.Scores, scoring.Scores]) -> None:
    low, _, high = scoring.by_means(*sound, CONFIDENCE)
    assert low <= gradient_canary.MU <= high
    assert low >= 0.8 * gradient_canary.MU
    assert scoring.by_threshold(*sound, CONFIDENCE).mu <= gradient_canary.MU


def test_the_scores_have_the_stated_law(sound: tuple[scoring.Scores, scoring.Scores]) -> None:
    for scores, mean in zip(sound, (0.0, gradient_canary.MU), strict=True):
        assert stats.kstest(scores, stats.norm(loc=mean).cdf).pvalue > 1e-5


def test_halved_noise_exceeds_the_claim(halved: tuple[scoring.Scores, scoring.Scores]) -> None:
    assert scoring.by_means(*halved)[0] > gradient_canary.MU
    assert scoring.by_threshold(*halved).mu > gradient_canary.MU


def test_fits_of_the_worst_neighbours_stay_within_the_claim() -> None:
    errors = scoring.by_threshold(*worst_case.scores(300), CONFIDENCE)
    assert errors.mu <= worst_case.MU
    assert scoring.gaussian_epsilon(errors.mu, worst_case.DELTA) <= worst_case.EPSILON


def test_fits_with_a_quarter_of_the_noise_exceed_the_claim() -> None:
    """Half the noise takes thousands of fits to show: benchmarks/audit/worst_case.py."""
    errors = scoring.by_threshold(*worst_case.scores(300, factor=4.0))
    assert errors.mu > worst_case.MU
    assert scoring.gaussian_epsilon(errors.mu, worst_case.DELTA) > worst_case.EPSILON


@pytest.mark.parametrize("mu", [0.5, 2.0])
def test_bounds_on_known_normals_hold_and_come_close(mu: float) -> None:
    rng = np.random.default_rng(1)
    absent, present = rng.normal(0, 3, 20_000), rng.normal(3 * mu, 3, 20_000)
    low, found, high = scoring.by_means(absent, present, CONFIDENCE)
    assert low < mu < high
    assert low < found < high
    assert high - low < 0.1 * (1 + mu)
    assert 0.85 * mu - 0.05 < scoring.by_threshold(absent, present, CONFIDENCE).mu < mu


def test_upper_is_clopper_pearson() -> None:
    for errors, runs in ((0, 10), (3, 50), (49, 50)):
        assert stats.binom.cdf(errors, runs, scoring.upper(errors, runs, 0.025)) == pytest.approx(0.025)
    assert scoring.upper(7, 7, 0.025) == 1.0


def test_what_an_audit_can_show_grows_with_its_runs() -> None:
    few, many = scoring.flawless(100), scoring.flawless(10_000)
    assert few.epsilon(1e-5) == pytest.approx(math.log((1 - few.false_negative - 1e-5) / few.false_positive))
    assert few.epsilon(1e-5) < many.epsilon(1e-5)
    assert few.mu < many.mu
