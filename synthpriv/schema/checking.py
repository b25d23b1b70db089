"""Where a table and a schema disagree: every mismatch at once, for a person who may see private rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from synthpriv.errors import nearest
from synthpriv.schema.cells import distinct_cells, identifier_texts, read_numbers
from synthpriv.schema.columns import AnyColumn, Boolean, Categorical, DateTime, Float, Identifier, Integer
from synthpriv.schema.declaration import Schema
from synthpriv.schema.values import MISSING, place, restore

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """One way in which one column departs from the schema; all of it is computed from private rows.

    problem: public words; it starts with 'remark:' where nothing need be repaired. rows: how many rows have
    it (internal). example: the first such cell as text (internal: a private value, left out of the repr).
    """

    column: str
    problem: str
    rows: int
    example: str | None = field(default=None, repr=False)


def check_table(frame: pd.DataFrame, schema: Schema) -> list[Mismatch]:
    """Every mismatch between the table and the schema; an empty list means that they agree.

    >>> from synthpriv.schema.columns import Integer
    >>> schema = Schema(columns={"age": Integer(lower=17, upper=90)})
    >>> check_table(pd.DataFrame({"age": [17, 95, 30.5]}), schema)
    [Mismatch(column='age', problem='is outside 17..90', rows=1),
     Mismatch(column='age', problem='is not a whole number', rows=1)]
    """
    names = list(frame.columns)
    found = list(_check_names(names, len(frame), schema))
    for name, column in schema.columns.items():
        if names.count(name) == 1 and len(frame):
            found.extend(_check_column(frame[name].reset_index(drop=True), name, column, schema))
    return found


def _check_names(names: list[Any], rows: int, schema: Schema) -> Iterator[Mismatch]:
    for name in dict.fromkeys(names):
        if name not in schema.columns:
            problem = f"is not declared in the schema. {nearest(str(name), schema.columns)}"
            yield Mismatch(column=str(name), problem=problem, rows=rows)
        elif names.count(name) > 1:
            yield Mismatch(column=name, problem="is in the table more than once", rows=rows)
    for name in schema.columns:
        if name not in names:
            yield Mismatch(column=name, problem="is declared but not in the table", rows=rows)
        elif rows == 0:
            yield Mismatch(column=name, problem="has no rows", rows=0)


def _check_column(cells: pd.Series, name: str, column: AnyColumn, schema: Schema) -> Iterator[Mismatch]:
    if isinstance(column, Identifier):
        texts = identifier_texts(cells)
        missing = texts.isna().to_numpy(dtype=bool) | (texts.str.strip() == "").to_numpy(dtype=bool)
        findings = _identifier_problems(texts.mask(missing), name, column, schema)
    else:
        missing, findings = _value_problems(cells, column)
    codes, _ = distinct_cells(cells)
    if missing.all():
        findings.append(("remark: every cell is missing", missing))
    elif len(cells) > 1 and (codes == codes[0]).all():
        findings.append(("remark: every row holds the same value", ~missing))
    if not column.nullable:
        findings.insert(0, ("is missing, but not declared nullable", missing))
    for problem, rows in findings:
        if rows.any():
            example = None if missing[rows.argmax()] else str(cells.iloc[rows.argmax()])
            yield Mismatch(column=name, problem=problem, rows=int(rows.sum()), example=example)


def _value_problems(
    cells: pd.Series, column: Categorical | Boolean | Integer | Float | DateTime
) -> tuple[Mask, list[tuple[str, Mask]]]:
    """The missing cells, and the cells that the public rule maps, by what is wrong with them."""
    if isinstance(column, Categorical) and "" in column.categories:  # it cannot be nullable
        missing = cells.isna().to_numpy(dtype=bool)
        return missing, [("is not a declared category", place(cells, column).outside & ~missing)]
    placed = place(cells, replace(column, nullable=True))
    unread = (placed.positions == MISSING) & placed.outside
    missing = (placed.positions == MISSING) & ~placed.outside
    if isinstance(column, Categorical):
        return missing, [("is not a declared category", unread)]
    if isinstance(column, Boolean):
        return missing, [("is neither true nor false", unread)]
    if isinstance(column, DateTime):
        span = f"is outside {column.start}..{column.end}"
        return missing, [("is not a date or time", unread), (span, placed.outside & ~unread)]
    codes, values = distinct_cells(cells)
    numbers = np.append(read_numbers(values), np.nan)[codes]
    beyond = (numbers < column.lower) | (numbers > column.upper)
    findings = [("is not a number", unread), (f"is outside {column.lower}..{column.upper}", beyond)]
    if isinstance(column, Integer):
        findings.append(("is not a whole number", placed.outside & ~unread & ~beyond))
    else:
        written = restore(placed.positions, replace(column, nullable=True), "").to_numpy()
        excess = np.abs(np.where(beyond, np.nan, numbers) - written) > 1e-9
        findings.append((f"has more than {column.decimals} decimals (they are rounded)", excess))
    return missing, findings


def _identifier_problems(
    texts: pd.Series, name: str, column: Identifier, schema: Schema
) -> list[tuple[str, Mask]]:
    present = texts.notna().to_numpy(dtype=bool)
    matches = texts.str.fullmatch(column.pattern).fillna(False).to_numpy(dtype=bool)
    findings = [(f"does not match the pattern {column.pattern}", present & ~matches)]
    most = schema.max_rows_per_unit if name == schema.privacy_unit else 1
    if name == schema.privacy_unit:
        crowded = (texts.groupby(texts).transform("size") > most).to_numpy(dtype=bool)
        findings.append((f"belongs to a unit with more than {most} rows", crowded))
    elif column.unique:
        repeated = texts.duplicated(keep=False).to_numpy(dtype=bool) & present
        findings.append(("repeats another row's identifier, but is declared unique", repeated))
    return findings
