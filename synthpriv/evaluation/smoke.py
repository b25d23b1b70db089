"""Smoke tests of privacy: cheap looks at copies and distances that miss most leaks (arXiv 2505.01524).

A bad figure here is a reason to look; a good one is no reason to trust.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from synthpriv.evaluation.cells import Array, Cells, Tables
from synthpriv.evaluation.estimate import Direction, Estimate
from synthpriv.evaluation.intervals import (
    RESAMPLES,
    clopper_pearson,
    percentile_interval,
)
from synthpriv.evaluation.space import Points, nearest_distances

Floats = npt.NDArray[np.float64]
WARNING = "A smoke test: it misses most leaks."
RARE = 0.05
NEAR = 0.5
MOST_ROWS = 2_000


@dataclass(frozen=True, kw_only=True, repr=False)
class Scene:
    """Rows as points (rows, axes): members were trained on, others and reference were not; made is judged.

    to_made, to_copy, to_reference: of members, then others, the distance to the nearest row of the synthetic
    table, of the members (a leaky copy), and of the reference.
    """

    members: Points
    others: Points
    reference: Points
    made: Points
    to_made: Floats
    to_copy: Floats
    to_reference: Floats


def smoke_tests(scene: Scene, rng: np.random.Generator) -> dict[str, Estimate]:
    """ "privacy.rare_near_copies", "privacy.closer_to_train" and "privacy.neighbour_ratio"."""
    size = min(MOST_ROWS, len(scene.members), len(scene.others))
    members, others, reference, made = (
        table[rng.permutation(len(table))[:size]]
        for table in (scene.members, scene.others, scene.reference, scene.made)
    )
    asked = {"synthetic": made, "holdout rows": reference, "leaky copy": members}
    known = scene.members[: max(MOST_ROWS, size)]
    to_known = {name: nearest_distances(table, known, 2) for name, table in asked.items()}
    to_members = {name: nearest_distances(table, members, 1) for name, table in asked.items()}
    to_others = {name: nearest_distances(table, others, 1)[:, 0] for name, table in asked.items()}
    closer = {
        name: (near[:, 0] < to_others[name]) + 0.5 * (near[:, 0] == to_others[name])
        for name, near in to_members.items()
    }
    ratios = {
        name: np.divide(near[:, 0], near[:, -1], out=np.ones(len(near)), where=near[:, -1] > 0)
        for name, near in to_known.items()
    }
    return {
        "privacy.rare_near_copies": rare_near_copies(scene),
        "privacy.closer_to_train": _mean(
            closer,
            rng,
            "half",
            f"{{:.1%}} of {len(made)} synthetic rows are closer to {size} training rows than to as many "
            f"holdout rows (half is fair).",
        ),
        "privacy.neighbour_ratio": _mean(
            ratios,
            rng,
            "higher",
            f"On average a synthetic row is {{:.3f}} times as far from the nearest of {len(known)} training "
            f"rows as from the second nearest (0 for a copy).",
        ),
    }


def copies(tables: Tables) -> Estimate:
    """The share of synthetic rows (of the sample) that equal any training row in every delivered column."""
    delivered = np.flatnonzero(tables.synthetic.delivered)
    made = _fingerprints(tables.synthetic, delivered)
    found = {}
    for name in ("train", "holdout"):
        found[name] = np.zeros(len(made), dtype=bool)
        for cells in tables.all_rows(name).chunks():
            found[name] |= np.isin(made, _fingerprints(cells, delivered))
    hits = int(found["train"].sum())
    by_chance = int(found["holdout"].sum()) / len(made)
    scaled = min(by_chance * tables.all_rows("train").rows / max(tables.all_rows("holdout").rows, 1), 1.0)
    low, high = clopper_pearson(hits, len(made))
    return Estimate(
        value=hits / len(made),
        low=low,
        high=high,
        method="Clopper-Pearson",
        direction="lower",
        sentence=(
            f"{hits} of {len(made)} synthetic rows ({hits / len(made):.2%}) equal a training row in every "
            f"column; {scaled:.2%} would by chance, judging by the holdout rows that they equal, scaled to "
            f"the size of the training table. A smoke test: a leak need not be an exact copy."
        ),
        controls={"holdout rows": scaled, "leaky copy": 1.0},
    )


def rare_near_copies(scene: Scene) -> Estimate:
    """The share of rare training rows with a synthetic row much nearer than any real one."""
    is_member = np.arange(len(scene.to_made)) < len(scene.members)
    rare = scene.to_reference >= np.quantile(scene.to_reference, 1 - RARE)
    limit = NEAR * scene.to_reference
    asked = int((rare & is_member).sum())
    hits = int((rare & is_member & (scene.to_made < limit)).sum())
    low, high = clopper_pearson(hits, asked)
    share, fair, leaky = (
        float((distances[rare & side] < limit[rare & side]).mean()) if (rare & side).any() else 0.0
        for distances, side in (
            (scene.to_made, is_member),
            (scene.to_made, ~is_member),
            (scene.to_copy, is_member),
        )
    )
    return Estimate(
        value=share,
        low=low,
        high=high,
        method="Clopper-Pearson",
        direction="lower",
        sentence=(
            f"{WARNING} {hits} of the {asked} training rows that are farthest from other real rows have a "
            f"synthetic row at less than half of that distance; so do {fair:.1%} of such holdout rows, by "
            f"chance."
        ),
        controls={"holdout rows": fair, "leaky copy": leaky},
    )


def _mean(
    found: Mapping[str, Floats], rng: np.random.Generator, direction: Direction, words: str
) -> Estimate:
    values = found["synthetic"]
    drawn = rng.integers(0, len(values), size=(RESAMPLES, len(values)))
    low, high = percentile_interval(values[drawn].mean(axis=1))
    value = float(values.mean())
    return Estimate(
        value=value,
        low=min(low, value),
        high=max(high, value),
        method="bootstrap over rows",
        direction=direction,
        sentence=f"{WARNING} {words.format(value)}",
        controls={name: float(one.mean()) for name, one in found.items() if name != "synthetic"},
    )


def _fingerprints(cells: Cells, delivered: Array) -> Array:
    """One whole number per row, equal for rows that are equal in every delivered column."""
    parts = {str(at): np.where(cells.outside[:, at], -2, cells.positions[:, at]) for at in delivered}
    return pd.util.hash_pandas_object(pd.DataFrame(parts), index=False).to_numpy()
