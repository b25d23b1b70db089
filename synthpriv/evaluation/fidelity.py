"""How far the synthetic table's columns, pairs and associations are from the real holdout's."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import rel_entr

from synthpriv.evaluation.associations import association_matrix, mean_difference
from synthpriv.evaluation.cells import Array, Cells, EveryRow, Tables, is_numeric, whole
from synthpriv.evaluation.comparisons import ColumnComparison, PairComparison
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.estimate import Estimate
from synthpriv.evaluation.findings import Findings, Matrix
from synthpriv.evaluation.marginals import Coded, Group, Marginals, passes, total_variations
from synthpriv.schema import AnyColumn
from synthpriv.schema.values import MISSING, restore

Floats = npt.NDArray[np.float64]
QUANTILE_BINS = 20
ASSOCIATION_RESAMPLES = 20
ASSOCIATION_ROWS = 50_000
WORST_PAIRS = 10
BINS = (
    f"Bins: {QUANTILE_BINS} quantiles of the holdout for numbers and moments (equal edges merged), the "
    f"declared categories for lists, one bin for missing and one for undeclared values."
)


@dataclass(frozen=True, kw_only=True)
class Bins:
    """One column's bins: `edges` are the first position of each bin but the first (None: one bin a value).

    The last two of `labels` are the bins of undeclared and of missing values.
    """

    edges: Array | None
    labels: tuple[str, ...]


def judge_fidelity(
    tables: Tables,
    seed: int,
    effort: Effort = Effort.standard,
    progress: Callable[[float], None] = lambda done: None,
) -> Findings:
    """Compare the synthetic table with the holdout; train and independent columns give the controls.

    Marginals are counted over every row. Bins, distances between values and associations come from the
    samples.
    """
    holdout, contenders = tables.holdout, tables.contenders(seed)
    bins = holdout_bins(holdout)
    sizes = [len(one.labels) for one in bins]
    pairs = list(itertools.combinations(range(len(bins)), 2))
    families: dict[str, Sequence[Group]] = {
        "fidelity.tvd1": [(at,) for at in range(len(bins))],
        "fidelity.tvd2": pairs,
    }
    every = {"synthetic": tables.all_rows("synthetic"), "real rows": tables.all_rows("train")}
    coded = {name: _coded(cells, every.get(name, whole(cells)), bins) for name, cells in contenders.items()}
    real = tables.all_rows("holdout")
    found = total_variations(
        coded,
        _coded(holdout, real, bins),
        sizes,
        families,
        _shares(
            [*every.values(), whole(contenders["independent columns"]), real],
            passes(sizes, families),
            progress,
        ),
    )
    association, matrices = _association(contenders, holdout, seed)
    own = {figure: contender["synthetic"] for figure, contender in found.items()}
    ranked = sorted(zip(own["fidelity.tvd2"].each, pairs, strict=True), reverse=True)[:WORST_PAIRS]
    return Findings(
        estimates={
            "fidelity.tvd1": _distance_estimate(found["fidelity.tvd1"], "single columns"),
            "fidelity.tvd2": _distance_estimate(found["fidelity.tvd2"], "pairs of columns"),
            "fidelity.association": association,
        },
        columns=compare_columns(holdout, tables.synthetic, bins, own["fidelity.tvd1"].shares),
        worst_pairs=tuple(
            PairComparison(first=holdout.names[a], second=holdout.names[b], total_variation=value)
            for value, (a, b) in ranked
        ),
        association_names=holdout.names,
        association_real=_matrix(matrices[0]),
        association_synthetic=_matrix(matrices[1]),
    )


def _matrix(values: Floats) -> Matrix:
    return tuple(tuple(row) for row in values.tolist())


def _coded(sample: Cells, every: EveryRow, bins: Sequence[Bins]) -> Coded:
    return Coded(
        sample=bin_codes(sample, bins), chunks=lambda: (bin_codes(cells, bins) for cells in every.chunks())
    )


def _shares(
    tables: Sequence[EveryRow], passes: int, progress: Callable[[float], None]
) -> Callable[[int], None]:
    """What tells `progress` the share done from the rows of each chunk that is counted."""
    total, done = max(passes * sum(table.rows for table in tables), 1), 0

    def tell(rows: int) -> None:
        nonlocal done
        done += rows
        progress(done / total)

    return tell


def holdout_bins(holdout: Cells) -> tuple[Bins, ...]:
    """The bins of every column, from the declared categories or the holdout's quantiles."""
    return tuple(
        _bins(column, holdout.positions[:, at][~holdout.outside[:, at]])
        for at, column in enumerate(holdout.columns)
    )


def _bins(column: AnyColumn, positions: Array) -> Bins:
    special = ("undeclared", "missing")
    if not is_numeric(column):
        labels = restore(np.arange(column.size), column, "").astype(str).tolist()
        return Bins(edges=None, labels=(*labels, *special))
    present = positions[positions != MISSING]
    levels = np.arange(1, QUANTILE_BINS) / QUANTILE_BINS
    edges = (
        np.unique(np.quantile(present, levels, method="higher")) if len(present) else np.array([], np.int64)
    )
    edges = edges[edges > 0].astype(np.int64)
    firsts = restore(np.append(0, edges), column, "").astype(str)
    lasts = restore(np.append(edges - 1, column.size - 1), column, "").astype(str)
    names = (a if a == b else f"{a} to {b}" for a, b in zip(firsts, lasts, strict=True))
    return Bins(edges=edges, labels=(*names, *special))


