"""Where private rows lie as whole numbers: in memory while they are few, in a nameless scratch file beyond.

A scratch file has no name from its first moment (tempfile.TemporaryFile), so that the system itself deletes
it however the process ends: success, error, Ctrl-C, kill -9. TMPDIR chooses the disk it lies on.
"""

from __future__ import annotations

import mmap
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from synthpriv.errors import TableError
from synthpriv.evaluation.disclosed import StoredRows
from synthpriv.schema import Identifier, Schema
from synthpriv.schema.cells import hashed_cells
from synthpriv.schema.values import place, restore

Ints = npt.NDArray[np.int64]
AnyInts = npt.NDArray[np.integer[Any]]
Chunk = tuple[slice, dict[str, Ints]]

MEMORY_LIMIT = 1 << 28
_BYTES_MAPPED_PER_ROW = 1 << 16  # what the system maps around one row that is read: 16 pages


def smallest_type(size: int) -> np.dtype[Any]:
    """The smallest signed type that holds 0..size-1 and -1 for missing.

    >>> [str(smallest_type(size)) for size in (2, 128, 129, 10**6)]
    ['int8', 'int8', 'int16', 'int32']
    """
    return next(t for t in map(np.dtype, ("i1", "i2", "i4", "i8")) if size - 1 <= np.iinfo(t).max)


class ColumnStore:
    """Columns of whole numbers, appended chunk by chunk and read back chunk by chunk.

    types: every column's name and type. memory_limit: bytes held in memory; what is larger goes to a scratch
    file, of which one chunk's column at a time is read.
    """

    def __init__(self, types: Mapping[str, np.dtype[Any]], memory_limit: int = MEMORY_LIMIT) -> None:
        self.types = dict(types)
        self.rows = 0
        self._memory_limit = memory_limit
        self._starts: list[int] = []
        self._blocks: list[bytes] = []
        self._file: IO[bytes] | None = None

    @property
    def row_bytes(self) -> int:
        """The bytes of one row."""
        return sum(kind.itemsize for kind in self.types.values())

    @property
    def on_disk(self) -> bool:
        """Whether the rows lie in a scratch file."""
        return self._file is not None

    def append(self, columns: Mapping[str, AnyInts]) -> None:
        """Add a chunk of rows: every column, all of one length."""
        arrays = [np.asarray(columns[name], dtype=kind) for name, kind in self.types.items()]
        block = b"".join(array.tobytes() for array in arrays)
        self._starts.append(self.rows)
        self.rows += len(arrays[0]) if arrays else 0
        if self._file is None and self.rows * self.row_bytes > self._memory_limit:
            self._file = scratch_file(self)
            write_out(self._file, self._blocks)
            self._blocks.clear()
        if self._file is None:
            self._blocks.append(block)
        else:
            write_out(self._file, [block])

    def chunks(self, names: Iterable[str] | None = None) -> Iterator[Chunk]:
        """Every chunk in order: which rows it holds, and the named columns (None: all)."""
        wanted = list(self.types if names is None else names)
        for number, start in enumerate(self._starts):
            rows = slice(start, self._end(number))
            yield rows, {name: self._read(number, name).astype(np.int64) for name in wanted}

    def raw(self, name: str) -> Iterator[bytes]:
        """One column's bytes; the same for the same cells, however they were chunked."""
        return (self._read(number, name).tobytes() for number in range(len(self._starts)))

    def _end(self, number: int) -> int:
        return self._starts[number + 1] if number + 1 < len(self._starts) else self.rows

    def _read(self, number: int, name: str) -> AnyInts:
        start = self._starts[number]
        count = self._end(number) - start
        before = 0
        for other, kind in self.types.items():
            if other == name:
                break
            before += kind.itemsize
        kind = self.types[name]
        if self._file is None:
            return np.frombuffer(self._blocks[number], kind, count, before * count)
        self._file.seek(start * self.row_bytes + before * count)
        return np.frombuffer(self._file.read(count * kind.itemsize), kind)


def store_types(schema: Schema) -> dict[str, np.dtype[Any]]:
    """The type of each column's positions; identifiers are kept as 64-bit hashes."""
    return {
        name: np.dtype(np.int64) if isinstance(column, Identifier) else smallest_type(column.size)
        for name, column in schema.columns.items()
    }


