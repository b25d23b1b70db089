"""Which format a file has, by its name or by what it is said to be."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from synthpriv.errors import TableError

Format = Literal["csv", "parquet", "arrow"]

SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".csv.gz": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
FORMATS: dict[str, Format] = {"csv": "csv", "parquet": "parquet", "arrow": "arrow", "feather": "arrow"}


def table_format(path: str | Path, format: str | None = None) -> Format:
    """The format of a file: the one that is named, else the one of its suffix; raises TableError.

    >>> table_format("people.csv.gz"), table_format("people.data", "parquet")
    ('csv', 'parquet')
    """
    if format is not None:
        if format not in FORMATS:
            raise TableError(f"the format must be csv, parquet or arrow, found {format!r}; pass one of them.")
        return FORMATS[format]
    name = Path(path).name.lower()
    for suffix, known in SUFFIXES.items():
        if name.endswith(suffix):
            return known
    raise TableError(
        f"a table's file name must end in one of {', '.join(SUFFIXES)}, found {Path(path).name!r}; "
        "rename it or pass format=."
    )


def is_gzip(path: Path) -> bool:
    """Whether a CSV file is compressed."""
    return path.suffix.lower() == ".gz"
