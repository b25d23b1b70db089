"""Figures that are published beside a table: noisy counts of held-out rows, for a share of the budget.

What is counted is fixed before the fit (`histograms_counted`): every column, PAIRS pairs of columns, and for
each target the scores of one model that was trained on the synthetic table. Which pairs, which bins and which
model follow from the synthetic table, which is public. Everything after the counts is post-processing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthpriv.encoding.scores import ScoreColumn
from synthpriv.errors import ConfigurationError
from synthpriv.evaluation.estimate import Estimate
from synthpriv.privacy.events import Counts
from synthpriv.privacy.ledger import Release
from synthpriv.privacy.private_table import PrivateTable
from synthpriv.progress import Report
from synthpriv.release.publishable_bins import PublicTable, few_bins, strongest_pairs
from synthpriv.release.publishable_models import PublicModel, train_public_model
from synthpriv.schema import Schema
from synthpriv.synthesizers.planning import set_aside

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LABEL = "published figures"
MOST_SHARE = 0.5
PAIRS = 10
REPEATS = 4  # a model's counts are taken so often and averaged: half the noise, where little is counted
DRAWS = 400
NORMAL = 1.959964


@dataclass(frozen=True, kw_only=True)
class NoisyShares:
    """The cells of one noisy histogram: the noisy real share of each, half the width of its 95% interval, the
    synthetic share, and the total variation between the two.

    labels: of each column's bins; a pair of columns has its cells row by row.
    """

    names: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    real: tuple[float, ...]
    error: tuple[float, ...]
    synthetic: tuple[float, ...]
    distance: Estimate


@dataclass(frozen=True, kw_only=True)
class NoisyModel:
    """A model of the synthetic table, tested on held-out rows under noise. question: what it answers."""

    target: str
    question: str
    auc: Estimate


@dataclass(frozen=True, kw_only=True)
class PublishedFigures:
    """All that a share of the budget paid for; public. sequence: of the ledger's entry that paid.

    table: the synthetic table in the bins of the figures. rows: held out, from the noisy counts. noise_scale:
    of every count.
    """

    table: PublicTable
    columns: tuple[NoisyShares, ...]
    pairs: tuple[NoisyShares, ...]
    models: tuple[NoisyModel, ...]
    mean_columns: Estimate
    mean_pairs: Estimate
    rows: float
    noise_scale: float
    sequence: int


def histograms_counted(schema: Schema, targets: Sequence[str]) -> int:
    """How many histograms of held-out rows are counted; public: from the schema."""
    columns = len(schema.modelled)
    return columns + min(PAIRS, math.comb(columns, 2)) + REPEATS * len(targets)


def check_share(share: float, epsilon: float) -> None:
    """Raise ConfigurationError unless the share leaves most of a finite epsilon to the fit."""
    if not 0 <= share <= MOST_SHARE:
        raise ConfigurationError(
            f"the report's share must lie in 0..{MOST_SHARE}, found {share:g}; try 0.05."
        )
    if share > 0 and math.isinf(epsilon):
        raise ConfigurationError(
            "figures can be published for a share of a finite epsilon, found 'inf'; leave the share out."
        )


def counts_aside(
    schema: Schema,
    targets: Sequence[str],
    *,
    epsilon: float,
    delta: float,
    rows_are_public: bool,
    share: float,
) -> Counts | None:
    """What the figures will be counted with, for `share` of a fit's privacy loss; None for none.

    Public, and known before a row is read. Raises ConfigurationError for a share out of range.
    """
    check_share(share, epsilon)
    if share == 0:
        return None
    return set_aside(
        schema,
        epsilon=epsilon,
        delta=delta,
        rows_are_public=rows_are_public,
        share=share,
        histograms=histograms_counted(schema, targets),
    )


def publish_figures(
    private: PrivateTable,
    release: Release,
    aside: Counts,
    table: PublicTable,
    targets: Sequence[str],
    progress: Report | None = None,
) -> PublishedFigures:
    """Count held-out rows under the noise that was set aside, and make figures of the counts.

    Charged to `release` before anything is counted.
    """
    width = len(table.labels)
    coarse = [few_bins(table, at) for at in range(width)]
    pairs = strongest_pairs(table, PAIRS)
    models = [train_public_model(table, target) for target in targets]
    groups: list[tuple[int, ...]] = [(at,) for at in range(width)]
    groups += [(width + one, width + other) for one, other in pairs]
    scores = [score for score, _ in coarse]
    for model in models:
        groups += [(width + len(scores), width + len(scores) + 1)] * REPEATS
        scores += [model.answer, model.score]
    noisy = private.tallies(release, LABEL, table.encoder, groups, aside.noise_scale, scores, progress)
    rest = width + len(pairs)
    noise = _Noise(rows=_rows(noisy), scale=aside.noise_scale, rng=np.random.default_rng(0))
    one_way = [
        noise.shares((name,), (labels,), counts, made / max(table.rows, 1))
        for name, labels, counts, made in zip(
            table.names, table.labels, noisy[:width], table.counts, strict=True
        )
    ]
    two_way = [
        noise.shares(
            (table.names[one], table.names[other]),
            (coarse[one][1], coarse[other][1]),
            counts,
            _joint(table, coarse[one][0], coarse[other][0]),
        )
        for (one, other), counts in zip(pairs, noisy[width:rest], strict=True)
    ]
    return PublishedFigures(
        table=table,
        columns=tuple(one for one, _ in one_way),
        pairs=tuple(one for one, _ in two_way),
        models=tuple(
            noise.model(model, np.mean(noisy[rest + REPEATS * at : rest + REPEATS * (at + 1)], axis=0))
            for at, model in enumerate(models)
        ),
        mean_columns=noise.distance([one for _, one in one_way], "single columns"),
        mean_pairs=noise.distance([one for _, one in two_way], "pairs of columns"),
        rows=noise.rows,
        noise_scale=noise.scale,
        sequence=private.ledger.charges[-1].sequence,
    )


def _rows(noisy: Sequence[Ints]) -> float:
    """The number of held-out rows, which every histogram counts; weighted by how little noise it has."""
    weights = np.array([1.0 / counts.size for counts in noisy])
    totals = np.array([float(counts.sum()) for counts in noisy])
    return max(1.0, float((weights * totals).sum() / weights.sum()))


def _joint(table: PublicTable, one: ScoreColumn, other: ScoreColumn) -> Floats:
    """The synthetic shares of a pair's cells (shape (cells of one, cells of other))."""
    codes = tuple(score.encode(table.codes).astype(np.int64) for score in (one, other))
    cells = np.ravel_multi_index(codes, (one.cells, other.cells))
    counts = np.bincount(cells, minlength=one.cells * other.cells)
    return np.asarray(counts.reshape(one.cells, other.cells) / max(len(cells), 1))


