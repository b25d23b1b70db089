"""Shadow models catch synthesizers that leak, do not accuse the others, and never stop the judge."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from synthpriv.errors import InfeasiblePlan
from synthpriv.evaluation import shadows
from synthpriv.evaluation.cells import Cells, Tables, read_cells
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.findings import Findings
from synthpriv.evaluation.neighbours import nearest_rows
from synthpriv.evaluation.row_queries import ORDERS, QUERIES_PER_ORDER, queries_on
from synthpriv.evaluation.shadows import (
    FEWEST_FITS,
    FOLD,
    Refit,
    draw_game,
    frame_of,
    judge_shadows,
    two_way_interval,
)
from synthpriv.evaluation.vulnerable import vulnerable_rows
from synthpriv.release.shadow_fits import shadow_fit
from synthpriv.schema import Boolean, Categorical, Identifier, Integer, Schema
from synthpriv.schema.values import MISSING
from synthpriv.synthesizers.independent import IndependentSynthesizer
from tests.conftest import make_people


@pytest.fixture(autouse=True)
def few_fits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As few fits as are scored at all, but where a test is of the attack's power."""
    if "power" not in request.node.name:
        monkeypatch.setitem(shadows.FITS, Effort.standard, FEWEST_FITS)


def tables(schema: Schema, rows: int = 400, seed: int = 0) -> Tables:
    made, train, holdout = (read_cells(make_people(rows, seed + at), schema) for at in range(3))
    return Tables(synthetic=made, train=train, holdout=holdout)


