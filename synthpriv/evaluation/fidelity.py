"""How far the synthetic table is from the real holdout: columns, pairs, triples, whole rows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthpriv.evaluation.associations import association_matrix, judge_associations
from synthpriv.evaluation.bins import BINS, GROUPED_BINS, Bins, Codes, bin_codes, group_codes, holdout_bins
from synthpriv.evaluation.cells import FEWEST_ROWS, Array, Cells, EveryRow, Tables, is_numeric, whole
from synthpriv.evaluation.columns import compare_columns, judge_numbers, judge_shares
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.estimate import Estimate
from synthpriv.evaluation.findings import Findings, Matrix
from synthpriv.evaluation.joint import judge_classifier, judge_neighbours
from synthpriv.evaluation.marginals import Coded, Group, Marginals, passes, total_variations
from synthpriv.evaluation.pairs import worst_pairs
from synthpriv.evaluation.queries import judge_queries, random_queries

SAMPLED_CODES = 50_000  # rows that the spread of counted figures is taken from


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What an effort buys. triples, queries: how many are drawn. rows: of each table, by what reads them."""

    triples: int
    queries: int
    query_rows: int
    association_rows: int
    resamples: int
    classifier_rows: int
    neighbour_rows: int


SPENDING = {
    Effort.quick: Spending(
        triples=40,
        queries=300,
        query_rows=10_000,
        association_rows=10_000,
        resamples=10,
        classifier_rows=3_000,
        neighbour_rows=2_000,
    ),
    Effort.standard: Spending(
        triples=100,
        queries=1_000,
        query_rows=30_000,
        association_rows=50_000,
        resamples=20,
        classifier_rows=10_000,
        neighbour_rows=5_000,
    ),
    Effort.thorough: Spending(
        triples=500,
        queries=5_000,
        query_rows=100_000,
        association_rows=100_000,
        resamples=50,
        classifier_rows=40_000,
        neighbour_rows=10_000,
    ),
}


def judge_fidelity(
    tables: Tables,
    seed: int,
    effort: Effort = Effort.standard,
    progress: Callable[[float], None] = lambda done: None,
) -> Findings:
    """The estimates "fidelity.*" against the holdout; train and independent columns give the controls.

    Marginals (and what is made of single columns' shares) are counted over every row; all else reads the
    samples, by as many rows as the effort buys.
    """
    spending, holdout, contenders = SPENDING[effort], tables.holdout, tables.contenders(seed)
    bins = holdout_bins(holdout)
    found = _counted(tables, contenders, bins, spending, seed, lambda done: progress(0.4 * done))
    rng = np.random.default_rng([seed, 1])
    estimates = dict(judge_numbers({**contenders, "constant columns": constant(tables.train)}, holdout))
    progress(0.5)
    if len(bins) > 1:
        estimates["fidelity.association"] = judge_associations(
            contenders, holdout, spending.association_rows, spending.resamples, seed
        )
    progress(0.6)
    real, *others = (
        bin_codes(cells.sample(spending.query_rows, rng), bins) for cells in (holdout, *contenders.values())
    )
    codes = dict(zip(contenders, others, strict=True))
    estimates["fidelity.queries"] = judge_queries(codes, real, random_queries(bins, spending.queries, rng))
    progress(0.7)
    notes = []
    if not any(is_numeric(column) for column in holdout.columns):
        notes.append("Distances of numbers are left out: the schema declares lists only.")
    elif "fidelity.wasserstein" not in estimates:
        notes.append("Distances of numbers are left out: the holdout has no value in any column of numbers.")
    if min(len(tables.synthetic), len(tables.train)) >= FEWEST_ROWS:
        estimates["fidelity.c2st.auc"] = judge_classifier(contenders, holdout, spending.classifier_rows, seed)
        progress(0.85)
        estimates.update(judge_neighbours(contenders, holdout, spending.neighbour_rows, seed))
    else:
        why = f"found {len(tables.synthetic)} and {len(tables.train)}"
        notes.append(
            f"The classifier and the neighbours of whole rows are left out: they need {FEWEST_ROWS} rows of "
            f"the synthetic and the training table, {why}."
        )
    progress(1.0)
    return found.joined(
        Findings(
            estimates=estimates,
            association_names=holdout.names,
            association_real=_matrix(holdout.sample(spending.association_rows, rng)),
            association_synthetic=_matrix(tables.synthetic.sample(spending.association_rows, rng)),
            notes=tuple(notes),
        )
    )


