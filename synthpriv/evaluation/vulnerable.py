"""The people whom a synthetic table is most likely to give away: those who resemble nobody."""

from __future__ import annotations

import numpy as np

from synthpriv.evaluation.cells import Cells
from synthpriv.evaluation.neighbours import nearest_rows
from synthpriv.evaluation.space import Space

NEIGHBOURS = 5
MOST_CANDIDATES = 4_000
MOST_NEIGHBOURS_SEARCHED = 20_000


def vulnerable_rows(people: Cells, count: int, rng: np.random.Generator) -> Cells:
    """The `count` rows that lie farthest, on average, from their nearest neighbours (Meeus 2023, 'Achilles').

    Of more than MOST_CANDIDATES rows a random part is looked at, among at most MOST_NEIGHBOURS_SEARCHED.
    Ties go by the order that `rng` drew.
    """
    pool = people.take(rng.permutation(len(people))[:MOST_NEIGHBOURS_SEARCHED])
    points = Space.of(pool).points(pool)
    distances, _ = nearest_rows(points[:MOST_CANDIDATES], points, NEIGHBOURS + 1)  # each finds itself too
    return pool.take(np.argsort(-distances.mean(axis=1), kind="stable")[:count])
