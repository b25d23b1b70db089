"""Areas are scikit-learn's; learnt tables score, shuffled tables do not, bad tables get a sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from synthpriv.errors import EvaluationError
from synthpriv.evaluation.cells import Tables, read_cells
from synthpriv.evaluation.intervals import auc, clopper_pearson, percentile_interval, stratified_weights
from synthpriv.evaluation.utility import FeatureEncoder, check_target, judge_utility, macro_auc
from synthpriv.schema import Boolean, Categorical, Float, Integer, Schema

SCHEMA = Schema(
    columns={
        "age": Integer(lower=0, upper=99, nullable=True),
        "score": Float(lower=-20.0, upper=20.0, decimals=1),
        "city": Categorical(categories=["x", "y", "z"], nullable=True),
        "bought": Boolean(),
        "grade": Categorical(categories=["a", "b", "c"]),
    },
    targets=("bought",),
)


def people(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age, city = rng.integers(0, 100, rows), rng.choice(["x", "y", "z"], rows)
    hidden = age / 20 + 2.0 * (city == "x") + rng.normal(size=rows)
    return pd.DataFrame(
        {
            "age": pd.Series(age, dtype="Int64").mask(pd.Series(rng.random(rows) < 0.05)),
            "score": np.round(rng.normal(0, 3, rows), 1),
            "city": city,
            "bought": hidden > 3,
            "grade": np.select([hidden < 2, hidden < 4], ["a", "b"], "c"),
        }
    )


def tables(made: pd.DataFrame, rows: int = 800) -> Tables:
    named = {"synthetic": made, "train": people(rows, 1), "holdout": people(rows // 2, 2)}
    return Tables(**{name: read_cells(table, SCHEMA) for name, table in named.items()})


def test_auc_is_scikit_learns_also_with_ties_and_weights() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(500) < 0.3
    scores = np.round(rng.normal(size=500) + positive, 1)
    assert auc(scores, positive)[0] == pytest.approx(roc_auc_score(positive, scores))
    weights = rng.integers(0, 4, size=(3, 500)).astype(float)
    expected = [roc_auc_score(positive, scores, sample_weight=one) for one in weights]
    assert auc(scores, positive, weights).tolist() == pytest.approx(expected)
    assert auc(np.zeros(4), np.array([True, False, True, False]))[0] == 0.5


def test_macro_auc_is_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 300)
    scores = rng.dirichlet(np.ones(3), 300)
    scores[np.arange(300), truth] += 0.2
    scores /= scores.sum(axis=1, keepdims=True)
    expected = roc_auc_score(truth, scores, multi_class="ovr", average="macro")
    assert macro_auc(scores, truth, np.ones((1, 300)))[0] == pytest.approx(expected)


def test_bootstrap_interval_covers() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(100):
        positive = np.arange(240) < 120
        scores = rng.normal(size=240) + positive
        low, high = percentile_interval(auc(scores, positive, stratified_weights(positive, rng)))
        covered += low <= 0.7602 <= high
    assert 85 <= covered <= 100


def test_resamples_keep_every_class() -> None:
    strata = np.array([0] * 50 + [1] * 2)
    weights = stratified_weights(strata, np.random.default_rng(3))
    assert np.all(weights[:, :50].sum(axis=1) == 50)
    assert np.all(weights[:, 50:].sum(axis=1) == 2)


def test_clopper_pearson_by_table() -> None:
    assert clopper_pearson(5, 50) == pytest.approx((0.0333, 0.2181), abs=1e-4)
    assert clopper_pearson(0, 0) == (0.0, 1.0)
    assert clopper_pearson(10, 10)[1] == 1.0


def test_features_do_not_depend_on_the_table_under_review() -> None:
    both = tables(people(100, 3))
    encoder = FeatureEncoder.fit(both.train, "bought")
    odd = people(4, 4).assign(age=[None, 50, 50, 200], city=["x", "zzz", None, "z"], score=0.0)
    cells = read_cells(odd, SCHEMA)
    linear, ordinal = encoder.linear(cells), encoder.ordinal(cells)
    assert linear.shape == (4, len(encoder.linear(both.holdout)[0]))
    assert np.isfinite(linear).all()
    assert np.abs(linear).max() <= 10
    missing_age, city = linear[:, 1], linear[:, 4:8]
    assert missing_age.tolist() == [1, 0, 0, 0]
    assert city.tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]
    assert ordinal[:, 0].tolist() == [-1, 50, 50, 99]
    assert ordinal[:, 2].tolist() == [0, -2, -1, 2]


def test_target_must_be_a_class() -> None:
    check_target(SCHEMA, "grade")
    with pytest.raises(EvaluationError, match="declare its values as categories"):
        check_target(SCHEMA, "age")
    with pytest.raises(EvaluationError, match="Did you mean 'bought'"):
        check_target(SCHEMA, "bougt")


@pytest.mark.slow
@pytest.mark.parametrize("target", ["bought", "grade"])
def test_real_rows_score_and_shuffled_rows_do_not(target: str) -> None:
    if target == "bought":
        without = people(800, 5).drop(columns="grade").assign(grade="a")
        real, train = without, people(800, 1).assign(grade="a")
    else:
        real, train = people(800, 5).assign(bought=True), people(800, 1).assign(bought=True)
    holdout = people(400, 2).assign(**{"grade": "a"} if target == "bought" else {"bought": True})
    rng = np.random.default_rng(6)
    shuffled = pd.DataFrame({name: train[name].iloc[rng.permutation(800)].to_numpy() for name in train})
    found = {}
    for name, made in {"real": real, "shuffled": shuffled}.items():
        named = {"synthetic": made, "train": train, "holdout": holdout}
        both = Tables(**{key: read_cells(table, SCHEMA) for key, table in named.items()})
        judged = judge_utility(both, target, seed=0)
        found[name], notes = judged.estimates, judged.notes
        assert notes == ()
    assert len(found["real"]) == 4
    for name, estimate in found["real"].items():
        assert estimate.value == pytest.approx(estimate.controls["real rows"], abs=0.04)
        assert estimate.low > 0.8
        assert found["shuffled"][name].value < 0.75
        assert estimate.controls["independent columns"] < 0.75
        assert estimate.low <= estimate.value <= estimate.high
    models = ("logistic_regression", "random_forest", "gradient_boosting")
    mean = np.mean([found["real"][f"utility.auc.{model}"].value for model in models])
    assert found["real"]["utility.auc"].value == pytest.approx(mean)


@pytest.mark.parametrize("made", ["one class", "too few", "no known value"])
def test_nothing_to_learn_from_is_half_with_a_sentence(made: str) -> None:
    synthetic = people(60, 7)
    if made == "one class":
        synthetic["bought"] = True
    elif made == "too few":
        synthetic = synthetic.iloc[:10]
    else:
        synthetic["bought"] = "perhaps"
    judged = judge_utility(tables(synthetic, rows=60), "bought", seed=0)
    found, notes = judged.estimates, judged.notes
    for estimate in found.values():
        assert estimate.value == estimate.low == estimate.high == 0.5
        assert estimate.controls["real rows"] != 0.5
    assert any("Nothing can be learnt about 'bought'" in note for note in notes)


def test_one_real_class_leaves_utility_out() -> None:
    both = tables(people(60, 8))
    at = both.holdout.names.index("bought")
    yes = np.flatnonzero(both.holdout.positions[:, at] == 1)
    alone = Tables(synthetic=both.synthetic, train=both.train, holdout=both.holdout.take(yes))
    judged = judge_utility(alone, "bought", seed=0)
    found, notes = judged.estimates, judged.notes
    assert found == {}
    assert "two classes" in notes[0]
