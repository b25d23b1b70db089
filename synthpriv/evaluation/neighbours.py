"""The nearest rows of a table: their distances and which they are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from synthpriv.evaluation.cells import Array
from synthpriv.evaluation.space import Points


def nearest_rows(points: Points, among: Points, count: int) -> tuple[npt.NDArray[np.float64], Array]:
    """The `count` nearest of `among` to each of `points`: distances and indices, both (rows, count).

    points, among: (rows, axes). Fewer than `count` where `among` is shorter; of equal rows any may be first.
    """
    from sklearn.neighbors import NearestNeighbors
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    count = min(count, len(among))
    with threadpool_limits(limits=1):  # waiting threads cost more than they give on a shared machine
        search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(among)
        distances, rows = search.kneighbors(points)
    return np.asarray(distances, dtype=np.float64), np.asarray(rows)
