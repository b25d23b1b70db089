"""A table whose last unit is the one in question, and the neighbours that differ in that unit alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

import synthpriv as sp
from synthpriv.schema import Boolean, Categorical, DateTime, Float, Identifier, Integer, Schema
from synthpriv.synthesizers.base import Synthesizer
from tests.conftest import make_people

ROWS = 397
SMALL: list[Synthesizer] = [
    sp.IndependentSynthesizer(epsilon=20.0, delta=1e-6, random_state=1),
    sp.MixtureSynthesizer(epsilon=20.0, delta=1e-6, random_state=1, components=8, steps=3),
    sp.VAESynthesizer(
        epsilon=20.0,
        delta=1e-6,
        random_state=1,
        epochs=2,
        hidden_dim=8,
        embedding_dim=2,
        components=8,
        steps=6,
        most_noise=1e9,  # or so few rows would leave the training out
    ),
    sp.CTGANSynthesizer(
        epsilon=20.0,
        delta=1e-6,
        random_state=1,
        epochs=2,
        embedding_dim=4,
        generator_dim=(8,),
        discriminator_dim=(8,),
        modes=8,
        pretraining_steps=3,
    ),
    sp.AutoregressiveSynthesizer(
        epsilon=20.0,
        delta=1e-6,
        random_state=1,
        epochs=2,
        components=8,
        steps=3,
        hidden_dim=8,
        most_noise=1e9,
    ),
]
TRAINED = SMALL[2:]
TRAININGS = {"vae": [7, 1], "ctgan": [8], "autoregressive": [8]}  # steps of each


def people_schema(max_rows: int | None = None) -> Schema:
    """Every kind of column; 'Uri' is a category that nobody has. max_rows: of one person, if several."""
    return Schema(
        columns={
            "id": Identifier(pattern=r"P[0-9]{7}"),
            "age": Integer(lower=0, upper=110),
            "city": Categorical(categories=["Basel", "Bern", "Genf", "Zug", "Uri"]),
            "member": Boolean(),
            "income": Float(lower=0, upper=200_000, decimals=2, nullable=True),
            "since": DateTime(start="2000-01-01", end="2019-12-31", resolution="D"),
            "bought": Categorical(categories=["no", "yes"]),
        },
        targets=["bought"],
        privacy_unit=None if max_rows is None else "id",
        max_rows_per_unit=max_rows or 1,
    )


def people_table() -> pd.DataFrame:
    """One row per person."""
    return make_people(ROWS)


def visits_table() -> pd.DataFrame:
    """Persons with one to five rows each; the last person's five rows come last."""
    frame = people_table()
    owner = np.sort(np.random.default_rng(5).integers(0, 150, ROWS))
    owner[-5:] = 150
    frame["id"] = [f"P{k:07d}" for k in owner]
    return frame


def _with(frame: pd.DataFrame, **values: object) -> pd.DataFrame:
    """The table with new values in its last row; a column takes another dtype where it must."""
    changed = frame.copy()
    for name, value in values.items():
        cells = changed[name].tolist()
        changed[name] = pd.Series([*cells[:-1], value], dtype=dtype_for(cells, value))
    return changed


def dtype_for(cells: list[object], value: object) -> object:
    """None where pandas can hold the cells together, else object."""
    return None if value is None or isinstance(value, type(cells[0])) else object


CHANGES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "removed": lambda t: t.iloc[:-1].reset_index(drop=True),
    "replaced": lambda t: _with(t, age=3, city="Zug", income=17.25, bought="yes"),
    "all missing": lambda t: _with(
        t, age=None, city=None, member=None, income=None, since=pd.NaT, bought=None
    ),
    "not a number": lambda t: _with(t, age=float("nan"), income=float("nan")),
    "outlier": lambda t: _with(t, age=10**9, income=1e9, since=pd.Timestamp("2250-01-01")),
    "infinite": lambda t: _with(t, age=float("-inf"), income=float("inf")),
    "rare category": lambda t: _with(t, city="Uri"),
    "unseen category": lambda t: _with(t, city="Atlantis", bought="perhaps", member="maybe"),
    "text for numbers": lambda t: _with(t, age="forty", income="12,5", since="soon"),
}
