"""p-values and bounds of an AUC: what they say agrees with each other and with scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import false_discovery_control, mannwhitneyu

from synthpriv.evaluation.evidence import holm, lower_bound, p_value_above, upper_bound


def test_against_a_coin_toss_it_is_the_rank_sum_test() -> None:
    rng = np.random.default_rng(0)
    is_member = np.arange(300) < 120
    scores = rng.normal(size=300) + 0.2 * is_member
    test = mannwhitneyu(
        scores[is_member],
        scores[~is_member],
        alternative="greater",
        use_continuity=False,
        method="asymptotic",
    )
    assert p_value_above(scores, is_member, 0.5) == pytest.approx(test.pvalue, rel=0.1)


def test_the_bound_is_the_level_whose_p_value_is_alpha() -> None:
    rng = np.random.default_rng(1)
    is_member = np.arange(400) < 200
    scores = rng.normal(size=400) + is_member
    low, high = lower_bound(scores, is_member, 0.025), upper_bound(scores, is_member, 0.025)
    assert p_value_above(scores, is_member, low) == pytest.approx(0.025, rel=1e-3)
    assert low < 0.76 < high
    assert lower_bound(scores, is_member, 0.0025) < low


def test_bounds_cover_what_they_should() -> None:
    rng = np.random.default_rng(2)
    is_member = np.arange(240) < 120
    few_stand_out = [
        np.where(is_member & (rng.random(240) < 0.1), 9.0, rng.normal(size=240)) for _ in range(400)
    ]  # an AUC of 0.5 + 0.1 / 2
    above = sum(lower_bound(scores, is_member, 0.05) > 0.55 for scores in few_stand_out)
    assert above <= 32


def test_a_perfect_score_of_few_rows_is_not_certain() -> None:
    is_member = np.arange(20) < 10
    assert lower_bound(is_member * 1.0, is_member, 0.025) < 0.9
    assert upper_bound(is_member * 1.0, is_member, 0.025) == pytest.approx(1.0)
    constant = np.zeros(20)
    assert p_value_above(constant, is_member, 0.5) == pytest.approx(0.5)
    assert lower_bound(constant, is_member, 0.025) < 0.5 < upper_bound(constant, is_member, 0.025)


def test_holm_steps_down() -> None:
    rng = np.random.default_rng(3)
    p_values = rng.random(7) ** 3
    adjusted = holm(p_values.tolist())
    assert min(adjusted) == pytest.approx(min(1.0, 7 * p_values.min()))
    assert np.all(np.argsort(adjusted, kind="stable") == np.argsort(p_values))
    assert np.all(np.array(adjusted) >= false_discovery_control(p_values))
    assert holm([0.5]) == [0.5]
