"""Models' order, features that matter, gaps between groups and entered models: each planted lie is found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from synthpriv.errors import EvaluationError
from synthpriv.evaluation import agreement
from synthpriv.evaluation.agreement import above_noise, spearman
from synthpriv.evaluation.cells import Tables, read_cells
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.findings import Findings
from synthpriv.evaluation.models import check_models
from synthpriv.evaluation.utility import judge_utility
from synthpriv.schema import Boolean, Categorical, Integer, Schema

NUMBERS = ("first", "second", "third", "fourth")
SCHEMA = Schema(
    columns={
        **{name: Integer(lower=0, upper=99) for name in NUMBERS},
        "part": Categorical(categories=["a", "b", "tiny"]),
        "ill": Boolean(),
    },
    targets=("ill",),
    groups=("part",),
)


def people(rows: int, seed: int) -> pd.DataFrame:
    """'first' matters most, 'fourth' not at all; both parts of the people are alike."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({name: rng.integers(0, 100, rows) for name in NUMBERS})
    table["part"] = rng.choice(["a", "b", "tiny"], rows, p=[0.6, 0.38, 0.02])
    risk = table["first"] / 10 + table["second"] / 20 + table["third"] / 40 + rng.normal(0, 1, rows)
    return table.assign(ill=risk > 8.75)


def judged(made: pd.DataFrame, target: str = "ill", rows: int = 1_000, **arguments: object) -> Findings:
    named = {"synthetic": made, "train": people(rows, 1), "holdout": people(rows, 2)}
    tables = Tables(**{name: read_cells(table, SCHEMA) for name, table in named.items()})
    return judge_utility(tables, [target], seed=0, effort=Effort.quick, **arguments)  # type: ignore[arg-type]


def shuffled(table: pd.DataFrame, name: str) -> pd.DataFrame:
    order = np.random.default_rng(9).permutation(len(table))
    return table.assign(**{name: table[name].to_numpy()[order]})


def test_spearman_is_scipys_and_no_order_agrees_with_nothing() -> None:
    from scipy.stats import spearmanr

    first, second = np.random.default_rng(0).integers(0, 5, size=(2, 12, 3)).astype(float)
    expected = [spearmanr(first[:, at], second[:, at]).statistic for at in range(3)]
    assert spearman(first, second).tolist() == pytest.approx(expected)
    assert spearman(np.ones((4, 1)), np.arange(4.0)[:, None]).tolist() == [0.0]


def test_importances_within_the_noise_are_none() -> None:
    sure = np.tile([[1.0], [0.1], [-0.3]], 5)
    assert above_noise(sure)[:, 0].tolist() == [1.0, 0.1, 0.0]
    blurred = np.column_stack([[1.0, 0.1], [[1.2, 0.8], [0.5, -0.4]]])
    assert above_noise(blurred)[:, 0].tolist() == [1.0, 0.0]


def test_a_destroyed_feature_is_told_by_the_importances() -> None:
    good, bad = (judged(made) for made in (people(1_000, 5), shuffled(people(1_000, 5), "first")))
    name = "utility.importance_rank"
    assert good.estimates[name].value >= 0.9
    assert bad.estimates[name].value <= good.estimates[name].value - 0.3
    assert good.estimates[name].controls["real rows"] >= 0.9
    pictures = {one.feature: one for one in bad.importances}
    assert bad.importances[0].feature == "first"
    assert pictures["first"].real > 0.1
    assert pictures["first"].synthetic < 0.05
    assert pictures["fourth"].real < 0.02


def test_wide_tables_give_the_same_importances_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = judged(people(200, 5), rows=200)
    monkeypatch.setattr(agreement, "MOST_CELLS", 4_000)
    assert judged(people(200, 5), rows=200) == whole


def test_the_order_of_models_agrees_for_real_rows_and_not_for_noise() -> None:
    good, bad = (
        judged(made).estimates["utility.model_rank"]
        for made in (people(1_000, 5), shuffled(people(1_000, 5), "ill"))
    )
    assert good.value >= 0.8 > bad.value
    assert good.low <= good.value <= good.high
    assert "6 models" in good.sentence
    assert "cost 0.06" in good.sentence


