"""Attacks catch a leaky copy, do not accuse fresh rows, and are held against the right ceiling."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from sklearn.metrics import roc_curve as sklearn_roc_curve

from synthpriv.evaluation.attacks import ATTACKS, judge_attacks, roc_curve, set_scene, true_positive_rate
from synthpriv.evaluation.ceilings import auc_ceiling, ceiling_curve
from synthpriv.evaluation.cells import Tables, read_cells
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.intervals import auc, clopper_pearson, roc_points
from synthpriv.evaluation.smoke import copies
from synthpriv.evaluation.space import Space, nearest_distances
from synthpriv.schema import Categorical, Float, Integer, Schema

SCHEMA = Schema(
    columns={
        "age": Integer(lower=0, upper=99, nullable=True),
        "height": Float(lower=100.0, upper=220.0, decimals=1),
        "weight": Float(lower=0.0, upper=200.0, decimals=1),
        "city": Categorical(categories=list("abcdefgh")),
        "sex": Categorical(categories=["f", "m"]),
    }
)


def people(rows: int, rng: np.random.Generator) -> pd.DataFrame:
    sex = rng.choice(["f", "m"], rows)
    height = np.clip(rng.normal(165 + 12 * (sex == "m"), 8), 100, 220)
    return pd.DataFrame(
        {
            "age": pd.Series(rng.integers(0, 100, rows), dtype="Int64").mask(
                pd.Series(rng.random(rows) < 0.05)
            ),
            "height": np.round(height, 1),
            "weight": np.round(np.clip(height - 95 + rng.normal(0, 12, rows), 0, 200), 1),
            "city": rng.choice(list("abcdefgh"), rows),
            "sex": sex,
        }
    )


def tables(made: pd.DataFrame, train: pd.DataFrame, holdout: pd.DataFrame) -> Tables:
    named = {"synthetic": made, "train": train, "holdout": holdout}
    return Tables(**{name: read_cells(table, SCHEMA) for name, table in named.items()})


def blurred(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The same people: ages a year or so off, sizes by a few units, every twentieth city another's."""
    made = table.assign(
        age=(table["age"] + pd.Series(rng.integers(-1, 2, len(table)), index=table.index)).clip(0, 99),
        height=np.round(table["height"] + rng.normal(0, 1, len(table)), 1).clip(100, 220),
        weight=np.round(table["weight"] + rng.normal(0, 1, len(table)), 1).clip(0, 200),
    )
    return made.assign(city=made["city"].where(rng.random(len(made)) > 0.05, rng.permutation(made["city"])))


