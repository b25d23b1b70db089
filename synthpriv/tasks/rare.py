"""Rare rows on demand: classes brought level, and the edges of what the model knows."""

from __future__ import annotations

import pandas as pd

from synthpriv.errors import ConfigurationError, nearest
from synthpriv.synthesizers.configuration import require
from synthpriv.synthesizers.fitted import FittedSynthesizer

MARK = "is_synthetic"
POOL = 50  # rows drawn for each edge case


def augment(
    fitted: FittedSynthesizer,
    table: pd.DataFrame,
    target: str,
    *,
    ratio: float = 1.0,
    seed: int | None = None,
) -> pd.DataFrame:
    """`table` and, below it, synthetic rows of its rarer classes; a column MARK tells the two apart.

    ratio: how many rows each class of `target` has at least, as a share of the commonest class's (0..1]. The
    result holds the real rows of `table`: it is as private as they are. Costs no epsilon: the synthetic rows
    are post-processing. Raises ConfigurationError for a target that `table` lacks or that is no list.
    """
    require("ratio", ratio, 1e-6, 1.0)
    if target not in table.columns or target not in fitted.schema.modelled:
        known = [name for name in table.columns if name in fitted.schema.modelled]
        raise ConfigurationError(
            f"augment needs a target of both table and schema, found {target!r}. {nearest(target, known)}"
        )
    if MARK in table.columns:
        raise ConfigurationError(f"augment marks rows in {MARK!r}, found such a column; rename or drop it.")
    counts = table[target].value_counts()
    if len(counts) > 100:
        raise ConfigurationError(
            f"augment needs a target of at most 100 classes, found {len(counts)} in {target!r}; name another."
        )
    parts = [table.assign(**{MARK: False})]
    for at, (value, count) in enumerate(counts.items()):
        lacking = round(ratio * int(counts.max())) - int(count)
        if lacking > 0:
            own = None if seed is None else seed + at
            made = fitted.sample(lacking, seed=own, conditions={target: value})
            parts.append(made.reindex(columns=table.columns).assign(**{MARK: True}))
    return pd.concat(parts, ignore_index=True)


def edge_cases(
    fitted: FittedSynthesizer, n: int, *, seed: int | None = None, pool: int | None = None
) -> pd.DataFrame:
    """The `n` least likely of `pool` synthetic rows (default: 50 n), the least likely first.

    Each is possible under the schema and the model, and rare: what to try a system on. Post-processing.
    """
    require("n", n, 1, 10**6, whole=True)
    drawn = fitted.sample(max(POOL * n if pool is None else pool, n), seed=seed)
    density = fitted.model.joint().log_density(fitted.encoder.encode_frame(drawn))
    return drawn.iloc[density.argsort(kind="stable")[:n]].reset_index(drop=True)
