"""Expressions: what they mean in rows, what they allow of a column, and how slips are told."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthpriv.errors import SchemaError
from synthpriv.schema import Boolean, Categorical, DateTime, Float, Integer
from synthpriv.schema.grammar import read_expression
from synthpriv.schema.regions import Region

COLUMNS: dict[str, Any] = {
    "age": Integer(lower=-3, upper=40, nullable=True),
    "rate": Float(lower=-1, upper=1.5, decimals=2),
    "sex": Categorical(categories=["Female", "Male"], nullable=True),
    "rooms": Categorical(categories=[1, 2, 5]),
    "member": Boolean(nullable=True),
    "from": DateTime(start="2020-01-01", end="2020-12-31", resolution="D"),
    "until": DateTime(start="2020-01-01", end="2021-12-31", resolution="h"),
    "order by": Integer(lower=0, upper=5),
}
ROW = {"age": 33, "rate": 140, "sex": 1, "rooms": 2, "member": 0, "from": 10, "until": 24 * 40, "order by": 4}


def truth(text: str, **changed: int) -> tuple[bool, bool]:
    positions = {name: np.array([place]) for name, place in {**ROW, **changed}.items()}
    yes, no = read_expression(text, COLUMNS).truth(positions, COLUMNS)
    return bool(yes[0]), bool(no[0])


@pytest.mark.parametrize(
    "text",
    [
        "age = 30",
        "age >= 30 and not age > 30",
        "29 < age <= 30",
        "age between 30 and 31",
        "2 * age - 10 = age * 1 + 20",
        "rate = 0.4",
        "-rate < -0.39",
        "sex = 'Male'",
        "'Male' = sex",
        "sex not in ('Female')",
        "rooms >= 5 and rooms in (2, 5)",
        "not member",
        "member = false",
        'until - "from" = 30',
        "\"from\" < '2020-01-12'",
        "`order by` = 4",
        "if sex = 'Female' then age < 0",
        "age = 1 or (rate > 0 and age is not missing)",
        "age != 31",
    ],
)
def test_what_is_true_of_a_row(text: str) -> None:
    assert truth(text) == (True, False)
    assert truth(f"not ({text})") == (False, True)


def test_what_is_missing_makes_unknown() -> None:
    assert truth("age > 0", age=-1) == truth("not age > 0", age=-1) == (False, False)
    assert truth("age > 0 or sex = 'Male'", age=-1) == (True, False)
    assert truth("age > 0 and sex = 'Female'", age=-1) == (False, True)
    assert truth("age is missing", age=-1) == (True, False)
    assert truth("if age > 0 then sex = 'Female'", age=-1) == (False, False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("agee > 3", "Did you mean 'age'"),
        ("sex = 'Mail'", "Did you mean 'Male'"),
        ("sex > 'Male'", "no order"),
        ("age >> 3", "'> 3'"),
        ("age > ", "its end"),
        ("age", "compare"),
        ("5 > 3", "read a column"),
        ("age > 'x'", "text 'x'"),
        ("\"from\" > 'soon'", "YYYY-MM-DD"),
        ("sex + 1 > 2", "'sex'"),
        ("age > 1e999", "finite"),
        ("", "age >= 60"),
        ("(" * 4000 + "age > 1" + ")" * 4000, "deep"),
        ("age > 1 " * 5000, "age >= 60"),
    ],
)
def test_slips_are_told(text: str, words: str) -> None:
    with pytest.raises(SchemaError, match=words):
        read_expression(text, COLUMNS)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(SchemaError):
        read_expression(text, COLUMNS)


SIGNS = st.sampled_from(["<", "<=", "=", "!=", ">", ">="])
TESTS = {
    "age": st.builds("age {} {}".format, SIGNS, st.integers(-5, 45)),
    "rate": st.builds(
        "{} * rate {} {}".format,
        st.sampled_from(["1", "0.5", "3"]),
        SIGNS,
        st.integers(-150, 200).map(lambda cents: cents / 100).filter(lambda number: number >= 0),
    ),
    "sex": st.sampled_from(["sex = 'Male'", "sex in ('Male', 'Female')", "sex is missing"]),
    "rooms": st.sampled_from(["rooms >= 2", "rooms not in (5)", "rooms between 2 and 5"]),
}


def combined(tests: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.recursive(
        tests,
        lambda inner: st.one_of(
            st.builds("not ({})".format, inner),
            st.builds("({}) and ({})".format, inner, inner),
            st.builds("({}) or ({})".format, inner, inner),
        ),
        max_leaves=5,
    )


@given(st.data(), st.sampled_from(sorted(TESTS)))
def test_regions_hold_exactly_the_positions_where_it_is_true(data: st.DataObject, name: str) -> None:
    expression = read_expression(data.draw(combined(TESTS[name])), COLUMNS)
    column = COLUMNS[name]
    positions = np.arange(-1 if column.nullable else 0, column.size)
    for region, holds in zip(
        expression.regions(column), expression.truth({name: positions}, COLUMNS), strict=True
    ):
        np.testing.assert_array_equal(region.holds(positions), holds)


masks = st.lists(st.booleans(), min_size=12, max_size=12).map(np.array)


@given(masks, masks)
def test_regions_are_sets(one: np.ndarray, other: np.ndarray) -> None:
    positions = np.arange(12)
    first, second = Region.of(one, missing=True), Region.of(other)
    np.testing.assert_array_equal(first.intersection(second).holds(positions), one & other)
    np.testing.assert_array_equal(first.union(second).holds(positions), one | other)
    assert first.union(second).missing
    assert not first.intersection(second).missing
    assert (np.diff(first.union(second).intervals.ravel()) > 0).all(), "touching intervals are one"