def fresh(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    return make_people(200, 1_000 + seed)


def copy(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    return rows


def half_replaced(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Every other row of the table, the rest new; each person leaks with probability one half."""
    kept = rows.sample(frac=0.5, random_state=seed)
    return pd.concat([kept, make_people(len(rows) - len(kept), seed)])


def jittered(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Every row, with a quarter of its cells drawn anew."""
    rng = np.random.default_rng(seed)
    out = rows.copy()
    for name in out:
        anew = out[name].sample(frac=1.0, replace=True, random_state=seed).set_axis(out.index)
        out[name] = out[name].mask(pd.Series(rng.random(len(out)) < 0.25, index=out.index), anew)
    return out


def judged(refit: Refit | None, schema: Schema, seed: int = 0, effort: Effort = Effort.standard) -> Findings:
    return judge_shadows(tables(schema, seed=seed), schema, refit, 1.0, 1e-6, seed, effort)


def person(schema: Schema, **cells: object) -> Cells:
    return read_cells(make_people(1).assign(**cells), schema)


def test_power_a_leaky_synthesizer_is_caught_and_held_against_the_claim(people_schema: Schema) -> None:
    found = judged(copy, people_schema)
    estimate = found.estimates["privacy.shadow.auc"]
    assert estimate.value > 0.95
    assert estimate.low > estimate.controls["ceiling of the claim"]
    assert estimate.controls["ceiling of the claim"] == pytest.approx(1 / (1 + math.exp(-1)), abs=1e-5)
    assert estimate.controls["leaky copy"] == estimate.value
    assert "48 fits" in estimate.sentence
    assert [curve.name for curve in found.rocs] == ["shadow models"]
    assert found.notes == ()


@pytest.mark.parametrize(("refit", "least"), [(half_replaced, 0.68), (jittered, 0.8)])
def test_power_partial_leaks_are_seen(refit: Refit, least: float, people_schema: Schema) -> None:
    """Half of the rows: a perfect attack has an AUC of 0.75."""
    estimate = judged(refit, people_schema).estimates["privacy.shadow.auc"]
    assert estimate.value > least
    assert estimate.low > 0.55


def test_power_a_synthesizer_that_reads_no_row_is_not_accused(people_schema: Schema) -> None:
    found = [judged(fresh, people_schema, seed).estimates["privacy.shadow.auc"] for seed in range(3)]
    assert np.mean([one.value for one in found]) == pytest.approx(0.5, abs=0.03)
    assert all(one.low <= 0.5 for one in found)
    assert all(one.controls["leaky copy"] > 0.95 for one in found)


def test_a_private_fit_stays_below_its_ceiling(people_schema: Schema) -> None:
    config = IndependentSynthesizer(epsilon=4.0, delta=1e-6)

    def refit(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
        return replace(config, random_state=seed).fit(rows, people_schema).sample(seed=seed)

    three = tables(people_schema, rows=800)
    found = judge_shadows(three, people_schema, refit, 4.0, 1e-6, 0)
    estimate = found.estimates["privacy.shadow.auc"]
    assert estimate.low < estimate.controls["ceiling of the claim"] < 0.99


def test_a_release_fits_its_own_configuration_again(people_schema: Schema) -> None:
    fitted = IndependentSynthesizer(epsilon=4.0, delta=1e-6).fit(make_people(300), people_schema)
    refit = shadow_fit(fitted)
    assert refit is not None
    before = fitted.claim.ledger_digest
    made = refit(make_people(300, 5), 3)
    assert list(made) == list(people_schema.columns)
    assert abs(len(made) - 300) < 200
    assert fitted.claim.ledger_digest == before


def test_the_same_seed_gives_the_same_persons_lots_and_score(people_schema: Schema) -> None:
    assert judged(half_replaced, people_schema) == judged(half_replaced, people_schema)
    one, same, other = (
        draw_game(tables(people_schema), people_schema, 48, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(one.is_in, same.is_in)
    assert np.array_equal(one.persons.positions, same.persons.positions)
    assert not np.array_equal(one.is_in, other.is_in)


def test_each_person_is_in_half_of_every_fold_and_the_base_was_never_trained_on(
    people_schema: Schema,
) -> None:
    three = tables(people_schema)
    game = draw_game(three, people_schema, 48, np.random.default_rng(0))
    in_folds = game.is_in.reshape(-1, FOLD, game.is_in.shape[1]).sum(axis=1)
    assert (in_folds == FOLD // 2).all()
    known = {tuple(row) for row in three.holdout.positions}
    assert {tuple(row) for row in game.base.positions} <= known
    assert {tuple(row) for row in game.persons.positions} <= {tuple(row) for row in three.train.positions}
    for fit in (0, 7):
        assert len(game.rows(fit)) == len(game.base) + game.is_in[fit].sum()


def test_the_persons_are_those_who_resemble_nobody(people_schema: Schema) -> None:
    crowd = pd.concat([make_people(30).iloc[[3]]] * 60 + [make_people(300)], ignore_index=True)
    odd = make_people(1).assign(age=110, income=200_000.0, city="Zug", since=pd.Timestamp("2000-01-01"))
    found = vulnerable_rows(read_cells(pd.concat([crowd, odd]), people_schema), 5, np.random.default_rng(0))
    assert found.positions[:, found.names.index("age")].max() == 110
    same = read_cells(crowd[:1], people_schema).positions[0]
    assert not (found.positions == same).all(axis=1).any()


def test_queries_are_met_by_the_person_and_count_rows(people_schema: Schema) -> None:
    crowd = read_cells(make_people(300), people_schema)
    for at in (0, 17, 40):
        one = crowd.take(np.array([at]))
        queries = queries_on(one, crowd, np.random.default_rng(at))
        assert queries.asked.shape[1] == (len(ORDERS) + 1) * QUERIES_PER_ORDER
        assert (queries.shares(one) == 1).all()
        assert queries.asked.sum(axis=0).tolist() == [
            min(order, 6) for order in (*ORDERS, 6) for _ in range(QUERIES_PER_ORDER)
        ]
        by_hand = [
            np.mean(
                [
                    all(
                        queries.low[c] <= row[queries.columns[c]] <= queries.high[c]
                        for c in np.flatnonzero(queries.asked[:, query])
                    )
                    for row in crowd.positions
                ]
            )
            for query in (0, 60, 200, 287)
        ]
        assert queries.shares(crowd)[[0, 60, 200, 287]].tolist() == pytest.approx(by_hand)


def test_a_missing_value_is_asked_for_as_missing(people_schema: Schema) -> None:
    one = person(people_schema, income=None)
    queries = queries_on(one, read_cells(make_people(50), people_schema), np.random.default_rng(0))
    income = queries.low[queries.columns == one.names.index("income")]
    assert income.tolist() == [MISSING]


def test_identifiers_are_new_and_one_unit_has_one_row() -> None:
    schema = Schema(
        columns={"id": Identifier(pattern="[0-9]{4}", unique=False), "old": Boolean(nullable=True)},
        privacy_unit="id",
        max_rows_per_unit=3,
    )
    cells = read_cells(pd.DataFrame({"id": ["0001"] * 500, "old": [True, None] * 250}), schema)
    frame = frame_of(cells, schema, 1)
    assert frame["id"].nunique() == 500
    assert frame["old"].isna().sum() == 250
    assert np.array_equal(read_cells(frame, schema).positions, cells.positions)


def test_the_interval_covers_where_nothing_leaks() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(60):
        lots = np.tile(np.arange(FOLD) < FOLD // 2, (6, 10, 1))
        is_in = rng.permuted(lots, axis=2).transpose(0, 2, 1).reshape(-1, 10)
        scores = rng.normal(size=is_in.shape) + rng.normal(size=(48, 1))
        low, high = two_way_interval(scores, is_in, rng)
        covered += low <= 0.5 <= high
    assert covered >= 55


def raising(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    raise InfeasiblePlan("the noise would drown the table.")


def broken(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    raise ZeroDivisionError("division by zero")


BAD = {
    "a plan that cannot be": (raising, "InfeasiblePlan: the noise would drown the table"),
    "a synthesizer that breaks": (broken, "ZeroDivisionError"),
    "no row": (lambda rows, seed: rows[:0], "at least one row"),
    "other columns": (lambda rows, seed: pd.DataFrame({"x": [1]}), "must have columns of the schema"),
    "no table": (lambda rows, seed: None, "raised"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_refit_that_fails_is_a_note(name: str, people_schema: Schema) -> None:
    refit, words = BAD[name]
    found = judged(refit, people_schema)
    assert not found.estimates
    assert len(found.notes) == 1
    assert "left out" in found.notes[0]
    assert words in found.notes[0]


@pytest.mark.parametrize(
    "refit",
    [
        lambda rows, seed: rows[:1],
        lambda rows, seed: rows[["age"]],
        lambda rows, seed: rows.assign(age=-5, city="moon", income=np.inf),
        lambda rows, seed: rows.astype(object).mask(np.ones(rows.shape, dtype=bool)),
    ],
    ids=["one row", "one column", "outside", "all missing"],
)
def test_odd_tables_are_played_with_as_they_are(refit: Refit, people_schema: Schema) -> None:
    found = judged(refit, people_schema)
    assert np.isfinite(found.estimates["privacy.shadow.auc"].value)


def test_what_is_lacking_is_said(people_schema: Schema) -> None:
    assert "release" in judged(None, people_schema).notes[0]
    assert "'quick' has no time for fits" in judged(copy, people_schema, effort=Effort.quick).notes[0]
    few = replace(tables(people_schema), holdout=read_cells(make_people(39), people_schema))
    [note] = judge_shadows(few, people_schema, copy, 1.0, 0.0, 0).notes
    assert "they need 40 holdout rows" in note
    just = replace(tables(people_schema), holdout=read_cells(make_people(40), people_schema))
    assert judge_shadows(just, people_schema, copy, 1.0, 0.0, 0).estimates


def test_rows_that_are_all_alike_say_that_the_attack_is_blind() -> None:
    schema = Schema(columns={"sex": Categorical(categories=["f", "m"]), "one": Integer(lower=1, upper=1)})
    same = read_cells(pd.DataFrame({"sex": ["f", "m"] * 60, "one": 1}), schema)
    three = Tables(synthetic=same, train=same, holdout=same)
    found = judge_shadows(three, schema, lambda rows, seed: same_shares(rows), 1.0, 0.0, 0)
    assert np.isfinite(found.estimates["privacy.shadow.auc"].value)


def same_shares(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"sex": ["f", "m"] * 20, "one": 1})


def test_power_is_limited_by_slow_fits(people_schema: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(shadows.time, "thread_time", lambda: now[0])
    made = []

    def slow(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
        now[0] += seconds
        made.append(seed)
        return fresh(rows, seed)

    seconds = 3.0
    found = judged(slow, people_schema)
    assert "24 of 48 fits" in " ".join(found.notes)
    assert len(made) < 34
    made.clear()
    seconds = 30.0
    found = judged(slow, people_schema)
    assert "too slow for 90 seconds of work" in found.notes[0]
    assert len(made) == 2


def test_the_nearest_rows_are_found() -> None:
    points = np.array([[0.0], [1.0], [5.0]], dtype=np.float32)
    distances, rows = nearest_rows(points[:1], points, 5)
    assert rows.tolist() == [[0, 1, 2]]
    assert distances.tolist() == [[0.0, 1.0, 5.0]]
