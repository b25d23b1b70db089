"""Conditions on samples: fixed values per column, met by redrawing. Post-processing, no row is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from synthpriv.encoding.table_encoder import Codes, TableEncoder
from synthpriv.errors import ConfigurationError, nearest
from synthpriv.schema.values import Positions, place

MOST_TRIES = 20_000_000


def allowed_cells(
    conditions: Mapping[str, Any], encoder: TableEncoder
) -> tuple[dict[str, Positions], dict[int, int]]:
    """Position and cell of every condition; raises ConfigurationError outside the schema."""
    fixed: dict[str, Positions] = {}
    cells: dict[int, int] = {}
    names = list(encoder.codecs)
    for name, value in conditions.items():
        if name not in encoder.codecs:
            raise ConfigurationError(
                f"a condition must name a modelled column, found {name!r}. {nearest(name, names)}"
            )
        if name in encoder.schema.facts:
            by = encoder.schema.facts[name].by
            raise ConfigurationError(
                f"a condition must be on a column that no fact of the schema shapes, found {name!r}; give "
                f"one on {by!r}, which it follows from."
            )
        column = encoder.schema.columns[name]
        placed = place(pd.Series([value], dtype=object), column)
        if placed.outside[0]:
            raise ConfigurationError(
                f"a condition must lie in the schema's domain, found {name}={value!r}; see the schema."
            )
        fixed[name] = placed.positions
        cells[names.index(name)] = int(encoder.codecs[name].encode(placed.positions)[0])
    return fixed, cells


def accepted_rows(drawn: Codes, allowed: Mapping[int, int], made: int, tried: int) -> Codes:
    """The drawn rows that meet every condition; raises ConfigurationError once the event is too rare."""
    keep = np.ones(len(drawn), dtype=bool)
    for column, cell in allowed.items():
        keep &= drawn[:, column] == cell
    if made + int(keep.sum()) == 0 and tried >= MOST_TRIES:
        raise ConfigurationError(
            f"the conditions must be possible under the model, found none in {tried:,} tries; relax them."
        )
    return drawn[keep]
