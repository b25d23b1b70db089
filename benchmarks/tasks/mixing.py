"""Mixing: what models lose or gain as synthetic rows take the place of real ones, or stand beside few."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.tasks.common import LEARNERS, fitted, learner, positives, split
from synthpriv.tasks.mixing import mix
from synthpriv.tasks.rare import MARK

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def measure(seed: int) -> dict[str, Any]:
    """Mean AUC of three learners on real rows, by the share of synthetic rows."""
    schema, train, test = split("adult", seed)
    synthetic = fitted("mixture", 3.0, train, schema).sample(len(train), seed=seed)
    target, truth = schema.targets[0], positives(test, schema)
    found = {}
    for share in SHARES:
        table = mix(train, synthetic, share, seed=seed).drop(columns=MARK)
        areas = []
        for name in LEARNERS:
            model = learner(name, schema, target, seed)
            model.fit(table.drop(columns=target), (table[target].astype(str) == ">50K").to_numpy(dtype=bool))
            areas.append(roc_auc_score(truth, model.predict_proba(test.drop(columns=target))[:, 1]))
        found[f"{share:.0%}"] = round(float(np.mean(areas)), 4)
    return {"auc": found}
