"""DPSGDPlan and Optimization: the constants of private training, free of torch so that planning is quick."""

from __future__ import annotations

import math
from dataclasses import dataclass

from synthpriv.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class DPSGDPlan:
    """The public constants of a private training run.

    noise_multiplier: noise standard deviation over max_grad_norm. sample_rate: each unit's inclusion
    probability. steps: noisy steps, empty batches included. expected_batch: the divisor of the noisy sum,
    from the public row count.
    """

    noise_multiplier: float
    max_grad_norm: float
    sample_rate: float
    steps: int
    expected_batch: float

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 < self.sample_rate <= 1:
            raise ConfigurationError(f"sample_rate must lie in (0, 1], found {self.sample_rate}.")
        for name in ("noise_multiplier", "steps"):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"{name} must not be negative, found {getattr(self, name)}.")
        for name in ("max_grad_norm", "expected_batch"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name} must be positive, found {getattr(self, name)}.")


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """How the noisy gradient is used: post-processing, so free of privacy cost.

    Adam at `learning_rate` with cosine decay to a tenth; the weights of the last `average` share of the
    steps are averaged (Polyak averaging; De et al. 2022, arXiv 2204.13650, section 3). physical_batch: rows
    in one pass; a batch of 4,096 expected rows still fits, eight standard deviations above.
    """

    learning_rate: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.999)
    average: float = 0.3
    physical_batch: int = 4608

    def learning_rate_at(self, share: float) -> float:
        """The learning rate once `share` (0..1) of the steps are done: cosine decay to a tenth."""
        return self.learning_rate * (0.1 + 0.9 * (1 + math.cos(math.pi * share)) / 2)
