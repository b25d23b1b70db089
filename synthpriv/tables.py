"""Tables in and out of files (CSV, Parquet, Arrow), cell by cell as the schema reads them.

No message here holds a cell: a table is private, its column names and its number of columns are not.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import os
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Literal, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet

from synthpriv.errors import TableError, nearest
from synthpriv.schema import AnyColumn, Categorical, DateTime, Float, Identifier, Schema
from synthpriv.schema.cells import identifier_texts
from synthpriv.schema.columns import canonical
from synthpriv.schema.values import place, restore

Format = Literal["csv", "parquet", "arrow"]
Progress = Callable[[int], None]
_Read = tuple[list[str], Iterable[pa.RecordBatch]]

SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".csv.gz": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
FORMATS: dict[str, Format] = {"csv": "csv", "parquet": "parquet", "arrow": "arrow", "feather": "arrow"}
MISSING_MARKS = ("NA", "N/A", "NaN", "nan", "null", "NULL", "None")

_NO_ROWS = "a table must have at least one row, found none; check the file or the query."
_BLOCK_BYTES = 1 << 23
_BATCH_ROWS = 1 << 17
_DATETIME_UNITS: dict[str, Literal["D", "m", "s"]] = {"D": "D", "h": "m", "min": "m", "s": "s"}
_NULLABLE: dict[pa.DataType, Any] = {
    pa.bool_(): pd.BooleanDtype(),
    **{
        pa.type_for_alias(kind.lower()): pd.api.types.pandas_dtype(kind)
        for kind in ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
    },
}


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


def read_table(
    path: str | Path,
    schema: Schema | None = None,
    *,
    format: str | None = None,
    delimiter: str = ",",
    progress: Progress | None = None,
) -> pd.DataFrame:
    """The raw cells of a file, undamaged: text from CSV, the file's own types from Parquet and Arrow.

    With a schema the columns are its columns, in its order. In CSV an empty field is missing; so is a
    usual mark (NA, NaN, null ...), unless the column is an identifier or declares it as a category.
    `progress` is called with the number of rows read so far. Cells outside the domain are kept: `conform`
    maps them. Raises TableError.
    """
    path = Path(path)
    read = {"csv": _read_csv, "parquet": _read_parquet, "arrow": _read_arrow}[table_format(path, format)]
    if not path.is_file():
        found = "a folder" if path.is_dir() else "none"
        raise TableError(
            f"a table must be read from a file, found {found} at {str(path)!r}; correct the path."
        )
    try:
        names, batches = read(path, delimiter, schema)
        _check_names(names, schema)
        read_batches = list(_watched(batches, progress))
    except (OSError, EOFError, zlib.error, pa.ArrowException, csv.Error) as error:
        reason = error.strerror if isinstance(error, PermissionError) else "damaged or cut short"
        raise TableError(
            f"the file {str(path)!r} must be a readable table, found it {reason}; "
            "write it again or correct its suffix."
        ) from None
    if not any(batch.num_rows for batch in read_batches):
        raise TableError(_NO_ROWS)
    columns = dict(zip(names, pa.Table.from_batches(read_batches).columns, strict=True))
    if table_format(path, format) == "csv":
        declared = schema.columns if schema else {}
        columns = {name: _without_marks(column, declared.get(name)) for name, column in columns.items()}
    order = list(schema.columns) if schema else names
    return pd.DataFrame({name: _to_series(columns[name], name) for name in order})


def write_table(
    frame: pd.DataFrame, path: str | Path, schema: Schema | None = None, *, format: str | None = None
) -> None:
    """Write a table whole or not at all: to a file beside `path`, which then takes its name.

    With a schema: its columns in its order, and in CSV floats with the column's decimals and moments with
    its resolution (the date alone for days). Missing is an empty field. Raises TableError.
    """
    path = Path(path)
    write = {"csv": _write_csv, "parquet": _write_parquet, "arrow": _write_arrow}[table_format(path, format)]
    _check_names(list(frame.columns), schema)
    if schema:
        frame = frame[list(schema.columns)]
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with open(partial, "xb") as file:
            write(frame, file, schema, path)
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


def check_shape(frame: pd.DataFrame, schema: Schema) -> None:
    """Raise TableError unless the table has rows and exactly the schema's columns, in any order."""
    _check_names(list(frame.columns), schema)
    if len(frame) == 0:
        raise TableError(_NO_ROWS)


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


def _check_names(names: list[Any], schema: Schema | None) -> None:
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


def _watched(batches: Iterable[pa.RecordBatch], progress: Progress | None) -> Iterator[pa.RecordBatch]:
    rows = 0
    for batch in batches:
        rows += batch.num_rows
        if progress is not None:
            progress(rows)
        yield batch


def _read_parquet(path: Path, delimiter: str, schema: Schema | None) -> _Read:
    file = pa.parquet.ParquetFile(path)
    return file.schema_arrow.names, file.iter_batches(_BATCH_ROWS)


def _read_arrow(path: Path, delimiter: str, schema: Schema | None) -> _Read:
    try:
        file = pa.ipc.open_file(pa.OSFile(str(path)))
        return file.schema.names, map(file.get_batch, range(file.num_record_batches))
    except pa.ArrowInvalid:
        stream = pa.ipc.open_stream(pa.OSFile(str(path)))
        return stream.schema.names, stream


