"""Singling out, linking and guessing: copies are caught by each, tables that leak nothing by none."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from synthpriv.evaluation.cells import Cells, Tables, read_cells
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.findings import Findings
from synthpriv.evaluation.predicates import Predicates, guessed, multivariate, univariate
from synthpriv.evaluation.risks import Contest, Success, closeness, infer, judge_risks, link, single_out
from synthpriv.schema import Boolean, Categorical, Integer, Schema
from synthpriv.schema.values import MISSING
from tests.conftest import make_people

KINDS = ("privacy.singling_out", "privacy.linkability", "privacy.inference")


def judged(made: pd.DataFrame, schema: Schema, *, rows: int = 1_500, seed: int = 0) -> Findings:
    three = Tables(
        synthetic=read_cells(made, schema),
        train=read_cells(make_people(rows, 1), schema),
        holdout=read_cells(make_people(rows, 2), schema),
    )
    return judge_risks(three, schema.targets, 1.0, 1e-6, seed, Effort.quick)


def test_a_copy_is_caught_by_each(people_schema: Schema) -> None:
    found = judged(make_people(1_500, 1), people_schema).estimates
    for name in KINDS:
        assert found[name].low > 0.1, name
        assert found[name].value == pytest.approx(found[name].controls["leaky copy"], abs=0.1)
    for name in KINDS[1:]:
        assert found[name].low > found[name].controls["ceiling of the claim"], name
    assert found["privacy.singling_out.univariate"].low > 0.1
    assert found["privacy.singling_out.multivariate"].low > 0.1
    assert "ceiling of the claim" not in found["privacy.singling_out"].controls


def test_a_partial_copy_is_caught(people_schema: Schema) -> None:
    made = pd.concat([make_people(1_500, 1)[:500], make_people(1_000, 9)])
    found = judged(made, people_schema).estimates
    assert found["privacy.singling_out"].low > 0
    assert found["privacy.linkability"].low > 0


def test_fresh_rows_are_not_accused(people_schema: Schema) -> None:
    lows = dict.fromkeys(KINDS, 0)
    for seed in range(8):
        found = judged(make_people(1_200, 100 + seed), people_schema, rows=800, seed=seed).estimates
        for name in KINDS:
            lows[name] += found[name].low > 0
            assert found[name].low < 0.05
    assert max(lows.values()) <= 2


def test_the_secrets_are_the_targets_else_the_last_column(people_schema: Schema) -> None:
    two = Schema(columns=people_schema.columns, targets=["bought", "age"])
    found = judged(make_people(400, 9), two, rows=300).estimates
    each = [found[f"privacy.inference[{name}]"] for name in two.targets]
    assert found["privacy.inference"].value == pytest.approx(np.mean([one.value for one in each]))
    none = Schema(columns=people_schema.columns)
    found = judged(make_people(400, 9), none, rows=300).estimates
    assert found["privacy.inference"] == found["privacy.inference[bought]"]
    assert "by a naive guess" in found["privacy.inference"].sentence


def test_the_risk_is_the_gain_over_the_holdout() -> None:
    value, low, high = Success(train=(9_000, 10_000), holdout=(5_000, 10_000), naive=0.5).risk()
    assert value == pytest.approx(0.8, abs=1e-3)
    assert low == pytest.approx(value - (high - value))
    spread = math.hypot(1.96 * 0.003 / 0.5, 1.96 * 0.005 * 0.1 / 0.25)
    assert high - value == pytest.approx(spread, rel=0.01)
    assert Success(train=(5, 100), holdout=(50, 100), naive=0.5).risk()[0] == 0.0
    assert Success(train=(10, 10), holdout=(10, 10), naive=1.0).risk()[0] == 0.0


def test_the_intervals_are_anonymeters() -> None:
    """anonymeter 1.1.0: EvaluationResults(n_attacks=500, n_success=120, n_control=80).risk()."""
    found = Success(train=(120, 500), holdout=(80, 500), naive=0.01).risk()
    assert found == pytest.approx((0.09480454, 0.03828976, 0.15131932), abs=1e-6)


def test_the_ceiling_is_that_of_a_membership_test() -> None:
    success = Success(train=(20, 100), holdout=(10, 100), naive=0.1)
    assert success.ceiling(1.0, 0.0) == pytest.approx((math.e * 0.1 - 0.1) / 0.9)
    assert success.ceiling(math.inf, 0.0) == 1.0
    assert success.ceiling(0.0, 0.0) == pytest.approx(0.0, abs=1e-12)
    assert Success(train=(1, 1), holdout=(1, 1), naive=1.0).ceiling(1.0, 0.0) == 0.0


SMALL = Schema(
    columns={
        "age": Integer(lower=0, upper=9, nullable=True),
        "sex": Categorical(categories=["f", "m"]),
        "old": Boolean(),
    }
)


def small(rows: list[tuple[int | None, str, bool]]) -> Cells:
    frame = pd.DataFrame(rows, columns=["age", "sex", "old"])
    return read_cells(frame.astype({"age": "Int64"}), SMALL)


def contest(table: Cells, train: Cells, holdout: Cells) -> Contest:
    return Contest(table=table, train=train, holdout=holdout, attacks=50, seed=0)


def test_predicates_by_hand() -> None:
    table = small([(1, "f", False), (2, "f", False), (2, "m", False), (9, "f", False), (None, "f", True)])
    found = univariate(table, 50, np.random.default_rng(0))
    seen = set(
        zip(found.columns[:, 0].tolist(), found.low[:, 0].tolist(), found.high[:, 0].tolist(), strict=True)
    )
    assert seen == {(0, 1, 1), (0, 0, 1), (0, 9, 9), (0, MISSING, MISSING), (1, 1, 1), (2, 1, 1)}
    both = Predicates(columns=np.array([[0, 1]]), low=np.array([[2, 0]]), high=np.array([[9, 0]]))
    assert both.counts(table).tolist() == [2]


def test_multivariate_predicates_single_out_and_are_distinct(people_schema: Schema) -> None:
    table = read_cells(make_people(300), people_schema)
    found = multivariate(table, 200, np.random.default_rng(0))
    assert len(found) == 200
    assert (found.counts(table) == 1).all()
    assert len(np.unique(np.hstack([found.columns, found.low, found.high]), axis=0)) == len(found)
    assert all(len(set(columns)) == len(columns) for columns in found.columns.tolist())
    naive = guessed(table, found, np.random.default_rng(0))
    assert naive.columns.shape == found.columns.shape


def test_singling_out_by_hand() -> None:
    """Of three people two come back as they are; nobody in the holdout is like them."""
    table = small([(1, "f", False), (9, "m", True)])
    train = small([(1, "f", False), (9, "m", True), (5, "f", False)])
    holdout = small([(5, "f", False), (5, "f", False), (4, "f", False)])
    found = single_out(contest(table, train, holdout))
    success = found["singling_out.univariate"]
    assert success.holdout[0] == 0
    assert success.train == (5, 7)  # age 1, at most 1, 9; sex m; old. Not: sex f, not old, which two share


def test_linking_by_hand() -> None:
    """Halves (age, old) and (sex): the person's own row is near to both."""
    people = small([(0, "f", False), (9, "m", True)])
    found = link(contest(people, people, people))["linkability"]
    assert found.train == found.holdout == (2, 2)
    assert found.naive == 1.0  # all rows are among the nearest


