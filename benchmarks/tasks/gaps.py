"""Imputation: cells of Adult emptied at random and not at random, filled in different ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - makes the import below work
from sklearn.impute import IterativeImputer, KNNImputer
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import OrdinalEncoder

from benchmarks.tasks.common import fitted, learner, numbers, positives, split, timed
from synthpriv.schema import Schema
from synthpriv.tasks.gaps import impute

SHARES = (0.1, 0.3, 0.5)
ROWS = 6_000
KNOWN = 5_000  # complete rows that the peers learn from


def measure(seed: int) -> dict[str, Any]:
    """Per kind and share of gaps and way: accuracy of lists, error of numbers, AUC after, seconds.

    Every way may learn from complete training rows: the models at epsilon 3 and without privacy, the
    imputers from 5,000 of them. Error: mean absolute, in standard deviations of the column.
    """
    schema, train, test = split("adult", seed)
    whole, rest = test.iloc[:ROWS].reset_index(drop=True), test.iloc[ROWS:]
    models = {f"mixture, epsilon {e:g}": fitted("mixture", e, train, schema) for e in (3.0, float("inf"))}
    models["autoregressive, epsilon inf"] = fitted("autoregressive", float("inf"), train, schema)
    found: dict[str, Any] = {}
    for kind in ("at random", "not at random"):
        for share in SHARES:
            gaps = emptied(whole, schema, share, kind, seed)
            table = whole.astype(object).mask(gaps)
            for way in ("mode and median", "IterativeImputer", "KNNImputer", *models):
                for method in ("likeliest", "draw") if way in models else ("likeliest",):
                    with timed() as spent:
                        filled = (
                            impute(models[way], table, method=method, seed=seed)  # type: ignore[arg-type]
                            if way in models
                            else _by_peer(way, table, train, schema, seed)
                        )
                    name = f"{way}, drawn" if method == "draw" else way
                    figures = judged(filled, whole, gaps, rest, schema, seed)
                    found.setdefault(f"{kind}, {share:.0%}", {})[name] = {**figures, "seconds": spent.seconds}
    found["real rows"] = {"whole": {"auc": judged(whole, whole, gaps, rest, schema, seed)["auc"]}}
    return found


def emptied(whole: pd.DataFrame, schema: Schema, share: float, kind: str, seed: int) -> np.ndarray:
    """Which cells are emptied; the target is kept. Not at random: large numbers and common values twice."""
    rng = np.random.default_rng(seed)
    gaps = np.zeros(whole.shape, dtype=bool)
    for at, name in enumerate(whole.columns):
        if name in schema.targets:
            continue
        chance = np.full(len(whole), share)
        if kind == "not at random":
            if name in numbers(schema):
                large = (whole[name] > whole[name].median()).to_numpy()
            else:
                large = (whole[name] == whole[name].mode()[0]).to_numpy()
            chance = np.where(large, 1.5, 0.5) * share
            chance *= share / chance.mean()
        gaps[:, at] = rng.random(len(whole)) < chance
    return gaps


def judged(
    filled: pd.DataFrame,
    whole: pd.DataFrame,
    gaps: np.ndarray,
    rest: pd.DataFrame,
    schema: Schema,
    seed: int,
) -> dict[str, float]:
    """Accuracy and error over the emptied cells, and the AUC of a model trained on the filled table."""
    right, errors = [], []
    for at, name in enumerate(whole.columns):
        rows = gaps[:, at]
        if not rows.any():
            continue
        if name in numbers(schema):
            off = (filled[name].astype(float) - whole[name].astype(float)).abs()[rows]
            errors.append(float(off.mean()) / float(whole[name].std()))
        else:
            right.append(float((filled[name].astype(str) == whole[name].astype(str))[rows].mean()))
    target = schema.targets[0]
    typed = filled.astype(dict.fromkeys(numbers(schema), float))
    model = learner("gradient boosting", schema, target, seed)
    model.fit(typed.drop(columns=target), positives(filled, schema))
    scores = model.predict_proba(rest.drop(columns=target))[:, 1]
    return {
        "accuracy": round(float(np.mean(right)), 4) if right else 1.0,
        "error": round(float(np.mean(errors)), 4) if errors else 0.0,
        "auc": round(float(roc_auc_score(positives(rest, schema), scores)), 4),
    }


def _by_peer(way: str, table: pd.DataFrame, train: pd.DataFrame, schema: Schema, seed: int) -> pd.DataFrame:
    """Imputers of scikit-learn on numbers and ordinal codes, categories rounded back."""
    of_numbers = numbers(schema)
    lists = [name for name in table if name not in of_numbers]
    known = train.sample(KNOWN, random_state=seed)
    filled = table.copy()
    if way == "mode and median":
        for name in table:
            value = known[name].median() if name in of_numbers else known[name].mode()[0]
            filled[name] = table[name].fillna(value)
        return filled
    coder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan).fit(known[lists])
    codes = coder.transform(table[lists].where(table[lists].notna(), np.nan))
    points = np.hstack([table[of_numbers].astype(float).to_numpy(), codes])
    learnt = np.hstack([known[of_numbers].astype(float).to_numpy(), coder.transform(known[lists])])
    spread = learnt.std(0)
    imputer = IterativeImputer(random_state=seed, max_iter=10) if way == "IterativeImputer" else KNNImputer()
    made = imputer.fit(learnt / spread).transform(points / spread) * spread
    for at, name in enumerate(of_numbers):
        filled[name] = np.rint(made[:, at])
    tops = [len(categories) - 1 for categories in coder.categories_]
    rounded = np.clip(np.rint(made[:, len(of_numbers) :]), 0, tops)
    filled[lists] = coder.inverse_transform(rounded)
    return filled.where(table.isna(), table)
