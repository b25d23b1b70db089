"""The encoder for any column and any released counts: codes and values are inverse up to the cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthpriv.encoding.codec import ColumnCodec, build_codec, check_codec
from synthpriv.encoding.partition import (
    LeafHistogram,
    children,
    first_histogram,
    first_partition,
    heavy_leaves,
    project,
    refine,
    rounds_needed,
)
from synthpriv.encoding.roundness import classes_of, fit_roundness
from synthpriv.schema import AnyColumn, Boolean, Categorical, DateTime, Float, Integer
from synthpriv.schema.values import place, restore

COLUMNS = st.one_of(
    st.builds(
        lambda count, nullable: Categorical(categories=[f"c{k}" for k in range(count)], nullable=nullable),
        st.integers(1, 60),
        st.booleans(),
    ),
    st.builds(Boolean, nullable=st.booleans()),
    st.builds(
        lambda low, span, nullable: Integer(lower=low, upper=low + span, nullable=nullable),
        st.integers(-(10**6), 10**6),
        st.integers(0, 10**7),
        st.booleans(),
    ),
    st.builds(
        lambda low, span, decimals, nullable: Float(
            lower=low, upper=low + span, decimals=decimals, nullable=nullable
        ),
        st.integers(-1000, 1000),
        st.integers(0, 10**4),
        st.integers(0, 3),
        st.booleans(),
    ),
    st.just(DateTime(start="2001-01-01", end="2020-06-30", resolution="h")),
)


def learnt(column: AnyColumn, seed: int, noise: float, rows: int) -> tuple[ColumnCodec, LeafHistogram]:
    """A codec from counts that may be anything at all."""
    rng = np.random.default_rng(seed)
    partition = first_partition(column)

    def counts(cells: int) -> Any:
        shape = rng.dirichlet(np.full(cells, 0.2)) * rows
        return np.rint(shape + rng.normal(0, noise, cells)).astype(np.int64)

    histogram = first_histogram(partition, counts(partition.cells), float(rows), noise)
    for _ in range(rounds_needed(column) - 1):
        heavy = heavy_leaves(histogram, noise, float(rows))
        if not heavy.any():
            break
        finer = children(histogram, heavy)
        histogram = refine(histogram, heavy, finer, counts(finer.cells), noise)
    classes = classes_of(column)
    roundness = None if classes is None else fit_roundness(classes, histogram, counts(classes.cells), noise)
    return build_codec(column, histogram, roundness=roundness), histogram


@settings(max_examples=120, deadline=None)
@given(
    column=COLUMNS,
    seed=st.integers(0, 10**6),
    noise=st.sampled_from([0.1, 20.0, 3000.0]),
    rows=st.integers(1, 10**5),
)
def test_codes_and_values_are_inverse_up_to_the_cell(
    column: AnyColumn, seed: int, noise: float, rows: int
) -> None:
    codec, histogram = learnt(column, seed, noise, rows)
    check_codec("x", column, codec)
    assert histogram.mass.min() >= 0
    assert histogram.mass.sum() + histogram.missing == pytest.approx(rows, rel=1e-6)
    assert codec.shares.sum() == pytest.approx(1.0)
    assert codec.shares.min() > 0
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, codec.cells, 200)
    positions = codec.decode(codes, rng)
    assert (codec.encode(positions) == codes).all()
    assert positions.max() < column.size
    values = restore(positions, column, "x")
    again = place(values, column)
    assert not again.outside.any()
    assert (again.positions == positions).all()
    if not isinstance(column, Categorical | Boolean):
        assert codec.cells <= 32
    assert ColumnCodec.from_dict(codec.to_dict()).cells == codec.cells


@settings(max_examples=100, deadline=None)
@given(
    column=COLUMNS,
    cells=st.lists(st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=5)), max_size=20),
)
def test_any_cell_at_all_has_a_code(column: AnyColumn, cells: list[Any]) -> None:
    codec, _ = learnt(column, 0, 20.0, 1000)
    placed = place(pd.Series(cells, dtype=object), column)
    codes = codec.encode(placed.positions)
    assert ((codes >= 0) & (codes < codec.cells)).all()


@given(counts=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), total=st.floats(1e-3, 1e7))
def test_projection_lies_on_the_simplex_and_keeps_the_order(counts: list[float], total: float) -> None:
    values = np.array(counts)
    found = project(values, total)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(total, rel=1e-6)
    assert (np.diff(found[np.argsort(values)]) >= -1e-9).all()
