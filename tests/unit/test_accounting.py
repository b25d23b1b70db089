"""The accountant against golden values, exact formulas and brute force; calibration that never overspends."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from synthpriv.errors import AccountingError, InfeasiblePlan
from synthpriv.privacy import accounting
from synthpriv.privacy.accounting import calibrate_noise_multiplier, delta_for, epsilon, gaussian_mu
from synthpriv.privacy.events import (
    Counts,
    Event,
    Gaussian,
    Laplace,
    NonPrivate,
    SampledGaussian,
    event_from_dict,
)


def training(noise_multiplier: float, sample_rate: float, steps: int) -> SampledGaussian:
    return SampledGaussian(noise_multiplier=noise_multiplier, sample_rate=sample_rate, steps=steps)


@pytest.mark.parametrize(
    ("noise_multiplier", "steps", "add_remove", "replace_one"),
    [(1.0, 1920, 4.157, 6.854), (0.7, 640, 5.850, 7.325), (5.0, 19200, 1.722, 3.708)],
)
def test_golden_values(noise_multiplier: float, steps: int, add_remove: float, replace_one: float) -> None:
    events = [training(noise_multiplier, 1 / 64, steps)]
    assert epsilon(events, 1e-5) == pytest.approx(add_remove, abs=6e-4)
    assert epsilon(events, 1e-5, adjacency="replace_one") == pytest.approx(replace_one, abs=6e-4)


@pytest.mark.parametrize("count", [1, 9])
@pytest.mark.parametrize("multiplier", [0.8, 3.0, 40.0])
def test_gaussian_is_pessimistic_and_tight_against_the_exact_formula(multiplier: float, count: int) -> None:
    """Balle and Wang's exact conversion, and twice the sensitivity for replace-one."""
    for adjacency, factor in (("add_remove", 1.0), ("replace_one", 2.0)):
        found = epsilon([Gaussian(noise_multiplier=multiplier, count=count)], 1e-6, adjacency=adjacency)
        mu = factor * math.sqrt(count) / multiplier
        assert gaussian_mu(found, 1e-6) == pytest.approx(mu, rel=2e-3)
        assert gaussian_mu(found + 1e-9, 1e-6) >= mu * (1 - 1e-9)


def brute_force_delta(scale: float, shifts: tuple[int, ...], at: float) -> float:
    """Hockey-stick divergence of integer noise in every direction of `shifts`, by summing over outcomes."""
    support = np.arange(-math.ceil(12 * scale), math.ceil(12 * scale) + 1 + max(shifts))

    def log_mass(shift: int) -> np.ndarray:
        values = -((support - shift) ** 2) / (2 * scale**2)
        return values - np.logaddexp.reduce(-(np.arange(-400, 401) ** 2) / (2 * scale**2))

    first = np.zeros(1)
    second = np.zeros(1)
    for shift in shifts:
        first = np.add.outer(first, log_mass(0)).ravel()
        second = np.add.outer(second, log_mass(shift)).ravel()
    return float(np.maximum(np.exp(first) - np.exp(at + second), 0).sum())


@pytest.mark.parametrize("scale", [0.8, 2.0, 6.0])
def test_counts_match_brute_force(scale: float) -> None:
    for coordinates, max_rows in ((1, 1), (2, 1), (1, 3)):
        event = Counts(noise_scale=scale, coordinates=coordinates, max_rows=max_rows)
        for at in (0.1, 0.5, 2.0):
            exact = brute_force_delta(scale, (max_rows,) * coordinates, at)
            found = delta_for([event], at)
            assert exact <= found + 1e-12
            assert found == pytest.approx(exact, rel=5e-3, abs=1e-9)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("spread", [(1, 1), (2, 1), (1, 1, 1)])
def test_rows_of_one_unit_in_several_cells_are_dominated_by_one_cell(
    scale: float, spread: tuple[int, ...]
) -> None:
    worst = Counts(noise_scale=scale, max_rows=sum(spread))
    for at in (0.05, 0.3, 1.0, 1.7, 3.0):
        assert brute_force_delta(scale, spread, at) <= delta_for([worst], at) + 1e-12


def test_replaced_row_changes_two_cells_of_each_histogram() -> None:
    event = Counts(noise_scale=4.0, coordinates=3)
    doubled = Counts(noise_scale=4.0, coordinates=6)
    assert epsilon([event], 1e-6, adjacency="replace_one") == pytest.approx(epsilon([doubled], 1e-6))


