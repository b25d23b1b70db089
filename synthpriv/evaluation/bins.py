"""Bins: the values that counted figures keep apart, fixed by the schema and the holdout for every table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthpriv.evaluation.cells import Array, Cells, is_numeric
from synthpriv.schema import AnyColumn
from synthpriv.schema.values import MISSING, restore

Codes = npt.NDArray[np.int32]
QUANTILE_BINS = 20
GROUPS = 5
LOOKUP = 1 << 16  # scales of up to so many positions find their bin by looking it up
BINS = (
    f"Bins: {QUANTILE_BINS} quantiles of the holdout for numbers and moments (equal edges merged), the "
    f"declared categories for lists, one bin for missing and one for undeclared values."
)
GROUPED_BINS = (
    f"Bins: {GROUPS} groups of quantiles of the holdout for numbers and moments, its {GROUPS - 1} most "
    f"common categories and the rest for lists, one bin for missing and one for undeclared values."
)


@dataclass(frozen=True, kw_only=True)
class Bins:
    """One column's bins: `edges` are the first position of each bin but the first (None: one bin a value).

    The last two of `labels` are the bins of undeclared and of missing values. groups: (labels,), which of at
    most GROUPS + 2 coarser bins each bin belongs to, where many columns are looked at together.
    """

    edges: Array | None
    labels: tuple[str, ...]
    groups: Codes


def holdout_bins(holdout: Cells) -> tuple[Bins, ...]:
    """The bins of every column, from the declared categories or the holdout's quantiles."""
    return tuple(
        _bins(column, holdout.positions[:, at][~holdout.outside[:, at]])
        for at, column in enumerate(holdout.columns)
    )


def bin_codes(cells: Cells, bins: Sequence[Bins]) -> Codes:
    """The bin of every cell: (rows, columns), the column's labels counted from 0."""
    codes = np.empty(cells.positions.shape, dtype=np.int32, order="F")
    for at, (one, column) in enumerate(zip(bins, cells.columns, strict=True)):
        values, outside = cells.positions[:, at], cells.outside[:, at]
        if one.edges is None:
            inner = values
        elif column.size <= LOOKUP:
            inner = np.searchsorted(one.edges, np.arange(column.size), side="right")[values]
        else:
            inner = np.searchsorted(one.edges, values, side="right")
        codes[:, at] = np.where(values == MISSING, len(one.labels) - 1, inner)
        codes[outside, at] = len(one.labels) - 2
    return codes


def group_codes(codes: Codes, bins: Sequence[Bins]) -> Codes:
    """The coarser bin of every cell, from its bin: (rows, columns)."""
    grouped = np.empty(codes.shape, dtype=np.int32, order="F")
    for at, one in enumerate(bins):
        grouped[:, at] = one.groups[codes[:, at]]
    return grouped


def _bins(column: AnyColumn, positions: Array) -> Bins:
    special = ("undeclared", "missing")
    present = positions[positions != MISSING]
    if not is_numeric(column):
        labels = restore(np.arange(column.size), column, "").astype(str).tolist()
        common = np.argsort(-np.bincount(present, minlength=column.size), kind="stable")
        rank = np.empty(column.size, dtype=np.int64)
        rank[common] = np.arange(column.size)
        return Bins(edges=None, labels=(*labels, *special), groups=_groups(np.minimum(rank, GROUPS - 1)))
    levels = np.arange(1, QUANTILE_BINS) / QUANTILE_BINS
    edges = (
        np.unique(np.quantile(present, levels, method="higher")) if len(present) else np.array([], np.int64)
    )
    edges = edges[edges > 0].astype(np.int64)
    firsts = restore(np.append(0, edges), column, "").astype(str)
    lasts = restore(np.append(edges - 1, column.size - 1), column, "").astype(str)
    names = (a if a == b else f"{a} to {b}" for a, b in zip(firsts, lasts, strict=True))
    inner = len(edges) + 1
    groups = np.arange(inner) * min(GROUPS, inner) // inner
    return Bins(edges=edges, labels=(*names, *special), groups=_groups(groups))


def _groups(inner: Array) -> Codes:
    """The groups of a column's bins, with one more for each special bin."""
    last = int(inner.max())
    return np.append(inner, [last + 1, last + 2]).astype(np.int32)
