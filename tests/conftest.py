"""What many tests need: small public tables, their schemas, and noise that a test can replay."""

from __future__ import annotations

import os

# two test workers on two cores: threads that spin for each other's cores make everything ten times slower
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthpriv.schema import Boolean, Categorical, DateTime, Float, Identifier, Integer, Schema

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def adult_schema() -> Schema:
    return Schema.read(ROOT / "datasets" / "adult.toml")


@pytest.fixture(scope="session")
def adult() -> pd.DataFrame:
    return pd.read_csv(ROOT / "datasets" / "adult.csv.gz", keep_default_na=False)


@pytest.fixture(scope="session")
def people_schema() -> Schema:
    """Every kind of column once."""
    return Schema(
        columns={
            "id": Identifier(pattern=r"P[0-9]{7}"),
            "age": Integer(lower=0, upper=110),
            "city": Categorical(categories=["Basel", "Bern", "Genf", "Zug"]),
            "member": Boolean(),
            "income": Float(lower=0, upper=200_000, decimals=2, nullable=True),
            "since": DateTime(start="2000-01-01", end="2019-12-31", resolution="D"),
            "bought": Categorical(categories=["no", "yes"]),
        },
        targets=["bought"],
    )


def make_people(rows: int, seed: int = 0) -> pd.DataFrame:
    """A table with structure: income grows with age, members buy more, young people lack an income."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 90, rows)
    member = rng.random(rows) < 0.4
    income = np.round(np.where(age < 22, np.nan, age * 900 + rng.normal(0, 9000, rows).clip(-15000)), 2)
    days = rng.integers(0, 7000, rows)
    return pd.DataFrame(
        {
            "id": [f"P{k:07d}" for k in range(rows)],
            "age": age,
            "city": rng.choice(["Basel", "Bern", "Genf", "Zug"], rows, p=[0.4, 0.3, 0.2, 0.1]),
            "member": member,
            "income": income,
            "since": pd.Timestamp("2000-01-01") + pd.to_timedelta(days, unit="D"),
            "bought": np.where(rng.random(rows) < 0.15 + 0.5 * member, "yes", "no"),
        }
    )


@pytest.fixture(scope="session")
def people() -> pd.DataFrame:
    return make_people(2000)


class Replayed:
    """Noise and masks from a seed, for tests only: the same for two neighbouring tables."""

    def __init__(self, seed: int = 0, scale: float = 1.0) -> None:
        self.rng = np.random.default_rng(seed)
        self.scale = scale

    def gaussian(self, shape: Any, scale: float, dtype: Any = "float64") -> Any:
        return (self.rng.normal(0.0, 1.0, shape) * scale * self.scale).astype(dtype)

    def bernoulli_rows(self, rows: int, rate: float) -> Any:
        return np.flatnonzero(self.rng.random(rows) < rate)

    def permutation(self, rows: int) -> Any:
        return self.rng.permutation(rows)

    def discrete_gaussian(self, shape: Any, scale: float) -> Any:
        return np.rint(self.rng.normal(0.0, 1.0, shape) * scale * self.scale).astype(np.int64)

    def discrete_laplace(self, scale: float) -> int:
        return round(self.rng.laplace(0.0, 1.0) * scale * self.scale)