def test_one_event_of_many_coordinates_equals_many_events() -> None:
    together = epsilon([Counts(noise_scale=9.0, coordinates=5)], 1e-6)
    apart = [Counts(noise_scale=9.0)] * 3 + [Counts(noise_scale=9.0, coordinates=2)]
    assert epsilon(apart, 1e-6) == pytest.approx(together, rel=1e-6)


def test_order_does_not_matter_and_more_costs_more() -> None:
    events: list[Event] = [Counts(noise_scale=20.0), Gaussian(noise_multiplier=5.0), training(2.0, 0.01, 100)]
    joint = {epsilon(list(order), 1e-6) for order in itertools.permutations(events)}
    assert len(joint) == 1
    assert all(epsilon(events[:k], 1e-6) < epsilon(events[: k + 1], 1e-6) for k in range(3))


def test_laplace_adds_plainly_without_delta() -> None:
    assert epsilon([Laplace(epsilon=0.25)], 0.0) == 0.25
    assert epsilon([Laplace(epsilon=0.25)] * 2, 0.0, adjacency="replace_one") == 0.5
    rest: list[Event] = [Counts(noise_scale=5.0)]
    assert epsilon([*rest, Laplace(epsilon=0.25)], 1e-6) == 0.25 + epsilon(rest, 1e-6)
    assert delta_for([*rest, Laplace(epsilon=0.25)], 1.0) == delta_for(rest, 0.75)
    assert delta_for([Laplace(epsilon=0.25)], 0.2) == 1.0


def test_edges() -> None:
    assert epsilon([], 1e-6) == 0.0
    assert delta_for([], 0.0) == 0.0
    assert epsilon([NonPrivate()], 1e-6) == math.inf
    assert delta_for([NonPrivate(), Counts(noise_scale=3.0)], 9.0) == 1.0
    assert epsilon([Counts(noise_scale=3.0)], 0.0) == math.inf
    assert accounting.rdp_epsilon([NonPrivate()], 1e-6) == math.inf
    assert accounting.rdp_epsilon([], 1e-6) == 0.0


@pytest.mark.parametrize(
    "events",
    [
        [Counts(noise_scale=0.3, coordinates=20)],
        [Counts(noise_scale=5000.0, coordinates=3)],
        [training(100.0, 0.001, 50_000)],
        [training(0.4, 0.02, 50)],
        [training(3.0, 1.0, 20), Counts(noise_scale=10.0, coordinates=15)],
    ],
)
def test_renyi_bound_lies_above_and_not_far(events: list[Event]) -> None:
    found, bound = epsilon(events, 1e-6), accounting.rdp_epsilon(events, 1e-6)
    assert 0.1 * bound < found <= bound * 1.01 + 1e-3


def test_disagreeing_accountants_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounting, "rdp_epsilon", lambda events, delta: 0.1)
    with pytest.raises(AccountingError, match="Renyi"):
        epsilon([Counts(noise_scale=3.0)], 1e-6)


def test_bad_arguments_raise() -> None:
    event = Counts(noise_scale=3.0)
    with pytest.raises(AccountingError, match="delta"):
        epsilon([event], 1.0)
    with pytest.raises(AccountingError, match="adjacency"):
        epsilon([event], 1e-6, adjacency="add")  # type: ignore[arg-type]
    with pytest.raises(AccountingError, match="epsilon"):
        delta_for([event], -1.0)
    with pytest.raises(AccountingError, match="known kind"):
        epsilon([Event()], 1e-6)
    with pytest.raises(AccountingError, match="finite"):
        gaussian_mu(math.inf, 1e-6)
    with pytest.raises(AccountingError, match="mu"):
        accounting.scale_for_mu(0.0)


@pytest.mark.parametrize(
    "event",
    [
        Counts(noise_scale=2.5, coordinates=3, max_rows=2),
        Laplace(epsilon=0.1),
        Gaussian(noise_multiplier=2.0, count=4),
        training(1.1, 0.01, 7),
        NonPrivate(),
    ],
)
def test_events_round_trip(event: Event) -> None:
    assert event_from_dict(event.to_dict()) == event
    with pytest.raises(AccountingError, match="exactly the fields"):
        event_from_dict({**event.to_dict(), "extra": 1})


