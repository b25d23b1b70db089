"""Tables from files, in chunks: no more than one chunk of raw cells is held unless the whole is asked for."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet

from synthpriv.errors import TableError
from synthpriv.schema import AnyColumn, Categorical, Identifier, Schema
from synthpriv.schema.columns import canonical
from synthpriv.tables.formats import is_gzip, table_format
from synthpriv.tables.shape import NO_ROWS, check_names

Progress = Callable[[int], None]
ShareDone = Callable[[float], None]
_Batch = tuple[pa.RecordBatch, float]
_Read = tuple[list[str], Iterable[_Batch]]

CHUNK_ROWS = 1 << 17
MISSING_MARKS = ("NA", "N/A", "NaN", "nan", "null", "NULL", "None")

_BLOCK_BYTES = 1 << 23
_NULLABLE: dict[pa.DataType, Any] = {
    pa.bool_(): pd.BooleanDtype(),
    **{
        pa.type_for_alias(kind.lower()): pd.api.types.pandas_dtype(kind)
        for kind in ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
    },
}


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
    chunks, rows = [], 0
    for chunk, _ in _chunks(Path(path), schema, format, delimiter):
        chunks.append(chunk)
        rows += chunk.num_rows
        if progress is not None:
            progress(rows)
    return _to_frame(pa.concat_tables(chunks))


def read_chunks(
    path: str | Path,
    schema: Schema | None = None,
    *,
    format: str | None = None,
    delimiter: str = ",",
    progress: ShareDone | None = None,
) -> Iterator[pd.DataFrame]:
    """The same cells as `read_table`, at most CHUNK_ROWS rows at a time (CSV: blocks of 8 MiB).

    `progress` is called with the share of the file that is read, which unlike a number of rows is no
    property of them. A type that depends on missing cells (whole numbers beside nulls) may differ from
    chunk to chunk; the cells do not. Raises TableError, the first time before any row is yielded.
    """
    for chunk, share in _chunks(Path(path), schema, format, delimiter):
        yield _to_frame(chunk)
        if progress is not None:
            progress(share)


def _chunks(
    path: Path, schema: Schema | None, format: str | None, delimiter: str
) -> Iterator[tuple[pa.Table, float]]:
    """Chunks with rows, columns ordered and missing marks null, and the share of the file read after each."""
    kind = table_format(path, format)
    read = {"csv": _read_csv, "parquet": _read_parquet, "arrow": _read_arrow}[kind]
    if not path.is_file():
        found = "a folder" if path.is_dir() else "none"
        raise TableError(
            f"a table must be read from a file, found {found} at {str(path)!r}; correct the path."
        )
    empty = True
    try:
        names, batches = read(path, delimiter, schema)
        check_names(names, schema)
        order = list(schema.columns) if schema else names
        declared = schema.columns if schema else {}
        for batch, share in batches:
            for start in range(0, batch.num_rows, CHUNK_ROWS):
                cells = pa.Table.from_batches([batch.slice(start, CHUNK_ROWS)]).rename_columns(names)
                columns = [cells[name] for name in order]
                if kind == "csv":
                    marked = zip(columns, order, strict=True)
                    columns = [_without_marks(column, declared.get(name)) for column, name in marked]
                empty = False
                yield pa.table(columns, names=order), share
    except (OSError, EOFError, zlib.error, pa.ArrowException, csv.Error) as error:
        reason = error.strerror if isinstance(error, PermissionError) else "damaged or cut short"
        raise TableError(
            f"the file {str(path)!r} must be a readable table, found it {reason}; "
            "write it again or correct its suffix."
        ) from None
    if empty:
        raise TableError(NO_ROWS)


def _to_frame(cells: pa.Table) -> pd.DataFrame:
    return pd.DataFrame({name: _to_series(cells[name], name) for name in cells.column_names})


def _read_parquet(path: Path, delimiter: str, schema: Schema | None) -> _Read:
    file = pa.parquet.ParquetFile(path)
    return file.schema_arrow.names, _counted(file.iter_batches(CHUNK_ROWS), file.metadata.num_rows)


def _counted(batches: Iterable[pa.RecordBatch], total: int) -> Iterator[_Batch]:
    rows = 0
    for batch in batches:
        rows += batch.num_rows
        yield batch, rows / max(total, 1)


def _read_arrow(path: Path, delimiter: str, schema: Schema | None) -> _Read:
    try:
        file = pa.ipc.open_file(pa.OSFile(str(path)))
        count = file.num_record_batches
        return file.schema.names, ((file.get_batch(k), (k + 1) / count) for k in range(count))
    except pa.ArrowInvalid:
        source = pa.OSFile(str(path))
        stream = pa.ipc.open_stream(source)
        return stream.schema.names, ((batch, source.tell() / source.size()) for batch in stream)


def _read_csv(path: Path, delimiter: str, schema: Schema | None) -> _Read:
    if len(delimiter) != 1:
        raise TableError(f"the delimiter must be one character, found {delimiter!r}; pass ',' or ';'.")
    try:
        with _open_binary(path) as file:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
            records = csv.reader(_lines(text), delimiter=delimiter)
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
        raise TableError(NO_ROWS)
    return names, _csv_batches(path, delimiter, len(names), blank)


def _csv_batches(path: Path, delimiter: str, width: int, blank: int) -> Iterator[_Batch]:
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
    source = pa.OSFile(str(path))
    plain = pa.CompressedInputStream(source, "gzip") if is_gzip(path) else source
    last = None
    try:
        for batch in pa.csv.open_csv(plain, header, layout, text):
            last = batch if batch.num_rows else last
            yield batch, source.tell() / source.size()
    except pa.ArrowInvalid as error:
        if "straddling" in str(error):
            raise _too_long() from None
        if ragged:
            row, found = ragged[0]
            raise TableError(
                f"every row must have as many cells as the header, {width}, found {found} in row {row} "
                "(the header is row 1); repair the row or quote cells that hold the delimiter."
            ) from None
        raise _not_utf8(path) from None
    if last is not None and any("\n" in (column[-1].as_py() or "") for column in last.columns):
        _check_quotes(path)


def _lines(file: IO[Any]) -> Iterator[Any]:
    """The lines of a file; raises TableError for one that could fill memory, as a few packed bytes can."""
    while line := file.readline(_BLOCK_BYTES):
        if len(line) == _BLOCK_BYTES:
            raise _too_long()
        yield line


def _too_long() -> TableError:
    return TableError(
        f"a row must be shorter than {_BLOCK_BYTES >> 20} MiB, found a longer one; check that the file is a "
        "table, and that every quote is closed."
    )


def _open_binary(path: Path) -> IO[bytes]:
    return gzip.open(path) if is_gzip(path) else open(path, "rb")  # type: ignore[return-value]


def _not_utf8(path: Path) -> Exception:
    """The error that names the first byte that is not UTF-8; where there is none, the file is damaged."""
    start = 0
    with _open_binary(path) as file:
        for number, line in enumerate(_lines(file), start=1):
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
        if sum(line.count(b'"') for line in _lines(file)) % 2:
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
