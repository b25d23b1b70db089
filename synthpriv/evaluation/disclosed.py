"""The real rows as they are handed to the judge, with the claim that the attacks are held against."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from synthpriv.schema import Schema
from synthpriv.schema.values import Positions


@dataclass(frozen=True, kw_only=True, repr=False)
class StoredRows:
    """Every row of a table as positions: each modelled column, chunk by chunk, anew with each call."""

    rows: int
    chunks: Callable[[], Iterator[Mapping[str, Positions]]]


@dataclass(frozen=True, kw_only=True, repr=False)
class Disclosed:
    """Real rows for internal evaluation only: `train` was fitted on, `holdout` was not.

    Both have the schema's columns and dtypes, and of a long table are a random sample, beside which
    every_train and every_holdout read all rows (None: the frame is all); identifiers may be hashes. epsilon,
    delta: the claim of the synthetic table under review (infinite and 0 when nothing is claimed). outside:
    per column, how many cells of the raw table lay outside the declared domain and were mapped.
    """

    schema: Schema
    train: pd.DataFrame
    holdout: pd.DataFrame
    epsilon: float = math.inf
    delta: float = 0.0
    outside: dict[str, int] | None = None
    every_train: StoredRows | None = None
    every_holdout: StoredRows | None = None

    def __repr__(self) -> str:
        """No row, no count."""
        return f"Disclosed(columns={list(self.schema.columns)})"
