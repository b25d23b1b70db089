"""The scorecard has every promised name, survives JSON, and no bad table makes the judge stumble."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synthpriv.errors import EvaluationError
from synthpriv.evaluation.disclosed import Disclosed
from synthpriv.evaluation.scorecard import Scorecard, evaluate
from synthpriv.schema import Boolean, Categorical, DateTime, Float, Identifier, Integer, Schema

CLASSIFIERS = (
    "logistic_regression",
    "random_forest",
    "gradient_boosting",
    "naive_bayes",
    "decision_tree",
    "small_tree",
)


def utility(stem: str, *models: str, target: str = "rich") -> set[str]:
    """A figure's names: for all targets and for the one, of all models and of each."""
    ends = ("", *(f".{model}" for model in models))
    return {f"utility.{stem}{subject}{end}" for subject in ("", f"[{target}]") for end in ends}


SINGLE = {
    "fidelity.tvd1",
    "fidelity.jensen_shannon",
    "fidelity.missing",
    "fidelity.kolmogorov_smirnov",
    "fidelity.wasserstein",
}
WHOLE_ROWS = {
    "fidelity.c2st.auc",
    "fidelity.precision",
    "fidelity.recall",
    "fidelity.density",
    "fidelity.coverage",
}
NAMES = {
    *SINGLE,
    *WHOLE_ROWS,
    "fidelity.tvd2",
    "fidelity.tvd3",
    "fidelity.association",
    "fidelity.queries",
    *utility("auc", *CLASSIFIERS),
    *utility("average_precision"),
    *utility("f1"),
    *utility("model_rank"),
    *utility("importance_rank"),
    "privacy.strongest.auc",
    "privacy.closest_record.auc",
    "privacy.density_ratio.auc",
    "privacy.noisy_copies.auc",
    "privacy.local_likelihood.auc",
    "privacy.pair_likelihood.auc",
    "privacy.mixture_likelihood.auc",
    "privacy.positive_control.auc",
    "privacy.copies",
    "privacy.rare_near_copies",
    "privacy.closer_to_train",
    "privacy.neighbour_ratio",
    "privacy.linkability",
    "privacy.inference",
}
SMOKE = ("copies", "rare_near_copies", "closer_to_train", "neighbour_ratio", "singling_out")
SOMETIMES = ("privacy.singling_out", "privacy.inference[")  # no row need be alone; a secret may be lacking
SCHEMA = Schema(
    columns={
        "key": Identifier(),
        "age": Integer(lower=0, upper=50, nullable=True),
        "share": Float(lower=-1.0, upper=1.0, decimals=2),
        "city": Categorical(categories=["u", "v", "w"], nullable=True),
        "member": Boolean(nullable=True),
        "since": DateTime(start="2020-01-01", end="2021-01-01", resolution="D", nullable=True),
        "rich": Categorical(categories=["no", "yes"]),
    },
    targets=("rich",),
)
DATASETS = Path(__file__).parents[2] / "datasets"


def people(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.integers(0, 51, rows)
    table = pd.DataFrame(
        {
            "key": [f"{row:010d}" for row in range(rows)],
            "age": pd.Series(age, dtype="Int64"),
            "share": np.round(rng.uniform(-1, 1, rows), 2),
            "city": pd.Series(rng.choice(["u", "v", "w"], rows), dtype="str"),
            "member": pd.Series(rng.random(rows) < 0.5, dtype="boolean"),
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 366, rows), unit="D"),
            "rich": np.where(age + rng.normal(0, 10, rows) > 25, "yes", "no"),
        }
    )
    for name in ("age", "city", "member", "since"):
        table[name] = table[name].mask(pd.Series(rng.random(rows) < 0.1))
    return table


