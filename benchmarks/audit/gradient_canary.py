"""Audit of the trainer: a canary row whose clipped gradient is known, at sampling rate 1.

    python -m benchmarks.audit.gradient_canary

Every step's noisy sum is observed. Without subsampling the T steps are exactly mu-private in the Gaussian
sense, mu = sqrt(T) / sigma, and the canary attains it: the bound must come close to mu from below (Nasr et
al. 2023). If the noise were half of what is accounted for, the bound would be near 2 mu: the control.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from benchmarks.audit import scoring
from benchmarks.environment import store
from synthpriv.privacy.dpsgd import train_private
from synthpriv.privacy.dpsgd_plan import DPSGDPlan, Optimization
from synthpriv.privacy.randomness import NoiseSource

STEPS = 16
MU = 2.0
CLIP = 0.7
FEATURES = 8
ROWS = 20
RUNS = 5000  # with the canary, and as many without
TARGET = 0.9


class HalvedNoise(NoiseSource):
    """The breach: noise of half the standard deviation that is asked for."""

    def gaussian(self, shape: Any, scale: float, dtype: Any = "float64") -> Any:
        """Half the noise."""
        return super().gaussian(shape, scale / 2, dtype)


def score(codes: npt.NDArray[np.int16], direction: Tensor, source: NoiseSource, steps: int) -> float:
    """Train once; the sum over steps of the noisy gradient along `direction`, in units of its noise."""
    layer = nn.Linear(FEATURES, 1, bias=False)
    seen = 0.0

    def row_loss(batch: Tensor) -> Tensor:
        # a canary (code 1) pulls along `direction` with a norm far above the bound; other rows pull nowhere
        return layer(batch.float() * direction).squeeze(1) * 100.0

    def observe(step: int) -> None:
        nonlocal seen
        assert layer.weight.grad is not None
        seen += float(layer.weight.grad.flatten() @ direction) * plan.expected_batch

    plan = DPSGDPlan(
        noise_multiplier=math.sqrt(steps) / MU,
        max_grad_norm=CLIP,
        sample_rate=1.0,
        steps=steps,
        expected_batch=ROWS,
    )
    train_private(
        layer, row_loss, codes, np.arange(len(codes)), 1, plan, Optimization(average=0.0), source, observe
    )
    return seen / (CLIP * plan.noise_multiplier * math.sqrt(steps))


def scores(runs: int, source: NoiseSource, steps: int = STEPS) -> tuple[scoring.Scores, scoring.Scores]:
    """Scores of `runs` trainings on the table without the canary, and of as many on the table with it."""
    direction = torch.linspace(1, 2, FEATURES)
    direction /= direction.norm()
    without = np.zeros((ROWS, 1), dtype=np.int16)
    with_canary = np.append(without, [[1]], axis=0).astype(np.int16)
    absent, present = [], []
    for _ in range(runs):
        absent.append(score(without, direction, source, steps))
        present.append(score(with_canary, direction, source, steps))
    return np.array(absent), np.array(present)


def figures(absent: scoring.Scores, present: scoring.Scores) -> dict[str, Any]:
    """Bounds on mu by both methods."""
    low, found, high = scoring.by_means(absent, present)
    return {
        "by_threshold": scoring.plain(scoring.by_threshold(absent, present)),
        "by_means": {"mu_at_least": low, "mu": found, "mu_at_most": high, "confidence": scoring.CONFIDENCE},
        "scores": {
            "absent": {"mean": float(absent.mean()), "deviation": float(absent.std(ddof=1))},
            "present": {"mean": float(present.mean()), "deviation": float(present.std(ddof=1))},
        },
    }


def main() -> None:
    """Audit, control, store, print."""
    torch.set_num_threads(1)
    found = figures(*scores(RUNS, NoiseSource()))
    control = figures(*scores(RUNS // 5, HalvedNoise()))
    bound = found["by_means"]["mu_at_least"]
    results = {
        "claim": {
            "mu": MU,
            "noise_multiplier": math.sqrt(STEPS) / MU,
            "steps": STEPS,
            "epsilon_at_1e-5": scoring.gaussian_epsilon(MU, 1e-5),
        },
        "runs_of_each_table": RUNS,
        "audit": found,
        "largest_mu_that_thresholds_could_have_shown": scoring.flawless(RUNS - RUNS // 2).mu,
        "lower_bound_over_claim": {
            "by_means": bound / MU,
            "by_threshold": found["by_threshold"]["mu_at_least"] / MU,
            "target_at_least": TARGET,
        },
        "met": bool(TARGET * MU <= bound <= MU),
        "control_halved_noise": {**control, "runs_of_each_table": RUNS // 5},
        "control_exceeds_the_claim": bool(
            min(control["by_means"]["mu_at_least"], control["by_threshold"]["mu_at_least"]) > MU
        ),
    }
    print(store("audit_gradient_canary", results).read_text())


if __name__ == "__main__":
    main()
