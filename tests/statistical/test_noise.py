"""Noise has the stated law: each test also rejects a scale that is off by two percent.

The draws are really random, so thresholds are set where a sound source fails once in ten million runs.
"""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from synthpriv.privacy.mechanisms import noisy_count, noisy_counts
from synthpriv.privacy.randomness import NoiseSource, _binomial_table, _sparse_rows

SIGMAS = 5.5  # a normal figure lies beyond it once in 26 million


def is_discrete_law(
    noise: NDArray[np.int64], log_mass: Callable[[NDArray[np.int64]], NDArray[np.float64]]
) -> bool:
    """Chi-square of the outcomes against a law on the integers, and of their mean square."""
    support = np.arange(-2000, 2001)
    mass = np.exp(log_mass(support) - np.logaddexp.reduce(log_mass(support)))
    square, fourth = (float(mass @ support**power) for power in (2, 4))
    deviation = ((noise.astype(float) ** 2).mean() - square) / math.sqrt((fourth - square**2) / noise.size)
    expected = mass * noise.size
    edges = np.flatnonzero(expected >= 50)
    inner = support[edges]
    observed = np.array([(noise == value).sum() for value in inner])
    rest = noise.size - observed.sum(), noise.size - expected[edges].sum()
    chi = stats.chisquare([*observed, rest[0]], [*expected[edges], rest[1]])
    return abs(deviation) < SIGMAS and chi.pvalue > 1e-7


def is_normal(noise: NDArray[np.floating], sigma: float) -> bool:
    """Chi-square over 50 cells of equal probability, and of the mean square."""
    cells = np.floor(stats.norm.cdf(noise / sigma) * 50).astype(int).clip(0, 49)
    chi = stats.chisquare(np.bincount(cells, minlength=50))
    deviation = (np.mean((noise / sigma) ** 2) - 1) / math.sqrt(2 / noise.size)
    return abs(deviation) < SIGMAS and chi.pvalue > 1e-7


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gaussian_is_normal_of_that_scale_and_no_other(dtype: str) -> None:
    noise = NoiseSource().gaussian((400, 1000), 3.0, dtype).ravel().astype(np.float64)  # type: ignore[arg-type]
    assert is_normal(noise, 3.0)
    assert not is_normal(noise, 3.0 * 1.02)
    assert not is_normal(noise, 3.0 * 0.98)
    assert abs(noise.mean()) < SIGMAS * 3.0 / math.sqrt(noise.size)
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < SIGMAS / math.sqrt(noise.size)


@pytest.mark.slow
def test_noisy_counts_are_discrete_gaussian_of_that_scale_and_no_other() -> None:
    noise = noisy_counts(np.full(200_000, 1000, dtype=np.int64), 6.0) - 1000

    def law(sigma: float) -> bool:
        return is_discrete_law(noise, lambda x: -(x**2) / (2 * sigma**2))

    assert law(6.0)
    assert not law(6.0 * 1.02)
    assert not law(6.0 * 0.98)


def test_noisy_count_is_discrete_laplace_of_that_scale() -> None:
    noise = np.array([noisy_count(50, 4.0) - 50 for _ in range(20_000)])
    assert is_discrete_law(noise, lambda x: -np.abs(x) / 4.0)
    assert not is_discrete_law(noise, lambda x: -np.abs(x) / 4.6)
    assert not is_discrete_law(noise, lambda x: -np.abs(x) / 3.4)


def test_two_sources_are_unrelated() -> None:
    first, second = (NoiseSource().gaussian(200_000, 1.0) for _ in range(2))
    assert abs(np.corrcoef(first, second)[0, 1]) < SIGMAS / math.sqrt(first.size)


