"""Mechanisms over integer counts, as pure functions; the only file that imports OpenDP."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthpriv.errors import ConfigurationError
from synthpriv.privacy import randomness

_CHUNK = 20_000  # cells between two calls of progress: about a quarter of a second


@cache
def _discrete_gaussian(noise_scale: float) -> Any:
    """OpenDP's exact sampler as a measurement on integer vectors."""
    import opendp.prelude as dp

    dp.enable_features("contrib")
    domain = dp.vector_domain(dp.atom_domain(T=dp.i64))
    return dp.m.make_gaussian(domain, dp.l2_distance(T=float), scale=noise_scale)


@cache
def _discrete_laplace(scale: float) -> Any:
    """OpenDP's exact sampler as a measurement on one integer."""
    import opendp.prelude as dp

    dp.enable_features("contrib")
    return dp.m.make_laplace(dp.atom_domain(T=dp.i64), dp.absolute_distance(T=dp.i64), scale=scale)


def noisy_count(exact: int, scale: float) -> int:
    """`exact` plus discrete Laplace noise, of probability proportional to exp(-|noise| / scale).

    May turn negative. Charges nothing itself: the caller charges Laplace(epsilon=max_rows / scale) before.
    Under `replay` the noise comes from the test's source. Raises ConfigurationError unless scale > 0.
    """
    _check_scale(scale)
    replayed = randomness.override()
    if replayed is not None:
        return int(exact) + replayed.discrete_laplace(scale)
    return int(_discrete_laplace(float(scale))(int(exact)))


def noisy_counts(
    exact: NDArray[np.int64], noise_scale: float, progress: Callable[[int, int], None] | None = None
) -> NDArray[np.int64]:
    """`exact` plus independent discrete Gaussian noise of parameter `noise_scale`, same shape.

    Values may turn negative. progress: called with (cells done, cells in all); 12 microseconds a cell.
    Charges nothing itself: the caller charges Counts(noise_scale=...) before. Under `replay` the noise comes
    from the test's source. Raises ConfigurationError for other dtypes, and unless noise_scale > 0.
    Source: Canonne, Kamath and Steinke, The Discrete Gaussian for Differential Privacy (2020), by OpenDP.
    """
    _check_scale(noise_scale)
    if exact.dtype != np.int64:
        raise ConfigurationError(f"counts must be int64, found {exact.dtype}. Convert them with astype.")
    replayed = randomness.override()
    if replayed is not None:
        return exact + replayed.discrete_gaussian(exact.shape, noise_scale)
    measurement = _discrete_gaussian(float(noise_scale))
    cells = exact.ravel()
    noisy = np.empty(cells.size, dtype=np.int64)
    for start in range(0, cells.size, _CHUNK):
        chunk = cells[start : start + _CHUNK]
        noisy[start : start + chunk.size] = measurement(chunk)
        if progress is not None:
            progress(start + chunk.size, cells.size)
    return noisy.reshape(exact.shape)


def _check_scale(scale: float) -> None:
    if not 0 < scale < float("inf"):
        raise ConfigurationError(
            f"a noise scale must be finite and above 0, found {scale!r}. Take it from the plan's budget."
        )
