"""Private rows as codes and exact joint counts of them: what the door puts noise on; imported by it alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from synthpriv.encoding.scores import ScoreColumn
from synthpriv.encoding.table_encoder import Codes, TableEncoder
from synthpriv.privacy import processes
from synthpriv.privacy.column_store import CodeMatrix, ColumnStore

Ints = npt.NDArray[np.int64]


def encoded(
    store: ColumnStore, wanted: npt.NDArray[np.bool_], encoder: TableEncoder
) -> Iterator[tuple[Codes, float]]:
    """The codes of the wanted rows, chunk by chunk, and the share of the table that is done."""
    for chosen, columns in store.chunks(encoder.codecs):
        inside = wanted[chosen]
        codes = encoder.encode({name: column[inside] for name, column in columns.items()})
        yield codes, chosen.stop / max(1, store.rows)


def counted(
    store: ColumnStore,
    wanted: npt.NDArray[np.bool_],
    encoder: TableEncoder,
    groups: Sequence[tuple[int, ...]],
    report: Callable[[float], None],
    scores: Sequence[ScoreColumn] = (),
) -> list[Ints]:
    """Exact joint counts of groups of columns over this process's wanted rows; internal, to be noised.

    groups: positions of encoded columns, and beyond them of `scores`. A row falls into one cell of each.
    """
    sizes = (*encoder.sizes, *(score.cells for score in scores))
    shapes = [tuple(sizes[at] for at in group) for group in groups]
    exact = [np.zeros(math.prod(shape), dtype=np.int64) for shape in shapes]
    for codes, done in encoded(store, wanted, encoder):
        codes = np.column_stack([codes, *(score.encode(codes) for score in scores)])
        for counts, group, shape in zip(exact, groups, shapes, strict=True):
            cells = np.ravel_multi_index(tuple(codes[:, at] for at in group), shape)
            counts += np.bincount(cells, minlength=len(counts))
        report(done)
    return [counts.reshape(shape) for counts, shape in zip(exact, shapes, strict=True)]


def counted_by_all(
    store: ColumnStore,
    own: npt.NDArray[np.bool_],
    encoder: TableEncoder,
    groups: Sequence[tuple[int, ...]],
    report: Callable[[float], None],
) -> list[Ints]:
    """`counted`, over the own rows of all processes together."""
    with processes.team().together():
        exact = counted(store, own, encoder, groups, report)
    return [processes.team().sum(counts.ravel()).reshape(counts.shape) for counts in exact]


def empty_codes(
    rows: int, encoder: TableEncoder, derived: Callable[[Codes], Codes] | None, memory_limit: int
) -> CodeMatrix:
    """Room for the codes of a process's own rows, and for what is derived from each."""
    width = len(encoder.sizes)
    if derived is None:
        return CodeMatrix(rows, width, max(encoder.sizes, default=0), memory_limit)
    further = derived(np.zeros((0, width), dtype=np.int16)).shape[1]
    return CodeMatrix(rows, width + further, np.iinfo(np.int16).max, memory_limit)