def test_a_planted_gap_between_groups_is_found() -> None:
    fair = people(1_500, 5)
    there = (fair["part"] == "b").to_numpy()
    order = np.random.default_rng(3).permutation(int(there.sum()))
    unfair = fair.copy()
    unfair.loc[there, "ill"] = fair.loc[there, "ill"].to_numpy()[order]
    good, bad = (judged(made, groups=("part",)) for made in (fair, unfair))
    name = "utility.group_gap[ill by part]"
    assert good.estimates[name].value < 0.05
    assert good.estimates[name].controls["real rows"] < 0.05
    assert bad.estimates[name].low > 0.05
    assert bad.estimates[name] == bad.estimates["utility.group_gap"]
    assert "'a' gains on 'b'" in bad.estimates[name].sentence
    assert any("tiny" in note for note in bad.notes)
    scores = {one.group: one for one in bad.groups}
    assert set(scores) == {"a", "b"}
    assert scores["b"].synthetic < scores["b"].real - 0.05
    assert scores["a"].rows == int((people(1_000, 2)["part"] == "a").sum())


def test_groups_that_cannot_be_compared_are_left_out_with_a_note() -> None:
    found = judged(people(60, 5), rows=60, groups=("part", "ill"))
    assert not any(name.startswith("utility.group_gap") for name in found.estimates)
    assert any("gap between groups of 'part' is left out" in note for note in found.notes)
    found = judged(people(300, 5), target="first", rows=300, groups=("ill",))
    assert {one.group for one in found.groups} == {"False", "True"}
    assert {one.score for one in found.groups} == {"r2"}


def test_rows_that_help_are_told_from_rows_that_harm() -> None:
    made, train, holdout = people(1_000, 5), people(80, 1), people(1_000, 2)
    found = {}
    for name, table in {"help": made, "harm": made.assign(ill=~made["ill"])}.items():
        named = {"synthetic": table, "train": train, "holdout": holdout}
        tables = Tables(**{key: read_cells(one, SCHEMA) for key, one in named.items()})
        judged = judge_utility(tables, ["ill"], seed=0, effort=Effort.quick, augmentation=True)
        found[name] = judged.estimates["utility.augmentation"]
    assert found["help"].low > 0
    assert found["harm"].high < 0
    assert found["help"].controls["real rows"] > 0 > found["help"].controls["independent columns"]


class Broken(KNeighborsClassifier):
    """A classifier that cannot learn."""

    def fit(self, X: object, y: object) -> Broken:
        raise RuntimeError("no memory\nat all")


def test_an_entered_model_is_used_and_ranked() -> None:
    models = {
        "nearest": KNeighborsClassifier(50),
        "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
        "broken": Broken(),
        "line": LinearRegression(),
    }
    found = judged(people(400, 5), rows=400, models=models)
    assert found.estimates["utility.auc.nearest"] == found.estimates["utility.auc[ill].nearest"]
    assert found.estimates["utility.auc.nearest"].value > 0.8
    same = found.estimates["utility.auc.pipeline"].value
    assert same == pytest.approx(found.estimates["utility.auc.logistic_regression"].value, abs=0.01)
    assert "8 models" in found.estimates["utility.model_rank"].sentence
    assert "utility.auc.broken" not in found.estimates
    assert any("'broken' is left out" in note and "no memory." in note for note in found.notes)
    assert any("'line' was not used" in note for note in found.notes)
    assert not hasattr(models["nearest"], "classes_")
    plain = judged(people(400, 5), rows=400)
    assert plain.estimates["utility.auc"] == found.estimates["utility.auc"]
    number = judged(people(400, 5), target="first", rows=400, models={"line": LinearRegression()})
    assert number.estimates["utility.r2.line"].value == pytest.approx(
        number.estimates["utility.r2.linear_regression"].value, abs=0.01
    )


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ([KNeighborsClassifier()], "must map a name to a scikit-learn estimator, found list"),
        ({"nearest": KNeighborsClassifier}, "found the class KNeighborsClassifier"),
        ({"scale": StandardScaler()}, "classifier or regressor, found StandardScaler"),
        ({"number": 3}, "found int"),
        ({"ridge": RidgeClassifier()}, "must have predict_proba"),
        ({"random_forest": KNeighborsClassifier()}, "found 'random_forest'; rename it"),
        ({"A model": KNeighborsClassifier()}, "lower-case"),
        ({3: KNeighborsClassifier()}, "found 3; rename it"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(models: object, words: str) -> None:
    with pytest.raises(EvaluationError, match=words) as refused:
        check_models(models)  # type: ignore[arg-type]
    assert str(refused.value).count("\n") == 0
