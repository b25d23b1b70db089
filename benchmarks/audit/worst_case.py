"""Audit of the whole fit through the public API: the worst neighbours that we know, many small fits of each.

    python -m benchmarks.audit.worst_case

One table is all 'common'; its neighbour has one row more, all 'rare'. Every fit is the public
`VAESynthesizer(...).fit(frame, schema, rows=...)`, one step on the whole table (batch_size = rows), so that
the fit is mu-private in the Gaussian sense and mu = gaussian_mu(epsilon, delta) at most. The observer reads
the fitted model: the released shares of 'rare', the decoder's biases, which are fitted to the marginals, and
how far each weight of the label's head moved from zero. Half of the runs choose how to weigh these
and where to put the threshold, the other half is judged (Clopper-Pearson both ways).

The observer sees the final model only, which keeps a part of what marginals said, so the bound stays below
the claim: it shows that the claim is not broken, not that it is tight (gradient_canary does). The
control shows that it would notice: the same audit with all noise halved must exceed the claim. Calibration,
which is a function of public constants, is remembered between fits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import torch

import synthpriv as sp
from benchmarks.audit import scoring
from benchmarks.environment import store
from synthpriv.privacy import accounting, mechanisms
from synthpriv.privacy.randomness import NoiseSource

EPSILON, DELTA = 10.0, 1e-5
MU = accounting.gaussian_mu(EPSILON, DELTA)
ROWS = 100
HIDDEN = 64
RUNS = 8000  # fits of each table
COLUMNS = ("kind", "one", "other")
SCHEMA = sp.Schema(
    columns={name: sp.Categorical(categories=["common", "rare"]) for name in COLUMNS}, targets=["kind"]
)
COMMON = pd.DataFrame({name: ["common"] * ROWS for name in COLUMNS})
NEIGHBOUR = pd.DataFrame({name: ["common"] * ROWS + ["rare"] for name in COLUMNS})
# the bound is near the norm of the rare row's gradient: a larger one would waste noise, a smaller one signal
CONFIGURATION = sp.VAESynthesizer(
    epsilon=EPSILON,
    delta=DELTA,
    batch_size=ROWS,
    epochs=1,
    embedding_dim=1,
    hidden_dim=HIDDEN,
    components=8,
    steps=6,
    learning_rate=1e-3,
    max_grad_norm=4.2,
    most_noise=1e9,  # or so few rows would leave the training out
    random_state=0,
)


@contextlib.contextmanager
def noise_divided_by(factor: float) -> Iterator[None]:
    """The breach: every noise smaller than what is charged. 1 changes nothing."""
    gaussian, counts = NoiseSource.gaussian, mechanisms.noisy_counts
    with (
        mock.patch.object(
            NoiseSource, "gaussian", lambda s, n, scale, *a: gaussian(s, n, scale / factor, *a)
        ),
        mock.patch.object(
            mechanisms, "noisy_counts", lambda exact, scale, *a: counts(exact, scale / factor, *a)
        ),
    ):
        yield


@contextlib.contextmanager
def quick_fits() -> Iterator[None]:
    """Remember calibrations, which are functions of public constants."""
    remembered: dict[Any, float] = {}
    calibrate = accounting.calibrate_noise_multiplier

    def once(spent: Any, *constants: float) -> float:
        key = (tuple(spent), *constants)
        if key not in remembered:
            remembered[key] = calibrate(spent, *constants)
        return remembered[key]

    with mock.patch.object(accounting, "calibrate_noise_multiplier", once):
        yield


def observed(frame: pd.DataFrame) -> list[float]:
    """Fit once and read the fitted model: the released masses of 'rare', and its weights against 'common'."""
    fitted = CONFIGURATION.fit(frame, SCHEMA, rows=ROWS)
    rare = [float(fitted.encoder.codecs[name].mass[1]) for name in COLUMNS]
    biases, weights = (fitted.model.tensors()[name].double() for name in ("bias", "head.last.weight"))
    shares = [figure for mass in rare for figure in (mass, mass**2, float(mass == 0))]
    return [*shares, *biases.tolist(), *(weights[1] - weights[0]).tolist()]


def scores(runs: int, factor: float = 1.0) -> tuple[scoring.Scores, scoring.Scores]:
    """One score per fit, `runs` fits of each table, the tables taking turns; weights from the first half."""
    absent, present = [], []
    with quick_fits(), noise_divided_by(factor):
        for _ in range(runs):
            absent.append(observed(COMMON))
            present.append(observed(NEIGHBOUR))
    return scoring.linear_score(np.array(absent), np.array(present), runs // 2)


def figures(absent: scoring.Scores, present: scoring.Scores) -> dict[str, Any]:
    """What the second half of the runs proves."""
    errors = scoring.by_threshold(absent, present)
    return {
        "runs_of_each_table": len(absent),
        **scoring.plain(errors),
        "empirical_epsilon": scoring.gaussian_epsilon(errors.mu, DELTA),
        "empirical_epsilon_without_assumptions": errors.epsilon(DELTA),
    }


def largest(runs: int) -> dict[str, float]:
    """What an audit of that many runs could have shown at most: no error among those that are judged."""
    best = scoring.flawless(runs - runs // 2)
    return {
        "mu": best.mu,
        "epsilon": scoring.gaussian_epsilon(best.mu, DELTA),
        "epsilon_without_assumptions": best.epsilon(DELTA),
    }


def main() -> None:
    """Audit, control, store, print."""
    torch.set_num_threads(1)
    found, control = figures(*scores(RUNS)), figures(*scores(RUNS, factor=2.0))
    results = {
        "claim": {"epsilon": EPSILON, "delta": DELTA, "mu": MU},
        "audit": found,
        "largest_that_the_audit_could_have_shown": largest(RUNS),
        "met": bool(found["empirical_epsilon"] <= EPSILON),
        "control_halved_noise": control,
        "control_exceeds_the_claim": bool(control["empirical_epsilon"] > EPSILON),
    }
    print(store("audit_worst_case", results).read_text())


if __name__ == "__main__":
    main()