def test_guessing_by_hand() -> None:
    table = small([(0, "f", False), (9, "m", True)] * 5)
    train = small([(0, "f", False), (9, "m", True)])
    holdout = small([(0, "f", True), (9, "m", False)])
    found = infer(contest(table, train, holdout), ["old"])["inference[old]"]
    assert (found.train, found.holdout) == ((2, 2), (0, 2))


def test_a_number_is_right_within_a_fortieth_of_the_people() -> None:
    schema = Schema(columns={"x": Integer(lower=0, upper=1_000), "y": Integer(lower=0, upper=1)})
    ranks = read_cells(pd.DataFrame({"x": np.arange(1_000), "y": 0}), schema)
    off = [
        read_cells(pd.DataFrame({"x": (np.arange(1_000) + by) % 1_000, "y": 0}), schema) for by in (20, 60)
    ]
    rates = []
    for table in off:
        one = Contest(table=table, train=ranks, holdout=ranks, attacks=1_000, seed=0)
        rates.append(closeness(one, 0)(table.positions[:, 0], ranks.positions[:, 0]).mean())
    assert rates == [pytest.approx(0.98), 0.0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t[["age"]], "need two columns"),
        (lambda t: t.drop(columns="bought"), ""),
        (lambda t: t[:1], ""),
        (
            lambda t: t.assign(age=30, city="Zug", member=True, income=1.0, since=t["since"][0], bought="no"),
            "",
        ),
        (lambda t: t.assign(age=-3, city="moon", income=np.inf), ""),
        (lambda t: t.astype(object).mask(np.ones(t.shape, dtype=bool)), ""),
    ],
    ids=["one column", "no target", "one row", "constant", "outside", "all missing"],
)
def test_odd_tables_are_judged_as_far_as_they_can_be(change, words: str, people_schema: Schema) -> None:
    found = judged(change(make_people(200, 9)), people_schema, rows=100)
    assert "privacy.singling_out" in found.estimates or any(
        "Singling out is left out" in n for n in found.notes
    )
    assert any(words in note for note in found.notes) or not words
    for estimate in found.estimates.values():
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


def test_a_weak_attack_and_a_blind_one_are_said(people_schema: Schema) -> None:
    shuffled = make_people(300, 9).apply(lambda one: one.sample(frac=1, random_state=len(one.name)).array)
    notes = " ".join(judged(shuffled, people_schema, rows=200).notes)
    coarse = Schema(columns={"sex": Categorical(categories=["f", "m"]), "old": Boolean()})
    rng = np.random.default_rng(0)
    three = [
        read_cells(pd.DataFrame({"sex": rng.choice(["f", "m"], 200), "old": rng.random(200) < 0.5}), coarse)
        for _ in range(3)
    ]
    found = judge_risks(
        Tables(synthetic=three[0], train=three[1], holdout=three[2]), (), 1.0, 0.0, 0, Effort.quick
    )
    notes += " ".join(found.notes)
    assert "little power" in notes
    assert "no more often than a naive guess" in notes


def test_few_rows_leave_the_risks_out_with_a_note(people_schema: Schema) -> None:
    found = judged(make_people(50), people_schema, rows=19)
    assert not found.estimates
    assert "they need 20 rows of train and of holdout, found 19" in found.notes[0]


def test_the_same_seed_gives_the_same_figures(people_schema: Schema) -> None:
    made = make_people(300, 9)
    assert judged(made, people_schema, rows=200) == judged(made, people_schema, rows=200)