def draw(source: NoiseSource, queue: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    queue.put(source.gaussian(1000, 1.0))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_workers_draw_unrelated_noise() -> None:
    context = multiprocessing.get_context("fork")
    source, queue = NoiseSource(), context.Queue()
    workers = [context.Process(target=draw, args=(source, queue)) for _ in range(4)]
    for worker in workers:
        worker.start()
    drawn = [queue.get(timeout=30) for _ in workers] + [source.gaussian(1000, 1.0)]
    for worker in workers:
        worker.join()
    related = np.corrcoef(drawn) - np.eye(5)
    assert np.abs(related).max() < SIGMAS / math.sqrt(1000)


def is_poisson_sampling(included: NDArray[np.bool_], rate: float) -> bool:
    """Inclusion means, the variance of the batch size, and every pairwise covariance."""
    draws, rows = included.shape
    variance = rate * (1 - rate)
    means = (included.mean(0) - rate) / math.sqrt(variance / draws)
    sizes = included.sum(1)
    size_deviation = (sizes.var() / (rows * variance) - 1) / math.sqrt(2 / draws)
    centred = included - rate
    covariances = centred.T @ centred / draws / (variance / math.sqrt(draws))
    pairs = covariances[np.triu_indices(rows, 1)]
    return bool(max(np.abs(means).max(), abs(size_deviation), np.abs(pairs).max()) < SIGMAS + 1)


@pytest.mark.parametrize("rate", [1 / 16, 0.3])
def test_rows_are_drawn_by_independent_trials(rate: float) -> None:
    source = NoiseSource()
    included = np.zeros((10_000, 40), dtype=bool)
    for draw_of_rows in included:
        draw_of_rows[source.bernoulli_rows(40, rate)] = True
    assert is_poisson_sampling(included, rate)
    assert not is_poisson_sampling(included, rate * 1.15)


@pytest.mark.parametrize("rate", [1 / 16, 0.1, 0.3])
def test_rows_found_by_blocks_are_drawn_by_independent_trials(rate: float) -> None:
    """At rates where the statistics are sharp; 40 rows are several blocks, the last one cut."""
    generator = np.random.default_rng(np.random.SeedSequence())
    included = np.zeros((10_000, 42), dtype=bool)
    for draw_of_rows in included:
        draw_of_rows[_sparse_rows(generator, 42, rate)] = True
    assert is_poisson_sampling(included, rate)
    assert not is_poisson_sampling(included, rate * 1.15)


def test_a_small_share_of_many_rows_has_the_law_of_the_accountant() -> None:
    """Sizes are binomial, and places uniform, where blocks are long."""
    source, rows, rate = NoiseSource(), 1_000_003, 1 / 700
    drawn = [source.bernoulli_rows(rows, rate) for _ in range(400)]
    assert all((np.diff(found) > 0).all() and found[-1] < rows for found in drawn)
    sizes = np.array([len(found) for found in drawn])
    variance = rows * rate * (1 - rate)
    assert abs(sizes.mean() - rows * rate) < SIGMAS * math.sqrt(variance / 400)
    assert abs(sizes.mean() - 1.02 * rows * rate) > SIGMAS * math.sqrt(variance / 400)
    assert abs(sizes.var() / variance - 1) < SIGMAS * math.sqrt(2 / 400)
    places = np.concatenate(drawn)
    assert stats.chisquare(np.bincount(places * 100 // rows, minlength=100)).pvalue > 1e-7
    assert stats.chisquare(np.bincount(places % 16, minlength=16)).pvalue > 1e-7
    gaps = np.concatenate([np.diff(found) for found in drawn])
    assert abs((gaps <= 100).mean() - (1 - (1 - rate) ** 100)) < 0.005


@pytest.mark.parametrize("rate", [1 / 33, 1 / 700, 1e-5, 0.3])
def test_the_table_of_counts_is_binomial_rounded_down(rate: float) -> None:
    trials = 1 << min(int(-math.log2(rate)), 20)
    table = _binomial_table(trials, rate)
    assert len(table) <= trials
    exact = stats.binom.cdf(np.arange(len(table)), trials, rate)
    assert np.allclose(table / 2.0**64, exact, rtol=1e-12, atol=0)
    assert (np.diff(table) > 0).all()


def test_the_test_of_sampling_rejects_batches_of_fixed_size() -> None:
    source = NoiseSource()
    shuffled = np.zeros((10_000, 40), dtype=bool)
    for draw_of_rows in shuffled:
        draw_of_rows[source.permutation(40)[:12]] = True
    assert not is_poisson_sampling(shuffled, 0.3)
