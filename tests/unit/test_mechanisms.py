"""Noisy counts keep shape and type, and refuse what has no exact sampler."""

from __future__ import annotations

import numpy as np
import pytest

from synthpriv.errors import ConfigurationError
from synthpriv.privacy import mechanisms
from synthpriv.privacy.mechanisms import noisy_count, noisy_counts
from synthpriv.privacy.randomness import replay


class Fixed:
    """A replay source whose noise is always 3."""

    def gaussian(self, shape: int, scale: float, dtype: str = "float64") -> np.ndarray:
        return np.full(shape, 3.0)

    def bernoulli_rows(self, rows: int, rate: float) -> np.ndarray:
        return np.arange(rows)

    def discrete_gaussian(self, shape: int, scale: float) -> np.ndarray:
        return np.full(shape, 3, dtype=np.int64)

    def discrete_laplace(self, scale: float) -> int:
        return 3


@pytest.mark.parametrize("shape", [(), (0,), (5,), (4, 6)])
def test_noisy_counts_keep_shape_and_leave_the_input(shape: tuple[int, ...]) -> None:
    exact = np.full(shape, 100, dtype=np.int64)
    noisy = noisy_counts(exact, 5.0)
    assert noisy.shape == shape
    assert noisy.dtype == np.int64
    assert np.all(exact == 100)


def test_noise_is_fresh_and_progress_reaches_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mechanisms, "_CHUNK", 40)
    seen: list[tuple[int, int]] = []
    exact = np.zeros(100, dtype=np.int64)
    first = noisy_counts(exact, 50.0, lambda done, total: seen.append((done, total)))
    assert seen == [(40, 100), (80, 100), (100, 100)]
    assert np.mean(first == noisy_counts(exact, 50.0)) < 0.3


def test_non_contiguous_counts() -> None:
    exact = np.arange(20, dtype=np.int64).reshape(4, 5).T * 1000
    assert np.all(np.abs(noisy_counts(exact, 0.5) - exact) < 20)


def test_noisy_count() -> None:
    drawn = {noisy_count(1000, 10.0) for _ in range(50)}
    assert len(drawn) > 5
    assert all(isinstance(value, int) and abs(value - 1000) < 400 for value in drawn)


def test_replayed_noise_takes_the_place_of_real_noise() -> None:
    with replay(Fixed()):
        assert np.array_equal(noisy_counts(np.arange(4), 9.0), np.arange(4) + 3)
        assert noisy_count(7, 9.0) == 10


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_scales_raise(scale: float) -> None:
    with pytest.raises(ConfigurationError, match="scale"):
        noisy_counts(np.zeros(3, dtype=np.int64), scale)
    with pytest.raises(ConfigurationError, match="scale"):
        noisy_count(3, scale)


def test_bad_counts_raise() -> None:
    with pytest.raises(ConfigurationError, match="int64"):
        noisy_counts(np.zeros(3), 1.0)  # type: ignore[arg-type]