@pytest.mark.parametrize(
    "value",
    [
        {"kind": "count", "noise_scale": 1.0},
        {"noise_scale": 1.0},
        {"kind": "counts"},
        {"kind": ["counts"]},
        {"kind": "counts", "noise_scale": 0.0, "coordinates": 1, "max_rows": 1},
        {"kind": "counts", "noise_scale": 1.0, "coordinates": 1.5, "max_rows": 1},
        {"kind": "counts", "noise_scale": math.nan, "coordinates": 1, "max_rows": 1},
        {"kind": "laplace", "epsilon": math.inf},
        {"kind": "gaussian", "noise_multiplier": "1", "count": 1},
        {"kind": "sampled_gaussian", "noise_multiplier": 1.0, "sample_rate": 1.5, "steps": 1},
        {"kind": "sampled_gaussian", "noise_multiplier": 1.0, "sample_rate": 0.5, "steps": True},
    ],
)
def test_malformed_events_raise(value: dict[str, object]) -> None:
    with pytest.raises(AccountingError):
        event_from_dict(value)


@pytest.mark.parametrize(
    ("spent", "sample_rate", "steps", "budget", "delta"),
    [
        ([], 1 / 64, 1920, 3.0, 1e-5),
        ([Counts(noise_scale=20.0, coordinates=15), Laplace(epsilon=0.05)], 1 / 64, 1920, 3.0, 1e-5),
        ([], 0.25, 2000, 1.0, 1e-6),
        ([Gaussian(noise_multiplier=3.0)], 0.001, 2000, 2.0, 1e-7),
        ([], 0.01, 1, 0.01, 1e-9),
        ([], 1.0, 10, 30.0, 1e-6),
    ],
)
def test_calibration_fits_and_is_tight(
    spent: list[Event], sample_rate: float, steps: int, budget: float, delta: float
) -> None:
    found = calibrate_noise_multiplier(spent, sample_rate, steps, budget, delta)
    assert epsilon([*spent, training(found, sample_rate, steps)], delta) <= budget
    assert epsilon([*spent, training(found * 0.998, sample_rate, steps)], delta) > budget


def test_calibration_on_the_joint_loss_beats_subtracting_epsilons() -> None:
    """PRIVACY.md 25: a total of 3, of which statistics took 0.35 by themselves."""
    spent = [Gaussian(noise_multiplier=1 / gaussian_mu(0.35, 1e-5))]
    joint = calibrate_noise_multiplier(spent, 1 / 64, 1920, 3.0, 1e-5)
    subtracted = calibrate_noise_multiplier([], 1 / 64, 1920, 3.0 - 0.35, 1e-5)
    shared_delta = calibrate_noise_multiplier([], 1 / 64, 1920, 3.0 - 0.35, 0.5e-5)
    assert joint == pytest.approx(1.206, abs=1.5e-3)
    assert joint < 0.94 * subtracted < 0.94 * shared_delta


@pytest.mark.parametrize(
    ("spent", "budget", "delta", "match"),
    [
        ([Counts(noise_scale=2.0)], 1.0, 1e-6, "spent"),
        ([], 1e-7, 1e-12, "noise multiplier 1000"),
        ([], math.inf, 1e-6, "finite"),
        ([], 1.0, 0.0, "delta above 0"),
    ],
)
def test_infeasible_plans_raise(spent: list[Event], budget: float, delta: float, match: str) -> None:
    with pytest.raises(InfeasiblePlan, match=match):
        calibrate_noise_multiplier(spent, 1.0, 100_000, budget, delta)


@pytest.mark.parametrize("budget", [0.01, 1.0, 8.0, 100.0])
@pytest.mark.parametrize("delta", [1e-3, 1e-6, 1e-12])
def test_gaussian_mu_solves_the_exact_formula(budget: float, delta: float) -> None:
    from scipy.stats import norm

    mu = gaussian_mu(budget, delta)
    found = norm.cdf(mu / 2 - budget / mu) - math.exp(budget + norm.logcdf(-mu / 2 - budget / mu))
    assert found == pytest.approx(delta, rel=1e-6)


def test_scale_for_mu() -> None:
    scale = accounting.scale_for_mu(0.5, coordinates=16, max_rows=2)
    assert scale == 16.0
    found = epsilon([Counts(noise_scale=scale, coordinates=16, max_rows=2)], 1e-6)
    assert gaussian_mu(found, 1e-6) == pytest.approx(0.5, rel=2e-3)
