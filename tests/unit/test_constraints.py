"""Constraints: read with the schema, counted in tables, and kept by every sampler."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import synthpriv as sp
from synthpriv.errors import SchemaError
from synthpriv.evaluation.disclosed import Disclosed
from synthpriv.schema.checking import check_table

CONSTRAINTS = [
    "age >= 21",
    "discharged >= admitted",
    "if smoker then age < 70",
    "grade -> years",
    "paid + owed <= 120",
]


def schema_of(constraints: Any = ()) -> sp.Schema:
    return sp.Schema(
        columns={
            "age": sp.Integer(lower=0, upper=99, nullable=True),
            "smoker": sp.Boolean(),
            "admitted": sp.DateTime(start="2020-01-01", end="2020-12-31", resolution="D"),
            "discharged": sp.DateTime(start="2020-01-01", end="2020-12-31", resolution="D"),
            "grade": sp.Categorical(categories=["low", "middle", "high"]),
            "years": sp.Integer(lower=0, upper=20),
            "paid": sp.Integer(lower=0, upper=100),
            "owed": sp.Integer(lower=0, upper=100),
        },
        constraints=constraints,
    )


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    rows = 2_000
    age = pd.Series(rng.integers(21, 99, rows)).astype("Int64")
    admitted = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 200, rows), unit="D")
    grade = rng.choice(["low", "middle", "high"], rows)
    paid = rng.integers(0, 101, rows)
    return pd.DataFrame(
        {
            "age": age.mask(pd.Series(rng.random(rows) < 0.05)),
            "smoker": (rng.random(rows) < 0.3) & (age < 70).to_numpy(dtype=bool),
            "admitted": admitted,
            "discharged": admitted + pd.to_timedelta(rng.integers(0, 60, rows), unit="D"),
            "grade": pd.Series(grade, dtype="str"),
            "years": pd.Series(grade).map({"low": 8, "middle": 12, "high": 17}),
            "paid": paid,
            "owed": rng.integers(0, 121 - paid).clip(0, 100),
        }
    )


def broken(table: pd.DataFrame, constraints: Any = CONSTRAINTS) -> dict[str, int]:
    found = check_table(table, schema_of(constraints))
    words = "breaks the constraint "
    return {m.problem.removeprefix(words): m.rows for m in found if m.problem.startswith(words)}


def test_real_rows_that_break_a_constraint_are_counted(table: pd.DataFrame) -> None:
    assert broken(table) == {}
    damaged = table.copy()
    damaged.loc[:4, "age"] = 3
    damaged.loc[:1, "discharged"] = pd.Timestamp("2019-12-31") + pd.Timedelta(days=1)
    damaged.loc[10:12, "years"] = 1
    found = broken(damaged)
    assert found["age >= 21"] == 5
    assert found["grade -> years"] == 3
    assert set(found) <= set(CONSTRAINTS)


@pytest.mark.parametrize("kind", [sp.IndependentSynthesizer, sp.MixtureSynthesizer, sp.VAESynthesizer])
def test_no_synthetic_row_breaks_one(kind: Any, table: pd.DataFrame) -> None:
    """Without the declaration even a good model breaks them."""
    config = kind(epsilon=5.0, delta=1e-5, random_state=0)
    free = config.fit(table, schema_of()).sample(1_500, seed=0)
    assert len(broken(free)) >= 3
    fitted = config.fit(table, schema_of(CONSTRAINTS))
    assert broken(fitted.sample(1_500, seed=0)) == {}
    old = fitted.sample(200, seed=1, conditions="age > 60 and smoker")
    assert broken(old) == {}
    assert old["age"].between(61, 69).all()
    assert old["smoker"].all()


def test_one_column_determines_another_as_in_the_data(table: pd.DataFrame) -> None:
    made = sp.MixtureSynthesizer(epsilon=5.0, delta=1e-5).fit(table, schema_of(["grade -> years"]))
    pairs = made.sample(1_000, seed=0)[["grade", "years"]].drop_duplicates()
    assert dict(pairs.to_numpy()) == {"low": 8, "middle": 12, "high": 17}


@pytest.mark.parametrize(
    ("constraints", "words"),
    [
        ("age > 3", "list"),
        (["agee > 3"], "Did you mean 'age'"),
        (["paid > 300"], "leave 'paid' something"),
        (["paid >= 60", "paid <= 40"], "leave 'paid' something"),
        (["age -> paid"], "categories"),
        (["grade -> grade"], "two columns"),
        (["grade -> nothing"], "'nothing'"),
        ([3], "text such as"),
    ],
)
def test_constraints_that_cannot_be_are_refused(constraints: Any, words: str) -> None:
    with pytest.raises(SchemaError, match=words):
        schema_of(constraints)


def test_constraints_survive_toml_and_a_saved_synthesizer(table: pd.DataFrame, tmp_path: Any) -> None:
    schema = schema_of(CONSTRAINTS)
    schema.write(tmp_path / "schema.toml")
    assert sp.Schema.read(tmp_path / "schema.toml") == schema
    sp.IndependentSynthesizer(epsilon=1.0, delta=1e-5).fit(table, schema).save(tmp_path / "model")
    assert broken(sp.load(tmp_path / "model").sample(500, seed=0)) == {}


def test_the_judge_counts_rows_that_break_something(table: pd.DataFrame) -> None:
    schema = schema_of(CONSTRAINTS)
    real = disclosed(schema, table)
    good = sp.evaluate(table.head(300), real, effort="quick")
    assert good.estimates["fidelity.constraints"].value == 0.0
    damaged = table.head(300).reset_index(drop=True)
    damaged.loc[:29, "age"] = 3
    found = sp.evaluate(damaged, real, effort="quick")
    assert found.estimates["fidelity.constraints"].value == pytest.approx(0.1)
    assert any("30 synthetic rows break 'age >= 21'" in note for note in found.notes)
    free = sp.evaluate(damaged, disclosed(schema_of(), table), effort="quick")
    assert "fidelity.constraints" not in free.estimates


def disclosed(schema: sp.Schema, table: pd.DataFrame) -> Disclosed:
    return Disclosed(schema=schema, train=table.iloc[:600], holdout=table.iloc[600:900])
