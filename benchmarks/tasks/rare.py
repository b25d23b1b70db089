"""Rare classes: tables thinned to one positive in fifty, brought level in different ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from imblearn.over_sampling import SMOTENC
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from benchmarks.tasks.common import LEARNERS, fitted, learner, numbers, positives, split
from synthpriv.schema import Schema
from synthpriv.tasks.rare import MARK, augment

RESAMPLES = 200
WAYS = ("nothing", "class weights", "SMOTE", "augment, mixture", "augment, mixture, epsilon 3")


def measure(seed: int) -> dict[str, Any]:
    """Per table, way and learner: balanced accuracy and average precision, with 95% bootstrap intervals."""
    return {name: _table(name, seed) for name in ("adult", "credit")}


def _table(name: str, seed: int) -> dict[str, Any]:
    schema, train, test = split(name, seed)
    thin = thinned(train, schema, seed)
    found: dict[str, Any] = {}
    for way in WAYS:
        table, options = prepared(way, thin, schema, seed)
        truth = positives(test, schema)
        for model in LEARNERS:
            trained = learner(model, schema, schema.targets[0], seed, **options)
            trained.fit(table.drop(columns=schema.targets[0]), positives_like(table, test, schema))
            scores = trained.predict_proba(test.drop(columns=schema.targets[0]))[:, 1]
            found.setdefault(way, {})[model] = intervals(scores, truth, seed)
    return found


def thinned(train: pd.DataFrame, schema: Schema, seed: int) -> pd.DataFrame:
    """One positive row to fifty others."""
    positive = positives(train, schema)
    rng = np.random.default_rng(seed)
    kept = rng.choice(np.flatnonzero(positive), size=int((~positive).sum() // 50), replace=False)
    return train.iloc[np.sort(np.concatenate([np.flatnonzero(~positive), kept]))].reset_index(drop=True)


def prepared(way: str, thin: pd.DataFrame, schema: Schema, seed: int) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table to train on, and the learner's options."""
    target = schema.targets[0]
    if way == "class weights":
        return thin, {"class_weight": "balanced"}
    if way == "SMOTE":
        lists = [at for at, one in enumerate(thin.drop(columns=target)) if one not in numbers(schema)]
        made, labels = SMOTENC(lists, random_state=seed).fit_resample(
            thin.drop(columns=target), thin[target].astype(str)
        )
        return made.assign(**{target: labels}), {}
    if way.startswith("augment"):
        model = fitted("mixture", 3.0 if "epsilon" in way else float("inf"), thin, schema)
        return augment(model, thin, target, seed=seed).drop(columns=MARK), {}
    return thin, {}


def positives_like(table: pd.DataFrame, test: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Positives by the value that is the rarer one in the real test rows."""
    target = schema.targets[0]
    rarer = test[target].astype(str).value_counts().index[-1]
    return (table[target].astype(str) == rarer).to_numpy(dtype=bool)


def intervals(scores: np.ndarray, truth: np.ndarray, seed: int) -> dict[str, list[float]]:
    """[value, low, high] of balanced accuracy (at one half) and average precision."""
    rng = np.random.default_rng(seed)
    draws = [np.arange(len(truth))] + [rng.integers(0, len(truth), len(truth)) for _ in range(RESAMPLES)]
    figures = {
        "balanced_accuracy": [balanced_accuracy_score(truth[d], scores[d] > 0.5) for d in draws],
        "average_precision": [average_precision_score(truth[d], scores[d]) for d in draws],
    }
    return {
        name: [round(float(one), 4) for one in (values[0], *np.percentile(values[1:], [2.5, 97.5]))]
        for name, values in figures.items()
    }
