"""Gaps and damage: missing cells filled in, improbable cells replaced, from the model's conditionals."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from synthpriv.errors import ConfigurationError
from synthpriv.schema import Boolean, Categorical
from synthpriv.schema.values import MISSING, place
from synthpriv.synthesizers.conditions import partial_positions
from synthpriv.synthesizers.configuration import require
from synthpriv.synthesizers.fitted import FittedSynthesizer

Method = Literal["draw", "likeliest"]


def impute(
    fitted: FittedSynthesizer, table: pd.DataFrame, *, method: Method = "draw", seed: int | None = None
) -> pd.DataFrame:
    """`table` with its missing cells filled in from the rest of each row; all other cells stay.

    method: "draw" takes each gap's value from its distribution given the row, all gaps of a row together, so
    that the filled table keeps its spread and its relations; "likeliest" takes the likeliest category and the
    median number, each gap by itself, so that single cells are closest to the truth. Post-processing.
    """
    if method not in ("draw", "likeliest"):
        raise ConfigurationError(f"method must be 'draw' or 'likeliest', found {method!r}.")
    gaps = [name for name in fitted.schema.modelled if name in table.columns and table[name].isna().any()]
    filled = table.copy()
    if method == "draw":
        drawn = fitted.complete(table, seed=seed, present=True) if gaps else table
    else:
        drawn = _likeliest(fitted, table, gaps)
    for name in gaps:
        missing = table[name].isna().to_numpy(dtype=bool)
        values = drawn[name].reset_index(drop=True).set_axis(table.index)
        filled[name] = values.where(missing, _typed(table[name], values))
    return filled


def multiple_imputations(
    fitted: FittedSynthesizer, table: pd.DataFrame, m: int = 5, *, seed: int | None = None
) -> list[pd.DataFrame]:
    """`m` tables, each with the gaps drawn anew, for figures with honest intervals (Rubin 1987).

    Compute a figure on each; its variance is the mean of the variances plus (1 + 1/m) times the variance of
    the figures. Post-processing.
    """
    require("m", m, 1, 10_000, whole=True)
    seeds = np.random.SeedSequence(seed).generate_state(m)
    return [impute(fitted, table, seed=int(one)) for one in seeds]


def denoise(
    fitted: FittedSynthesizer, table: pd.DataFrame, *, threshold: float = 0.001
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`table` with its improbable cells replaced by likelier ones, and a report with a row per change.

    A cell is improbable if its probability given all other cells of its row is below `threshold` times that
    of the likeliest value. Cells outside the schema are replaced too. The report's columns: row (position),
    column, before, after, probability. A changed cell need not have been wrong: rare things happen.
    """
    require("threshold", threshold, 0.0, 1.0)
    schema, joint = fitted.schema, fitted.model.joint()
    held = [name for name in schema.modelled if name in table.columns]
    emptied, outside = table.copy(), {}
    for name in held:
        cells = table[name].reset_index(drop=True)
        outside[name] = place(cells, replace(schema.columns[name], nullable=True)).outside
        if outside[name].any():
            emptied[name] = table[name].where(~outside[name])
    codes = fitted.encoder.encode_partial(partial_positions(emptied, schema))
    names = list(schema.modelled)
    likely, changes = _likeliest(fitted, emptied, held), []
    repaired = table.copy()
    every = joint.conditionals(codes, [names.index(name) for name in held])
    for name, shares in zip(held, every, strict=True):
        at = names.index(name)
        own = np.where(codes[:, at] >= 0, shares[np.arange(len(codes)), codes[:, at]], np.nan)
        own = np.where(outside[name], 0.0, own)
        poor = np.flatnonzero(own < threshold * shares.max(1))
        if not len(poor):
            continue
        after = likely[name].iloc[poor]
        changes.append(
            pd.DataFrame(
                {
                    "row": poor,
                    "column": name,
                    "before": table[name].iloc[poor].astype(object).to_numpy(),
                    "after": after.astype(object).to_numpy(),
                    "probability": own[poor],
                }
            )
        )
        chosen = np.isin(np.arange(len(table)), poor)
        values = likely[name].set_axis(table.index)
        repaired[name] = values.where(chosen, _typed(table[name], values))
    columns = ["row", "column", "before", "after", "probability"]
    report = pd.concat(changes, ignore_index=True) if changes else pd.DataFrame(columns=columns)
    return repaired, report.sort_values(["row", "probability"], ignore_index=True)


def _likeliest(fitted: FittedSynthesizer, table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Of every row and each named column, its likeliest category or median number given the other cells."""
    encoder, joint = fitted.encoder, fitted.model.joint()
    positions = partial_positions(table, fitted.schema)
    codes = encoder.encode_partial(positions)
    places = [at for at, name in enumerate(encoder.codecs) if name in names]
    for at, every in zip(places, joint.conditionals(codes, places), strict=True):
        codec, column = list(encoder.codecs.values())[at], list(fitted.schema.modelled.values())[at]
        shares = every[:, : codec.cells - int(codec.nullable)]
        if isinstance(column, Categorical | Boolean):
            positions[:, at] = codec.heaviest(shares.argmax(1))
        else:
            below = shares.cumsum(1) < shares.sum(1, keepdims=True) / 2
            positions[:, at] = codec.middle(below.sum(1).clip(max=shares.shape[1] - 1))
    return encoder.frame(np.where(positions == MISSING, 0, positions), np.random.default_rng(0))


def _typed(cells: pd.Series, like: pd.Series) -> pd.Series:
    """The cells in the type of `like`, or as they are where they do not fit it."""
    try:
        return cells.astype(like.dtype)
    except (TypeError, ValueError):
        return cells.astype(object)
