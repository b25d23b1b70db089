"""Every mismatch of a table is listed at once, with how many rows have it."""

from __future__ import annotations

import pandas as pd

from synthpriv.schema import Boolean, Categorical, DateTime, Float, Identifier, Integer, Schema
from synthpriv.schema.checking import Mismatch, check_table

SCHEMA = Schema(
    columns={
        "id": Identifier(pattern="[0-9]{3}"),
        "age": Integer(lower=0, upper=100),
        "share": Float(lower=0, upper=1, decimals=1, nullable=True),
        "sex": Categorical(categories=["F", "M"]),
        "day": DateTime(start="2020-01-01", end="2020-12-31", resolution="D"),
        "flag": Boolean(),
    }
)
GOOD = pd.DataFrame(
    {
        "id": ["001", "002", "003"],
        "age": [1, 2, 3],
        "share": [0.1, None, 0.3],
        "sex": ["F", "M", "F"],
        "day": ["2020-01-01", "2020-02-01", "2020-03-01"],
        "flag": [True, False, True],
    }
)


def found(frame, schema=SCHEMA):
    return {(m.column, m.problem): (m.rows, m.example) for m in check_table(frame, schema)}


def test_a_good_table_has_no_mismatch():
    assert check_table(GOOD, SCHEMA) == []


def test_every_mismatch_is_found_at_once():
    bad = pd.DataFrame(
        {
            "id": ["001", "001", "x"],
            "age": [1.5, 200, None],
            "share": [0.15, 7, "x"],
            "sex": ["F", "f", None],
            "day": ["2019-01-01", "x", ""],
            "flag": ["maybe", "yes", "no"],
            "aged": [1, 2, 3],
        }
    )
    assert found(bad) == {
        ("aged", "is not declared in the schema. Did you mean 'age'?"): (3, None),
        ("id", "does not match the pattern [0-9]{3}"): (1, "x"),
        ("id", "repeats another row's identifier, but is declared unique"): (2, "001"),
        ("age", "is missing, but not declared nullable"): (1, None),
        ("age", "is outside 0..100"): (1, "200.0"),
        ("age", "is not a whole number"): (1, "1.5"),
        ("share", "is not a number"): (1, "x"),
        ("share", "is outside 0.0..1.0"): (1, "7"),
        ("share", "has more than 1 decimals (they are rounded)"): (1, "0.15"),
        ("sex", "is missing, but not declared nullable"): (1, None),
        ("sex", "is not a declared category"): (1, "f"),
        ("day", "is missing, but not declared nullable"): (1, None),
        ("day", "is not a date or time"): (1, "x"),
        ("day", "is outside 2020-01-01 00:00:00..2020-12-31 00:00:00"): (1, "2019-01-01"),
        ("flag", "is neither true nor false"): (1, "maybe"),
    }


def test_shape_mismatches():
    frame = pd.concat([GOOD, GOOD[["age"]]], axis=1).drop(columns="sex")
    assert found(frame) == {
        ("age", "is in the table more than once"): (3, None),
        ("sex", "is declared but not in the table"): (3, None),
    }
    assert {problem for _, problem in found(GOOD.iloc[:0])} == {"has no rows"}


def test_remarks_on_constant_and_missing_columns():
    problems = found(GOOD.assign(age=5, share=None))
    assert problems == {
        ("age", "remark: every row holds the same value"): (3, "5"),
        ("share", "remark: every cell is missing"): (3, None),
    }


def test_too_many_rows_of_one_unit():
    schema = Schema(columns={**SCHEMA.columns}, privacy_unit="id", max_rows_per_unit=2)
    frame = pd.concat([GOOD, GOOD.iloc[:1]], ignore_index=True)
    assert found(frame, schema) == {}
    frame = pd.concat([frame, GOOD.iloc[:1]], ignore_index=True)
    assert found(frame, schema) == {("id", "belongs to a unit with more than 2 rows"): (3, "001")}


def test_the_empty_text_may_be_a_category():
    schema = Schema(columns={"a": Categorical(categories=["", "x"])})
    frame = pd.DataFrame({"a": ["", "x", None, "y"]})
    assert found(frame, schema) == {
        ("a", "is missing, but not declared nullable"): (1, None),
        ("a", "is not a declared category"): (1, "y"),
    }


def test_a_private_example_stays_out_of_the_repr():
    mismatch = Mismatch(column="a", problem="is wrong", rows=1, example="canary")
    assert "canary" not in repr(mismatch)
