"""Test data from a schema alone: inside the schema, repeatable, with edges and providers."""

from __future__ import annotations

import pandas as pd
import pytest

import synthpriv as sp
from synthpriv.errors import ConfigurationError
from synthpriv.schema.checking import check_table
from tests.unit.test_constraints import CONSTRAINTS, schema_of


def failing(table: pd.DataFrame, schema: sp.Schema) -> list[str]:
    return [m.problem for m in check_table(table, schema) if not m.problem.startswith("remark")]


def test_rows_meet_the_schema_and_its_constraints(people_schema: sp.Schema) -> None:
    for schema in (people_schema, schema_of(CONSTRAINTS)):
        made = sp.mock(schema, 400, seed=3)
        assert failing(made, schema) == []
        pd.testing.assert_frame_equal(made, sp.mock(schema, 400, seed=3))
        assert not made.equals(sp.mock(schema, 400, seed=4))
        assert len(sp.mock(schema, 0)) == 0


def test_edges_come_first_when_asked_for() -> None:
    made = sp.mock(schema_of(), 60, seed=0, edges=True)
    assert {0, 99} <= set(made["age"].dropna())
    assert made["age"].isna().any()
    assert {"low", "middle", "high"} <= set(made["grade"].head(40))
    assert {0, 100} <= set(made["paid"])
    assert failing(sp.mock(schema_of(CONSTRAINTS), 60, seed=0, edges=True), schema_of(CONSTRAINTS)) == []


def test_declared_shares_are_met() -> None:
    made = sp.mock(
        schema_of(), 3_000, seed=0, shares={"grade": {"low": 3, "high": 1}, "age": {30: 1, None: 1}}
    )
    assert (made["grade"] == "low").mean() == pytest.approx(0.75, abs=0.03)
    assert made["age"].isna().mean() == pytest.approx(0.5, abs=0.03)
    for shares, words in (({"grades": {"low": 1}}, "'grade'"), ({"grade": {"none": 1}}, "declared values")):
        with pytest.raises(ConfigurationError, match=words):
            sp.mock(schema_of(), 5, shares=shares)


def test_identifiers_may_come_from_providers() -> None:
    pytest.importorskip("faker")
    schema = sp.Schema(columns={"who": sp.Identifier(), "age": sp.Integer(lower=0, upper=9)})
    made = sp.mock(schema, 20, seed=1, providers={"who": "name"})
    assert made["who"].str.contains(" ").all()
    pd.testing.assert_frame_equal(made, sp.mock(schema, 20, seed=1, providers={"who": "name"}))
    for providers, words in (({"age": "name"}, "identifier"), ({"who": "__class__"}, "Faker's")):
        with pytest.raises(ConfigurationError, match=words):
            sp.mock(schema, 5, providers=providers)


def test_constraints_that_nothing_meets_are_told() -> None:
    schema = schema_of(["paid + owed = 7", "paid - owed = 6"])
    with pytest.raises(ConfigurationError, match="relax"):
        sp.mock(schema, 5, seed=0)
