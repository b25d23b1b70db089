"""What the parts share: real tables, fitted models, and learners that are tested on real rows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from benchmarks.utility.run import split
from synthpriv.schema import Boolean, Categorical, Schema
from synthpriv.synthesizers.fitted import FittedSynthesizer
from synthpriv.synthesizers.storage import SYNTHESIZERS

__all__ = ["LEARNERS", "fitted", "learner", "numbers", "positives", "split", "timed"]

LEARNERS = ("logistic regression", "random forest", "gradient boosting")
POSITIVE = {"adult": ">50K", "credit": "yes"}


def fitted(kind: str, epsilon: float, table: pd.DataFrame, schema: Schema) -> FittedSynthesizer:
    """A synthesizer of that kind on the whole table, whose row count is public here."""
    config = SYNTHESIZERS[kind](epsilon=epsilon, delta=1e-5, random_state=0)
    return config.fit(table, schema, rows=len(table))


def numbers(schema: Schema) -> list[str]:
    """The columns that are numbers."""
    return [name for name, one in schema.modelled.items() if not isinstance(one, Categorical | Boolean)]


def learner(name: str, schema: Schema, target: str, seed: int = 0, **options: Any) -> Pipeline:
    """An untrained model on raw columns."""
    of_numbers = [one for one in numbers(schema) if one != target]
    of_lists = [one for one in schema.modelled if one not in of_numbers and one != target]
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    lists = OneHotEncoder(handle_unknown="ignore") if name == "logistic regression" else ordinal
    columns = ColumnTransformer([("numbers", StandardScaler(), of_numbers), ("lists", lists, of_lists)])
    models: Mapping[str, Any] = {
        "logistic regression": LogisticRegression(max_iter=500, **options),
        "random forest": RandomForestClassifier(100, min_samples_leaf=5, random_state=seed, **options),
        "gradient boosting": HistGradientBoostingClassifier(random_state=seed, **options),
    }
    return make_pipeline(columns, models[name])


def positives(table: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Whether the target has its rarer value."""
    values = table[schema.targets[0]].astype(str)
    return (values == values.value_counts().index[-1]).to_numpy(dtype=bool)


class timed:  # noqa: N801 - reads as a word: with timed() as spent
    """Processor seconds of a block, in `seconds`."""

    def __enter__(self) -> timed:
        self._start = time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = round(time.process_time() - self._start, 2)
