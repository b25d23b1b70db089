"""Facts of the schema hold in every synthetic row, whatever the model has learnt; bad ones are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import synthpriv as sp
from synthpriv.errors import ConfigurationError, SchemaError
from synthpriv.schema.checking import check_table

YEARS = {"school": 9, "college": 13, "doctor": 20}


def schema_of(**facts: Any) -> sp.Schema:
    return sp.Schema(
        columns={
            "education": sp.Categorical(categories=list(YEARS)),
            "years": sp.Integer(lower=0, upper=20),
            "works": sp.Boolean(),
            "wage": sp.Integer(lower=0, upper=9_999, nullable=True),
        },
        facts=facts,
    )


FACTS = {
    "years": sp.Follows(by="education", values=YEARS),
    "wage": sp.MissingWhen(by="works", values=["false"]),
}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    education = pd.Series(rng.choice(list(YEARS), 1_000), dtype="str")
    works = rng.random(1_000) < 0.6
    wage = pd.Series(rng.integers(0, 9_999, 1_000)).astype("Int64").mask(~works)
    return pd.DataFrame({"education": education, "years": education.map(YEARS), "works": works, "wage": wage})


@pytest.mark.parametrize("kind", [sp.IndependentSynthesizer, sp.MixtureSynthesizer])
def test_no_synthetic_row_breaks_a_fact(kind: Any, table: pd.DataFrame) -> None:
    """Even columns drawn independently keep them; without the declaration they do not."""
    config = kind(epsilon=1.0, delta=1e-5)
    made = config.fit(table, schema_of(**FACTS)).sample(3_000, seed=0)
    assert (made["years"] == made["education"].map(YEARS)).all()
    assert (made["wage"].isna() == ~made["works"]).all()
    assert made["wage"].dropna().nunique() > 100
    if kind is sp.IndependentSynthesizer:
        free = config.fit(table, schema_of()).sample(3_000, seed=0)
        assert (free["years"] != free["education"].map(YEARS)).any()
        assert (free["wage"].isna() != ~free["works"]).any()


def test_conditions_go_through_facts(table: pd.DataFrame) -> None:
    fitted = sp.MixtureSynthesizer(epsilon=1.0, delta=1e-5, steps=20).fit(table, schema_of(**FACTS))
    doctors = fitted.sample(200, seed=1, conditions={"education": "doctor", "works": False})
    assert (doctors["years"] == 20).all()
    assert doctors["wage"].isna().all()
    nine = fitted.sample(200, seed=1, conditions={"years": [9, 20], "wage": None})
    assert set(nine["years"]) == {9, 20}
    assert (nine["years"] == nine["education"].map(YEARS)).all()
    assert not nine["works"].any()
    paid = fitted.sample(200, seed=1, conditions="wage > 4000 and wage <= 6000")
    assert paid["works"].all()
    assert paid["wage"].between(4001, 6000).all()
    with pytest.raises(ConfigurationError, match="'education'"):
        fitted.sample(10, conditions={"years": 9, "education": "doctor"})


def test_facts_survive_toml_and_a_saved_synthesizer(table: pd.DataFrame, tmp_path: Path) -> None:
    schema = schema_of(**FACTS)
    schema.write(tmp_path / "schema.toml")
    assert sp.Schema.read(tmp_path / "schema.toml") == schema
    sp.IndependentSynthesizer(epsilon=1.0, delta=1e-5).fit(table, schema).save(tmp_path / "model")
    made = sp.load(tmp_path / "model").sample(500, seed=0)
    assert (made["years"] == made["education"].map(YEARS)).all()


def test_checking_counts_the_rows_that_break_a_fact(table: pd.DataFrame) -> None:
    assert check_table(table, schema_of(**FACTS)) == []
    wrong = table.copy()
    wrong.loc[:4, "years"] = 1
    [found] = check_table(wrong, schema_of(**FACTS))
    assert (found.column, found.rows) == ("years", 5)
    assert "education" in found.problem


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"years": sp.Follows(by="education", values={"school": 9})}, "college"),
        ({"years": sp.Follows(by="education", values={**YEARS, "none": 0})}, "none"),
        ({"years": sp.Follows(by="education", values={**YEARS, "doctor": 99})}, "another"),
        ({"years": sp.Follows(by="wage", values={})}, "numbers"),
        ({"year": sp.Follows(by="education", values=YEARS)}, "'years'"),
        ({"years": sp.Follows(by="years", values={})}, "of its own"),
        ({"years": sp.MissingWhen(by="works", values=["false"])}, "nullable"),
        ({"wage": sp.MissingWhen(by="works", values=["maybe"])}, "maybe"),
        ({"wage": "works"}, "MissingWhen"),
    ],
)
def test_a_fact_that_cannot_hold_is_refused(facts: Any, words: str) -> None:
    with pytest.raises(SchemaError, match=words):
        schema_of(**facts)


@pytest.mark.parametrize("table_", [3, {"follows": "education"}, {"follows": 1, "values": {}}, {"odd": "x"}])
def test_a_schema_file_with_a_damaged_fact_is_refused(table_: Any) -> None:
    plain = schema_of().to_dict() | {"facts": {"years": table_}}
    with pytest.raises(SchemaError, match="years"):
        sp.Schema.from_dict(plain)
