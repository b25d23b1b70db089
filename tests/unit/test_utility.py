"""Areas are scikit-learn's; learnt tables score, shuffled tables do not, bad tables get a sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, f1_score, r2_score, roc_auc_score

from synthpriv.errors import EvaluationError
from synthpriv.evaluation.cells import Tables, read_cells
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.features import FeatureEncoder
from synthpriv.evaluation.findings import Findings
from synthpriv.evaluation.intervals import auc, clopper_pearson, percentile_interval, stratified_weights
from synthpriv.evaluation.scores import average_precision, macro_auc, macro_f1, r_squared
from synthpriv.evaluation.targets import check_target
from synthpriv.evaluation.utility import judge_utility
from synthpriv.schema import Boolean, Categorical, Float, Identifier, Integer, Schema

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
    sides = [(one, None) for one in range(3)]
    assert macro_auc(scores, truth, sides, np.ones((1, 300)))[0] == pytest.approx(expected)
    weights = stratified_weights(truth, rng)
    exact = np.mean([auc(scores[:, one], truth == one, weights) for one in range(3)], axis=0)
    assert macro_auc(scores, truth, sides, weights) == pytest.approx(exact, abs=0.01)


def test_other_scores_are_scikit_learns_also_with_weights() -> None:
    rng = np.random.default_rng(4)
    truth = (rng.random(300) < 0.2).astype(int)
    chance = np.round(rng.random(300) * 0.5 + truth * 0.3, 1)
    scores = np.column_stack([1 - chance, chance])
    weights = np.vstack([np.ones(300), rng.integers(0, 4, size=(2, 300))]).astype(float)
    sides = [(1, 0)]
    for found, expected, given in (
        (average_precision, average_precision_score, chance),
        (macro_f1, f1_score, (chance > 0.5).astype(int)),
    ):
        by_hand = [expected(truth, given, sample_weight=one) for one in weights]
        assert found(scores, truth, sides, weights).tolist() == pytest.approx(by_hand)
    number = rng.normal(size=300)
    guess = number + rng.normal(size=300)
    by_hand = [r2_score(number, guess, sample_weight=one) for one in weights]
    assert r_squared(guess, number, weights).tolist() == pytest.approx(by_hand)


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


def test_target_must_be_a_column_with_values() -> None:
    for target in ("grade", "age"):
        check_target(SCHEMA, target)
    with pytest.raises(EvaluationError, match="Did you mean 'bought'"):
        check_target(SCHEMA, "bougt")
    odd = Schema(columns={"id": Identifier(), "one": Categorical(categories=["only"]), "two": Boolean()})
    with pytest.raises(EvaluationError, match="an identifier"):
        check_target(odd, "id")
    with pytest.raises(EvaluationError, match="at least two values"):
        check_target(odd, "one")


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
        judged = judge_utility(both, [target], seed=0)
        found[name], notes = judged.estimates, judged.notes
        assert notes == ()
    models = ("logistic_regression", "random_forest", "gradient_boosting")
    for name in ("utility.auc", *(f"utility.auc.{model}" for model in models)):
        estimate = found["real"][name]
        assert estimate.value == pytest.approx(estimate.controls["real rows"], abs=0.04)
        assert estimate.low > 0.8
        assert found["shuffled"][name].value < 0.75
        assert estimate.controls["independent columns"] < 0.75
        assert estimate.low <= estimate.value <= estimate.high
    mean = np.mean([found["real"][f"utility.auc.{model}"].value for model in models])
    assert found["real"]["utility.auc"].value == pytest.approx(mean)


def test_numbers_are_predicted_and_noise_is_told_from_rows() -> None:
    made = people(800, 5)
    noisy = made.assign(age=made["age"].sample(frac=1.0, random_state=0).to_numpy())
    half = pd.concat([made.iloc[:400], noisy.iloc[400:]])
    found = {
        name: judge_utility(tables(one), ["age"], seed=0, effort=Effort.quick).estimates["utility.r2"]
        for name, one in {"real": made, "half": half, "noisy": noisy}.items()
    }
    assert found["real"].low > found["half"].high
    assert found["half"].value > found["noisy"].value + 0.1
    assert found["real"].value == pytest.approx(found["real"].controls["real rows"], abs=0.05)
    assert abs(found["real"].controls["independent columns"]) < 0.15


NOTHING = {
    "one class": lambda table: table.assign(bought=True),
    "too few": lambda table: table.iloc[:10],
    "no known value": lambda table: table.assign(bought="perhaps"),
    "not there": lambda table: table.drop(columns="bought"),
}


@pytest.mark.parametrize("made", NOTHING)
def test_nothing_to_learn_from_is_a_guess_with_a_sentence(made: str) -> None:
    judged = judge_utility(tables(NOTHING[made](people(60, 7)), rows=60), ["bought"], seed=0)
    found = judged.estimates
    for name, estimate in found.items():
        if name.startswith("utility.auc"):
            assert estimate.value == estimate.low == estimate.high == 0.5
            assert estimate.controls["real rows"] != 0.5
    assert found["utility.model_rank"].value == found["utility.importance_rank"].value == 0
    assert any("Nothing can be learnt about 'bought'" in note for note in judged.notes)


@pytest.mark.parametrize(
    ("age", "words"),
    [(None, "Nothing can be learnt about 'age'"), (30, ""), (10_000, ""), ("old", "Nothing can be learnt")],
)
def test_a_number_that_says_nothing_explains_nothing(age: object, words: str) -> None:
    judged = judge_utility(tables(people(60, 7).assign(age=age), rows=60), ["age"], seed=0)
    assert judged.estimates["utility.r2"].value <= 0.01
    assert any(words in note for note in (*judged.notes, ""))


def test_real_rows_that_cannot_be_predicted_leave_the_target_out() -> None:
    constant = people(60, 8).assign(bought=True, score=1.0)
    named = {"synthetic": people(60, 1), "train": people(60, 2), "holdout": constant}
    both = Tables(**{name: read_cells(table, SCHEMA) for name, table in named.items()})
    judged = judge_utility(both, ["bought", "score"], seed=0)
    assert judged.estimates == {}
    assert [note.partition(" is left out")[0] for note in judged.notes] == [
        "Utility of 'bought'",
        "Utility of 'score'",
    ]


def test_a_rare_class_is_left_out_of_the_averages_with_a_note() -> None:
    def few(rows: int, seed: int) -> pd.DataFrame:
        table = people(rows, seed)
        table.loc[table.index[3:], "grade"] = np.where(table["bought"][3:], "b", "a")
        return table.assign(grade=["c"] * 3 + table["grade"].tolist()[3:])

    named = {"synthetic": few(200, 3), "train": few(200, 1), "holdout": few(200, 2)}
    both = Tables(**{name: read_cells(table, SCHEMA) for name, table in named.items()})
    judged = judge_utility(both, ["grade"], seed=0, effort=Effort.quick)
    assert any("1 of the 3 classes of 'grade'" in note for note in judged.notes)
    assert judged.estimates["utility.auc"].value > 0.95


def judged_bought(made: pd.DataFrame, **arguments: object) -> Findings:
    return judge_utility(tables(made), ["bought"], seed=0, effort=Effort.quick, **arguments)  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_figures() -> None:
    made = people(300, 5)
    assert judged_bought(made) == judged_bought(made)
