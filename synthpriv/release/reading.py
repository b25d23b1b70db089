"""Reading tables whose columns may differ from the schema's: to list every mismatch, or to judge them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from synthpriv.progress import Report
from synthpriv.schema import Identifier, Schema
from synthpriv.tables import ShareDone, read_chunks

DRAFTED_ROWS = 500_000


def read_present(
    path: str | Path, schema: Schema, *, format: str | None = None, progress: ShareDone | None = None
) -> Iterator[pd.DataFrame]:
    """The table as it is, in chunks; in columns of the schema, missing cells are those the schema sees.

    Columns that the schema does not declare are kept. Raises TableError if the file is no table.
    """
    first = next(read_chunks(path, format=format))
    present = {name: schema.columns.get(name, Identifier(pattern=".*")) for name in first.columns}
    foreign = all(isinstance(column, Identifier) for column in present.values())
    known = None if foreign else Schema(columns=present)
    return read_chunks(path, known, format=format, progress=progress)


def draft_schema(path: str | Path, *, format: str | None = None) -> Schema:
    """A schema drafted from at most the first DRAFTED_ROWS rows; what lies beyond them, a check lists."""
    read: list[pd.DataFrame] = []
    for chunk in read_chunks(path, format=format):
        read.append(chunk)
        if sum(map(len, read)) >= DRAFTED_ROWS:
            break
    return Schema.draft(pd.concat(read, ignore_index=True).iloc[:DRAFTED_ROWS])


def judging_progress(report: Report) -> Callable[[str, float], None]:
    """What shows the judge's progress once the tables are read, which has a stage of its own."""

    def tell(stage: str, share: float) -> None:
        if stage != "reading":
            report("judging", round(100 * share), 100)

    return tell
