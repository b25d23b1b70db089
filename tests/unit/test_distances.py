"""The intervals of distances hold the populations' distance, whether the populations differ or not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp, wasserstein_distance

from synthpriv.evaluation.associations import judge_associations
from synthpriv.evaluation.bins import Bins
from synthpriv.evaluation.cells import Cells, read_cells
from synthpriv.evaluation.columns import (
    _jensen_shannon_part,
    _missing_part,
    jensen_shannon,
    kolmogorov_smirnov,
    mean_distance,
    number_parts,
    wasserstein,
)
from synthpriv.evaluation.distances import Distance, bias_of_gaps, chance_gaps
from synthpriv.evaluation.joint import (
    NEIGHBOURS,
    _agreement,
    _density_and_coverage,
    _kth_distance,
    delong,
    two_sample_auc,
)
from synthpriv.evaluation.marginals import Coded, total_variations
from synthpriv.evaluation.queries import query_error, random_queries
from synthpriv.schema import Integer, Schema
from synthpriv.schema.values import MISSING
from tests.unit.test_fidelity import cells, people

TRIALS = 200
COVERED = 0.92  # 95% of 200 trials, less 2 standard errors
SIZES = (500, 700)
LEVELS = np.arange(12)
POPULATIONS = {
    "the same": (np.full(12, 1 / 12), np.full(12, 1 / 12)),
    "close": (np.full(12, 1 / 12), np.linspace(1.15, 0.85, 12) / 12),
    "far": (np.full(12, 1 / 12), np.linspace(1.9, 0.1, 12) / 12),
    "rare values": (np.append(0.9, np.full(11, 0.1 / 11)), np.append(0.88, np.linspace(0, 0.24, 11) / 11)),
}


def draws(name: str, trials: int = TRIALS):
    rng = np.random.default_rng(7)
    for _ in range(trials):
        yield tuple(rng.choice(12, size=n, p=p) for n, p in zip(SIZES, POPULATIONS[name], strict=True))


def holds(found: list[Distance], truth: float) -> float:
    return float(np.mean([one.interval[0] <= truth + 1e-12 and truth <= one.interval[1] for one in found]))


def counted(first: np.ndarray, second: np.ndarray, bins: int = 12):
    tables = {"made": Coded.whole(first[:, None])}
    families = {"all": [(0,)]}
    return total_variations(tables, Coded.whole(second[:, None]), [bins], families)["all"]["made"]


@pytest.mark.parametrize("size", [50, 1 << 23])
def test_distances_are_scipys_to_the_last_digits(size: int) -> None:
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, size, 3000), rng.integers(size // 10, size, 5000)
    assert kolmogorov_smirnov(first, second) == pytest.approx(ks_2samp(first, second).statistic, abs=1e-12)
    ours, theirs = wasserstein(first, second), wasserstein_distance(first, second)
    assert ours == pytest.approx(theirs, rel=1e-12)
    both = number_parts(first, second, size)
    assert both[0].value == pytest.approx(kolmogorov_smirnov(first, second), abs=1e-12)
    assert both[1].value == pytest.approx(ours / (size - 1), rel=1e-12)
    for concentration in (0.05, 1.0, 50.0):
        p, q = rng.dirichlet(np.full(30, concentration), size=2)
        assert jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q, base=2), abs=1e-12)


@pytest.mark.parametrize("sizes", [(30, 30), (30, 90), (200, 50)])
def test_chance_is_what_shuffled_rows_show(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    pool = np.repeat([0, 1, 2, 3], [1, 4, sum(sizes) // 3, sum(sizes) - 5 - sum(sizes) // 3])
    gaps = []
    for _ in range(4000):
        mixed = rng.permutation(pool)
        shares = [np.bincount(part, minlength=4) / len(part) for part in np.split(mixed, [sizes[0]])]
        gaps.append(np.abs(shares[0] - shares[1]))
    assert chance_gaps(np.bincount(pool), sizes) == pytest.approx(np.mean(gaps, axis=0), rel=0.05)
    assert chance_gaps(np.zeros(2), sizes).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("true", [0.0, 0.5, 1.0, 2.0, 3.0, 6.0])
def test_the_bias_of_a_gap_is_at_least_what_noise_adds(true: float) -> None:
    gaps = np.random.default_rng(3).normal(true, 1.0, 20_000)
    allowed = float(bias_of_gaps(gaps, np.full(gaps.shape, np.sqrt(2 / np.pi))).mean())
    added = float(np.abs(gaps).mean()) - true
    assert added - 0.02 < allowed < 0.8
    assert true < 5 or allowed < 0.05


@pytest.mark.parametrize("name", POPULATIONS)
def test_the_interval_of_total_variation_holds_the_truth(name: str) -> None:
    truth = float(np.abs(np.subtract(*POPULATIONS[name])).sum() / 2)
    found = [counted(*pair).distance for pair in draws(name)]
    assert holds(found, truth) >= COVERED
    assert np.mean([one.interval[1] - one.interval[0] for one in found]) < 0.2


@pytest.mark.parametrize("shift", [0.0, 0.02, 0.1])
def test_the_interval_of_a_mean_over_pairs_holds_the_truth(shift: float) -> None:
    rng = np.random.default_rng(12)
    cube = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), axis=-1).reshape(-1, 3)
    shares = np.array([0.3, 0.1, 0.05, 0.05, 0.05, 0.05, 0.1, 0.3])
    other = shares + shift * np.array([1, -1, 0, 0, 0, 0, 1, -1])
    pairs = [(0, 1), (0, 2), (1, 2)]

    def measured(first: np.ndarray, second: np.ndarray):
        families = {"pairs": pairs}
        found = total_variations({"made": Coded.whole(first)}, Coded.whole(second), [2, 2, 2], families)
        return found["pairs"]["made"].distance

    truth = 0.0
    for pair in pairs:
        gap = np.zeros((2, 2))
        np.add.at(gap, tuple(cube[:, pair].T), shares - other)
        truth += float(np.abs(gap).sum() / 2 / len(pairs))
    found = [
        measured(cube[rng.choice(8, SIZES[0], p=shares)], cube[rng.choice(8, SIZES[1], p=other)])
        for _ in range(TRIALS)
    ]
    assert holds(found, truth) >= COVERED


@pytest.mark.parametrize("other", [0.8, 0.5])
def test_the_interval_of_associations_holds_the_truth(other: float) -> None:
    schema = Schema(columns={name: Integer(lower=0, upper=800) for name in "xy"})
    rng = np.random.default_rng(13)

    def drawn(rows: int, correlation: float) -> Cells:
        normal = rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], rows)
        scaled = np.clip(np.round(normal * 100 + 400), 0, 800)
        return read_cells(pd.DataFrame(scaled, columns=["x", "y"]), schema)

    truth = abs(0.8 - other)
    held = []
    for seed in range(60):
        tables = {"synthetic": drawn(300, 0.8), "real rows": drawn(300, other)}
        found = judge_associations(tables, drawn(300, other), 300, 20, seed)
        held.append(found.low <= truth <= found.high)
    assert np.mean(held) >= 0.87


@pytest.mark.parametrize("name", POPULATIONS)
def test_the_interval_of_jensen_shannon_holds_the_truth(name: str) -> None:
    found = []
    for first, second in draws(name):
        one = counted(first, second).singles[0]
        part = _jensen_shannon_part(one, (first[:, None], second[:, None]), SIZES)
        found.append(mean_distance(part, 1, SIZES))
    assert holds(found, float(jensen_shannon(*POPULATIONS[name]))) >= COVERED


@pytest.mark.parametrize("name", POPULATIONS)
def test_the_intervals_of_distances_of_numbers_hold_the_truth(name: str) -> None:
    below = np.abs(np.cumsum(np.subtract(*POPULATIONS[name])))
    found: list[list[Distance]] = [[], []]
    rng = np.random.default_rng(4)
    for pair in draws(name):
        masked = [np.where(rng.random(len(one)) < 0.2, MISSING, one) for one in pair]
        for at, part in enumerate(number_parts(masked[0], masked[1], 12)):
            found[at].append(mean_distance(part, 1, SIZES))
    assert holds(found[0], float(below.max())) >= COVERED
    assert holds(found[1], float(below.sum() / 11)) >= COVERED
    if name == "far":
        for one in found:
            spread = np.std([distance.value for distance in one])
            assert np.mean([distance.error for distance in one]) == pytest.approx(spread, rel=0.2)


@pytest.mark.parametrize("shares", [(0.0, 0.0), (0.1, 0.1), (0.1, 0.2), (0.0, 0.01)])
def test_the_interval_of_missing_rates_holds_the_truth(shares: tuple[float, float]) -> None:
    rng = np.random.default_rng(5)
    found = []
    for _ in range(TRIALS):
        first, second = (rng.random(n) < share for n, share in zip(SIZES, shares, strict=True))
        codes = [one.astype(np.int64) for one in (first, second)]
        part = _missing_part(counted(*codes, 2).singles[0], (codes[0][:, None], codes[1][:, None]), SIZES)
        found.append(mean_distance(part, 1, SIZES))
    assert holds(found, abs(shares[0] - shares[1])) >= COVERED


@pytest.mark.parametrize("name", ["the same", "close", "far"])
def test_the_interval_of_queries_holds_the_truth(name: str) -> None:
    bins = [Bins(edges=LEVELS[1:], labels=("",) * 14, groups=np.zeros(14, np.int32))] * 2
    queries = random_queries(bins, 40, np.random.default_rng(6))
    gap = np.append(np.subtract(*POPULATIONS[name]), [0.0, 0.0])
    even = np.append(np.full(12, 1 / 12), [0.0, 0.0])
    truth = 0.0
    for one in queries:  # the second column is even and independent of the first
        asked = dict(zip(one.columns, one.accepted, strict=True))
        truth += abs(gap[asked[0]].sum()) * even[asked[1]].sum() / len(queries)
    rng = np.random.default_rng(8)
    found = []
    for pair in draws(name, 120):
        codes = [np.column_stack([one, rng.integers(0, 12, len(one))]) for one in pair]
        found.append(query_error(codes[0], codes[1], queries))
    assert holds(found, truth) >= 0.9


def test_delong_is_what_repetition_shows() -> None:
    rng = np.random.default_rng(9)
    positive = np.arange(150) < 60
    found = [delong(np.round(rng.normal(positive * 0.8), 1), positive) for _ in range(400)]
    spread = np.std([one.value for one in found])
    assert np.mean([one.error for one in found]) == pytest.approx(spread, rel=0.1)
    assert delong(np.zeros(10), np.arange(10) < 3).value == 0.5


def test_rows_of_one_population_cannot_be_told_apart() -> None:
    covered = []
    for seed in range(20):
        made, real = cells(people(150, 2 * seed)), cells(people(150, 2 * seed + 1))
        found = two_sample_auc(made, real, seed)
        covered.append(abs(found.value - 0.5) < 1.96 * found.error)
    assert np.mean(covered) >= 0.8, "19 of 20 are expected"


def test_agreement_of_regions_is_known_for_powers_of_uniform_scores() -> None:
    rng = np.random.default_rng(10)
    covered = []
    for _ in range(100):
        # scores u^2: the share up to alpha is sqrt(alpha), 1/6 away from alpha on average
        found = _agreement(rng.random(400) ** 2, rng.random(300))
        assert found.value - 1.96 * found.error < 1.0
        covered.append(abs(found.value - 2 / 3) < 1.96 * found.error)
    assert np.mean(covered) >= 0.88
    even = [_agreement(rng.random(400), rng.random(300)) for _ in range(100)]
    assert np.mean([one.value + one.bias + 1.96 * one.error >= 1 for one in even]) >= 0.9
    assert _agreement(np.full(50, 2.0), np.zeros(40)).value == pytest.approx(0.0, abs=0.02)
    assert _agreement(np.zeros(50), np.zeros(40)).value == 1.0


def test_density_and_coverage_are_naeems_and_their_errors_what_repetition_shows() -> None:
    rng = np.random.default_rng(11)
    real, made = rng.random((60, 2)).astype(np.float32), rng.random((80, 2)).astype(np.float32)
    to_real = np.sqrt(((real[:, None] - real[None]) ** 2).sum(axis=2))
    radii = np.sort(to_real, axis=1)[:, NEIGHBOURS]
    assert _kth_distance(real, real, NEIGHBOURS + 1) == pytest.approx(radii, abs=1e-3)
    inside = np.sqrt(((real[:, None] - made[None]) ** 2).sum(axis=2)) <= radii[:, None]
    found = _density_and_coverage(made, real, radii)
    assert found["fidelity.density"].value == pytest.approx(inside.sum() / NEIGHBOURS / 80, rel=0.01)
    assert found["fidelity.coverage"].value == pytest.approx(inside.any(axis=1).mean(), abs=0.02)
    repeated: dict[str, list] = {"fidelity.density": [], "fidelity.coverage": []}
    for _ in range(150):
        real, made = rng.normal(0, 1, (300, 3)), rng.normal(0.4, 1, (300, 3))
        points = [one.astype(np.float32) for one in (made, real)]
        radii = _kth_distance(points[1], points[1], NEIGHBOURS + 1)
        for name, one in _density_and_coverage(points[0], points[1], radii).items():
            repeated[name].append(one)
    for figures in repeated.values():
        spread = np.std([one.value for one in figures])
        assert 0.8 * spread < np.mean([one.error for one in figures]) < 1.5 * spread
