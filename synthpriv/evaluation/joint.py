"""Whole rows at once: can a classifier tell them from real ones, do they lie where real ones lie?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthpriv.evaluation.cells import Array, Cells, is_numeric
from synthpriv.evaluation.columns import number_parts
from synthpriv.evaluation.distances import NORMAL, beside, standard_error
from synthpriv.evaluation.estimate import Estimate
from synthpriv.evaluation.space import Points, Space
from synthpriv.schema.values import MISSING

Floats = npt.NDArray[np.float64]
NEIGHBOURS = 5
ROUNDING = 1e-5  # squared distances that float32 cannot tell from each other
BLOCK = 1 << 22  # distances held at a time
CATEGORIES = 200  # lists longer than this are taken as a scale by the classifier


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure and its standard error.

    bias: how far sampling keeps it below the populations' on average, at most (see Distance). most: the
    largest value that it has.
    """

    value: float
    error: float
    bias: float = 0.0
    most: float = 1.0


def judge_classifier(contenders: Mapping[str, Cells], holdout: Cells, rows: int, seed: int) -> Estimate:
    """The figure "fidelity.c2st.auc": gradient boosting tells the rows of two tables apart, cross-fitted."""
    rng = np.random.default_rng(seed)
    rows = min(rows, len(holdout), *map(len, contenders.values()))
    real = holdout.sample(rows, rng)
    found = {name: two_sample_auc(cells.sample(rows, rng), real, seed) for name, cells in contenders.items()}
    own = found.pop("synthetic")
    controls = {name: one.value for name, one in found.items()}
    return Estimate(
        value=own.value,
        low=max(own.value - NORMAL * own.error, 0.0),
        high=min(own.value + NORMAL * own.error, 1.0),
        method="DeLong's standard error over rows, two halves cross-fitted",
        direction="half",
        sentence=(
            f"AUC of gradient boosting that tells {rows} synthetic from {rows} real holdout rows, each half "
            f"judged by a model that learnt from the other half: {own.value:.4f}, where "
            f"{beside(controls)}. 0.5 means that it cannot tell."
        ),
        controls=controls,
    )