def bin_codes(cells: Cells, bins: Sequence[Bins]) -> npt.NDArray[np.int64]:
    """The bin of every cell: (rows, columns), the column's labels counted from 0."""
    codes = np.empty(cells.positions.shape, dtype=np.int64, order="F")
    missing = cells.missing()
    for at, one in enumerate(bins):
        values = cells.positions[:, at]
        inner = values if one.edges is None else np.searchsorted(one.edges, values, side="right")
        inner = np.where(cells.outside[:, at], len(one.labels) - 2, inner)
        codes[:, at] = np.where(missing[:, at], len(one.labels) - 1, inner)
    return codes


def compare_columns(
    holdout: Cells, synthetic: Cells, bins: Sequence[Bins], shares: Sequence[tuple[Floats, Floats]]
) -> tuple[ColumnComparison, ...]:
    """Every distance of every single column; shares: of each column's bins, synthetic and real."""
    compared = []
    for at, (name, column) in enumerate(zip(holdout.names, holdout.columns, strict=True)):
        size = len(bins[at].labels)
        made, real = shares[at]
        shown = (np.arange(size) < size - 2) | (real + made > 0)
        numbers = [cells.positions[:, at] for cells in (holdout, synthetic)]
        numbers = [values[values != MISSING] for values in numbers]
        comparable = is_numeric(column) and all(len(values) for values in numbers)
        compared.append(
            ColumnComparison(
                name=name,
                kind=column.kind,
                total_variation=float(np.abs(real - made).sum() / 2),
                jensen_shannon=jensen_shannon(real, made),
                kolmogorov_smirnov=kolmogorov_smirnov(*numbers) if comparable else None,
                wasserstein=wasserstein(*numbers) / max(column.size - 1, 1) if comparable else None,
                missing_real=float(real[-1]),
                missing_synthetic=float(made[-1]),
                labels=tuple(label for label, show in zip(bins[at].labels, shown, strict=True) if show),
                real=tuple(real[shown].tolist()),
                synthetic=tuple(made[shown].tolist()),
            )
        )
    return tuple(compared)


def jensen_shannon(first: Array, second: Array) -> float:
    """The Jensen-Shannon distance (base 2) of two arrays of shares: 0..1 (Endres and Schindelin 2003)."""
    middle = (first + second) / 2
    divergence = (rel_entr(first, middle).sum() + rel_entr(second, middle).sum()) / (2 * math.log(2))
    return float(np.sqrt(np.clip(divergence, 0.0, 1.0)))


def kolmogorov_smirnov(first: Array, second: Array) -> float:
    """The largest gap between two empirical distribution functions: 0..1."""
    return float(np.abs(_gaps(first, second)[1]).max())


def wasserstein(first: Array, second: Array) -> float:
    """The area between two empirical distribution functions (Wasserstein-1), in the values' units."""
    values, gaps = _gaps(first, second)
    return float(np.sum(np.abs(gaps[:-1]) * np.diff(values)))


def _gaps(first: Array, second: Array) -> tuple[Array, Floats]:
    values = np.unique(np.concatenate([first, second]))
    below = [np.searchsorted(np.sort(one), values, side="right") / len(one) for one in (first, second)]
    return values, np.asarray(below[0] - below[1])


def _distance_estimate(found: Mapping[str, Marginals], words: str) -> Estimate:
    own = found["synthetic"]
    return Estimate(
        value=own.mean,
        low=max(own.mean - 1.96 * own.error, 0.0),
        high=min(own.mean + 1.96 * own.error, 1.0),
        method="delta method over rows",
        direction="lower",
        sentence=(
            f"Mean total variation over {len(own.each)} {words} between the synthetic table and the real "
            f"holdout: {own.mean:.4f}, where real training rows give {found['real rows'].mean:.4f} and "
            f"independent columns {found['independent columns'].mean:.4f}. {BINS}"
        ),
        controls={name: one.mean for name, one in found.items() if name != "synthetic"},
    )


def _association(
    contenders: Mapping[str, Cells], holdout: Cells, seed: int
) -> tuple[Estimate, tuple[Floats, Floats]]:
    rng = np.random.default_rng(seed)
    holdout = holdout.sample(ASSOCIATION_ROWS, rng)
    sampled = {name: cells.sample(ASSOCIATION_ROWS, rng) for name, cells in contenders.items()}
    real = association_matrix(holdout)
    made = {name: association_matrix(cells) for name, cells in sampled.items()}
    controls = {name: mean_difference(matrix, real) for name, matrix in made.items()}
    value = controls.pop("synthetic")
    resampled = []
    for _ in range(ASSOCIATION_RESAMPLES):
        both = (sampled["synthetic"], holdout)
        redrawn = [cells.take(rng.integers(0, len(cells), len(cells))) for cells in both]
        resampled.append(mean_difference(*(association_matrix(cells) for cells in redrawn)))
    error = float(np.std(resampled, ddof=1))
    estimate = Estimate(
        value=value,
        low=max(value - 1.96 * error, 0.0),
        high=value + 1.96 * error,
        method=f"bootstrap standard error over rows, {ASSOCIATION_RESAMPLES} resamples",
        direction="lower",
        sentence=(
            f"Mean absolute difference of association between pairs of columns (Pearson between numbers, "
            f"Cramer's V between lists, correlation ratio between one of each), synthetic table against real "
            f"holdout: {value:.4f}, where real training rows give {controls['real rows']:.4f} and "
            f"independent columns {controls['independent columns']:.4f}."
        ),
        controls=controls,
    )
    return estimate, (real, made["synthetic"])
