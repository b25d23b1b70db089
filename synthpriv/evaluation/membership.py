"""Membership attacks without shadow models: what one who holds other real rows reads from the table.

An attacker knows the rows in question, not which of them were trained on, and reference rows that were not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from synthpriv.evaluation.cells import Array, Cells, is_numeric
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.likelihoods import (
    CopyKernel,
    Mixed,
    kernel_log_density,
    mixture_log_density,
    pair_log_ratio,
)
from synthpriv.evaluation.space import Points, Space, nearest_distances
from synthpriv.schema.values import MISSING

Floats = npt.NDArray[np.float64]
CLOSEST = 1e-3  # distances below this are one person; keeps the logarithm of a copy's distance finite
MOST_BINS = 32
MOST_CODES = 64
PROJECTED = 16
LEAST_VARIANCE = 1e-6
BANDWIDTH = 0.25  # in standard deviations of the projected axes; the rules of thumb blur copies
NEIGHBOURS = 5
TREES = 100


@dataclass(frozen=True, kw_only=True)
class Budget:
    """rows: asked about, of each kind. searched: rows of a table that distances, and densities, are to.

    fitted: rows in question that a copy's noise is estimated from.
    """

    rows: int
    searched: int
    compared: int
    fitted: int


BUDGETS = {
    Effort.quick: Budget(rows=2_000, searched=20_000, compared=5_000, fitted=800),
    Effort.standard: Budget(rows=5_000, searched=50_000, compared=20_000, fitted=1_500),
    Effort.thorough: Budget(rows=20_000, searched=200_000, compared=50_000, fitted=4_000),
}


@dataclass(frozen=True, kw_only=True, repr=False)
class View:
    """One table as attackers see it. points: (rows, axes) for distances. The rest holds its first rows.

    projected: (rows, PROJECTED) main axes of the points, each of variance 1. mixed: for kernels. binned:
    (rows, columns) codes, numbers in bins.
    """

    points: Points
    projected: Points
    mixed: Mixed
    binned: npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, repr=False)
class Lens:
    """How tables become views: the same for all, read from real rows whose membership plays no part."""

    pool: Cells
    space: Space
    mean: Array
    axes: Array
    edges: tuple[Array | None, ...]

    @classmethod
    def of(cls, pool: Cells) -> Lens:
        """The lens of a pool of real rows."""
        space = Space.of(pool)
        points = space.points(pool).astype(np.float64)
        centred = points - points.mean(axis=0)
        variances, axes = np.linalg.eigh(centred.T @ centred / len(points))
        keep = np.arange(len(variances))[::-1][:PROJECTED]
        keep = keep[: max(int((variances[keep] > LEAST_VARIANCE).sum()), 1)]
        edges: list[Array | None] = []
        for at, column in enumerate(pool.columns):
            known = pool.positions[:, at][pool.positions[:, at] != MISSING]
            cuts = np.quantile(known, np.linspace(0, 1, MOST_BINS + 1)[1:-1]) if len(known) else np.zeros(0)
            edges.append(np.unique(cuts) if is_numeric(column) else None)
        return cls(
            pool=pool,
            space=space,
            mean=points.mean(axis=0),
            axes=axes[:, keep] / np.sqrt(np.maximum(variances[keep], LEAST_VARIANCE)),
            edges=tuple(edges),
        )

    def view(self, cells: Cells, compared: int) -> View:
        """The table, of which at most its first `compared` rows are for densities."""
        points = self.space.points(cells)
        few = cells.take(np.arange(min(compared, len(cells))))
        numbers, lists, sizes, binned = [], [], [], []
        for at, (column, edges) in enumerate(zip(cells.columns, self.edges, strict=True)):
            positions, real = few.positions[:, at], self.pool.positions[:, at]
            known = positions != MISSING
            if edges is None:
                codes = np.where(known, positions % MOST_CODES, min(column.size, MOST_CODES))
                binned.append(codes)
                lists.append(codes)
                sizes.append(min(column.size, MOST_CODES) + 1)
                continue
            binned.append(np.where(known, np.searchsorted(edges, positions, side="right"), len(edges) + 1))
            real = real[real != MISSING]
            middle, spread = (real.mean(), real.std() or 1.0) if len(real) else (0.0, 1.0)
            numbers.append(np.where(known, (positions - middle) / spread, 0.0))
            if len(real) < len(self.pool):
                lists.append(known.astype(np.int64))
                sizes.append(2)
        rows = len(few)
        return View(
            points=points,
            projected=((points[:rows] - self.mean) @ self.axes).astype(np.float32),
            mixed=Mixed(
                numbers=np.array(numbers, dtype=np.float32).reshape(-1, rows).T,
                lists=np.array(lists, dtype=np.int64).reshape(-1, rows).T,
                sizes=tuple(sizes),
            ),
            binned=np.column_stack(binned).astype(np.int64),
        )

    @property
    def bins(self) -> tuple[int, ...]:
        """How many codes each column of View.binned has."""
        return tuple(
            min(column.size, MOST_CODES) + 1 if edges is None else len(edges) + 2
            for column, edges in zip(self.pool.columns, self.edges, strict=True)
        )


@dataclass(frozen=True, kw_only=True, repr=False)
class Attacker:
    """Each method scores the rows in question (rows,) against a table: the higher, the rather a member."""

    lens: Lens
    rows: View
    reference: View
    budget: Budget
    seed: int

    def closest_record(self, made: View) -> Floats:
        """Minus the distance to the nearest row of the table (Chen 2020, GAN-leaks)."""
        return -self.to(made)

    def density_ratio(self, made: View) -> Floats:
        """DOMIAS (van Breugel 2023): the log density of the table over that of the reference.

        Each is a nearest-neighbour density, which falls with a power of the distance to the nearest row (the
        same power in both, so it is left out). One neighbour sees copies better than three or ten.
        """
        return np.asarray(np.log(self.to_reference + CLOSEST) - np.log(self.to(made) + CLOSEST))

    def kernel_density(self, made: View) -> Floats:
        """DOMIAS with kernel densities, on the main axes of the points."""
        found = kernel_log_density(self.rows.projected, made.projected, BANDWIDTH)
        return found - self._reference_kernels

    def local_likelihood(self, made: View) -> Floats:
        """Gen-LRA (Ward 2025): by how much a row, added to the reference, explains its synthetic neighbours.

        The kernel density of n reference rows and one more is (n p(s) + K(s - x)) / (n + 1), so that nothing
        is fitted anew for each row.
        """
        distances, neighbours = neighbours_of(self.rows.projected, made.projected, NEIGHBOURS)
        of_made = kernel_log_density(made.projected, self.reference.projected, BANDWIDTH)[neighbours]
        kernels = -(distances**2) / (2 * BANDWIDTH**2)
        gains = np.logaddexp(0.0, kernels - np.log(len(self.reference.projected)) - of_made)
        return np.asarray(gains.sum(axis=1))

    def noisy_copies(self, made: View) -> Floats:
        """How much likelier the table's rows are as noisy copies of a row than as strangers, in logarithms.

        How noisy is estimated from the table, as if some of its rows were copies of rows in question; how
        likely strangers make its rows, from the reference rows and noise that is estimated likewise.
        """
        rng, most = np.random.default_rng(self.seed), self.budget.fitted
        rows, table, reference = self.rows.mixed, made.mixed, self.reference.mixed
        strangers = CopyKernel.fitted(table, reference, self._shares, rng, most)
        elsewhere = strangers.log_density(table, reference)
        kernel = CopyKernel.fitted(table, rows, self._shares, rng, most, elsewhere)
        return kernel.log_gains(rows, table, elsewhere)

    def pair_likelihood(self, made: View) -> Floats:
        """The log ratio of shares in the table and in the reference, over the cells of all pairs."""
        return pair_log_ratio(self.rows.binned, made.binned, self.reference.binned, self.lens.bins)

    def mixture_likelihood(self, made: View) -> Floats:
        """The log ratio of mixtures of products of shares, fitted to the table and to the reference."""
        return self._mixture(made) - self._reference_mixture

    def classifier(self, made: View) -> Floats:
        """LOGAN (Hayes 2019): what tells the table from the reference rows is asked of those in question."""
        from sklearn.ensemble import ExtraTreesClassifier

        features = [np.hstack([view.mixed.numbers, view.mixed.lists]) for view in (made, self.reference)]
        labels = np.repeat([1, 0], [len(part) for part in features])
        model = ExtraTreesClassifier(TREES, class_weight="balanced", random_state=self.seed)
        model.fit(np.vstack(features), labels)
        rows = np.hstack([self.rows.mixed.numbers, self.rows.mixed.lists])
        return np.asarray(model.predict_proba(rows)[:, 1], dtype=np.float64)

    def to(self, made: View) -> Floats:
        """The distance of each row in question to the nearest row of a table."""
        return nearest_distances(self.rows.points, made.points, 1)[:, 0]

    @cached_property
    def to_reference(self) -> Floats:
        """The distance of each row in question to the nearest reference row."""
        return self.to(self.reference)

    @cached_property
    def _reference_kernels(self) -> Floats:
        return kernel_log_density(self.rows.projected, self.reference.projected, BANDWIDTH)

    @cached_property
    def _shares(self) -> Floats:
        return self.reference.mixed.shares()

    @cached_property
    def _reference_mixture(self) -> Floats:
        return self._mixture(self.reference)

    def _mixture(self, view: View) -> Floats:
        sizes = self.lens.bins
        rows, table = (
            Mixed(numbers=np.zeros((len(one.binned), 0), dtype=np.float32), lists=one.binned, sizes=sizes)
            for one in (self.rows, view)
        )
        return mixture_log_density(rows.indicators(), table.indicators(), sizes, self.seed)


def neighbours_of(points: Points, among: Points, most: int) -> tuple[Floats, Array]:
    """The distances to the nearest of `among`, and their indices: (points, at most `most`)."""
    from scipy.spatial import cKDTree

    count = min(most, len(among))
    distances, indices = cKDTree(among).query(points, k=np.arange(1, count + 1))
    return np.asarray(distances), np.asarray(indices)
