"""What a scorecard holds besides its estimates: columns, pairs and curves, ready to be drawn."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ColumnComparison:
    """One column of the holdout beside the same column of the synthetic table.

    total_variation, jensen_shannon (a distance, base 2), kolmogorov_smirnov and wasserstein (in units of the
    declared range; both None for a list) lie in 0..1. real, synthetic: the share of rows in each bin of
    `labels`; missing values, and values that the schema does not declare, have bins of their own.
    """

    name: str
    kind: str
    total_variation: float
    jensen_shannon: float
    kolmogorov_smirnov: float | None
    wasserstein: float | None
    missing_real: float
    missing_synthetic: float
    labels: tuple[str, ...]
    real: tuple[float, ...]
    synthetic: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class PairComparison:
    """The total variation (0..1) between the joint shares of two columns.

    noise: what it is on average for two samples of one population; many cells make it large. real,
    synthetic: the share of rows in each cell, a row per label of the first column and a cell per label of the
    second; all empty for a pair that is listed and not drawn.
    """

    first: str
    second: str
    total_variation: float
    noise: float = 0.0
    first_labels: tuple[str, ...] = ()
    second_labels: tuple[str, ...] = ()
    real: tuple[tuple[float, ...], ...] = ()
    synthetic: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class ImportanceComparison:
    """How much a feature matters to models of a target, trained on real and on synthetic rows.

    real, synthetic: permutation importance on the holdout, in units of the target's score.
    """

    target: str
    feature: str
    real: float
    synthetic: float


@dataclass(frozen=True, kw_only=True)
class GroupComparison:
    """The score on one group's holdout rows of models trained on real and on synthetic rows.

    rows: the group's holdout rows. score: "auc" or "r2".
    """

    target: str
    column: str
    group: str
    rows: int
    score: str
    real: float
    synthetic: float


@dataclass(frozen=True, kw_only=True)
class RocCurve:
    """One attack's ROC curve beside the highest curve that the claim allows; at most 200 points, 0..1."""

    name: str
    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]
    ceiling: tuple[float, ...]