def two_sample_auc(made: Cells, real: Cells, seed: int) -> Figure:
    """The area under the ROC curve of 'this row is made', the mean of two halves (Lopez-Paz 2017).

    Each half is scored by a classifier that was trained on the other. Both scores rise with the same gap
    between the halves' tables, so that their errors are added up and not averaged out.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    rng = np.random.default_rng(seed)
    features = np.concatenate([_features(made), _features(real)])
    is_made = np.arange(len(features)) < len(made)
    half = np.concatenate([rng.permutation(len(one)) % 2 for one in (made, real)])
    lists = np.array([not is_numeric(column) and column.size <= CATEGORIES for column in real.columns])
    halves = []
    for fold in (0, 1):
        held = ~np.isnan(features[half != fold]).all(axis=0)  # a column without a value tells nothing
        if not held.any():
            return Figure(value=0.5, error=0.5)
        model = HistGradientBoostingClassifier(
            categorical_features=lists[held], max_iter=100, early_stopping=False, random_state=seed
        )
        with threadpool_limits(limits=1):  # waiting threads cost more than they give on a shared machine
            model.fit(features[half != fold][:, held], is_made[half != fold])
            scores = model.decision_function(features[half == fold][:, held])
        halves.append(delong(scores, is_made[half == fold]))
    return Figure(
        value=(halves[0].value + halves[1].value) / 2,
        error=(halves[0].error + halves[1].error) / 2,
    )


def delong(scores: Array, positive: Array) -> Figure:
    """The area under the ROC curve, ties counted half, with its standard error (DeLong 1988)."""
    ups, downs = np.sort(scores[positive]), np.sort(scores[~positive])
    below = [_middle_rank(one, other) for one, other in ((ups, downs), (downs, ups))]
    spread = [float(np.var(one, ddof=1)) / len(one) if len(one) > 1 else 0.25 for one in below]
    return Figure(value=float(below[0].mean()), error=math.sqrt(sum(spread)))


def judge_neighbours(
    contenders: Mapping[str, Cells], holdout: Cells, rows: int, seed: int
) -> dict[str, Estimate]:
    """The figures "fidelity.precision", ".recall", ".density" and ".coverage", in the space of `Space`."""
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(seed)
    rows = min(rows, len(holdout), *map(len, contenders.values()))
    held, *others = (
        cells.take(rng.choice(len(cells), rows, replace=False)) for cells in (holdout, *contenders.values())
    )
    drawn = dict(zip(contenders, others, strict=True))
    space = Space.of(held.joined(drawn["real rows"]))
    real = space.points(held)
    with threadpool_limits(limits=1):
        radii = _kth_distance(real, real, NEIGHBOURS + 1)  # a row is its own first neighbour
        found = {name: _neighbour_figures(space.points(cells), real, radii) for name, cells in drawn.items()}
    words = {
        "fidelity.precision": (
            "Integrated alpha-precision: how well the share of synthetic rows inside the densest regions "
            "that hold any share of the real rows agrees with that share"
        ),
        "fidelity.recall": (
            "Integrated beta-recall: how well the share of real rows inside the densest regions that hold "
            "any share of the synthetic rows agrees with that share"
        ),
        "fidelity.density": (
            f"Density: how many real rows have a synthetic row among their {NEIGHBOURS} nearest, per "
            f"synthetic row and over {NEIGHBOURS}"
        ),
        "fidelity.coverage": (
            f"Coverage: the share of real rows with a synthetic row nearer than their {NEIGHBOURS}th real "
            f"neighbour"
        ),
    }
    return {
        name: _estimate({contender: figures[name] for contender, figures in found.items()}, text, rows)
        for name, text in words.items()
    }


def _neighbour_figures(made: Points, real: Points, radii: Floats) -> dict[str, Figure]:
    first, second = made[::2], made[1::2]
    support, rest = real[::2], real[1::2]
    return {
        "fidelity.precision": _agreement(
            _kth_distance(made, support, NEIGHBOURS), _kth_distance(rest, support, NEIGHBOURS)
        ),
        "fidelity.recall": _agreement(
            _kth_distance(real, first, NEIGHBOURS), _kth_distance(second, first, NEIGHBOURS)
        ),
        **_density_and_coverage(made, real, radii),
    }


def _agreement(scores: Floats, reference: Floats) -> Figure:
    """1 - 2 x the mean gap between alpha and the share of `scores` up to the alpha-quantile of `reference`.

    Scores are distances to a support, so that those up to the quantile lie in its densest regions (the
    alpha-support of Alaa 2022, found by neighbours). 1 for equal distributions, 0 when every score lies
    beyond. Ties lie half below, so that a table of one repeated row does not contain all that lies beyond.
    """
    ordered = np.sort(reference)
    levels = [
        np.searchsorted(ordered, one, side="left") + np.searchsorted(ordered, one, side="right")
        for one in (scores, reference)
    ]
    gap = number_parts(levels[0], levels[1], 2 * len(reference) + 1)[1]
    error = standard_error(gap.influences, (len(scores), len(reference)))
    return Figure(value=1 - 2 * gap.value, error=2 * error, bias=2 * gap.bias)


def _density_and_coverage(made: Points, real: Points, radii: Floats) -> dict[str, Figure]:
    """Naeem 2020, with jackknifes over both tables' rows.

    A synthetic row's part in the coverage is the real rows that no other covers.
    """
    holding = np.zeros(len(made))  # per synthetic row: the real rows whose ball it lies in
    held = np.zeros(len(real))  # per real row: the synthetic rows in its ball
    only = np.zeros(len(real), dtype=np.int64)
    for start, squared in _squared_distances(real, made):
        stop = start + len(squared)
        inside = squared <= (radii[start:stop, None] ** 2 + ROUNDING)
        holding += inside.sum(axis=0)
        held[start:stop] = inside.sum(axis=1)
        only[start:stop] = inside.argmax(axis=1)
    covered = held > 0
    alone = np.bincount(only[held == 1], minlength=len(made)) / len(real)
    coverage = float(covered.mean())
    binomial = coverage * (1 - coverage) / len(real)
    rows = (len(made), len(real))
    return {
        "fidelity.density": Figure(
            value=float(holding.mean()) / NEIGHBOURS,
            error=standard_error((holding / NEIGHBOURS, held / NEIGHBOURS * len(real) / len(made)), rows),
            most=math.inf,
        ),
        "fidelity.coverage": Figure(
            value=coverage, error=math.sqrt(binomial + float(np.var(alone)) * len(made))
        ),
    }


def _estimate(found: Mapping[str, Figure], words: str, rows: int) -> Estimate:
    own = found["synthetic"]
    controls = {name: one.value for name, one in found.items() if name != "synthetic"}
    return Estimate(
        value=own.value,
        low=max(own.value - NORMAL * own.error, 0.0),
        high=max(min(own.value + own.bias + NORMAL * own.error, own.most), own.value),
        method="delta method and jackknife over rows",
        direction="higher",
        sentence=(
            f"{words}: {own.value:.4f}, where {beside(controls)}. {rows} rows of each table; a number's "
            f"place is its rank among real rows, and any two categories are 1 apart."
        ),
        controls=controls,
    )


def _features(cells: Cells) -> npt.NDArray[np.float32]:
    """(rows, columns) for the classifier: positions, NaN where missing, a value of its own for undeclared."""
    features = cells.positions.astype(np.float32)
    for at, column in enumerate(cells.columns):
        missing = cells.positions[:, at] == MISSING
        features[missing, at] = np.nan
        if not is_numeric(column):
            features[missing & cells.outside[:, at], at] = column.size
    return features


def _middle_rank(values: Array, among: Array) -> Floats:
    """Per value, the share of `among` (sorted) below it, ties counted half."""
    below = [np.searchsorted(among, values, side=side) for side in ("left", "right")]
    return np.asarray((below[0] + below[1]) / (2 * len(among)))


def _kth_distance(points: Points, among: Points, k: int) -> Floats:
    """The distance from each of `points` to the k-th nearest of `among` (the furthest, of fewer)."""
    k = min(k, len(among))
    blocks = _squared_distances(points, among)
    nearest = np.concatenate([np.partition(squared, k - 1, axis=1)[:, k - 1] for _, squared in blocks])
    return np.sqrt(np.where(nearest > ROUNDING, nearest, 0.0).astype(np.float64))


def _squared_distances(points: Points, among: Points) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Blocks of (points, among) squared distances, each with the first of its points."""
    lengths = (among**2).sum(axis=1)
    step = max(BLOCK // len(among), 1)
    for start in range(0, len(points), step):
        block = points[start : start + step]
        yield start, (block**2).sum(axis=1)[:, None] + lengths - 2 * (block @ among.T)
