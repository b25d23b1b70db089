"""Three real tables of people, each split into rows to train on, rows held out, and rows nobody has seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer

from synthpriv.schema import Categorical, Float, Schema
from synthpriv.tables import conform, read_table

DATASETS = Path(__file__).parents[2] / "datasets"
NAMES = ("adult", "credit", "cancer")
MOST_ROWS = 30_000
SHARES = (0.4, 0.2, 0.4)  # train, holdout, fresh
SEED = 0
GROUPS = {"adult": ("sex",), "credit": ("SEX",)}  # between whose values gaps are measured
# of Wisconsin Diagnostic Breast Cancer: upper bounds of mean, standard error and worst, and decimals; the
# summary that scikit-learn prints with the table, rounded up
CELLS = {
    "radius": (30.0, 3.0, 40.0, 2),
    "texture": (40.0, 5.0, 50.0, 2),
    "perimeter": (200.0, 25.0, 300.0, 1),
    "area": (3000.0, 600.0, 5000.0, 0),
    "smoothness": (0.2, 0.04, 0.3, 4),
    "compactness": (0.4, 0.2, 1.2, 3),
    "concavity": (0.5, 0.4, 1.4, 3),
    "concave points": (0.25, 0.06, 0.3, 3),
    "symmetry": (0.4, 0.1, 0.7, 3),
    "fractal dimension": (0.1, 0.04, 0.25, 4),
}


@dataclass(frozen=True, kw_only=True, repr=False)
class Rows:
    """A table in three disjoint parts; `fresh` is as long as `train` and plays a perfect synthetic table."""

    schema: Schema
    train: pd.DataFrame
    holdout: pd.DataFrame
    fresh: pd.DataFrame


def load(name: str) -> Rows:
    """One of NAMES, at most MOST_ROWS rows of it, always split alike."""
    schema, table = cancer() if name == "cancer" else _stored(name)
    order = np.random.default_rng(SEED).permutation(len(table))[:MOST_ROWS]
    train, holdout = (round(sum(SHARES[: end + 1]) * len(order)) for end in (0, 1))
    parts = (order[:train], order[train:holdout], order[holdout:])
    cut = [table.iloc[part].reset_index(drop=True) for part in parts]
    return Rows(schema=schema, train=cut[0], holdout=cut[1], fresh=cut[2])


def cancer() -> tuple[Schema, pd.DataFrame]:
    """Breast cancer (569 rows, 31 columns), which comes with scikit-learn: the judge on few rows."""
    found = load_breast_cancer(as_frame=True)
    columns: dict[str, Float | Categorical] = {}
    for cell, (mean, error, worst, decimals) in CELLS.items():
        for part, upper in ((f"mean {cell}", mean), (f"{cell} error", error), (f"worst {cell}", worst)):
            columns[part] = Float(lower=0.0, upper=upper, decimals=decimals)
    columns["diagnosis"] = Categorical(categories=["malignant", "benign"])
    schema = Schema(columns=columns, targets=("diagnosis",))
    words = found.target.map(dict(enumerate(found.target_names)))
    table, _ = conform(found.data.assign(diagnosis=words)[list(columns)], schema)
    return schema, table


def _stored(name: str) -> tuple[Schema, pd.DataFrame]:
    declared = Schema.read(DATASETS / f"{name}.toml")
    schema = replace(declared, groups=GROUPS[name])
    table, _ = conform(read_table(DATASETS / f"{name}.csv.gz", schema), schema)
    return schema, table
