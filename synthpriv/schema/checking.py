"""Where a table and a schema disagree: every mismatch at once, for a person who may see private rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from synthpriv.errors import nearest
from synthpriv.schema.cells import cell_texts, distinct_cells, hashed_cells, identifier_texts, read_numbers
from synthpriv.schema.columns import AnyColumn, Boolean, Categorical, DateTime, Float, Identifier, Integer
from synthpriv.schema.constraints import BrokenRows, columns_of
from synthpriv.schema.declaration import Schema
from synthpriv.schema.facts import broken
from synthpriv.schema.values import MISSING, place, restore

Mask = npt.NDArray[np.bool_]

_MISSING = "is missing, but not declared nullable"


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
    return check_chunks(lambda: [frame], schema)


def check_chunks(chunks: Callable[[], Iterable[pd.DataFrame]], schema: Schema) -> list[Mismatch]:
    """The same for a table that `chunks` reads in parts, anew with each call.

    Memory does not grow with the table, but for 8 bytes a row of an identifier that bounds its rows. The
    table is read a second time where one breaks its bound, to name an example.
    """
    names: list[Any] = []
    rows = 0
    checks: dict[str, _ColumnCheck] = {}
    facts = _RuleCheck(schema, [])
    for chunk in chunks():
        if not checks:
            names = list(chunk.columns)
            facts = _RuleCheck(schema, names)
            checks = {n: _ColumnCheck(n, c, schema) for n, c in schema.columns.items() if names.count(n) == 1}
        rows += len(chunk)
        facts.add(chunk)
        for name, check in checks.items():
            if len(chunk):
                check.add(chunk[name].reset_index(drop=True))
    found = [*_check_names(names, rows, schema), *facts.mismatches()]
    for name, check in checks.items():
        crowded = check.crowded()
        example = _first_of(chunks(), name, crowded) if len(crowded) else None
        found.extend(check.mismatches(len(crowded) and check.rows_of(crowded), example))
    return found


def _first_of(chunks: Iterable[pd.DataFrame], name: str, hashes: npt.NDArray[np.uint64]) -> str | None:
    """The first cell of the column that has one of the hashes."""
    for chunk in chunks:
        hits = np.isin(hashed_cells(_present_texts(chunk[name])), hashes)
        if hits.any():
            return str(chunk[name].iloc[int(hits.argmax())])
    return None


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


class _RuleCheck:
    """How many rows break each of the schema's facts and constraints."""

    def __init__(self, schema: Schema, names: list[Any]) -> None:
        self._columns = schema.columns
        self._facts = {n: f for n, f in schema.facts.items() if names.count(n) == names.count(f.by) == 1}
        self._rows = dict.fromkeys(self._facts, 0)
        read = {name for rule in schema.rules.values() for name in columns_of(rule)}
        read |= {each for name, fact in self._facts.items() for each in (name, fact.by)}
        self._wanted = [name for name in read if names.count(name) == 1]
        self._broken = BrokenRows(constraints=schema.rules, columns=schema.columns)

    def add(self, chunk: pd.DataFrame) -> None:
        """Count the next rows."""
        placed = {name: place(chunk[name], self._columns[name]).positions for name in self._wanted}
        self._broken.add(placed)
        for name, rows in broken(self._facts, placed, self._columns).items():
            self._rows[name] += int(rows.sum())

    def mismatches(self) -> Iterator[Mismatch]:
        """One for each fact and constraint that some row breaks."""
        for name, rows in self._rows.items():
            if rows:
                problem = f"breaks the fact that ties it to {self._facts[name].by!r}"
                yield Mismatch(column=name, problem=problem, rows=rows)
        for text, rows in self._broken.counts().items():
            if rows:
                columns = ", ".join(columns_of(self._broken.constraints[text]))
                yield Mismatch(column=columns, problem=f"breaks the constraint {text}", rows=rows)


class _ColumnCheck:
    """What is wrong with one column, gathered chunk by chunk."""

    def __init__(self, name: str, column: AnyColumn, schema: Schema) -> None:
        self._name, self._column = name, column
        self._most = schema.max_rows_per_unit if name == schema.privacy_unit else 1
        self._is_unit = name == schema.privacy_unit
        self._bounded = isinstance(column, Identifier) and (self._is_unit or column.unique)
        self._hashes = [np.zeros(0, dtype=np.uint64)]
        self._found: dict[str, tuple[int, str | None]] = {}
        self._rows = self._present = 0
        self._values: set[str | None] = set()
        self._example: str | None = None

    def add(self, cells: pd.Series) -> None:
        """Check the next cells, numbered from 0."""
        if isinstance(self._column, Identifier):
            texts = _present_texts(cells)
            missing = texts.isna().to_numpy(dtype=bool)
            matches = texts.str.fullmatch(self._column.pattern).fillna(False).to_numpy(dtype=bool)
            findings = [(f"does not match the pattern {self._column.pattern}", ~missing & ~matches)]
            if self._bounded:
                self._hashes.append(hashed_cells(texts[~missing]))
        else:
            missing, findings = _value_problems(cells, self._column)
        if not self._column.nullable:
            findings.insert(0, (_MISSING, missing))
        for problem, rows in findings:
            if rows.any():
                at = int(rows.argmax())
                count, example = self._found.get(problem, (0, None if missing[at] else str(cells.iloc[at])))
                self._found[problem] = (count + int(rows.sum()), example)
        if self._example is None and not missing.all():
            self._example = str(cells.iloc[int((~missing).argmax())])
        self._rows, self._present = self._rows + len(cells), self._present + int((~missing).sum())
        if len(self._values) < 2:
            codes, values = distinct_cells(cells)
            self._values |= set(cell_texts(values)) | ({None} if (codes < 0).any() else set())

    def crowded(self) -> npt.NDArray[np.uint64]:
        """The hashes of identifiers that own more rows than they may, sorted."""
        self._hashes = [np.sort(np.concatenate(self._hashes))]
        hashes = self._hashes[0]
        return np.unique(hashes[self._most :][hashes[self._most :] == hashes[: -self._most]])

    def rows_of(self, crowded: npt.NDArray[np.uint64]) -> int:
        """How many rows they own."""
        hashes = self._hashes[0]
        upto, below = (np.searchsorted(hashes, crowded, side=side) for side in ("right", "left"))
        return int((upto - below).sum())

    def mismatches(self, crowded: int, example: str | None) -> Iterator[Mismatch]:
        """All that was found; crowded: the rows of identifiers that own too many, and the first of them."""
        found = dict(self._found)
        if crowded and self._is_unit:
            found[f"belongs to a unit with more than {self._most} rows"] = (crowded, example)
        elif crowded:
            found["repeats another row's identifier, but is declared unique"] = (crowded, example)
        if self._rows and not self._present:
            found["remark: every cell is missing"] = (self._rows, None)
        elif self._rows > 1 and len(self._values) == 1:
            found["remark: every row holds the same value"] = (self._present, self._example)
        for problem in sorted(found, key=_MISSING.__ne__):
            rows, example = found[problem]
            yield Mismatch(column=self._name, problem=problem, rows=rows, example=example)


def _present_texts(cells: pd.Series) -> pd.Series:
    """Identifiers as text, a blank one missing."""
    texts = identifier_texts(cells)
    return texts.mask((texts.str.strip() == "").fillna(False).to_numpy(dtype=bool))


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
