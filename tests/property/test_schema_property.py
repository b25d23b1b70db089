"""For every schema: TOML reads back equal; for every column: place undoes restore inside the domain."""

from __future__ import annotations

import json
import tomllib
from datetime import datetime

import jsonschema
import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from synthpriv.schema import Boolean, Categorical, DateTime, Float, Identifier, Integer, Schema
from synthpriv.schema.columns import SECONDS
from synthpriv.schema.drafting import draft_columns
from synthpriv.schema.json_schema import json_schema
from synthpriv.schema.values import MISSING, place, restore

flags = st.booleans()
words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
names = words.filter(lambda name: name.strip())
whole = st.integers(-(2**53), 2**53)


@st.composite
def categoricals(draw):
    nullable = draw(flags)
    text = words.filter(bool) if nullable else words
    numbers = whole | st.floats(-1e15, 1e15, allow_nan=False)
    lists = st.lists(text, min_size=1, max_size=6, unique=True) | st.lists(
        numbers, min_size=1, max_size=6, unique_by=float
    )
    return Categorical(categories=draw(lists), nullable=nullable, confirmed=draw(flags))


@st.composite
def integers(draw):
    lower, upper = sorted((draw(whole), draw(whole)))
    return Integer(lower=lower, upper=upper, nullable=draw(flags), confirmed=draw(flags))


@st.composite
def floats(draw):
    decimals = draw(st.integers(0, 15))
    most = 2**50 * 10.0**-decimals * (1 - 1e-9)
    lower, upper = sorted(draw(st.floats(-most, most)) for _ in range(2))
    return Float(lower=lower, upper=upper, decimals=decimals, nullable=draw(flags), confirmed=draw(flags))


@st.composite
def datetimes(draw):
    resolution = draw(st.sampled_from(sorted(SECONDS)))
    first, last = sorted(draw(st.datetimes()).replace(microsecond=0) for _ in range(2))
    midnight = {"hour": 0, "minute": 0, "second": 0}
    at = {"s": {}, "min": {"second": 0}, "h": {"minute": 0, "second": 0}, "D": midnight}[resolution]
    return DateTime(
        start=first.replace(**at),
        end=last,
        resolution=resolution,
        nullable=draw(flags),
        confirmed=draw(flags),
    )


booleans = st.builds(Boolean, nullable=flags, confirmed=flags)
patterns = st.sampled_from(["[0-9]{10}", r"[A-Z]{2}\d{6}", '"\\\\[a-z]+'])
identifier_columns = st.builds(Identifier, pattern=patterns, unique=flags, nullable=flags, confirmed=flags)
modelled = categoricals() | integers() | floats() | datetimes() | booleans


@st.composite
def schemas(draw):
    columns = draw(st.dictionaries(names, modelled, min_size=1, max_size=5))
    targets = draw(st.lists(st.sampled_from(sorted(columns)), unique=True, max_size=2))
    extra = draw(
        st.dictionaries(names.filter(lambda name: name not in columns), identifier_columns, max_size=2)
    )
    unit = draw(st.sampled_from([None, *extra]))
    most = draw(st.integers(1, 9))
    listed = [name for name, column in columns.items() if column.kind in ("categorical", "boolean")]
    groups = draw(st.lists(st.sampled_from(listed), unique=True)) if listed else []
    return Schema(
        columns=columns | extra, targets=targets, groups=groups, privacy_unit=unit, max_rows_per_unit=most
    )


@st.composite
def positions(draw, column, count=None):
    """Positions inside the column's domain, its ends among them."""
    ends = st.sampled_from([0, column.size - 1])
    inside = st.integers(0, column.size - 1) | ends
    inside = inside | st.just(MISSING) if column.nullable else inside
    size = {"min_size": count or 0, "max_size": count or 20}
    return np.array(draw(st.lists(inside, **size)), dtype=np.int64)


@given(schemas())
def test_toml_reads_back_equal(schema):
    data = tomllib.loads(schema.to_toml())
    assert Schema.from_dict(data) == schema
    assert Schema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema
    jsonschema.validate(data, json_schema())


@given(st.data(), modelled)
@settings(max_examples=300)
def test_place_undoes_restore(data, column):
    chosen = data.draw(positions(column))
    values = restore(chosen, column, "x")
    placed = place(values, column)
    assert placed.positions.tolist() == chosen.tolist()
    assert not placed.outside.any()
    again = restore(placed.positions, column, "x")
    pd.testing.assert_series_equal(again, values)


@given(st.data(), modelled)
def test_place_never_leaves_the_domain_and_reads_each_cell_alone(data, column):
    cell = (
        st.none()
        | whole
        | st.floats()
        | words
        | st.booleans()
        | st.datetimes()
        | st.decimals(allow_nan=False)
    )
    cells = data.draw(st.lists(cell | st.dates() | st.lists(flags), min_size=1, max_size=6))
    together = place(pd.Series(cells, dtype=object), column)
    assert together.positions.max() < column.size
    assert together.positions.min() >= (MISSING if column.nullable else 0)
    for at, one in enumerate(cells):
        alone = place(pd.Series([one], dtype=object), column)
        assert alone.positions[0] == together.positions[at]
        assert alone.outside[0] == together.outside[at]


@given(
    st.lists(st.none() | words | whole.map(str) | st.floats().map(str) | st.datetimes().map(str), min_size=1)
)
def test_every_column_of_text_can_be_drafted(cells):
    columns, _ = draft_columns(pd.DataFrame({"x": pd.Series(cells, dtype=object)}))
    assert not columns["x"].confirmed


@given(st.lists(st.floats() | whole.map(float), min_size=1))
def test_every_column_of_numbers_is_drafted_around_its_values(cells):
    column = draft_columns(pd.DataFrame({"x": cells}))[0]["x"]
    finite = [cell for cell in cells if abs(cell) < 2**50]
    if isinstance(column, Integer | Float) and finite:
        assert column.lower <= min(finite)
        assert column.upper >= max(finite)


def test_the_strategies_reach_the_extremes():
    assert DateTime(start=datetime.min, end=datetime.max.replace(microsecond=0)).size > 2**38
