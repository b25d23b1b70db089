"""Tables into files, chunk by chunk: whole or not at all."""

from __future__ import annotations

import contextlib
import gzip
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Literal, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from synthpriv.errors import TableError
from synthpriv.schema import AnyColumn, DateTime, Float, Schema
from synthpriv.tables.formats import is_gzip, table_format
from synthpriv.tables.shape import check_names

_DATETIME_UNITS: dict[str, Literal["D", "m", "s"]] = {"D": "D", "h": "m", "min": "m", "s": "s"}
_Write = Callable[[Iterator[pd.DataFrame], IO[bytes], Schema | None, Path], None]


def write_table(
    frame: pd.DataFrame, path: str | Path, schema: Schema | None = None, *, format: str | None = None
) -> None:
    """Write a table whole or not at all: to a file beside `path`, which then takes its name.

    With a schema: its columns in its order, and in CSV floats with the column's decimals and moments with
    its resolution (the date alone for days). Missing is an empty field. Raises TableError.
    """
    write_chunks([frame], path, schema, format=format)


def write_chunks(
    chunks: Iterable[pd.DataFrame],
    path: str | Path,
    schema: Schema | None = None,
    *,
    format: str | None = None,
) -> int:
    """Write a table that comes in chunks (at least one), as `write_table` does; return its number of rows.

    No more than one chunk is held. An error while a chunk is made leaves no file.
    """
    path = Path(path)
    writers: dict[str, _Write] = {"csv": _write_csv, "parquet": _write_parquet, "arrow": _write_arrow}
    write = writers[table_format(path, format)]
    rows = 0

    def checked() -> Iterator[pd.DataFrame]:
        nonlocal rows
        for chunk in chunks:
            check_names(list(chunk.columns), schema)
            rows += len(chunk)
            yield chunk[list(schema.columns)] if schema else chunk

    ready = checked()
    first = next(ready)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with open(partial, "xb") as file:
            write(_chain(first, ready), file, schema, path)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise TableError(
            f"the table must be written to a folder that exists and has room, found {str(path)!r} "
            f"({error.strerror or type(error).__name__}); choose another path."
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    return rows


def _chain(first: pd.DataFrame, rest: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    yield first
    yield from rest


def _write_parquet(
    chunks: Iterator[pd.DataFrame], file: IO[bytes], schema: Schema | None, path: Path
) -> None:
    table = _to_arrow(next(chunks))
    with pa.parquet.ParquetWriter(file, table.schema) as writer:
        writer.write_table(table)
        for chunk in chunks:
            writer.write_table(_to_arrow(chunk).cast(table.schema))


def _write_arrow(chunks: Iterator[pd.DataFrame], file: IO[bytes], schema: Schema | None, path: Path) -> None:
    table = _to_arrow(next(chunks))
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
        for chunk in chunks:
            writer.write_table(_to_arrow(chunk).cast(table.schema))


def _to_arrow(frame: pd.DataFrame) -> pa.Table:
    arrays = []
    for name in frame.columns:
        try:
            arrays.append(pa.array(frame[name], from_pandas=True))
        except (pa.ArrowException, TypeError):
            raise TableError(
                f"column {name!r} must hold values of one type, found a mixture; use conform() first."
            ) from None
    return pa.table(arrays, names=list(frame.columns))


def _write_csv(chunks: Iterator[pd.DataFrame], file: IO[bytes], schema: Schema | None, path: Path) -> None:
    """The same chunks give the same bytes, compressed or not."""
    packed = gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) if is_gzip(path) else None
    with packed or contextlib.nullcontext(file) as target:
        for position, frame in enumerate(chunks):
            _write_csv_rows(frame, cast(IO[bytes], target), schema, header=position == 0)


def _write_csv_rows(frame: pd.DataFrame, target: IO[bytes], schema: Schema | None, header: bool) -> None:
    if schema:
        frame = pd.DataFrame({name: _csv_cells(frame[name], schema.columns[name]) for name in frame.columns})
    texts = [pd.Series(frame.columns), *(frame[name] for name in frame.select_dtypes(["str", "object"]))]
    returns = any(text.astype("str").str.contains("\r", regex=False).any() for text in texts)
    quoting: Literal[0, 2] = 2 if returns else 0  # csv.QUOTE_MINIMAL (0) leaves a lone \r unquoted
    frame.to_csv(target, index=False, header=header, lineterminator="\n", quoting=quoting)


def _csv_cells(cells: pd.Series, column: AnyColumn) -> pd.Series:
    if isinstance(column, Float) and pd.api.types.is_float_dtype(cells.dtype):
        rounded = cells.round(column.decimals).clip(column.lower, column.upper)
        whole = column.decimals == 0 and (rounded.dropna() % 1 == 0).all()
        return rounded.astype("Int64") if whole else rounded
    if isinstance(column, DateTime) and cells.dtype.kind == "M":
        moments = cells.to_numpy(dtype="datetime64[s]")
        text = np.datetime_as_string(moments, unit=_DATETIME_UNITS[column.resolution])
        return pd.Series(text, index=cells.index, dtype="str").mask(np.isnat(moments))
    return cells
