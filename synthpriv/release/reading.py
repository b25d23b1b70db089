"""Reading tables whose columns may differ from the schema's: to list every mismatch, or to judge them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from synthpriv.schema import Identifier, Schema
from synthpriv.tables import read_table


def read_present(path: str | Path, schema: Schema, *, format: str | None = None) -> pd.DataFrame:
    """The table as it is; where it has a column of the schema, its missing cells are those the schema sees.

    Columns that the schema does not declare are kept. Raises TableError if the file is no table.
    """
    frame = read_table(path, format=format)
    present = {name: schema.columns.get(name, Identifier(pattern=".*")) for name in frame.columns}
    if all(isinstance(column, Identifier) for column in present.values()):
        return frame
    return read_table(path, Schema(columns=present), format=format)
