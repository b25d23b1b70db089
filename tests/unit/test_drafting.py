"""What a draft proposes, and that nothing in it counts as confirmed."""

from __future__ import annotations

import datetime as dt
import uuid

import numpy as np
import pandas as pd
import pytest

from synthpriv.errors import SchemaError
from synthpriv.schema import Boolean, Categorical, DateTime, Float, Identifier, Integer, Schema
from synthpriv.schema.drafting import FREE_TEXT, SAFE_EMAIL, draft_columns, draft_toml

N = 200
ROWS = np.arange(N)


def draft(name, cells):
    columns, _ = draft_columns(pd.DataFrame({name: cells}))
    return columns[name]


def text(values):
    return [str(value) for value in values]


CASES = [
    ("smoker", ["true", "False"] * 100, Boolean(confirmed=False)),
    ("smoker", ["yes", "No", None, ""] * 50, Boolean(nullable=True, confirmed=False)),
    ("smoker", pd.Series([True, None] * 100, dtype="boolean"), Boolean(nullable=True, confirmed=False)),
    ("smoker", [0, 1] * 100, Categorical(categories=(0, 1), confirmed=False)),
    ("smoker", ["0", "1"] * 100, Categorical(categories=(0, 1), confirmed=False)),
    ("is_smoker", [0, 1] * 100, Boolean(confirmed=False)),
    ("age", 17 + ROWS % 74, Integer(lower=10, upper=90, confirmed=False)),
    ("age", text(17 + ROWS % 74), Integer(lower=10, upper=90, confirmed=False)),
    ("age", [*(17.0 + ROWS % 74), None], Integer(lower=10, upper=90, nullable=True, confirmed=False)),
    ("age", [*text(17.0 + ROWS % 74), None], Integer(lower=10, upper=90, nullable=True, confirmed=False)),
    ("loss", -ROWS * 7, Integer(lower=-1400, upper=0, confirmed=False)),
    ("code", ROWS % 4, Categorical(categories=(0, 1, 2, 3), confirmed=False)),
    (
        "zip",
        [f"{k % 30:05}" for k in ROWS],
        Categorical(categories=[f"{k:05}" for k in range(30)], confirmed=False),
    ),
    ("price", [f"{k / 4:.2f}" for k in ROWS], Float(lower=0, upper=50, decimals=2, confirmed=False)),
    ("price", ROWS / 4, Float(lower=0, upper=50, decimals=2, confirmed=False)),
    ("price", ROWS * 1.0, Float(lower=0, upper=200, decimals=0, confirmed=False)),
    ("tiny", [f"{k}e-9" for k in ROWS], Float(lower=0, upper=2e-7, decimals=9, confirmed=False)),
    ("sex", ["F", "M", " M"] * 50, Categorical(categories=("F", "M"), confirmed=False)),
    ("empty", [None] * N, Categorical(categories=("unknown",), nullable=True, confirmed=False)),
    ("id", ROWS, Identifier(pattern="[0-9]{1,4}", confirmed=False)),
    ("customer_id", ROWS % 100, Identifier(pattern="[0-9]{1,3}", unique=False, confirmed=False)),
    ("ref", [f"AB{k:06}" for k in ROWS], Identifier(pattern="[A-Z]{2}[0-9]{6}", confirmed=False)),
    ("email", [f"p{k}@mail.net" for k in ROWS], Identifier(pattern=SAFE_EMAIL, confirmed=False)),
    (
        "notes",
        [f"saw the patient {'again ' * k}" for k in ROWS],
        Identifier(pattern=FREE_TEXT, confirmed=False),
    ),
]


@pytest.mark.parametrize(("name", "cells", "column"), CASES)
def test_kinds_are_detected(name, cells, column):
    assert draft(name, cells) == column


@pytest.mark.parametrize(
    ("cells", "resolution"),
    [
        (["2020-01-31", "2021-05-01"], "D"),
        (["1/31/2020", "5/1/2021"], "D"),
        (["31.01.2020", "01.05.2021"], "D"),
        (["2020-01-31T05:00", "2021-05-01T06:00Z"], "h"),
        (["2020-01-31 05:01", "2021-05-01 06:00"], "min"),
        (["2020-01-31 05:01:09", "2021-05-01 06:00:00"], "s"),
        ([dt.date(2020, 1, 31), dt.date(2021, 5, 1)], "D"),
        (pd.to_datetime(["2020-01-31 05:01", "2021-05-01 00:00"]), "min"),
    ],
)
def test_moments_are_drafted_at_the_coarsest_resolution(cells, resolution):
    end = "2021-12-31" if resolution == "D" else "2021-12-31T23:59:59"
    assert draft("seen", cells) == DateTime(
        start="2020-01-01", end=end, resolution=resolution, confirmed=False
    )


def test_a_uuid_is_an_identifier_that_matches_its_pattern():
    values = [str(uuid.UUID(int=k * 2**127 // N, version=4)) for k in range(N)]
    column = draft("uuid", values)
    assert isinstance(column, Identifier)
    assert pd.Series(values).str.fullmatch(column.pattern).all()


def test_infinite_and_huge_numbers_do_not_break_a_draft():
    for values in (
        [np.inf, 1.5, -np.inf],
        [1e300, -1e300, 0.5],
        [np.inf, np.inf],
        [1e-300, 2e-300],
        [2**63, 1],
    ):
        Schema(columns={"x": draft("x", values)})


def test_targets_are_named_or_last():
    frame = pd.DataFrame({"income": ["a", "b"], "age": [1, 2], "sex": ["F", "M"]})
    assert draft_columns(frame)[1] == ("income",)
    assert draft_columns(frame[["age", "sex"]])[1] == ("sex",)
    assert draft_columns(frame[["sex", "age"]].assign(age=[1.5, 2.5]))[1] == ()


def test_nothing_in_a_draft_is_confirmed_and_its_toml_teaches(tmp_path):
    frame = pd.DataFrame({name + str(k): list(cells)[:150] for k, (name, cells, _) in enumerate(CASES)})
    schema = Schema.draft(frame)
    assert schema.unconfirmed == tuple(frame.columns)
    toml = draft_toml(schema)
    assert toml.count("replace by public knowledge") == len(frame.columns)
    assert "free text is not synthesized" in toml
    path = tmp_path / "draft.toml"
    path.write_text(toml)
    assert Schema.read(path) == schema


def test_a_confirmed_schema_has_no_comments():
    schema = Schema(columns={"a": Integer(lower=1, upper=2)})
    assert "#" not in draft_toml(schema)


@pytest.mark.parametrize(
    "frame", [pd.DataFrame(), pd.DataFrame({"a": []}), pd.DataFrame([[1, 2]], columns=["a", "a"])]
)
def test_a_table_without_rows_or_names_is_refused(frame):
    with pytest.raises(SchemaError, match="rows and distinct column names"):
        Schema.draft(frame)