def constant(cells: Cells) -> Cells:
    """One row of every column's most common value: the shares of a table of constant columns."""
    common = np.empty((1, len(cells.names)), dtype=np.int64, order="F")
    for at in range(len(cells.names)):
        values, counts = np.unique(cells.positions[:, at], return_counts=True)
        common[0, at] = values[counts.argmax()]
    return Cells(
        names=cells.names,
        columns=cells.columns,
        positions=common,
        outside=np.zeros(common.shape, dtype=np.bool_),
        delivered=cells.delivered,
    )


def _matrix(cells: Cells) -> Matrix:
    return tuple(tuple(row) for row in association_matrix(cells).tolist())


def _counted(
    tables: Tables,
    contenders: Mapping[str, Cells],
    bins: Sequence[Bins],
    spending: Spending,
    seed: int,
    progress: Callable[[float], None],
) -> Findings:
    """What is counted over every row: total variations, distances of shares, columns and worst pairs."""
    names, rng = tables.holdout.names, np.random.default_rng([seed, 2])
    families: dict[str, Sequence[Group]] = {
        "fidelity.tvd1": [(at,) for at in range(len(bins))],
        "fidelity.tvd2": list(itertools.combinations(range(len(bins)), 2)),
        "fidelity.tvd3": _triples(len(bins), spending.triples, rng),
    }
    sizes = [len(one.labels) for one in bins] + [int(one.groups[-1]) + 1 for one in bins]
    every = {
        "synthetic": tables.all_rows("synthetic"),
        "real rows": tables.all_rows("train"),
        "independent columns": whole(contenders["independent columns"]),
        "constant columns": whole(constant(tables.train)),
    }
    none = np.zeros((0, len(sizes)), dtype=np.int32)
    samples = [
        _both_codes(cells.sample(SAMPLED_CODES, rng), bins) for cells in (tables.synthetic, tables.holdout)
    ]
    coded = {name: _coded(none, one, bins) for name, one in every.items()}
    coded["synthetic"] = _coded(samples[0], every["synthetic"], bins)
    real = tables.all_rows("holdout")
    tell = _shares([*every.values(), real], passes(sizes, families), progress)
    found = total_variations(coded, _coded(samples[1], real, bins), sizes, families, tell)
    singles = {name: one.singles for name, one in found["fidelity.tvd1"].items()}
    shares = [(one.first, one.second) for one in singles["synthetic"]]
    rows = (every["synthetic"].rows, real.rows)
    return Findings(
        estimates={
            **{name: _estimate(name, found[name]) for name in families if families[name]},
            **judge_shares(singles, (samples[0], samples[1]), rows),
        },
        columns=compare_columns(tables.holdout, tables.synthetic, bins, shares),
        worst_pairs=worst_pairs(found["fidelity.tvd2"]["synthetic"], families["fidelity.tvd2"], names, bins),
    )


def _triples(columns: int, most: int, rng: np.random.Generator) -> list[Group]:
    """All triples of columns, or a sample of them, in the coarser codes that follow the columns' own."""
    if math.comb(columns, 3) <= most:
        chosen = set(itertools.combinations(range(columns), 3))
    else:
        chosen = set()
        while len(chosen) < most:
            first, second, third = np.sort(rng.choice(columns, size=3, replace=False)).tolist()
            chosen.add((first, second, third))
    return [(columns + a, columns + b, columns + c) for a, b, c in sorted(chosen)]


def _both_codes(cells: Cells, bins: Sequence[Bins]) -> Codes:
    """(rows, 2 x columns): the bin of every cell, then its coarser bin."""
    codes = bin_codes(cells, bins)
    return np.concatenate([codes.T, group_codes(codes, bins).T]).T


def _coded(sample: Array, every: EveryRow, bins: Sequence[Bins]) -> Coded:
    return Coded(sample=sample, chunks=lambda: (_both_codes(cells, bins) for cells in every.chunks()))


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


def _estimate(name: str, found: Mapping[str, Marginals]) -> Estimate:
    words = {"fidelity.tvd1": "single columns", "fidelity.tvd2": "pairs of columns"}
    what = words.get(name, "triples of columns (all, or a sample)")
    # constant columns are the bad example of what independent columns keep: single columns
    hidden = ("synthetic",) if name == "fidelity.tvd1" else ("synthetic", "constant columns")
    controls = {other: one.mean for other, one in found.items() if other not in hidden}
    return found["synthetic"].distance.estimate(
        f"Mean total variation over {len(found['synthetic'].each)} {what} between the synthetic table and "
        f"the real holdout",
        controls,
        GROUPED_BINS if name == "fidelity.tvd3" else BINS,
    )
