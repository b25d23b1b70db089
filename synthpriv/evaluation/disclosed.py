"""The real rows as they are handed to the judge, with the claim that the attacks are held against."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from synthpriv.schema import Schema


@dataclass(frozen=True, kw_only=True, repr=False)
class Disclosed:
    """Real rows for internal evaluation only: `train` was fitted on, `holdout` was not.

    Both have the schema's columns and dtypes, and of a long table are a random sample; identifiers may be
    hashes. epsilon, delta: the claim of the synthetic table under
    review (infinite and 0 when nothing is claimed). outside: per column, how many cells of the raw table
    lay outside the declared domain and were mapped.
    """

    schema: Schema
    train: pd.DataFrame
    holdout: pd.DataFrame
    epsilon: float = math.inf
    delta: float = 0.0
    outside: dict[str, int] | None = None

    def __repr__(self) -> str:
        """No row, no count."""
        return f"Disclosed(columns={list(self.schema.columns)})"
