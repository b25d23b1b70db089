"""The shape of a table: its columns by name, and its cells as the schema types them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from synthpriv.errors import TableError, nearest
from synthpriv.schema import Identifier, Schema
from synthpriv.schema.cells import identifier_texts
from synthpriv.schema.values import place, restore

NO_ROWS = "a table must have at least one row, found none; check the file or the query."


def check_shape(frame: pd.DataFrame, schema: Schema) -> None:
    """Raise TableError unless the table has rows and exactly the schema's columns, in any order."""
    check_names(list(frame.columns), schema)
    if len(frame) == 0:
        raise TableError(NO_ROWS)


def conform(frame: pd.DataFrame, schema: Schema) -> tuple[pd.DataFrame, dict[str, int]]:
    """The table with the schema's columns, order and dtypes, and per column how many cells were mapped.

    Cells outside the domain are mapped by the public rule of `schema.values`. The counts are internal:
    they are computed from private rows. Identifiers become text and are never mapped.
    """
    check_shape(frame, schema)
    typed: dict[str, pd.Series] = {}
    mapped: dict[str, int] = {}
    for name, column in schema.columns.items():
        if isinstance(column, Identifier):
            typed[name], mapped[name] = identifier_texts(frame[name]), 0
        else:
            placed = place(frame[name], column)
            typed[name] = restore(placed.positions, column, name)
            mapped[name] = int(placed.outside.sum())
    return pd.DataFrame(typed), mapped


def check_names(names: list[Any], schema: Schema | None) -> None:
    """Raise TableError unless every column has a name of its own, and they are exactly the schema's."""
    if not names:
        raise TableError("a table must have at least one column, found none; check the file or the query.")
    for place_in_row, name in enumerate(names, start=1):
        if not isinstance(name, str) or not name.strip():
            raise TableError(
                f"every column must have a name, found {name!r} for column {place_in_row}; "
                "name it (a saved index? write the table without its index)."
            )
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise TableError(f"column names must differ from each other, found {twice!r} twice; rename one.")
    if schema is None:
        return
    for name in names:
        if name not in schema.columns:
            raise TableError(
                f"every column must be declared in the schema, found {name!r}; declare or drop it. "
                f"{nearest(name, schema.columns)}"
            )
    lacking = [name for name in schema.columns if name not in names]
    if lacking:
        raise TableError(
            "the table must have every column of the schema, found none named "
            f"{', '.join(map(repr, lacking))}; add it or remove it from the schema."
        )
