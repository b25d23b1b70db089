"""Mixing real and synthetic rows, for internal use: the result is as private as its real rows are."""

from __future__ import annotations

import numpy as np
import pandas as pd

from synthpriv.errors import ConfigurationError
from synthpriv.synthesizers.configuration import require
from synthpriv.tasks.rare import MARK

NOT_PRIVATE = "NOT_PRIVATE"


def mix(
    real: pd.DataFrame, synthetic: pd.DataFrame, share: float, *, seed: int | None = None
) -> pd.DataFrame:
    """As many rows as `real` has, `share` of them (0..1) synthetic, shuffled; MARK tells the two apart.

    Its `attrs` say NOT_PRIVATE: true unless every row is synthetic. Raises ConfigurationError where
    `synthetic` has too few rows or other columns.
    """
    require("share", share, 0.0, 1.0)
    wanted = round(share * len(real))
    if set(real.columns) != set(synthetic.columns):
        odd = sorted(map(str, set(real.columns) ^ set(synthetic.columns)))
        raise ConfigurationError(f"mix needs two tables with the same columns, found {odd[0]!r} in one only.")
    if wanted > len(synthetic):
        raise ConfigurationError(f"mix needs {wanted} synthetic rows, found {len(synthetic)}; sample more.")
    rng = np.random.default_rng(seed)
    parts = [
        table.iloc[rng.choice(len(table), size=count, replace=False)].assign(**{MARK: made})
        for table, count, made in ((real, len(real) - wanted, False), (synthetic, wanted, True))
    ]
    mixed = pd.concat([parts[0], parts[1][parts[0].columns]], ignore_index=True)
    mixed = mixed.iloc[rng.permutation(len(mixed))].reset_index(drop=True)
    mixed.attrs[NOT_PRIVATE] = wanted < len(real)
    return mixed
