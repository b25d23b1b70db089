"""Fairness: what equalized rows do to models of income on real rows, by sex."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from benchmarks.tasks.common import LEARNERS, fitted, learner, positives, split
from synthpriv.schema import Schema
from synthpriv.tasks.fairness import equalize

WAYS = ("real rows", "synthetic rows", "equal labels (strength 1)", "equalized")


def measure(seed: int) -> dict[str, Any]:
    """Per learner and training table: demographic-parity gap of its positive calls, and AUC, on real rows.

    A learner calls as many rows positive as are positive; the gap is men's rate of calls minus women's.
    """
    schema, train, test = split("adult", seed)
    model = fitted("mixture", 3.0, train, schema)
    equalized, report = equalize(model, len(train), "sex", "income", seed=seed)
    tables = {
        "real rows": train,
        "synthetic rows": model.sample(len(train), seed=seed),
        "equal labels (strength 1)": equalize(model, len(train), "sex", "income", strength=1.0, seed=seed)[0],
        "equalized": equalized,
    }
    found: dict[str, Any] = {"strength": report.strength}
    for way in WAYS:
        for name in LEARNERS:
            found.setdefault(way, {})[name] = judged(tables[way], test, name, schema, seed)
        found[way]["mean"] = {
            figure: round(float(np.mean([found[way][name][figure] for name in LEARNERS])), 4)
            for figure in ("gap", "auc")
        }
    return found


def judged(table: pd.DataFrame, test: pd.DataFrame, name: str, schema: Schema, seed: int) -> dict[str, float]:
    """The gap and the AUC of one learner."""
    target = schema.targets[0]
    trained = learner(name, schema, target, seed)
    trained.fit(table.drop(columns=target), (table[target].astype(str) == ">50K").to_numpy(dtype=bool))
    scores = trained.predict_proba(test.drop(columns=target))[:, 1]
    truth = positives(test, schema)
    called = scores > np.quantile(scores, 1 - truth.mean())
    men = (test["sex"] == "Male").to_numpy(dtype=bool)
    return {
        "gap": round(float(called[men].mean() - called[~men].mean()), 4),
        "auc": round(float(roc_auc_score(truth, scores)), 4),
    }