REAL = Disclosed(schema=SCHEMA, train=people(120, 1), holdout=people(80, 2), epsilon=1.0, delta=1e-6)
ALL = ["age", "share", "city", "member", "since", "rich"]
BAD = {
    "ten rows": (lambda: people(10, 3), "Nothing can be learnt"),
    "one row": (lambda: people(1, 3), "Nothing can be learnt"),
    "all missing": (lambda: people(40, 3).assign(**dict.fromkeys(ALL)), "not nullable"),
    "lacks columns": (lambda: people(40, 3)[["age", "rich"]], "lacks 'share', 'city'"),
    "lacks the target": (lambda: people(40, 3).drop(columns="rich"), "Nothing can be learnt"),
    "extra columns": (lambda: people(40, 3).assign(name="Ann"), "does not declare ('name')"),
    "a column twice": (
        lambda: people(40, 3).pipe(lambda t: pd.concat([t, t[["age"]]], axis=1)),
        "first is judged",
    ),
    "unseen categories": (lambda: people(40, 3).assign(city="moon", rich="maybe"), "'city' holds values"),
    "out of bounds": (lambda: people(40, 3).assign(age=-7, share=np.inf), "'age' holds values"),
    "constant": (lambda: people(40, 3).assign(age=1, share=0.0, city="u", rich="no"), "classes"),
    "text": (lambda: people(40, 3).astype(str), ""),
    "categoricals": (lambda: people(40, 3).astype("category"), ""),
    "lists in cells": (lambda: people(40, 3).assign(age=[[1]] * 40), "'age' holds values"),
    "dates for numbers": (lambda: people(40, 3).assign(share=pd.Timestamp("2020-01-01")), "'share' holds"),
    "mixed types": (lambda: people(40, 3).assign(age=[1, "x", None, 2.5] * 10), "25.0%"),
    "another index": (lambda: people(40, 3).set_index("share", drop=False), ""),
}


def promised(scorecard: Scorecard) -> set[str]:
    return {name for name in scorecard.estimates if not name.startswith(SOMETIMES)}


@pytest.fixture(scope="module")
def scorecard() -> Scorecard:
    return evaluate(people(100, 5), REAL, effort="quick")


def test_every_promised_name_has_an_interval_a_sentence_and_controls(scorecard: Scorecard) -> None:
    assert promised(scorecard) == NAMES
    assert {"privacy.singling_out", "privacy.inference[rich]"} < set(scorecard.estimates)
    for name, estimate in scorecard.estimates.items():
        assert estimate.low <= estimate.value <= estimate.high
        assert estimate.sentence.endswith(".")
        assert estimate.method
        if name.startswith("privacy."):
            assert "leaky copy" in estimate.controls
            bounded = not name.removeprefix("privacy.").startswith(SMOKE)
            assert ("ceiling of the claim" in estimate.controls) == bounded
        else:
            more = {"constant columns"} if name in SINGLE else set()
            assert set(estimate.controls) == {"real rows", "independent columns"} | more
    assert scorecard.targets == ("rich",)
    assert scorecard.rows == {"synthetic": 100, "train": 120, "holdout": 80}
    assert (scorecard.epsilon, scorecard.delta) == (1.0, 1e-6)
    assert [column.name for column in scorecard.columns] == ALL == list(scorecard.association_names)
    assert np.shape(scorecard.association_real) == np.shape(scorecard.association_synthetic) == (6, 6)
    ceiling = scorecard.estimates["privacy.strongest.auc"].controls["ceiling of the claim"]
    assert ceiling == pytest.approx(math.e / (1 + math.e), abs=1e-5)


def test_json_round_trip(scorecard: Scorecard) -> None:
    text = json.dumps(scorecard.to_dict(), allow_nan=False)
    assert Scorecard.from_dict(json.loads(text)) == scorecard
    assert Scorecard.from_dict(scorecard.to_dict()) == scorecard


def test_a_damaged_scorecard_is_refused(scorecard: Scorecard) -> None:
    plain = scorecard.to_dict()
    del plain["columns"]
    with pytest.raises(EvaluationError, match="columns"):
        Scorecard.from_dict(plain)
    with pytest.raises(EvaluationError):
        Scorecard.from_dict({**scorecard.to_dict(), "estimates": {"a": {"value": 1}}})


def test_the_same_seed_gives_the_same_scorecard(scorecard: Scorecard) -> None:
    assert evaluate(people(100, 5), REAL, effort="quick") == scorecard


@pytest.mark.parametrize("name", BAD)
def test_bad_tables_are_judged_as_far_as_they_can_be(name: str) -> None:
    make, expected = BAD[name]
    found = evaluate(make(), REAL, effort="quick")
    assert promised(found) == (NAMES - WHOLE_ROWS if name in ("ten rows", "one row") else NAMES)
    assert any(expected in note for note in found.notes)
    assert Scorecard.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False))) == found
    if name in ("all missing", "unseen categories", "out of bounds"):
        assert found.estimates["fidelity.tvd2"].value > 0.5


