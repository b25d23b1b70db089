"""A scorecard with every field filled by made-up figures, for the pages."""

from __future__ import annotations

import itertools

import numpy as np

from synthpriv.evaluation.comparisons import (
    ColumnComparison,
    GroupComparison,
    ImportanceComparison,
    PairComparison,
    RocCurve,
)
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.estimate import Direction, Estimate
from synthpriv.evaluation.scorecard import Scorecard

COLUMNS = ("age", "city", "income of the household", "since", "bought")
TARGETS = ("bought", "income of the household")
MODELS = ("logistic_regression", "random_forest", "gradient_boosting")
ATTACKS = (
    "strongest",
    "closest_record",
    "density_ratio",
    "kernel",
    "likelihood_ratio",
    "classifier",
    "shadow_models",
)


def estimate(
    value: float, direction: Direction = "lower", spread: float = 0.01, **controls: float
) -> Estimate:
    """A figure; controls by name, an underscore for each space."""
    return Estimate(
        value=value,
        low=value - spread,
        high=value + spread,
        method="bootstrap over rows, 200 resamples",
        direction=direction,
        sentence=f"A made-up figure of {value:.3f}, on 16 bins of 10,000 rows.",
        controls={name.replace("_", " "): number for name, number in controls.items()},
    )


def _shares(rng: np.random.Generator, count: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    real = rng.dirichlet(np.full(count, 2.0))
    made = np.abs(real + rng.normal(0, 0.02, count))
    return tuple(real.tolist()), tuple((made / made.sum()).tolist())


def _columns(rng: np.random.Generator) -> tuple[ColumnComparison, ...]:
    found = []
    for at, (name, count) in enumerate(zip(COLUMNS, (20, 14, 20, 12, 2), strict=True)):
        real, made = _shares(rng, count)
        listed = name in ("city", "bought")
        labels = [f"value {k}" if listed else f"{k * 10} to {k * 10 + 9}" for k in range(count)]
        found.append(
            ColumnComparison(
                name=name,
                kind="categorical" if listed else "float",
                total_variation=0.02 * at,
                jensen_shannon=0.05,
                kolmogorov_smirnov=None if listed else 0.03,
                wasserstein=None if listed else 0.01,
                missing_real=0.02,
                missing_synthetic=0.03,
                labels=tuple(labels),
                real=real,
                synthetic=made,
            )
        )
    return tuple(found)


def _pairs(rng: np.random.Generator) -> tuple[PairComparison, ...]:
    found = []
    for at, (first, second) in enumerate(itertools.combinations(COLUMNS, 2)):
        drawn = at < 3
        real, made = (rng.dirichlet(np.full(8 * 20, 0.5)).reshape(8, 20) for _ in range(2))
        found.append(
            PairComparison(
                first=first,
                second=second,
                total_variation=0.2 - 0.01 * at,
                first_labels=tuple(f"low {k}" for k in range(8)) if drawn else (),
                second_labels=tuple(f"{k * 5} to {k * 5 + 4}" for k in range(20)) if drawn else (),
                real=tuple(map(tuple, real.tolist())) if drawn else (),
                synthetic=tuple(map(tuple, made.tolist())) if drawn else (),
            )
        )
    return tuple(found)


def _estimates() -> dict[str, Estimate]:
    fidelity = {"real_rows": 0.02, "independent_columns": 0.12}
    utility = {"real_rows": 0.91, "independent_columns": 0.5}
    attack = {"ceiling_of_the_claim": 0.95, "leaky_copy": 0.99}
    found = {
        f"fidelity.{name}": estimate(0.04 + 0.01 * at, **fidelity)
        for at, name in enumerate(
            ("tvd1", "tvd2", "association", "tvd3", "recall", "coverage", "query_error")
        )
    }
    found["fidelity.detection.auc"] = estimate(0.62, "half", real_rows=0.5, independent_columns=0.98)
    found["utility.auc"] = estimate(0.88, "higher", **utility)
    found["utility.r2"] = estimate(0.4, "higher", real_rows=0.5, independent_columns=-0.02)
    for at, (target, model) in enumerate(itertools.product(TARGETS, MODELS)):
        score, floor, top = ("auc", 0.5, 0.91) if target == "bought" else ("r2", -0.03, 0.52)
        value = estimate(top - 0.01 * (at + 1), "higher", real_rows=top, independent_columns=floor)
        found[f"utility.{score}[{target}].{model}"] = value
        found[f"utility.average_precision[{target}].{model}"] = value
    found["utility.importance_agreement[bought]"] = estimate(0.9, "higher", real_rows=0.97)
    for at, attacker in enumerate(ATTACKS):
        found[f"privacy.{attacker}.auc"] = estimate(0.5 + 0.01 * at, "half", **attack)
        for rate in ("01", "1", "10"):
            found[f"privacy.{attacker}.tpr_at_{rate}pct"] = estimate(0.02, ceiling_of_the_claim=0.2)
    found["privacy.copies"] = estimate(0.001, real_rows=0.001)
    found["privacy.positive_control.auc"] = estimate(0.99, "higher", **attack)
    return found


def full_scorecard() -> Scorecard:
    """Every field filled."""
    rng = np.random.default_rng(3)
    grid = np.linspace(0, 1, 50)
    names = ("density ratio", "closest record", "kernel", "positive control")
    associations = [
        tuple(map(tuple, np.clip(rng.normal(0.2, 0.2, (5, 5)), -1, 1).tolist())) for _ in range(2)
    ]
    return Scorecard(
        targets=TARGETS,
        rows={"synthetic": 40_000, "train": 30_000, "holdout": 10_000},
        epsilon=3.0,
        delta=1e-6,
        effort=Effort.thorough,
        estimates=_estimates(),
        columns=_columns(rng),
        worst_pairs=_pairs(rng),
        association_names=COLUMNS,
        association_real=associations[0],
        association_synthetic=associations[1],
        importances=tuple(
            ImportanceComparison(
                target=target, feature=feature, real=0.2 / (1 + at), synthetic=0.18 / (1 + at)
            )
            for target in TARGETS
            for at, feature in enumerate(name for name in COLUMNS if name != target)
        ),
        groups=tuple(
            GroupComparison(
                target=target,
                column="city",
                group=f"value {at}",
                rows=4000 - 500 * at,
                score="auc" if target == "bought" else "r2",
                real=0.9 - 0.02 * at,
                synthetic=0.88 - 0.06 * at,
            )
            for target in TARGETS
            for at in range(5)
        ),
        rocs=tuple(
            RocCurve(
                name=name,
                false_positive_rate=tuple(grid.tolist()),
                true_positive_rate=tuple((grid ** (0.9 - 0.2 * at)).tolist()),
                ceiling=tuple(np.minimum(1, 0.1 + 3 * grid).tolist()),
            )
            for at, name in enumerate(names)
        ),
        notes=("A note on what could not be measured.",),
    )
