"""Rows that do not belong: how unlikely each is under the model, and the columns that make it so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from synthpriv.schema.values import place
from synthpriv.synthesizers.conditions import partial_positions
from synthpriv.synthesizers.fitted import FittedSynthesizer

Floats = npt.NDArray[np.float64]
TYPICAL_ROWS = 4_000
OUTSIDE = 50.0  # the surprise, in nats, of a value that the schema does not declare


def score_rows(fitted: FittedSynthesizer, table: pd.DataFrame, *, reasons: int = 3) -> pd.DataFrame:
    """How little each row of `table` belongs, and why; a row per row of `table`, with its index.

    score: the higher, the stranger: the sum of the two largest of surprise_COLUMN, which say how much less
    likely a cell is given the rest of its row than is usual for the column, in nats. An anomaly shows in a
    cell or two, and log_density, of all cells and each number's place inside its cell, drowns it in what is
    rare about everyone. reason_1..reason_K: the columns of most surprise. A missing cell is skipped. A value
    outside the schema counts as very surprising. Scores are computed on the rows that are given: internal, if
    those are private. Costs no epsilon.
    """
    names = list(fitted.encoder.codecs)
    typical = fitted.sample(TYPICAL_ROWS, seed=0)
    usual = _surprise(fitted, typical)[1].mean(0)
    density, surprise, outside = _judged(fitted, table)
    excess = surprise - usual * (surprise != 0) + OUTSIDE * outside
    largest = -np.sort(-excess, axis=1)
    found = pd.DataFrame({"score": largest[:, :2].sum(1), "log_density": density}, index=table.index)
    order = np.argsort(-excess, axis=1, kind="stable")[:, :reasons]
    for rank in range(order.shape[1]):
        found[f"reason_{rank + 1}"] = [names[at] for at in order[:, rank]]
    for at, name in enumerate(names):
        found[f"surprise_{name}"] = excess[:, at]
    return found


def _judged(fitted: FittedSynthesizer, table: pd.DataFrame) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Log-densities (rows,), surprise (rows, columns), and which cells lie outside the schema."""
    schema = fitted.schema
    emptied = table.copy()
    outside = np.zeros((len(table), len(fitted.encoder.codecs)), dtype=np.bool_)
    for at, name in enumerate(fitted.encoder.codecs):
        if name in table.columns:
            cells = table[name].reset_index(drop=True)
            outside[:, at] = place(cells, replace(schema.columns[name], nullable=True)).outside
            if outside[:, at].any():
                emptied[name] = table[name].where(~outside[:, at])
    return *_surprise(fitted, emptied), outside


def _surprise(fitted: FittedSynthesizer, table: pd.DataFrame) -> tuple[Floats, Floats]:
    """Log-densities of rows (rows,), and minus the log-probability of each cell given its row's others."""
    joint = fitted.model.joint()
    positions = partial_positions(table, fitted.schema)
    codes = fitted.encoder.encode_partial(positions)
    inside = np.column_stack(
        [
            codec.log_density_inside(positions[:, at])
            for at, codec in enumerate(fitted.encoder.codecs.values())
        ]
    )
    return joint.log_density(codes) + inside.sum(1), -(joint.log_conditionals(codes) + inside)