def test_what_cannot_be_judged_at_all_is_refused() -> None:
    with pytest.raises(EvaluationError, match="at least one row"):
        evaluate(people(0, 3), REAL)
    with pytest.raises(EvaluationError, match="must have columns of the schema"):
        evaluate(pd.DataFrame({"other": [1, 2]}), REAL)
    with pytest.raises(EvaluationError, match="no identifier"):
        evaluate(people(30, 3), REAL, target="key")
    with pytest.raises(EvaluationError, match="models must map"):
        evaluate(people(30, 3), REAL, models=["a model"])  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [0, 1, 19])
def test_a_small_holdout_leaves_figures_out_with_a_note(rows: int) -> None:
    real = Disclosed(schema=SCHEMA, train=people(50, 1), holdout=people(rows, 2))
    found = evaluate(people(30, 3), real, effort="quick")
    assert set(found.estimates) == {"privacy.copies"}
    assert sum("left out" in note for note in found.notes) == 4
    assert found.epsilon == math.inf
    assert found.to_dict()["epsilon"] is None
    assert Scorecard.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False))) == found


def test_several_targets_have_figures_of_their_own_and_a_mean() -> None:
    seen: list[float] = []
    found = evaluate(
        people(100, 5),
        REAL,
        target=["rich", "member", "age"],
        effort="quick",
        progress=lambda stage, done: seen.append(done),
    )
    assert found.targets == ("rich", "member", "age")
    assert utility("r2", "linear_regression", "random_forest", target="age") <= set(found.estimates)
    means = found.estimates["utility.auc"]
    parts = [found.estimates[f"utility.auc[{target}]"] for target in ("rich", "member")]
    assert means.value == pytest.approx(np.mean([part.value for part in parts]))
    assert means.controls["real rows"] == pytest.approx(np.mean([p.controls["real rows"] for p in parts]))
    assert "'rich', 'member'" in means.sentence
    assert {one.target for one in found.importances} == {"rich", "member", "age"}
    assert seen == sorted(seen)
    assert Scorecard.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False))) == found


def test_without_a_target_utility_is_left_out() -> None:
    schema = Schema(columns={name: SCHEMA.columns[name] for name in ("age", "share")})
    real = Disclosed(schema=schema, train=REAL.train, holdout=REAL.holdout)
    found = evaluate(people(30, 3), real, effort="quick")
    assert found.targets == ()
    assert not any(name.startswith("utility") for name in found.estimates)
    assert any("is left out" in note for note in found.notes)
    alone = Schema(columns={"member": Boolean(nullable=True)}, targets="member")
    found = evaluate(
        people(30, 3), Disclosed(schema=alone, train=REAL.train, holdout=REAL.holdout), effort="quick"
    )
    assert any("no column to predict" in note for note in found.notes)


def test_progress_goes_from_nothing_to_done() -> None:
    seen: list[tuple[str, float]] = []
    evaluate(
        people(30, 3), REAL, effort="quick", progress=lambda stage, fraction: seen.append((stage, fraction))
    )
    fractions = [fraction for _, fraction in seen]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0.0
    assert seen[-1] == ("done", 1.0)
    assert {stage for stage, _ in seen} == {"reading", "fidelity", "utility", "attacks", "done"}


@pytest.mark.slow
@pytest.mark.skipif(not (DATASETS / "adult.toml").exists(), reason="datasets/adult is not there yet")
def test_adult_real_rows_and_shuffled_rows() -> None:
    schema = Schema.read(DATASETS / "adult.toml")
    table = pd.read_csv(DATASETS / "adult.csv.gz", keep_default_na=False).sample(frac=1.0, random_state=0)
    train, holdout, fresh = table.iloc[:8_000], table.iloc[8_000:14_000], table.iloc[14_000:22_000]
    rng = np.random.default_rng(0)
    shuffled = pd.DataFrame(
        {name: train[name].iloc[rng.permutation(len(train))].to_numpy() for name in train}
    )
    real = Disclosed(schema=schema, train=train, holdout=holdout, epsilon=1.0, delta=1e-6)
    good, floor = (evaluate(made, real, target="income").estimates for made in (fresh, shuffled))
    assert good["utility.auc"].value == pytest.approx(0.91, abs=0.015)
    assert floor["utility.auc"].value < 0.75
    assert good["fidelity.tvd2"].high < floor["fidelity.tvd2"].low
    for found in (good, floor):
        assert found["privacy.density_ratio.auc"].low <= 0.51
        assert found["privacy.positive_control.auc"].value >= 0.9