@dataclass(frozen=True, kw_only=True)
class _Distance:
    """A total variation as counted, and what it would be for equal tables (redrawn); for columns that were
    independent of each other too, where it is a pair's (None: one column)."""

    counted: float
    equal: Floats
    independent: float | None


@dataclass(frozen=True, kw_only=True)
class _Noise:
    """What makes figures of noisy counts: the number of rows, the noise of a count, and what redraws it."""

    rows: float
    scale: float
    rng: np.random.Generator

    def shares(
        self, names: tuple[str, ...], labels: tuple[tuple[str, ...], ...], counts: Ints, synthetic: Floats
    ) -> tuple[NoisyShares, _Distance]:
        """One histogram beside the synthetic table's shares."""
        real = counts / self.rows
        drawn = self.rng.multinomial(round(self.rows), synthetic.ravel() / synthetic.sum(), size=DRAWS)
        equal = (drawn + self.rng.normal(0.0, self.scale, drawn.shape)) / self.rows
        apart = None
        if synthetic.ndim == 2:
            apart = _apart(real.ravel(), np.outer(synthetic.sum(1), synthetic.sum(0)).ravel()).item()
        distance = _Distance(
            counted=_apart(real.ravel(), synthetic.ravel()).item(),
            equal=_apart(equal, synthetic.ravel()),
            independent=apart,
        )
        return NoisyShares(
            names=names,
            labels=labels,
            real=tuple(real.ravel().tolist()),
            error=tuple((NORMAL * self.error(real)).ravel().tolist()),
            synthetic=tuple(synthetic.ravel().tolist()),
            distance=self.distance([distance], " with ".join(names)),
        ), distance

    def error(self, shares: Floats, scale: float | None = None) -> Floats:
        """The standard error of noisy shares, from rows and from noise."""
        inside = np.clip(shares, 0.0, 1.0)
        noise = (self.scale if scale is None else scale) / self.rows
        return np.sqrt(inside * (1 - inside) / self.rows + noise**2)

    def distance(self, distances: Sequence[_Distance], words: str) -> Estimate:
        """The mean of total variations, each less what sampling and noise add to it.

        Equal tables would show `equal`; what is counted beyond it adds to it about as sides of a right angle.
        """
        equal = np.mean([one.equal for one in distances], axis=0)
        added, spread = float(equal.mean()), NORMAL * float(equal.std(ddof=1))

        def less_noise(counted: float) -> float:
            return math.sqrt(max(counted, 0.0) ** 2 - added**2) if counted > added else 0.0

        counted = float(np.mean([one.counted for one in distances]))
        value = less_noise(counted)
        controls = {"resolution": less_noise(added + spread)}
        apart = [one.independent for one in distances if one.independent is not None]
        if apart:
            controls["independent columns"] = less_noise(float(np.mean(apart)))
        return Estimate(
            value=value,
            low=less_noise(counted - spread),
            high=min(less_noise(max(counted, added) + spread), 1.0),
            method="normal, by redrawing rows and noise",
            direction="lower",
            sentence=(
                f"Total variation between real and synthetic shares ({words}): {value:.3f}, less what noise "
                f"adds; anything below {controls['resolution']:.3f} cannot be told from equal tables under "
                f"this noise."
            ),
            controls=controls,
        )

    def model(self, model: PublicModel, counts: Floats) -> NoisyModel:
        """The area under the curve of a model, from averaged noisy counts (answer no or yes, bins)."""
        found = np.asarray(counts / self.rows, dtype=np.float64)
        error = self.error(found, self.scale / math.sqrt(REPEATS))
        redrawn = _areas(found + error * self.rng.normal(size=(DRAWS, *found.shape)))
        value, spread = _areas(found[None]).item(), NORMAL * float(redrawn.std(ddof=1))
        return NoisyModel(
            target=model.target,
            question=model.question,
            auc=Estimate(
                value=value,
                low=max(value - spread, 0.0),
                high=min(value + spread, 1.0),
                method="normal, by redrawing rows and noise",
                direction="higher",
                sentence=(
                    f"A logistic regression learnt from the synthetic table whether {model.question}. On "
                    f"real rows that nobody trained on, the area under its curve is {value:.3f}; synthetic "
                    "rows, in the same few bins, give the control beside it."
                ),
                controls={"synthetic rows": _areas(model.synthetic[None]).item(), "a guess": 0.5},
            ),
        )


def _apart(real: Floats, synthetic: Floats) -> Floats:
    return np.asarray(np.abs(real - synthetic).sum(axis=-1) / 2)


def _areas(shares: npt.NDArray[np.generic]) -> Floats:
    """The area under the curve of each table of counts or shares (tables, answer no or yes, bins)."""
    no, yes = (np.asarray(shares[:, answer], dtype=np.float64) for answer in (0, 1))
    below = np.cumsum(no, axis=1) - no / 2
    whole = np.maximum(no.sum(1) * yes.sum(1), 1e-12)
    return np.asarray(np.clip((yes * below).sum(1) / whole, 0.0, 1.0))
