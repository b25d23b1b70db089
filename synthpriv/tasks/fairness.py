"""Fairer training data: rows drawn with stated shares, or so that a target does not depend on a group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from synthpriv.errors import ConfigurationError, nearest
from synthpriv.evaluation.cells import read_cells
from synthpriv.evaluation.features import FeatureEncoder
from synthpriv.evaluation.intervals import auc
from synthpriv.schema import Boolean, Categorical
from synthpriv.synthesizers.configuration import require
from synthpriv.synthesizers.fitted import FittedSynthesizer

TRIAL_ROWS = 30_000
STRONGEST, TRIALS = 4.0, 5


@dataclass(frozen=True, kw_only=True)
class Fairness:
    """What `equalize` changed, measured on the model's own rows.

    label_gap: the share of positive labels in the group that has most of them, less that in the group with
    the least. prediction_gap: of a model's positive calls, as many as there are positive labels. auc: of that
    model. Each before and after.
    strength: 1 makes labels independent of the group; more makes up for columns that stand in for it.
    """

    strength: float
    label_gap: tuple[float, float]
    prediction_gap: tuple[float, float]
    auc: tuple[float, float]


def rebalance(
    fitted: FittedSynthesizer, n: int, shares: Mapping[str, float], *, seed: int | None = None
) -> pd.DataFrame:
    """`n` rows of which each condition, an expression, holds in its share: {"sex = 'Female'": 0.5, ...}.

    Conditions are taken to exclude each other, and shares are scaled to add up to 1. Within a condition rows
    are as the model has them. Post-processing. Raises ConfigurationError.
    """
    weights = np.array(list(shares.values()), dtype=np.float64)
    if not len(weights) or not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
        raise ConfigurationError(f"shares must be numbers of at least 0, found {dict(shares)!r:.80}.")
    upto = np.rint(weights.cumsum() / weights.sum() * n).astype(int)
    seeds = np.random.SeedSequence(seed).generate_state(len(weights) + 1)
    counts = np.diff(np.append(0, upto)).tolist()
    parts = [
        fitted.sample(count, seed=int(own), conditions=condition)
        for condition, count, own in zip(shares, counts, seeds[1:].tolist(), strict=True)
    ]
    order = np.random.default_rng(int(seeds[0])).permutation(n)
    return pd.concat(parts, ignore_index=True).iloc[order].reset_index(drop=True)


def equalize(
    fitted: FittedSynthesizer,
    n: int,
    group: str,
    target: str,
    *,
    cut: float = 0.75,
    strength: float | None = None,
    seed: int | None = None,
) -> tuple[pd.DataFrame, Fairness]:
    """`n` rows on which models learn a `target` that does not follow the `group`: demographic parity.

    The share of positive labels in each group is moved to the overall share; within group and label rows stay
    as the model has them. Other columns stand in for the group, so that labels alone do not make models fair:
    strength above 1 moves further. By default it is the least at which a model trained on such rows has lost
    the share `cut` of its gap, found on the model's own rows, never on real ones: fairer costs accuracy.
    group, target: columns of categories, the target with two. Costs no epsilon. Raises ConfigurationError.
    """
    groups, labels = (_values(fitted, name, role) for name, role in ((group, "group"), (target, "target")))
    if len(labels) != 2:
        raise ConfigurationError(f"equalize needs a target of two values, found {len(labels)} in {target!r}.")
    require("cut", cut, 0.0, 1.0)
    trial = _Trial(fitted, group, target, labels[1], seed)
    before = trial.judge(trial.rows)

    def tried(at: float) -> tuple[float, float, float]:
        return trial.judge(_drawn(fitted, TRIAL_ROWS, trial, groups, labels, at, seed))

    if strength is None:
        low, strength = 0.0, STRONGEST
        for _ in range(TRIALS):
            middle = (low + strength) / 2
            enough = tried(middle)[1] <= (1 - cut) * before[1]
            low, strength = (low, middle) if enough else (middle, strength)
    require("strength", strength, 0.0, 10.0)
    made = _drawn(fitted, n, trial, groups, labels, strength, seed)
    pairs = tuple(zip(before, tried(strength), strict=True))
    return made, Fairness(strength=strength, label_gap=pairs[0], prediction_gap=pairs[1], auc=pairs[2])


class _Trial:
    """The model's own rows, half to train on beside other tables and half to test on."""

    def __init__(
        self, fitted: FittedSynthesizer, group: str, target: str, positive: object, seed: int | None
    ) -> None:
        self.schema, self.group, self.target, self.positive = fitted.schema, group, target, positive
        drawn = fitted.sample(2 * TRIAL_ROWS, seed=seed)
        self.rows, self.test = drawn.iloc[:TRIAL_ROWS], drawn.iloc[TRIAL_ROWS:]
        rates = (self.rows[target] == positive).groupby(self.rows[group].to_numpy(dtype=object)).mean()
        self.most, self.least = rates.idxmax(), rates.idxmin()
        self.encoder = FeatureEncoder.fit(read_cells(self.rows, self.schema), target)

    def gap(self, positive: np.ndarray, groups: pd.Series) -> float:
        """The share of positives in the group that the model favours, less that in the one it disfavours."""
        rates = pd.Series(positive).groupby(groups.to_numpy(dtype=object)).mean()
        return float(rates.get(self.most, 0.0) - rates.get(self.least, 0.0))

    def judge(self, table: pd.DataFrame) -> tuple[float, float, float]:
        """Label gap of the table; prediction gap and AUC of a model that it trains, on the test rows."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        labels = (table[self.target] == self.positive).to_numpy(dtype=bool)
        truth = (self.test[self.target] == self.positive).to_numpy(dtype=bool)
        features, tests = (self.encoder.ordinal(read_cells(part, self.schema)) for part in (table, self.test))
        model = HistGradientBoostingClassifier(early_stopping=False, random_state=0)
        scores = model.fit(features, labels).predict_proba(tests)[:, 1]
        called = scores > np.quantile(scores, 1 - truth.mean())
        return (
            self.gap(labels, table[self.group]),
            self.gap(called, self.test[self.group]),
            float(auc(scores, truth)[0]),
        )


def _drawn(
    fitted: FittedSynthesizer,
    n: int,
    trial: _Trial,
    groups: list[object],
    labels: list[object],
    strength: float,
    seed: int | None,
) -> pd.DataFrame:
    """Rows whose labels are moved by `strength` towards the overall share, in each group."""
    positive = trial.rows[trial.target] == labels[1]
    overall = float(positive.mean())
    seeds = np.random.SeedSequence(seed).generate_state(2 * len(groups) + 2)[1:]
    parts = []
    for at, value in enumerate(groups):
        inside = trial.rows[trial.group] == value
        if not inside.any():
            continue
        rate = overall + (1 - strength) * (float(positive[inside].mean()) - overall)
        rate = min(max(rate, 0.01), 0.99)
        for side, share in enumerate((1 - rate, rate)):
            count = round(n * float(inside.mean()) * share)
            conditions = {trial.group: value, trial.target: labels[side]}
            parts.append(fitted.sample(count, seed=int(seeds[2 * at + side]), conditions=conditions))
    order = np.random.default_rng(int(seeds[-1])).permutation(sum(map(len, parts)))
    return pd.concat(parts, ignore_index=True).iloc[order].reset_index(drop=True)


def _values(fitted: FittedSynthesizer, name: str, role: str) -> list[object]:
    column = fitted.schema.columns.get(name)
    if not isinstance(column, Categorical | Boolean):
        known = [one for one, c in fitted.schema.modelled.items() if isinstance(c, Categorical | Boolean)]
        raise ConfigurationError(f"the {role} must have categories, found {name!r}. {nearest(name, known)}")
    return [False, True] if isinstance(column, Boolean) else list(column.categories)
