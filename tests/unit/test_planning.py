"""Planning: a budget is split by public facts only, remedies are true, and the ledger records the plan."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import pandas as pd
import pytest

import synthpriv as sp
from synthpriv.errors import ConfigurationError, InfeasiblePlan
from synthpriv.privacy import accounting
from synthpriv.privacy.events import Counts, Event, Laplace, SampledGaussian
from synthpriv.schema import Schema
from synthpriv.synthesizers.base import Synthesizer
from synthpriv.synthesizers.planning import (
    COUNT_SHARE,
    ENCODING_SHARE,
    FitPlan,
    encoding_events,
    marginal_events,
    set_aside,
    step_noise,
)
from synthpriv.synthesizers.vae import LARGEST_BATCH, MOST_CLASSES
from synthpriv.synthesizers.workload import label_column
from tests.conftest import ROOT, make_people

DELTA = 1e-6
SMALL = sp.VAESynthesizer(
    epsilon=3.0, delta=DELTA, epochs=2, hidden_dim=8, embedding_dim=2, components=8, steps=6, most_noise=1e9
)


def events_of(plan: FitPlan, schema: Schema) -> list[Event]:
    """Everything the plan would charge."""
    events: list[Event] = [Laplace(epsilon=plan.count_epsilon)] if plan.count_epsilon else []
    events += encoding_events(schema, [dict(level) for level in plan.encoding_scales])
    events += marginal_events(schema, plan.workload, plan.marginal_scale, plan.selection_scale)
    if plan.training is not None:
        constants = plan.training
        events.append(
            SampledGaussian(
                noise_multiplier=constants.noise_multiplier,
                sample_rate=constants.sample_rate,
                steps=constants.steps,
            )
        )
    return events


def encoding_mu(plan: FitPlan) -> float:
    return math.sqrt(sum(scale**-2 for level in plan.encoding_scales for scale in level.values()))


@pytest.mark.parametrize("config", [SMALL, sp.IndependentSynthesizer(epsilon=3.0, delta=DELTA)])
@pytest.mark.parametrize("public", [True, False])
def test_the_shares_are_as_declared_and_add_up(
    config: Synthesizer, public: bool, people_schema: Schema
) -> None:
    plan = config.plan(people_schema, rows=2000, rows_are_public=public)
    assert plan.count_epsilon == (0.0 if public else COUNT_SHARE * 3.0)
    whole = accounting.gaussian_mu(3.0 - plan.count_epsilon, DELTA)
    share = 1.0 if plan.training is None else ENCODING_SHARE
    assert encoding_mu(plan) == pytest.approx(whole * math.sqrt(share), rel=0.01)
    joint = accounting.epsilon(events_of(plan, people_schema), DELTA)
    assert 0.97 * 3.0 < joint <= 3.0


def test_the_readme_states_the_shares() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{COUNT_SHARE:.0%} of epsilon" in text
    assert f"{ENCODING_SHARE:.0%} of the squared privacy parameter" in text


@pytest.mark.parametrize("rows", [1, 40, 200])
def test_an_infeasible_plan_says_what_would_work_and_that_works(rows: int, people_schema: Schema) -> None:
    tiny = sp.VAESynthesizer(epsilon=0.1, delta=DELTA)
    with pytest.raises(InfeasiblePlan, match="what would work") as refused:
        tiny.plan(people_schema, rows=rows)
    message = str(refused.value)
    enough = int(re.search(r"([\d,]+) rows or more", message)[1].replace(",", ""))  # type: ignore[index]
    tiny.plan(people_schema, rows=enough)
    with pytest.raises(InfeasiblePlan):
        tiny.plan(people_schema, rows=enough // 2)
    epsilon = re.search(r"epsilon ([\d.]+) or more", message)
    assert (epsilon is None) == ("no epsilon worth the name" in message)
    if epsilon is not None:
        sp.VAESynthesizer(epsilon=float(epsilon[1]), delta=DELTA).plan(people_schema, rows=rows)


def test_an_infeasible_fit_charges_no_training(people_schema: Schema) -> None:
    ledger = sp.Ledger.in_memory(sp.Budget(epsilon=0.1, delta=DELTA))
    private = sp.PrivateTable(make_people(40), people_schema, ledger, rows=40)
    with pytest.raises(InfeasiblePlan):
        sp.VAESynthesizer(epsilon=0.1).fit(private)
    assert not ledger.charges


@pytest.mark.parametrize("config", [SMALL, sp.MixtureSynthesizer(epsilon=3.0, delta=DELTA)])
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_what_is_set_aside_fits_beside_the_fit(
    config: Synthesizer, share: float, people_schema: Schema
) -> None:
    """The joint loss of the fit and of what is published stays within the claim, and uses it."""
    facts = {"epsilon": 3.0, "delta": DELTA, "rows_are_public": True, "histograms": 12}
    aside = set_aside(people_schema, share=share, **facts)
    with_room = config.plan(people_schema, rows=20_000, aside=aside)
    plain = config.plan(people_schema, rows=20_000)
    assert plain.marginal_scale < with_room.marginal_scale
    joint = accounting.epsilon([*events_of(with_room, people_schema), aside], DELTA)
    assert 2.9 < joint <= 3.0
    assert with_room.to_dict()["published_histograms"] == 12
    greedy = set_aside(people_schema, share=1.0, **facts)
    with pytest.raises(InfeasiblePlan, match="set aside"):
        config.plan(people_schema, rows=20_000, aside=greedy)


@pytest.mark.parametrize("delta", [None, 0.0])
def test_a_plan_needs_a_delta(delta: float | None, people_schema: Schema) -> None:
    with pytest.raises(ConfigurationError, match=r"delta above 0.*1e-6"):
        sp.VAESynthesizer(epsilon=3.0, delta=delta).plan(people_schema, rows=2000)


def test_delta_comes_from_the_configuration_and_one_more_row_leaves_it_unchanged(
    people_schema: Schema,
) -> None:
    config = sp.IndependentSynthesizer(epsilon=3.0, delta=DELTA)
    for rows in (2000, 2001, 50_000):
        assert config.plan(people_schema, rows=rows).delta == DELTA
    claims = [config.fit(make_people(rows), people_schema).claim for rows in (800, 801)]
    assert [claim.delta for claim in claims] == [DELTA, DELTA]


@pytest.mark.parametrize("config", [SMALL, sp.IndependentSynthesizer(epsilon=3.0, delta=DELTA)])
@pytest.mark.parametrize("declared", [2000, None])
def test_the_plan_is_what_the_ledger_then_records(
    config: Synthesizer, declared: int | None, people: pd.DataFrame, people_schema: Schema
) -> None:
    ledger = sp.Ledger.in_memory(sp.Budget(epsilon=3.0, delta=DELTA))
    fitted = config.fit(sp.PrivateTable(people, people_schema, ledger, rows=declared))
    public = declared is not None
    plan = config.plan(people_schema, rows=fitted.claim.rows, rows_are_public=public)
    planned, charged = events_of(plan, people_schema), list(ledger.events)
    assert [e for e in charged if isinstance(e, Laplace)] == [e for e in planned if isinstance(e, Laplace)]
    trainings = [[e for e in events if isinstance(e, SampledGaussian)] for events in (planned, charged)]
    merged = {(e.noise_multiplier, e.sample_rate) for events in trainings for e in events}
    assert len(merged) == min(1, len(trainings[0])), "one noise and one rate for all stages of training"
    steps, charged_steps = (sum(event.steps for event in events) for events in trainings)
    assert charged_steps == steps
    counted = [e for e in charged if isinstance(e, Counts)]
    for event in [e for e in planned if isinstance(e, Counts)]:
        if event in counted:  # a round with nothing heavy to split is planned and not run
            counted.remove(event)
    assert counted == []
    assert ledger.spent() <= accounting.epsilon(planned, DELTA) + 1e-9 <= 3.0 + 1e-9
    assert fitted.claim.epsilon == plan.epsilon


def test_constants_come_from_the_public_row_count(people_schema: Schema) -> None:
    def constants(rows: int, **arguments: int) -> tuple[float, int, float]:
        config = replace(SMALL, **{"epochs": None, **arguments})  # type: ignore[arg-type]
        training = config.plan(people_schema, rows=rows).training
        assert training is not None
        return training.sample_rate, training.steps, training.expected_batch

    assert constants(2000, batch_size=100, epochs=3) == (0.05, 60, 100.0)
    assert constants(2000, batch_size=9000, epochs=3) == (1.0, 3, 2000.0)
    rate, steps, batch = constants(2000)
    assert batch == pytest.approx(rate * 2000)
    assert constants(200_000) == (pytest.approx(LARGEST_BATCH / 200_000), steps, LARGEST_BATCH)


def test_more_rows_per_unit_take_proportionally_more_noise(people_schema: Schema) -> None:
    config = sp.IndependentSynthesizer(epsilon=3.0, delta=DELTA)
    one, three = (
        config.plan(
            Schema(columns=people_schema.columns, privacy_unit="id", max_rows_per_unit=rows), rows=5000
        )
        for rows in (1, 3)
    )
    for before, after in zip(one.encoding_scales, three.encoding_scales, strict=True):
        assert dict(after) == pytest.approx({name: 3 * scale for name, scale in before.items()})


def test_where_a_step_would_be_too_noisy_marginals_take_the_budget(people_schema: Schema) -> None:
    config = sp.VAESynthesizer(epsilon=3.0, delta=DELTA)
    trained, refused = (config.plan(people_schema, rows=rows) for rows in (60_000, 600))
    assert trained.refused_noise is None
    assert trained.training is not None
    assert step_noise(trained.training, 1) <= config.most_noise
    assert "noise_multiplier" in trained.to_dict()
    assert refused.training is None
    assert refused.refused_noise is not None
    assert refused.refused_noise > config.most_noise
    assert refused.to_dict()["training_left_out_for_a_step_noise_of"] == refused.refused_noise
    assert trained.workload is not None
    assert refused.workload is not None
    assert (trained.workload.given, refused.workload.given) == (None, label_column(people_schema))
    fewer = len(refused.workload.groups) / len(trained.workload.groups)
    assert refused.marginal_scale == pytest.approx(trained.marginal_scale * math.sqrt(0.625 * fewer))
    assert accounting.epsilon(events_of(refused, people_schema), DELTA) > 0.97 * 3.0
    asked = replace(config, most_noise=2 * refused.refused_noise)
    assert asked.plan(people_schema, rows=600).training is not None


@pytest.mark.parametrize(
    ("columns", "targets", "trains"),
    [
        ({"a": 2, "b": 3, "c": 4}, ["a"], True),
        ({"a": 2, "b": 3, "c": 4}, [], False),
        ({"a": 2, "b": 3}, ["a"], False),
        ({"a": MOST_CLASSES + 1, "b": 3, "c": 4}, ["a"], False),
        ({"a": MOST_CLASSES, "b": 3, "c": 4}, ["a"], True),
    ],
)
def test_a_label_is_learnt_where_there_is_one_of_few_classes(
    columns: dict[str, int], targets: list[str], trains: bool
) -> None:
    categories = {
        name: sp.Categorical(categories=[f"v{k}" for k in range(size)]) for name, size in columns.items()
    }
    plan = sp.VAESynthesizer(epsilon=9.0, delta=DELTA).plan(
        Schema(columns=categories, targets=targets), rows=10**6
    )
    assert (plan.training is not None) == trains
    assert plan.workload is not None
    assert plan.workload.given is None, "the label's relations are the head's to learn"
    assert plan.refused_noise is None


def test_without_noise_nothing_is_split(people_schema: Schema) -> None:
    plan = sp.VAESynthesizer(epsilon=math.inf).plan(people_schema, rows=10, delta=0.0)
    assert plan.training is not None
    assert plan.training.noise_multiplier == 0.0
    assert {scale for level in plan.encoding_scales for scale in level.values()} == {0.0}


def test_a_plan_prints_as_json_and_its_memory_grows_with_the_table(adult_schema: Schema) -> None:
    config = sp.VAESynthesizer(epsilon=3.0, delta=DELTA)
    small, large = (config.plan(adult_schema, rows=rows) for rows in (50_000, 1_000_000))
    plain = json.loads(json.dumps(small.to_dict(), allow_nan=False))
    assert plain["rows"] == 50_000
    assert plain["noise_multiplier"] > 0
    assert 0 < small.memory_bytes < large.memory_bytes
