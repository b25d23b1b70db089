"""For every conformed table and every format: what was written is read back, conformed, exactly."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthpriv.schema import Identifier
from synthpriv.schema.checking import check_table
from synthpriv.schema.values import restore
from synthpriv.tables import conform, read_table, write_table
from tests.property.test_schema_property import positions, schemas, words


@st.composite
def tables(draw):
    """A schema and a table that conforms to it."""
    schema = draw(schemas())
    count = draw(st.integers(1, 6))
    cells = {}
    for name, column in schema.columns.items():
        if isinstance(column, Identifier):
            texts = st.none() | words.filter(str.strip)
            values = draw(st.lists(texts, min_size=count, max_size=count))
            cells[name] = pd.Series(values, dtype="str", name=name)
        else:
            cells[name] = restore(draw(positions(column, count)), column, name)
    return pd.DataFrame(cells), schema


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet", ".arrow"])
@given(tables())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_written_is_read_back_exactly(suffix, table):
    frame, schema = table
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"table{suffix}"
        write_table(frame, path, schema)
        read = read_table(path, schema)
    again, mapped = conform(read, schema)
    pd.testing.assert_frame_equal(again, frame)
    assert sum(mapped.values()) == 0


@given(tables())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_conformed_table_has_no_mismatch_but_in_its_identifiers(table):
    frame, schema = table
    for mismatch in check_table(frame, schema):
        remark = mismatch.problem.startswith("remark")
        assert remark or isinstance(schema.columns[mismatch.column], Identifier)
