"""Tables of any length, read in chunks: a random sample that fits in memory, and a way to every row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from synthpriv.errors import EvaluationError
from synthpriv.evaluation.cells import Array, Cells, EveryRow, Tables, cells_at, read_cells
from synthpriv.evaluation.disclosed import Disclosed, StoredRows
from synthpriv.schema import Schema
from synthpriv.schema.values import MISSING

Frames = pd.DataFrame | Callable[[], Iterable[pd.DataFrame]]

MOST_ROWS = 200_000
CHUNK_ROWS = 1 << 17


class Reservoir:
    """A random sample of at most `most` of the rows that pass by, in their order; all of them if they fit."""

    def __init__(self, most: int, seed: int) -> None:
        self.rows = 0
        self._most, self._rng = most, np.random.default_rng(seed)
        self._cells: list[Cells] = []
        self._keys: list[Array] = []
        self._below = 1.0

    def add(self, cells: Cells) -> None:
        """Let a chunk pass: each row draws a key, and the rows with the smallest keys stay."""
        self.rows += len(cells)
        keys = self._rng.random(len(cells))
        stay = np.flatnonzero(keys < self._below)
        self._keys.append(keys[stay])
        self._cells.append(cells if len(stay) == len(cells) else cells.take(stay))
        if sum(map(len, self._keys)) > 2 * self._most:
            self.sample()

    def sample(self) -> Cells:
        """The sample of what has passed so far."""
        keys = np.concatenate(self._keys)
        cells = replace(
            self._cells[0],
            positions=np.concatenate([part.positions for part in self._cells]),
            outside=np.concatenate([part.outside for part in self._cells]),
        )
        if len(keys) > self._most:
            stay = np.sort(np.argpartition(keys, self._most)[: self._most])
            keys, cells = keys[stay], cells.take(stay)
            self._below = float(keys.max())
        self._keys, self._cells = [keys], [cells]
        return cells


def read_tables(synthetic: Frames, real: Disclosed, seed: int) -> tuple[Tables, tuple[str, ...]]:
    """The three tables and, as sentences, what about the synthetic one does not fit the schema.

    Of each at most MOST_ROWS rows are held. Raises EvaluationError when the synthetic table or the real
    training table has no row, or the synthetic one none of the schema's modelled columns.
    """
    made, every_made, notes = _read(synthetic, real.schema, seed, "a synthetic table")
    held, every = {"synthetic": made}, {"synthetic": every_made}
    for name, frame, stored in (
        ("train", real.train, real.every_train),
        ("holdout", real.holdout, real.every_holdout),
    ):
        words = "the real training table" if name == "train" else None
        held[name], every[name], _ = _read(frame, real.schema, seed, words)
        if stored is not None:
            every[name] = _stored(stored, real.schema)
    return Tables(every=every, **held), notes


def _read(
    table: Frames, schema: Schema, seed: int, words: str | None
) -> tuple[Cells, EveryRow, tuple[str, ...]]:
    """A sample, every row, and notes; words: what the table is called if it must have a row."""
    frames = (lambda: _sliced(table)) if isinstance(table, pd.DataFrame) else table
    reservoir = Reservoir(MOST_ROWS, seed)
    outside = missing = np.zeros(len(schema.modelled), dtype=np.int64)
    notes: list[str] = []
    for frame in frames():
        cells = read_cells(frame, schema)
        notes = notes or notes_on_names(frame, schema)
        outside = outside + cells.outside.sum(axis=0)
        missing = missing + (cells.positions == MISSING).sum(axis=0)
        reservoir.add(cells)
    if words is not None and not reservoir.rows:
        raise EvaluationError(f"{words} must have at least one row, found none; sample or read more rows.")
    sample = reservoir.sample()
    for at, (name, column) in enumerate(schema.modelled.items()):
        if outside[at]:
            notes.append(
                f"Column {name!r} holds values that the schema does not declare "
                f"({outside[at] / reservoir.rows:.1%} of rows); they are counted in a bin of their own."
            )
        elif sample.delivered[at] and not column.nullable and missing[at]:
            share = missing[at] / reservoir.rows
            notes.append(f"Column {name!r} is not nullable but is missing in {share:.1%} of rows.")

    def chunks() -> Iterator[Cells]:
        return (read_cells(frame, schema) for frame in frames())

    fits = reservoir.rows == len(sample)
    every = EveryRow(rows=reservoir.rows, chunks=(lambda: iter([sample])) if fits else chunks)
    return sample, every, tuple(notes)


def _stored(stored: StoredRows, schema: Schema) -> EveryRow:
    return EveryRow(
        rows=stored.rows, chunks=lambda: (cells_at(positions, schema) for positions in stored.chunks())
    )


def _sliced(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    return (frame.iloc[start : start + CHUNK_ROWS] for start in range(0, max(len(frame), 1), CHUNK_ROWS))


def notes_on_names(table: pd.DataFrame, schema: Schema) -> list[str]:
    """What about the names of a table does not fit the schema."""
    notes = []
    lacking = [name for name in schema.modelled if name not in table.columns]
    if lacking:
        notes.append(f"The table lacks {', '.join(map(repr, lacking))}, counted as missing in every row.")
    extra = [repr(name) for name in table.columns if name not in schema.columns]
    if extra:
        notes.append(
            f"The table has columns that the schema does not declare ({', '.join(extra)}); nothing here "
            f"judges them, so drop them before a release."
        )
    twice = sorted({repr(name) for name in table.columns[table.columns.duplicated()]})
    if twice:
        notes.append(f"The table has {', '.join(twice)} more than once; the first is judged.")
    return notes
