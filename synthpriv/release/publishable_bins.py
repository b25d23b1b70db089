"""Bins of every column for the publishable page, made from the synthetic table, and so public."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from synthpriv.encoding.codec import ColumnCodec
from synthpriv.encoding.scores import ScoreColumn
from synthpriv.encoding.table_encoder import Codes, TableEncoder, positions_of
from synthpriv.schema import AnyColumn, Boolean, Categorical, Schema
from synthpriv.schema.values import MISSING, restore

Ints = npt.NDArray[np.int64]
Chunks = Callable[[], Iterator[pd.DataFrame]]

MOST_BINS = 12
MOST_VALUES = 16  # a column of numbers with no more values has a bin for each
LEAST_SHARE = 0.02  # of the synthetic rows, in a bin of numbers
HEAVY_SHARE = 0.1  # a single number with so many rows has a bin of its own
FEW_BINS = 4  # of a column in a pair
MOST_PAIR_CELLS = 10**7  # numbers held to compare all pairs: rows are left out where columns are many
ROWS_READ = 200_000  # rows of a sample are exchangeable: the first are as good as any


@dataclass(frozen=True, kw_only=True)
class PublicTable:
    """A synthetic table in its own bins.

    labels: of every column's bins. counts: all rows, by column and bin. codes: the bins of its first rows.
    """

    encoder: TableEncoder
    labels: tuple[tuple[str, ...], ...]
    counts: tuple[Ints, ...]
    codes: Codes
    rows: int

    @property
    def names(self) -> tuple[str, ...]:
        """The modelled columns."""
        return tuple(self.encoder.codecs)


def read_public_table(chunks: Chunks, schema: Schema) -> PublicTable:
    """Bin a synthetic table; chunks: reads it, anew with each call."""
    first = _first_positions(chunks, schema)
    codecs = {name: _codec(column, first[name]) for name, column in schema.modelled.items()}
    encoder = TableEncoder(schema=schema, codecs=codecs)
    counts, rows = [np.zeros(size, dtype=np.int64) for size in encoder.sizes], 0
    for chunk in chunks():
        codes, rows = encoder.encode_frame(chunk), rows + len(chunk)
        for at, total in enumerate(counts):
            total += np.bincount(codes[:, at], minlength=len(total))
    return PublicTable(
        encoder=encoder,
        labels=tuple(_labels(column, codecs[name]) for name, column in schema.modelled.items()),
        counts=tuple(counts),
        codes=encoder.encode(first),
        rows=rows,
    )


def few_bins(table: PublicTable, at: int) -> tuple[ScoreColumn, tuple[str, ...]]:
    """A column in at most FEW_BINS bins of about equal weight, and their labels."""
    column = list(table.encoder.schema.modelled.values())[at]
    labels, counts = table.labels[at], table.counts[at]
    inner = len(counts) - int(column.nullable)
    room = FEW_BINS - int(column.nullable)
    coarse = np.arange(len(counts))
    if len(counts) > FEW_BINS:
        if isinstance(column, Categorical | Boolean):
            ranks = np.argsort(np.argsort(-counts[:inner], kind="stable"), kind="stable")
            coarse[:inner] = np.minimum(ranks, room - 1)
        else:
            middles = np.cumsum(counts[:inner]) - counts[:inner] / 2
            parts = np.floor(room * middles / max(counts[:inner].sum(), 1)).astype(np.int64)
            coarse[:inner] = np.unique(parts, return_inverse=True)[1]
        coarse[inner:] = coarse[:inner].max() + 1
    weights: list[tuple[float, ...]] = [()] * len(table.labels)
    weights[at] = tuple(coarse.astype(float).tolist())
    edges = tuple(bin + 0.5 for bin in range(int(coarse.max())))
    shown = tuple(
        _together([labels[k] for k in np.flatnonzero(coarse == bin)], column)
        for bin in range(int(coarse.max()) + 1)
    )
    return ScoreColumn(weights=tuple(weights), edges=edges), shown


def strongest_pairs(table: PublicTable, most: int) -> list[tuple[int, int]]:
    """The pairs of columns that are furthest from independence in the synthetic table, in few bins each."""
    coarse = [few_bins(table, at)[0] for at in range(len(table.labels))]
    starts = np.cumsum([0, *(score.cells for score in coarse)])
    codes = table.codes[: MOST_PAIR_CELLS // int(starts[-1])]
    hot = np.zeros((len(codes), int(starts[-1])), dtype=np.float32)
    for score, start in zip(coarse, starts[:-1], strict=True):
        hot[np.arange(len(codes)), start + score.encode(codes)] = 1.0
    joint = hot.T @ hot / max(len(codes), 1)
    cells = np.abs(joint - np.outer(np.diag(joint), np.diag(joint)))
    apart = np.add.reduceat(np.add.reduceat(cells, starts[:-1], axis=0), starts[:-1], axis=1)
    one, other = np.triu_indices(len(coarse), 1)
    first = np.argsort(-apart[one, other], kind="stable")[:most]
    return sorted((int(one[at]), int(other[at])) for at in first)


def _first_positions(chunks: Chunks, schema: Schema) -> dict[str, Ints]:
    """The first ROWS_READ rows as positions."""
    read: list[pd.DataFrame] = []
    for chunk in chunks():
        read.append(chunk)
        if sum(map(len, read)) >= ROWS_READ:
            break
    return positions_of(pd.concat(read, ignore_index=True).iloc[:ROWS_READ], schema)


def _codec(column: AnyColumn, positions: Ints) -> ColumnCodec:
    present = positions[positions != MISSING]
    if isinstance(column, Categorical | Boolean):
        starts, cell = np.arange(column.size), _categories(column.size, present)
    else:
        starts = _starts(column.size, present)
        cell = np.arange(len(starts))
    mass = np.zeros(len(starts))
    np.add.at(mass, np.searchsorted(starts, present, side="right") - 1, 1.0)
    return ColumnCodec(
        starts=starts.astype(np.int64),
        mass=mass,
        cell=cell.astype(np.int64),
        size=column.size,
        nullable=column.nullable,
        missing=float(len(positions) - len(present)),
    )


def _categories(size: int, present: Ints) -> Ints:
    """A bin for each of the most frequent categories, in the declared order; the last for all others."""
    if size <= MOST_BINS:
        return np.arange(size)
    counts = np.bincount(present, minlength=size)
    kept = np.sort(np.argsort(-counts, kind="stable")[: MOST_BINS - 1])
    cell = np.full(size, MOST_BINS - 1)
    cell[kept] = np.arange(MOST_BINS - 1)
    return cell


def _starts(size: int, present: Ints) -> Ints:
    """The first position of every bin: equal widths and heavy single values, small bins joined."""
    if size <= MOST_VALUES:
        return np.arange(size)
    if not len(present):
        return np.zeros(1, dtype=np.int64)
    low, high = int(present.min()), int(present.max())
    width = max(1, -(-(high - low + 1) // MOST_BINS))
    values, counts = np.unique(present, return_counts=True)
    heavy = values[counts >= HEAVY_SHARE * len(present)]
    edges = np.unique([0, *range(low + width, high + 1, width), *heavy, *(heavy + 1)])
    edges = edges[edges < size]
    apart = {int(value) for value in heavy} | {int(value) + 1 for value in heavy}
    ordered = np.sort(present)
    kept = [0]
    for edge in edges[1:].tolist():
        held = np.searchsorted(ordered, edge) - np.searchsorted(ordered, kept[-1])
        if held >= LEAST_SHARE * len(present) or (edge in apart and held > 0):
            kept.append(edge)
    rest = len(ordered) - np.searchsorted(ordered, kept[-1])
    if len(kept) > 1 and rest < LEAST_SHARE * len(present) and kept[-1] not in apart:
        kept.pop()
    return np.array(kept)


def _labels(column: AnyColumn, codec: ColumnCodec) -> tuple[str, ...]:
    """What each bin of a codec is called."""
    firsts = restore(codec.starts, column, "").astype(str).tolist()
    if isinstance(column, Categorical | Boolean):
        bins = [np.flatnonzero(codec.cell == bin) for bin in range(int(codec.cell.max()) + 1)]
        members = [[firsts[k] for k in one] for one in bins]
        labels = [one[0] if len(one) == 1 else f"{len(one)} others" for one in members]
    else:
        lasts = restore(np.append(codec.starts[1:], codec.size) - 1, column, "").astype(str)
        labels = [a if a == b else f"{a} to {b}" for a, b in zip(firsts, lasts, strict=True)]
    return (*labels, "missing") if codec.nullable else tuple(labels)


def _together(labels: Sequence[str], column: AnyColumn) -> str:
    """One label for bins that were joined."""
    if len(labels) == 1:
        return labels[0]
    if isinstance(column, Categorical | Boolean):
        return "all others"
    return f"{labels[0].split(' to ')[0]} to {labels[-1].split(' to ')[-1]}"
