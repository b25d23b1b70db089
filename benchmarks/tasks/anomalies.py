"""Anomaly scores: anomalies planted into Adult, and credit's defaults as a hard case."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.tasks.common import fitted, numbers, positives, split
from synthpriv.schema import Schema
from synthpriv.tasks.anomalies import score_rows

PLANTED = 200
LARGEST_GAIN = 20_000


def measure(seed: int) -> dict[str, Any]:
    """Per kind of anomaly and way: ROC AUC; of ours also how often a reason names the planted column."""
    schema, train, test = split("adult", seed)
    models = {f"mixture, epsilon {e:g}": fitted("mixture", e, train, schema) for e in (3.0, float("inf"))}
    models["autoregressive, epsilon inf"] = fitted("autoregressive", float("inf"), train, schema)
    rng = np.random.default_rng(seed)
    clean = test.iloc[: 20 * PLANTED].reset_index(drop=True)
    found: dict[str, Any] = {}
    for kind, plant in KINDS.items():
        table = clean.copy()
        rows = rng.choice(len(clean), PLANTED, replace=False)
        columns = plant(table, rows, train, rng)
        truth = np.isin(np.arange(len(table)), rows)
        for way, model in models.items():
            scores = score_rows(model, table)
            reasons = scores[["reason_1", "reason_2", "reason_3"]].to_numpy()[rows]
            named = [bool(set(own) & set(names)) for own, names in zip(reasons, columns, strict=True)]
            first = [own[0] in names for own, names in zip(reasons, columns, strict=True)]
            found.setdefault(kind, {})[way] = {
                "auc": round(float(roc_auc_score(truth, scores["score"])), 4),
                "named": round(float(np.mean(named)), 3),
                "named_first": round(float(np.mean(first)), 3),
            }
        for way, scored in _peers(train, table, schema, seed).items():
            found[kind][way] = {"auc": round(float(roc_auc_score(truth, scored)), 4)}
    found["defaults of credit"] = _defaults(seed)
    return found


def _defaults(seed: int) -> dict[str, Any]:
    schema, train, test = split("credit", seed)
    truth, target = positives(test, schema), schema.targets[0]
    hidden = test.drop(columns=target)
    scores = score_rows(fitted("mixture", float("inf"), train, schema), hidden)["score"]
    found = {"mixture, epsilon inf": {"auc": round(float(roc_auc_score(truth, scores)), 4)}}
    for way, scored in _peers(train.drop(columns=target), hidden, schema, seed).items():
        found[way] = {"auc": round(float(roc_auc_score(truth, scored)), 4)}
    return found


def swapped(table: pd.DataFrame, rows: np.ndarray, train: pd.DataFrame, rng: Any) -> list[set[str]]:
    """Two numbers of a row change places."""
    pairs = [("age", "hours_per_week"), ("age", "education_num"), ("hours_per_week", "education_num")]
    columns = []
    for row in rows:
        while True:
            one, other = pairs[rng.integers(len(pairs))]
            a, b = table.at[row, one], table.at[row, other]
            if a != b and (b if one == "age" else 17) >= 17 and (other != "education_num" or a <= 16):
                break
            one, other = "age", "hours_per_week"
            a, b = table.at[row, one], table.at[row, other]
            if b >= 17:
                break
            table.at[row, other] = b = 99
            break
        table.at[row, one], table.at[row, other] = b, a
        columns.append({one, other})
    return columns


def impossible(table: pd.DataFrame, rows: np.ndarray, train: pd.DataFrame, rng: Any) -> list[set[str]]:
    """Husbands who are women, wives who are men, and degrees with the years of others."""
    columns = []
    for row in rows:
        if rng.random() < 0.5:
            female = rng.random() < 0.5
            table.at[row, "sex"] = "Female" if female else "Male"
            table.at[row, "relationship"] = "Husband" if female else "Wife"
            columns.append({"sex", "relationship"})
        else:
            years = int(table.at[row, "education_num"])
            table.at[row, "education_num"] = int(rng.choice([y for y in range(1, 17) if abs(y - years) > 2]))
            columns.append({"education", "education_num"})
    return columns


def extreme(table: pd.DataFrame, rows: np.ndarray, train: pd.DataFrame, rng: Any) -> list[set[str]]:
    """Values at the far end of a number's range, where hardly any real row is."""
    columns = []
    for row in rows:
        name = str(rng.choice(["age", "hours_per_week", "capital_gain", "capital_loss"]))
        ends = {
            "age": rng.integers(85, 91),
            "hours_per_week": rng.choice([1, 2, 3, 97, 98, 99]),
            "capital_gain": rng.integers(LARGEST_GAIN, 99_999),
            "capital_loss": rng.integers(3_000, 4_300),
        }
        table.at[row, name] = int(ends[name])
        columns.append({name})
    return columns


KINDS = {"swapped numbers": swapped, "impossible pairs": impossible, "extreme values": extreme}


def _peers(train: pd.DataFrame, table: pd.DataFrame, schema: Schema, seed: int) -> dict[str, np.ndarray]:
    """Scores of an isolation forest and of a plain autoencoder's reconstruction error."""
    of_numbers = [name for name in numbers(schema) if name in train]
    lists = [name for name in train if name in schema.modelled and name not in of_numbers]
    coder = ColumnTransformer(
        [
            ("numbers", StandardScaler(), of_numbers),
            ("lists", OneHotEncoder(handle_unknown="ignore", sparse_output=False), lists),
        ]
    ).fit(train)
    known, asked = coder.transform(train.sample(10_000, random_state=seed)), coder.transform(table)
    forest = IsolationForest(n_estimators=300, random_state=seed).fit(known)
    coded = MLPRegressor(
        hidden_layer_sizes=(64, 12, 64), random_state=seed, max_iter=60, early_stopping=True
    ).fit(known, known)
    return {
        "IsolationForest": -forest.score_samples(asked),
        "autoencoder": ((coded.predict(asked) - asked) ** 2).sum(1),
    }