def _read_csv(path: Path, delimiter: str, schema: Schema | None) -> _Read:
    if len(delimiter) != 1:
        raise TableError(f"the delimiter must be one character, found {delimiter!r}; pass ',' or ';'.")
    try:
        with _open_binary(path) as file:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
            records = csv.reader(text, delimiter=delimiter)
            blank = 0
            while (names := next(records, None)) == []:
                blank += 1
            first = next((record for record in records if record), None)
    except UnicodeDecodeError:
        raise _not_utf8(path) from None
    if names is None:
        return [], []
    known = schema.columns if schema else {}
    if len(names) == 1 and names[0] not in known:
        for other in ";\t|,":
            if other in names[0]:
                raise TableError(
                    f"the cells of {path.name!r} must be separated by {delimiter!r}, found one column with "
                    f"{other!r} in its name; pass delimiter={other!r}."
                )
    if first is None:
        raise TableError(_NO_ROWS)
    return names, _csv_batches(path, delimiter, len(names), blank)


def _csv_batches(path: Path, delimiter: str, width: int, blank: int) -> Iterator[pa.RecordBatch]:
    """Every cell as text; nothing is guessed. An unquoted empty field is null."""
    fields = [str(position) for position in range(width)]
    ragged: list[tuple[int, int]] = []

    def note(row: Any) -> str:
        ragged.append((row.number, row.actual_columns))
        return "error"

    layout = pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=note)
    header = pa.csv.ReadOptions(
        column_names=fields, skip_rows=blank, skip_rows_after_names=1, block_size=_BLOCK_BYTES
    )
    header.use_threads = False  # row numbers are known only when rows are read in turn
    text = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(fields, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    compression = "gzip" if _is_gzip(path) else None
    last = None
    try:
        for batch in pa.csv.open_csv(pa.input_stream(path, compression), header, layout, text):
            last = batch if batch.num_rows else last
            yield batch
    except pa.ArrowInvalid:
        if ragged:
            row, found = ragged[0]
            raise TableError(
                f"every row must have as many cells as the header, {width}, found {found} in row {row} "
                "(the header is row 1); repair the row or quote cells that hold the delimiter."
            ) from None
        raise _not_utf8(path) from None
    if last is not None and any("\n" in (column[-1].as_py() or "") for column in last.columns):
        _check_quotes(path)


def _is_gzip(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def _open_binary(path: Path) -> IO[bytes]:
    return gzip.open(path) if _is_gzip(path) else open(path, "rb")  # type: ignore[return-value]


def _not_utf8(path: Path) -> Exception:
    """The error that names the first byte that is not UTF-8; where there is none, the file is damaged."""
    start = 0
    with _open_binary(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return TableError(
                    f"a CSV file must be UTF-8 text, found another encoding at byte {start + error.start} "
                    f"(line {number}) of {path.name!r}; save it as UTF-8."
                )
            start += len(line)
    return OSError("not a CSV file")


def _check_quotes(path: Path) -> None:
    """A cut file ends inside a quoted cell, which then holds the rest of the file: refuse it."""
    with _open_binary(path) as file:
        if sum(line.count(b'"') for line in file) % 2:
            raise TableError(
                f"every quoted cell must be closed, found one open at the end of {path.name!r}; "
                "the file is cut short or a quote is not doubled."
            )


def _without_marks(cells: pa.ChunkedArray, column: AnyColumn | None) -> pa.ChunkedArray:
    """Null where a cell is blank or a missing mark, unless the column declares it or is an identifier."""
    declared = [canonical(c) for c in column.categories] if isinstance(column, Categorical) else []
    marks = ["", *([] if isinstance(column, Identifier) else MISSING_MARKS)]
    if "" in declared:
        cells = pa.compute.fill_null(cells, "")
    marked = pa.compute.is_in(pa.compute.utf8_trim_whitespace(cells), pa.array(marks))
    if declared:
        marked = pa.compute.and_not(marked, pa.compute.is_in(cells, pa.array(declared)))
    return pa.compute.if_else(marked, pa.scalar(None, pa.string()), cells)


def _to_series(cells: pa.ChunkedArray, name: str) -> pd.Series:
    """The cells with pandas' closest dtype; whole numbers and booleans beside nulls stay what they are."""
    kind = cells.type.value_type if pa.types.is_dictionary(cells.type) else cells.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise TableError(
            f"column {name!r} must hold one plain value per cell, found {kind}; drop or split it."
        )
    series: pd.Series = cells.to_pandas(
        types_mapper=_NULLABLE.get if cells.null_count else None, date_as_object=False
    )
    return series


def _write_parquet(frame: pd.DataFrame, file: IO[bytes], schema: Schema | None, path: Path) -> None:
    pa.parquet.write_table(_to_arrow(frame), file)


def _write_arrow(frame: pd.DataFrame, file: IO[bytes], schema: Schema | None, path: Path) -> None:
    table = _to_arrow(frame)
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


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


def _write_csv(frame: pd.DataFrame, file: IO[bytes], schema: Schema | None, path: Path) -> None:
    """The same table gives the same bytes, compressed or not."""
    if schema:
        frame = pd.DataFrame({name: _csv_cells(frame[name], schema.columns[name]) for name in frame.columns})
    texts = [pd.Series(frame.columns), *(frame[name] for name in frame.select_dtypes(["str", "object"]))]
    returns = any(text.astype("str").str.contains("\r", regex=False).any() for text in texts)
    quoting: Literal[0, 2] = 2 if returns else 0  # csv.QUOTE_MINIMAL (0) leaves a lone \r unquoted
    packed = gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) if _is_gzip(path) else None
    with packed or contextlib.nullcontext(file) as target:
        frame.to_csv(cast(IO[bytes], target), index=False, lineterminator="\n", quoting=quoting)


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