def trial(kind: str, seed: int, rows: int = 600, effort: Effort = Effort.quick):
    rng = np.random.default_rng(seed)
    train, holdout = people(rows, rng), people(rows, rng)
    if kind == "fresh":
        made = people(rows, rng)
    elif kind == "independent":
        other = people(rows, rng)  # exact columns of the training rows would leak them (Homer 2008)
        made = pd.DataFrame({name: other[name].iloc[rng.permutation(rows)].to_numpy() for name in other})
    elif kind == "leaky":
        made = train.sample(frac=1.0, random_state=seed)
    elif kind == "blurred":
        made = blurred(train, rng)
    else:  # a fifth of the people copied
        made = pd.concat([train.iloc[: rows // 5], people(rows - rows // 5, rng)])
    judged = judge_attacks(tables(made, train, holdout), epsilon=1.0, delta=1e-5, seed=seed, effort=effort)
    return dict(judged.estimates), judged.rocs, judged.notes


def test_the_ceiling_of_the_area_is_the_area_under_the_ceiling() -> None:
    for epsilon, delta in ((0.0, 0.0), (0.5, 1e-5), (1.0, 0.1), (4.0, 0.02), (0.0, 1.0)):
        corner = (1 - delta) / (1 + math.exp(epsilon))
        area, _ = quad(
            lambda x, e=epsilon, d=delta: float(ceiling_curve(np.array([x]), e, d)[0]),
            0,
            1,
            points=[corner, 1 - delta],
        )
        assert auc_ceiling(epsilon, delta) == pytest.approx(area, abs=1e-6)
    assert auc_ceiling(math.inf, 0.0) == 1.0


def test_ceiling_curve_by_hand() -> None:
    curve = ceiling_curve(np.array([0.0, 0.01, 0.9, 1.0]), 1.0, 1e-5)
    assert curve[0] == pytest.approx(1e-5)
    assert curve[1] == pytest.approx(math.e * 0.01 + 1e-5)
    assert curve[2] == pytest.approx(1 - (1 - 1e-5 - 0.9) / math.e)
    assert curve[3] == pytest.approx(1.0)
    assert ceiling_curve(np.array([0.0, 0.01]), math.inf, 0.0).tolist() == [0.0, 1.0]


def test_roc_points_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    is_member = np.arange(400) < 150
    scores = np.round(rng.normal(size=400) + is_member, 1)
    rates = np.linspace(0, 1, 21)
    false, true, _ = sklearn_roc_curve(is_member, scores, drop_intermediate=False)
    expected = np.interp(rates, false, true)
    assert roc_points(scores[is_member], scores[~is_member], rates).tolist() == pytest.approx(
        expected.tolist()
    )
    curve = roc_curve("attack", scores, is_member, 1.0, 0.0)
    assert len(curve.false_positive_rate) <= 200
    assert len(curve.ceiling) == len(curve.true_positive_rate) == len(curve.false_positive_rate)
    assert np.all(np.diff(curve.true_positive_rate) >= 0)


def test_true_positive_rate_by_hand() -> None:
    is_member = np.arange(1200) < 200
    scores = np.concatenate([np.full(50, 2000.0), np.zeros(150), np.arange(1, 1001)])
    value, low, high = true_positive_rate(scores, is_member, 0.01)
    assert value == 0.25
    exact_low, exact_high = clopper_pearson(50, 200, alpha=0.025)
    false_low, false_high = clopper_pearson(10, 1000, alpha=0.025)
    assert low == pytest.approx(exact_low * 0.01 / false_high)
    assert high == pytest.approx(min(exact_high * 0.01 / false_low, 1.0))


def test_the_rate_does_not_accuse_where_nothing_leaks() -> None:
    rng = np.random.default_rng(1)
    for others in (50, 300, 2000):
        is_member = np.arange(2000 + others) < 2000
        accused = sum(
            true_positive_rate(rng.normal(size=2000 + others), is_member, 0.01)[1] > 0.01 for _ in range(200)
        )
        assert accused <= 10


def test_distances_between_rows_of_mixed_kinds() -> None:
    train = people(200, np.random.default_rng(2))
    cells = read_cells(train, SCHEMA)
    space = Space.of(cells)
    points = space.points(cells)
    assert nearest_distances(points, points, 1).max() < 1e-3
    first = train.iloc[[0]].assign(age=10)
    other = first.assign(city="b" if first["city"].iloc[0] == "a" else "a")
    there, here = (space.points(read_cells(row, SCHEMA)) for row in (first, other))
    assert nearest_distances(there, here, 1)[0, 0] == pytest.approx(1.0, abs=1e-5)
    many = Schema(columns={"z": Categorical(categories=[f"z{i}" for i in range(500)])})
    pair = read_cells(pd.DataFrame({"z": ["z1", "z2"]}), many)
    far = Space.of(pair).points(pair)
    assert far.shape[1] < 100
    assert np.linalg.norm(far[0] - far[1]) == pytest.approx(1.0, abs=0.35)


def test_copies_are_counted_and_chance_is_scaled() -> None:
    rng = np.random.default_rng(3)
    train, holdout = people(100, rng), people(50, rng)
    made = pd.concat([train.iloc[:10], holdout.iloc[:4], people(66, rng)])
    found = copies(tables(made, train, holdout))
    assert found.value == 10 / 80
    assert (found.low, found.high) == clopper_pearson(10, 80)
    assert found.controls == {"holdout rows": pytest.approx(2 * 4 / 80), "leaky copy": 1.0}


def test_a_leaky_copy_is_caught() -> None:
    found, rocs, notes = trial("leaky", 4, effort=Effort.standard)
    for name in ("closest_record", "density_ratio", "noisy_copies", "classifier", "positive_control"):
        estimate = found[f"privacy.{name}.auc"]
        assert estimate.low > 0.9 > estimate.controls["ceiling of the claim"]
    assert found["privacy.strongest.auc"].low > 0.95
    assert found["privacy.density_ratio.tpr_at_10pct"].value > 0.9
    assert found["privacy.copies"].value == 1.0
    assert found["privacy.rare_near_copies"].value == 1.0
    assert found["privacy.neighbour_ratio"].value < 0.05
    assert found["privacy.closer_to_train"].value > 0.7  # 300 of its 600 rows are among those compared with
    assert "positive control" in {curve.name for curve in rocs}
    assert len(rocs) == len(ATTACKS) + 1
    assert any("need at least 1,000 holdout rows" in note for note in notes)


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_tells_a_leaky_copy_from_fresh_rows(name: str) -> None:
    for kind, low, high in (("leaky", 0.6, 1.0), ("fresh", 0.42, 0.58)):
        rng = np.random.default_rng(8)
        train, holdout, fresh = (people(rows, rng) for rows in (400, 800, 400))
        given = tables(train if kind == "leaky" else fresh, train, holdout)
        attacker, made, copy, is_member = set_scene(given, 0, Effort.quick)
        assert low <= float(auc(ATTACKS[name].score(attacker, made), is_member)[0]) <= high
        assert float(auc(ATTACKS[name].score(attacker, copy), is_member)[0]) >= 0.6


def test_blurred_copies_are_caught() -> None:
    found, _, _ = trial("blurred", 9, rows=800)
    strongest = found["privacy.strongest.auc"]
    assert strongest.value == found["privacy.noisy_copies.auc"].value > 0.9
    assert strongest.low > strongest.controls["ceiling of the claim"]
    assert "noisy copies" in strongest.sentence
    assert found["privacy.copies"].value < 0.01


def test_no_attack_sees_who_is_a_member() -> None:
    """The scene is symmetric: rows of train and holdout that swap places get each other's scores."""
    rng = np.random.default_rng(10)
    train, holdout, made = (people(rows, rng) for rows in (60, 120, 60))
    attacker, _, _, is_member = set_scene(tables(made, train, holdout), 0, Effort.quick)
    assert not any("member" in name for name in (*vars(attacker), *vars(attacker.rows)))
    assert 0 < is_member[: len(is_member) // 2].sum() < is_member.sum()
    assert len(attacker.reference.points) == 60
    known = {row.tobytes() for row in attacker.reference.points}
    assert not known & {row.tobytes() for row in attacker.rows.points[is_member]}


def test_the_strongest_counts_and_its_bound_is_corrected() -> None:
    found, _, _ = trial("partly", 5, rows=2400)
    areas = [found[f"privacy.{name}.auc"] for name in ATTACKS if f"privacy.{name}.auc" in found]
    strongest = found["privacy.strongest.auc"]
    assert strongest.value == max(area.value for area in areas)
    assert 0.52 < strongest.low < max(area.low for area in areas) + 0.01
    assert strongest.method == f"normal, Bonferroni over {len(areas)} attacks"
    assert found["privacy.density_ratio.auc"].low > 0.52
    assert found["privacy.density_ratio.tpr_at_1pct"].low > 0.0272
    assert "privacy.density_ratio.tpr_at_01pct" not in found


@pytest.mark.parametrize("kind", ["fresh", "independent"])
def test_tables_that_leak_nothing_are_not_accused(kind: str) -> None:
    found = [trial(kind, 100 + seed, rows=300)[0] for seed in range(8)]
    assert sum(one["privacy.strongest.auc"].low > 0.5 for one in found) <= 1
    assert max(one["privacy.strongest.auc"].low for one in found) < 0.53
    for name in ("closest_record", "density_ratio", "noisy_copies", "local_likelihood"):
        values = [one[f"privacy.{name}.auc"].value for one in found]
        assert np.mean(values) == pytest.approx(0.5, abs=0.03)
    rates = [one["privacy.density_ratio.tpr_at_10pct"] for one in found]
    assert all(rate.low <= rate.controls["ceiling of the claim"] for rate in rates)


def test_few_rows_leave_attacks_out() -> None:
    rng = np.random.default_rng(6)
    found = judge_attacks(
        tables(people(30, rng), people(30, rng), people(10, rng)), epsilon=1.0, delta=0.0, seed=0
    )
    assert list(found.estimates) == ["privacy.copies"]
    assert found.rocs == ()
    assert "left out" in found.notes[0]


def test_a_table_without_detail_says_that_the_attacks_are_blind() -> None:
    rng = np.random.default_rng(7)
    schema = Schema(columns={"sex": Categorical(categories=["f", "m"])})
    three = [pd.DataFrame({"sex": rng.choice(["f", "m"], 100)}) for _ in range(3)]
    made, train, holdout = (read_cells(table, schema) for table in three)
    both = Tables(synthetic=made, train=train, holdout=holdout)
    found = judge_attacks(both, epsilon=1.0, delta=0.0, seed=0)
    assert any("little power" in note for note in found.notes)
