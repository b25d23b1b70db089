"""The distances are scipy's and the hand-computed ones, and the worst table scores as the worst."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp, pearsonr, wasserstein_distance
from scipy.stats.contingency import association

from synthpriv.evaluation.associations import association_matrix, correlation_ratio, cramers_v
from synthpriv.evaluation.bins import GROUPS, Bins, bin_codes, holdout_bins
from synthpriv.evaluation.cells import Tables, read_cells
from synthpriv.evaluation.columns import compare_columns, jensen_shannon, kolmogorov_smirnov, wasserstein
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.fidelity import _triples, judge_fidelity
from synthpriv.evaluation.marginals import Coded, Marginals, total_variations
from synthpriv.evaluation.pairs import worst_pairs
from synthpriv.schema import Boolean, Categorical, DateTime, Float, Integer, Schema

SCHEMA = Schema(
    columns={
        "age": Integer(lower=0, upper=99, nullable=True),
        "weight": Float(lower=-10.0, upper=10.0, decimals=2),
        "city": Categorical(categories=["x", "y", "z"], nullable=True),
        "member": Boolean(),
        "since": DateTime(start="2020-01-01", end="2020-12-31", resolution="D"),
    }
)


def people(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.integers(0, 100, rows)
    return pd.DataFrame(
        {
            "age": pd.Series(age, dtype="Int64").mask(pd.Series(rng.random(rows) < 0.1)),
            "weight": np.round(np.clip(age / 10 - 5 + rng.normal(size=rows), -10, 10), 2),
            "city": np.where(age > 50, rng.choice(["x", "y"], rows), rng.choice(["y", "z"], rows)),
            "member": rng.random(rows) < age / 100,
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 366, rows), unit="D"),
        }
    )


def cells(table: pd.DataFrame, schema: Schema = SCHEMA):
    return read_cells(table, schema)


def variations(first: np.ndarray, second: np.ndarray, sizes: list[int], groups: list) -> Marginals:
    coded = {"made": Coded.whole(first)}
    return total_variations(coded, Coded.whole(second), sizes, {"all": groups})["all"]["made"]


def independent(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({name: table[name].iloc[rng.permutation(len(table))].to_numpy() for name in table})


def test_distances_are_scipys() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 40, 300), rng.integers(5, 60, 500)
    assert kolmogorov_smirnov(first, second) == pytest.approx(ks_2samp(first, second).statistic)
    assert wasserstein(first, second) == pytest.approx(wasserstein_distance(first, second))
    p, q = rng.dirichlet(np.ones(8)), rng.dirichlet(np.ones(8))
    assert jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q, base=2))
    assert jensen_shannon(p, p) == 0.0
    assert jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(1.0)


def test_total_variation_by_hand() -> None:
    first = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    second = np.array([[0, 0], [0, 0], [1, 1], [1, 1]])
    found = variations(first, second, [2, 2], [(0,), (1,), (0, 1)])
    assert found.each == (0.0, 0.0, 0.5)
    assert found.mean == pytest.approx(0.5 / 3)
    assert variations(first, second, [2, 2], []).mean == 0.0


def test_huge_domains_are_counted_by_what_occurs() -> None:
    first, second = np.array([[0, 9], [7, 3]]), np.array([[0, 9], [8, 3]])
    small = variations(first, second, [10, 10], [(0, 1)])
    huge = variations(first, second, [10**5, 10**5], [(0, 1)])
    assert small.each == huge.each == (0.5,)


def test_the_standard_error_is_the_one_that_repetition_shows() -> None:
    rng = np.random.default_rng(2)
    shares, other = np.array([0.5, 0.3, 0.2]), np.array([0.3, 0.3, 0.4])

    def draw():
        first = rng.choice(3, size=(400, 1), p=shares)
        return variations(first, rng.choice(3, size=(300, 1), p=other), [3], [(0,)])

    found = [draw() for _ in range(400)]
    spread = np.std([one.mean for one in found])
    assert np.mean([one.error for one in found]) == pytest.approx(spread, rel=0.12)


def test_bins_follow_the_holdout_and_keep_missing_and_undeclared_apart() -> None:
    schema = Schema(columns={"n": Integer(lower=0, upper=99, nullable=True)})
    holdout = cells(pd.DataFrame({"n": range(100)}), schema)
    (bins,) = holdout_bins(holdout)
    assert len(bins.labels) == 22
    assert bins.labels[0] == "0 to 4"
    assert bins.labels[-2:] == ("undeclared", "missing")
    odd = cells(pd.DataFrame({"n": [0, 4, 5, 99, 150, -3, None, 3.4, "word"]}), schema)
    assert bin_codes(odd, [bins])[:, 0].tolist() == [0, 0, 1, 19, 20, 20, 21, 0, 20]


def test_a_heavy_value_merges_equal_edges() -> None:
    schema = Schema(columns={"n": Integer(lower=0, upper=99)})
    holdout = cells(pd.DataFrame({"n": [0] * 90 + [7] * 10}), schema)
    assert holdout_bins(holdout)[0].labels == ("0 to 6", "7 to 99", "undeclared", "missing")


def test_column_comparisons_are_complete_and_scaled() -> None:
    real, made = people(600, 1), people(500, 2)
    bins = holdout_bins(cells(real))
    first, second = (bin_codes(cells(table), bins) for table in (made, real))
    singles = [(at,) for at in range(len(bins))]
    counted = variations(first, second, [len(one.labels) for one in bins], singles).singles
    shares = [(one.first, one.second) for one in counted]
    by_name = {one.name: one for one in compare_columns(cells(real), cells(made), bins, shares)}
    for one in by_name.values():
        assert sum(one.real) == pytest.approx(1)
        assert sum(one.synthetic) == pytest.approx(1)
        gap = sum(abs(a - b) for a, b in zip(one.real, one.synthetic, strict=True)) / 2
        assert one.total_variation == pytest.approx(gap)
        assert len(one.labels) == len(one.real)
    age = by_name["age"]
    first, second = real["age"].dropna().astype(float), made["age"].dropna().astype(float)
    assert age.kolmogorov_smirnov == pytest.approx(ks_2samp(first, second).statistic)
    assert age.wasserstein == pytest.approx(wasserstein_distance(first, second) / 99)
    assert age.missing_real == pytest.approx(real["age"].isna().mean())
    assert age.labels[-1] == "missing"
    weight = by_name["weight"]
    assert weight.wasserstein == pytest.approx(wasserstein_distance(real["weight"], made["weight"]) / 20)
    assert by_name["city"].kolmogorov_smirnov is None
    assert by_name["city"].wasserstein is None
    assert by_name["city"].labels == ("x", "y", "z")


def test_associations_are_the_textbooks() -> None:
    table = people(800, 3)
    matrix = association_matrix(cells(table))
    age, weight, city, member, since = range(5)
    both = table.dropna()
    expected = pearsonr(both["age"].astype(float), both["weight"]).statistic
    assert matrix[age, weight] == pytest.approx(expected)
    counts = pd.crosstab(table["city"], table["member"]).to_numpy()
    assert matrix[city, member] == pytest.approx(association(counts, method="cramer"))
    groups = table.groupby("city")["weight"]
    between = (groups.size() * (groups.mean() - table["weight"].mean()) ** 2).sum()
    total = ((table["weight"] - table["weight"].mean()) ** 2).sum()
    assert matrix[city, weight] == pytest.approx(np.sqrt(between / total))
    assert np.allclose(matrix, matrix.T)
    assert np.allclose(np.diag(matrix), 1)
    assert abs(matrix[since, age]) < 0.15


def test_associations_of_constants_are_zero() -> None:
    assert cramers_v(np.zeros(5, int), np.arange(5)) == 0.0
    assert correlation_ratio(np.arange(5), np.full(5, 0.1)) == 0.0
    table = people(50, 4).assign(age=5, weight=1.0, city="x", member=True)
    matrix = association_matrix(cells(table))
    assert np.allclose(matrix, np.eye(5))


def test_associations_of_many_categories_are_exact() -> None:
    rng = np.random.default_rng(5)
    first = np.append(rng.integers(0, 300, 400), np.arange(300))
    assert cramers_v(first, first) == pytest.approx(1.0)


def test_shuffled_columns_score_as_the_floor_and_real_rows_as_the_best() -> None:
    train, holdout = people(4000, 6), people(2000, 7)
    scores = {}
    for name, made in {"real": people(4000, 8), "shuffled": independent(train, 9)}.items():
        tables = Tables(synthetic=cells(made), train=cells(train), holdout=cells(holdout))
        scores[name] = judge_fidelity(tables, 0, Effort.quick).estimates
    for name in ("fidelity.tvd2", "fidelity.association"):
        best, floor = (scores["real"][name].controls[key] for key in ("real rows", "independent columns"))
        assert floor > 1.5 * best
        assert scores["real"][name].value == pytest.approx(best, rel=0.35)
        assert scores["shuffled"][name].value == pytest.approx(floor, rel=0.1)
        assert scores["shuffled"][name].low > scores["real"][name].high
    for estimates in scores.values():
        for estimate in estimates.values():
            assert 0 <= estimate.low <= estimate.value <= estimate.high
            assert f"{estimate.value:.4f}" in estimate.sentence
    assert "20 quantiles" in scores["real"]["fidelity.tvd1"].sentence


def test_worst_pairs_name_the_broken_pair_first() -> None:
    holdout = people(2000, 10)
    made = people(2000, 11).assign(member=lambda table: table["age"].fillna(0) < 50)
    tables = Tables(synthetic=cells(made), train=cells(people(2000, 12)), holdout=cells(holdout))
    found = judge_fidelity(tables, 0, Effort.quick)
    assert {found.worst_pairs[0].first, found.worst_pairs[0].second} == {"age", "member"}
    values = [pair.total_variation - pair.noise for pair in found.worst_pairs]
    assert values == sorted(values, reverse=True)


def test_a_drawn_pair_adds_up_to_its_distance() -> None:
    holdout, made = people(1500, 13), people(1500, 14).assign(city="z")
    tables = Tables(synthetic=cells(made), train=cells(people(1500, 15)), holdout=cells(holdout))
    pairs = judge_fidelity(tables, 0, Effort.quick).worst_pairs
    assert [bool(pair.real) for pair in pairs] == [True] * 5 + [False] * 5
    for pair in pairs[:5]:
        real, synthetic = np.array(pair.real), np.array(pair.synthetic)
        assert real.shape == synthetic.shape == (len(pair.first_labels), len(pair.second_labels))
        assert max(real.shape) <= 22
        assert real.sum() == pytest.approx(1, abs=0.01)
        assert np.abs(real - synthetic).sum() / 2 == pytest.approx(pair.total_variation, abs=0.01)
    at = pairs[0].first_labels.index("z") if pairs[0].first == "city" else pairs[0].second_labels.index("z")
    table = np.array(pairs[0].synthetic)
    assert (table if pairs[0].first == "city" else table.T)[at].sum() == pytest.approx(1, abs=0.01)


def test_the_rare_values_of_a_long_list_are_drawn_together() -> None:
    names = [f"v{at:02d}" for at in range(60)]
    bins = Bins(edges=None, labels=(*names, "undeclared", "missing"), groups=np.zeros(62, np.int32))
    rng = np.random.default_rng(16)
    codes = [np.column_stack([rng.integers(0, 60, 4000) ** 2 // 60, rng.integers(0, 2, 4000)]) for _ in "ab"]
    two = Bins(edges=None, labels=("no", "yes", "undeclared", "missing"), groups=np.zeros(4, np.int32))
    found = variations(codes[0], codes[1], [62, 4], [(0, 1)])
    (pair,) = worst_pairs(found, [(0, 1)], ("long", "short"), [bins, two])
    assert len(pair.first_labels) == 20
    assert pair.first_labels[0] == "v00"
    assert pair.first_labels[-1].endswith(" others")
    assert pair.second_labels == ("no", "yes")
    assert np.sum(pair.real) == pytest.approx(1, abs=0.001)


def test_triples_are_all_or_a_sample_of_the_coarser_bins() -> None:
    rng = np.random.default_rng(17)
    assert _triples(4, 10, rng) == [(4, 5, 6), (4, 5, 7), (4, 6, 7), (5, 6, 7)]
    drawn = _triples(40, 50, rng)
    assert len(set(drawn)) == 50
    assert all(40 <= a < b < c < 80 for a, b, c in drawn)
    assert _triples(2, 10, rng) == []
    bins = holdout_bins(cells(people(500, 18)))
    for one in bins:
        assert len(one.groups) == len(one.labels)
        assert one.groups.max() <= GROUPS + 1
        assert (np.diff(one.groups[-3:]) == 1).all() or one.edges is None


def test_every_figure_orders_the_obvious_tables() -> None:
    train, holdout = people(1000, 19), people(1000, 20)
    common = {name: train[name].mode()[0] for name in train}
    made = {
        "real": people(1000, 21),
        "independent": independent(train, 22),
        "constant": train.assign(**common),
    }
    found = {}
    for name, table in made.items():
        tables = Tables(synthetic=cells(table), train=cells(train), holdout=cells(holdout))
        found[name] = {
            figure: one.value if one.direction == "lower" else abs(one.value - 0.5)
            if one.direction == "half" else 1 - one.value
            for figure, one in judge_fidelity(tables, 0, Effort.quick).estimates.items()
        }  # fmt: skip
    single = {"tvd1", "jensen_shannon", "missing", "kolmogorov_smirnov", "wasserstein"}
    smoke = {"density"}  # copies of one typical row lie close to real ones
    for figure in found["real"]:
        real, floor, worst = (found[name][figure] for name in ("real", "independent", "constant"))
        name = figure.removeprefix("fidelity.").removesuffix(".auc")
        assert real < worst or name in smoke, figure
        if name in single:
            assert real == pytest.approx(floor, abs=0.03), figure
        else:
            assert real < floor, figure
        assert floor < worst or name in smoke, figure