def placed_columns(chunk: pd.DataFrame, schema: Schema) -> tuple[dict[str, Ints], dict[str, int]]:
    """A chunk of a table as the store keeps it, and how many cells of each column the public rule mapped."""
    columns, mapped = {}, {}
    for name, column in schema.columns.items():
        if isinstance(column, Identifier):
            columns[name] = hashed_cells(chunk[name]).view(np.int64)
            continue
        placed = place(chunk[name], column)
        columns[name], mapped[name] = placed.positions, int(placed.outside.sum())
    return columns, mapped


def typed_rows(store: ColumnStore, schema: Schema, wanted: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """The wanted rows with the schema's columns, order and dtypes."""
    parts: dict[str, list[Ints]] = {name: [np.zeros(0, dtype=np.int64)] for name in schema.columns}
    for chosen, columns in store.chunks():
        for name, column in columns.items():
            parts[name].append(column[wanted[chosen]])
    typed = {}
    for name, kind in schema.columns.items():
        cells = np.concatenate(parts.pop(name))
        if isinstance(kind, Identifier):
            typed[name] = pd.Series([f"{value:016x}" for value in cells.view(np.uint64)], dtype="str")
        else:
            typed[name] = restore(cells, kind, name)
    return pd.DataFrame(typed)


def stored_rows(store: ColumnStore, schema: Schema, wanted: npt.NDArray[np.bool_]) -> StoredRows:
    """The wanted rows as positions of the modelled columns, read from the store chunk by chunk."""

    def chunks() -> Iterator[dict[str, Ints]]:
        for chosen, columns in store.chunks(schema.modelled):
            yield {name: column[wanted[chosen]] for name, column in columns.items()}

    return StoredRows(rows=int(wanted.sum()), chunks=chunks)


class CodeMatrix:
    """Rows of cell codes (n, m), written once in order and then gathered by row.

    cells: the largest number of codes of a column; up to 256 a code takes one byte. A matrix beyond
    memory_limit is mapped from a scratch file, and what was mapped is let go before it exceeds the limit.
    """

    def __init__(self, rows: int, width: int, cells: int, memory_limit: int = MEMORY_LIMIT) -> None:
        self.shape = (rows, width)
        self.dtype: np.dtype[Any] = np.dtype(np.uint8 if cells <= 256 else np.int16)
        self._memory_limit = memory_limit
        self._filled = self._touched = 0
        self._file: IO[bytes] | None = None
        if rows * width * self.dtype.itemsize > memory_limit:
            self._file = scratch_file(self)
        self._codes = np.empty((0 if self._file else rows, width), dtype=self.dtype)

    def append(self, codes: AnyInts) -> None:
        """Write the next rows; the last of them makes the matrix readable."""
        start, self._filled = self._filled, self._filled + len(codes)
        if self._file is None:
            self._codes[start : self._filled] = codes
            return
        write_out(self._file, [np.ascontiguousarray(codes, dtype=self.dtype).tobytes()])
        if self._filled == self.shape[0]:
            self._codes = np.memmap(self._file, dtype=self.dtype, mode="r", shape=self.shape)

    def __getitem__(self, rows: Ints) -> AnyInts:
        """The codes of `rows` (shape (len(rows), m))."""
        self._touched += len(rows) * _BYTES_MAPPED_PER_ROW
        mapped = getattr(self._codes, "_mmap", None)
        if mapped is not None and self._touched > self._memory_limit and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)
            self._touched = 0
        chosen: AnyInts = np.asarray(self._codes[rows])
        return chosen


def scratch_file(owner: object) -> IO[bytes]:
    """A file without a name, gone with its owner or the process."""
    try:
        file = tempfile.TemporaryFile(buffering=0, prefix="synthpriv-")  # noqa: SIM115 - lives with its owner
    except OSError as error:
        raise _no_room(error) from None
    weakref.finalize(owner, file.close)
    return file


def write_out(file: IO[bytes], blocks: Iterable[bytes]) -> None:
    """Append every block whole; raises TableError where there is no room."""
    try:
        file.seek(0, 2)
        for block in blocks:
            rest = memoryview(block)
            while rest:
                rest = rest[file.write(rest) :]
    except OSError as error:
        raise _no_room(error) from None


def _no_room(error: OSError) -> TableError:
    return TableError(
        f"a table beyond the memory limit needs room for scratch files in {tempfile.gettempdir()!r}, found "
        f"{error.strerror or type(error).__name__}; set TMPDIR to a folder on a larger disk."
    )
