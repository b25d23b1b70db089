"""Synthesizers: one protocol, schema-true tables, conditions, saving, and figures on real Adult."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import synthpriv as sp
from synthpriv.errors import (
    BudgetExceeded,
    BundleError,
    ConfigurationError,
    InfeasiblePlan,
    UnconfirmedSchema,
)
from synthpriv.evaluation.disclosed import Disclosed
from synthpriv.evaluation.scorecard import evaluate
from synthpriv.schema import Schema
from synthpriv.synthesizers.base import Synthesizer
from synthpriv.synthesizers.fitted import FittedSynthesizer
from tests.conftest import make_people

SMALL: list[Synthesizer] = [
    sp.IndependentSynthesizer(epsilon=8.0, delta=1e-5),
    sp.MixtureSynthesizer(epsilon=8.0, delta=1e-5, components=64, steps=100),
    sp.VAESynthesizer(
        epsilon=8.0, delta=1e-5, epochs=5, hidden_dim=16, components=64, steps=150, most_noise=1e9
    ),
    sp.CTGANSynthesizer(
        epsilon=8.0,
        delta=1e-5,
        epochs=5,
        generator_dim=(16,),
        discriminator_dim=(16,),
        embedding_dim=4,
        modes=64,
        pretraining_steps=100,
    ),
]


@pytest.fixture(scope="module", params=SMALL, ids=lambda config: config.name)
def fitted(request: pytest.FixtureRequest, people: pd.DataFrame, people_schema: Schema) -> FittedSynthesizer:
    config: Synthesizer = request.param
    return config.fit(people, people_schema)


def test_a_sample_has_the_schemas_columns_order_dtypes_and_domain(
    fitted: FittedSynthesizer, people_schema: Schema
) -> None:
    table = fitted.sample(500, seed=3)
    assert list(table.columns) == list(people_schema.columns)
    assert len(table) == 500
    assert table["age"].dtype == "int64"
    assert table["age"].between(0, 110).all()
    assert table["member"].dtype == "bool"
    assert set(table["city"]) <= {"Basel", "Bern", "Genf", "Zug"}
    assert table["income"].isna().any()
    assert (table["income"].dropna().round(2) == table["income"].dropna()).all()
    assert str(table["since"].dtype).startswith("datetime64")
    assert (table["since"].dt.normalize() == table["since"]).all()
    assert table["id"].is_unique


def test_seeds_repeat_samples_and_only_samples(fitted: FittedSynthesizer) -> None:
    pd.testing.assert_frame_equal(fitted.sample(50, seed=1), fitted.sample(50, seed=1))
    assert not fitted.sample(50, seed=1).equals(fitted.sample(50, seed=2))
    assert len(fitted.sample(0)) == 0
    assert len(fitted.sample()) == fitted.claim.rows


def test_conditions_hold_exactly_and_impossible_ones_are_refused(fitted: FittedSynthesizer) -> None:
    table = fitted.sample(40, seed=0, conditions={"bought": "yes", "age": 40})
    assert (table["bought"] == "yes").all()
    assert (table["age"] == 40).all()
    for conditions, word in (({"ages": 4}, "'age'"), ({"age": 400}, "domain"), ({"city": "Rom"}, "domain")):
        with pytest.raises(ConfigurationError, match=word):
            fitted.sample(5, conditions=conditions)


def test_a_saved_synthesizer_comes_back_the_same(fitted: FittedSynthesizer, tmp_path: Path) -> None:
    fitted.save(tmp_path / "model.synth")
    again = sp.load(tmp_path / "model.synth")
    assert again.config == fitted.config
    assert again.claim == fitted.claim
    pd.testing.assert_frame_equal(again.sample(60, seed=5), fitted.sample(60, seed=5))
    with pytest.raises(BundleError, match="empty folder"):
        fitted.save(tmp_path / "model.synth")
    description = json.loads((tmp_path / "model.synth" / "synthesizer.json").read_text())
    description["encoder"]["codecs"]["age"]["size"] = 10**12
    (tmp_path / "model.synth" / "synthesizer.json").write_text(json.dumps(description))
    with pytest.raises(BundleError, match="age"):
        sp.load(tmp_path / "model.synth")


def test_the_claim_is_all_in(fitted: FittedSynthesizer) -> None:
    assert fitted.claim.private
    assert fitted.claim.epsilon == 8.0
    assert fitted.claim.delta == 1e-5
    assert fitted.claim.epsilon_replace_one > 8.0 * 0.9
    assert "NOT_PRIVATE" not in repr(fitted)


def test_what_was_charged_is_at_most_what_was_asked_and_nearly_all_of_it(
    people: pd.DataFrame, people_schema: Schema
) -> None:
    ledger = sp.Ledger.in_memory(sp.Budget(epsilon=5.0, delta=1e-5))
    private = sp.PrivateTable(people, people_schema, ledger)
    config = sp.VAESynthesizer(epsilon=3.0, epochs=2, components=8, steps=6, most_noise=1e9)
    config.fit(private)
    assert 2.5 < ledger.spent() <= 3.0
    with pytest.raises(BudgetExceeded):
        replace(config, epsilon=2.5).fit(private)
    sp.IndependentSynthesizer(epsilon=2.0).fit(private)
    assert ledger.spent() <= 5.0


def test_without_noise_it_says_so(people: pd.DataFrame, people_schema: Schema, tmp_path: Path) -> None:
    fitted = sp.VAESynthesizer(epsilon=math.inf, epochs=3, steps=6).fit(people, people_schema)
    assert not fitted.claim.private
    assert "NOT_PRIVATE" in repr(fitted)
    assert fitted.claim.rows == len(people)
    fitted.save(tmp_path / "inf")
    assert not sp.load(tmp_path / "inf").claim.private


def test_a_declared_row_count_is_not_counted(people: pd.DataFrame, people_schema: Schema) -> None:
    ledger = sp.Ledger.in_memory(sp.Budget(epsilon=2.0, delta=1e-5))
    private = sp.PrivateTable(people, people_schema, ledger, rows=2000)
    fitted = sp.IndependentSynthesizer(epsilon=2.0).fit(private)
    assert fitted.claim.rows == 2000
    assert all(charge.label != "row count" for charge in ledger.charges)
    with pytest.raises(ConfigurationError, match="row count"):
        sp.IndependentSynthesizer(epsilon=2.0).fit(private, rows=1999)


def test_unconfirmed_schemas_need_a_yes(people: pd.DataFrame) -> None:
    drafted = Schema.draft(people)
    assert drafted.unconfirmed
    with pytest.raises(UnconfirmedSchema, match="accept"):
        sp.IndependentSynthesizer(epsilon=3.0, delta=1e-5).fit(people, drafted)
    fitted = sp.IndependentSynthesizer(epsilon=3.0, delta=1e-5, accept_drafted_schema=True).fit(
        people, drafted
    )
    assert fitted.claim.domain_from_data


def test_too_few_rows_are_refused_with_what_would_work(people_schema: Schema) -> None:
    for rows in (1, 40):
        with pytest.raises(InfeasiblePlan, match="what would work"):
            sp.VAESynthesizer(epsilon=0.1, delta=1e-6).fit(make_people(rows), people_schema)


def test_a_table_of_one_column_and_one_without_target_work() -> None:
    schema = Schema(columns={"x": sp.Integer(lower=0, upper=9, nullable=True)})
    frame = pd.DataFrame({"x": [1, 2, None] * 300})
    for config in SMALL:
        table = config.fit(frame, schema).sample(300, seed=0)
        assert table["x"].isna().mean() == pytest.approx(1 / 3, abs=0.2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "least_auc", "most_distance"),
    [
        (sp.MixtureSynthesizer(epsilon=3.0, delta=1e-6), 0.89, 0.036),
        (sp.VAESynthesizer(epsilon=3.0, delta=1e-6), 0.89, 0.036),
        (sp.CTGANSynthesizer(epsilon=3.0, delta=1e-6), 0.885, 0.045),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_adult_at_epsilon_three(
    config: Any, least_auc: float, most_distance: float | None, adult: pd.DataFrame, adult_schema: Schema
) -> None:
    """The floors of the first release, on 36,631 training rows; benchmarks/utility holds the figures."""
    order = np.random.default_rng(7).permutation(len(adult))
    train, holdout = adult.iloc[order[:36_631]], adult.iloc[order[36_631:]]
    synthetic = config.fit(train, adult_schema).sample(36_631)
    disclosed = Disclosed(
        schema=adult_schema, train=train.reset_index(drop=True), holdout=holdout.reset_index(drop=True)
    )
    estimates = evaluate(synthetic, disclosed, target="income").estimates
    pairs = estimates["fidelity.tvd2"]
    assert estimates["utility.auc"].value >= least_auc
    assert pairs.value <= (most_distance or pairs.controls["independent columns"])
