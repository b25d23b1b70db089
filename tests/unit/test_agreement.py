"""Where sdmetrics computes the same figure, it is the same number; runs with the extra `agreement`."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest

from synthpriv.evaluation.associations import association_matrix
from synthpriv.evaluation.bins import bin_codes, holdout_bins
from synthpriv.evaluation.cells import Cells, read_cells
from synthpriv.evaluation.columns import kolmogorov_smirnov
from synthpriv.evaluation.marginals import Coded, total_variations
from synthpriv.schema import Boolean, Categorical, Float, Integer, Schema

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("sdmetrics")
    from sdmetrics.column_pairs import ContingencySimilarity, CorrelationSimilarity
    from sdmetrics.single_column import KSComplement, TVComplement

pytestmark = pytest.mark.filterwarnings("ignore")
LISTS = ("city", "member", "grade")
NUMBERS = ("age", "weight")
SCHEMA = Schema(
    columns={
        "city": Categorical(categories=["u", "v", "w", "x"]),
        "member": Boolean(),
        "grade": Categorical(categories=["1", "2", "3"]),
        "age": Integer(lower=0, upper=99),
        "weight": Float(lower=-5.0, upper=5.0, decimals=3),
    }
)


def table(rows: int, seed: int, slope: float) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.integers(0, 100, rows)
    return pd.DataFrame(
        {
            "city": np.where(rng.random(rows) < age / 120, "u", rng.choice(["v", "w"], rows)),
            "member": rng.random(rows) < age / 100,
            "grade": rng.choice(["1", "2", "3"], rows, p=[0.5, 0.3, 0.2]),
            "age": age,
            "weight": np.round(np.clip(slope * age / 50 + rng.normal(size=rows), -5, 5), 3),
        }
    )


REAL, MADE = table(900, 1, 1.0), table(700, 2, 0.4)


def cells() -> tuple[Cells, Cells]:
    return read_cells(REAL, SCHEMA), read_cells(MADE, SCHEMA)


def test_total_variations_are_theirs() -> None:
    real, made = cells()
    bins = holdout_bins(real)
    sizes = [len(one.labels) for one in bins]
    groups = [(0,), (1,), (2,), *itertools.combinations(range(3), 2)]
    coded = [Coded.whole(bin_codes(one, bins)) for one in (made, real)]
    found = total_variations({"made": coded[0]}, coded[1], sizes, {"all": groups})["all"]["made"].each
    theirs = [TVComplement.compute(REAL[name], MADE[name]) for name in LISTS]
    pairs = [list(pair) for pair in itertools.combinations(LISTS, 2)]
    theirs += [ContingencySimilarity.compute(REAL[pair], MADE[pair]) for pair in pairs]
    assert found == pytest.approx([1 - one for one in theirs], abs=1e-12)
    assert min(found) > 0.01


def test_kolmogorov_smirnov_is_theirs() -> None:
    real, made = cells()
    for name in NUMBERS:
        at = real.names.index(name)
        ours = kolmogorov_smirnov(real.positions[:, at], made.positions[:, at])
        assert ours == pytest.approx(1 - KSComplement.compute(REAL[name], MADE[name]), abs=1e-12)


def test_correlations_are_theirs() -> None:
    first, second = (list(SCHEMA.columns).index(name) for name in NUMBERS)
    real, made = (association_matrix(one)[first, second] for one in cells())
    theirs = CorrelationSimilarity.compute(REAL[list(NUMBERS)], MADE[list(NUMBERS)], coefficient="Pearson")
    assert abs(real - made) / 2 == pytest.approx(1 - theirs, abs=1e-9)
    assert abs(real - made) > 0.1
