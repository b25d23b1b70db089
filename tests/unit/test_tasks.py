"""Tasks on a fitted model: what each promises, on a table whose relations are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import synthpriv as sp
from synthpriv.errors import ConfigurationError
from synthpriv.synthesizers.fitted import FittedSynthesizer

ROWS = 3_000


def rooms(rows: int, seed: int) -> pd.DataFrame:
    """Rent follows the rooms, heating follows the city; one flat in twenty-five is a penthouse."""
    rng = np.random.default_rng(seed)
    count = rng.integers(1, 7, rows)
    city = rng.choice(["Basel", "Bern", "Zug"], rows, p=[0.5, 0.3, 0.2])
    kind = np.where(rng.random(rows) < 0.04 * (count > 3) * 2, "penthouse", "flat")
    return pd.DataFrame(
        {
            "rooms": count,
            "rent": (400 * count + rng.normal(0, 60, rows)).clip(0, 4_000).round().astype(int),
            "city": pd.Series(city, dtype="str"),
            "heating": pd.Series(np.where(city == "Zug", "gas", "wood"), dtype="str"),
            "kind": pd.Series(kind, dtype="str"),
            "id": [f"{at:010d}" for at in range(rows)],
        }
    )


SCHEMA = sp.Schema(
    columns={
        "rooms": sp.Integer(lower=1, upper=6),
        "rent": sp.Integer(lower=0, upper=4_000),
        "city": sp.Categorical(categories=["Basel", "Bern", "Zug"]),
        "heating": sp.Categorical(categories=["gas", "wood"]),
        "kind": sp.Categorical(categories=["flat", "penthouse"]),
        "id": sp.Identifier(),
    },
    targets=("kind",),
)


@pytest.fixture(scope="module", params=["mixture", "vae", "autoregressive", "ctgan"])
def fitted(request: pytest.FixtureRequest) -> FittedSynthesizer:
    kinds = {
        "mixture": sp.MixtureSynthesizer(epsilon=20.0, delta=1e-5, random_state=0),
        "vae": sp.VAESynthesizer(epsilon=20.0, delta=1e-5, random_state=0),
        "autoregressive": sp.AutoregressiveSynthesizer(epsilon=20.0, delta=1e-5, random_state=0),
        "ctgan": sp.CTGANSynthesizer(epsilon=20.0, delta=1e-5, random_state=0),
    }
    return kinds[request.param].fit(rooms(ROWS, 0), SCHEMA)


def test_conditions_of_every_form_hold(fitted: FittedSynthesizer) -> None:
    for conditions, holds in (
        ("rent > 2000 and city != 'Bern'", lambda t: (t.rent > 2000) & (t.city != "Bern")),
        (
            {"rooms": [1, 6], "rent": slice(300, 700)},
            lambda t: t.rooms.isin([1, 6]) & t.rent.between(300, 700),
        ),
        ("kind = 'penthouse'", lambda t: t.kind == "penthouse"),
        ("rent > 450 * rooms", lambda t: t.rent > 450 * t.rooms),
    ):
        made = fitted.sample(60, seed=1, conditions=conditions)
        assert holds(made).all()
    assert fitted.sample(200, seed=2, conditions={"rooms": 6})["rent"].median() == pytest.approx(
        2400, rel=0.1
    )
    assert fitted.reach("rooms <= 3").probability == pytest.approx(0.5, abs=0.08)
    with pytest.raises(ConfigurationError, match="'rent'"):
        fitted.sample(5, conditions="rent > 4000")


def test_gaps_are_filled_from_the_rest_of_the_row(fitted: FittedSynthesizer) -> None:
    whole = rooms(400, 5)
    rng = np.random.default_rng(1)
    gaps = rng.random((400, 2)) < 0.4
    table = whole.assign(
        rent=whole.rent.astype("Int64").mask(gaps[:, 0]), heating=whole.heating.mask(gaps[:, 1])
    )
    for method, least in (("draw", 0.9), ("likeliest", 0.97)):
        filled = sp.impute(fitted, table, method=method, seed=0)
        assert not filled.isna().any().any()
        pd.testing.assert_series_equal(filled["city"], table["city"])
        assert (filled["rent"][~gaps[:, 0]] == whole["rent"][~gaps[:, 0]]).all()
        assert (filled["heating"] == whole["heating"])[gaps[:, 1]].mean() > least
        error = (filled["rent"].astype(float) - whole["rent"])[gaps[:, 0]].abs().mean()
        assert error < 200 < (whole["rent"].median() - whole["rent"]).abs().mean()
    one, other = sp.multiple_imputations(fitted, table, 2, seed=0)
    assert (one["rent"] != other["rent"]).any()
    with pytest.raises(ConfigurationError, match="method"):
        sp.impute(fitted, table, method="mean")  # type: ignore[arg-type]


def test_damage_is_repaired_and_reported(fitted: FittedSynthesizer) -> None:
    whole = rooms(300, 6)
    damaged = whole.copy()
    hit = damaged.index[damaged["city"] == "Zug"][:20]
    damaged.loc[hit, "heating"] = "wood"
    repaired, report = sp.denoise(fitted, damaged, threshold=0.05)
    assert set(report.columns) == {"row", "column", "before", "after", "probability"}
    found = report[(report["column"].isin(["heating", "city"])) & report["row"].isin(hit)]
    assert found["row"].nunique() >= 18
    assert len(report) < 80
    assert (
        (repaired.drop(index=report["row"].unique()) == damaged.drop(index=report["row"].unique()))
        .all()
        .all()
    )


def test_rows_that_do_not_belong_score_high_and_name_the_column(fitted: FittedSynthesizer) -> None:
    table = rooms(400, 7)
    table.loc[:19, "rent"] = np.where(table.loc[:19, "rooms"] > 3, 300, 3_900)
    scores = sp.score_rows(fitted, table)
    planted = scores["score"].iloc[:20]
    assert (planted.median() > scores["score"].iloc[20:]).mean() > 0.95
    assert scores["reason_1"].iloc[:20].isin(["rent", "rooms"]).mean() >= 0.8
    outside = table.assign(city="Atlantis").head(3)
    assert (sp.score_rows(fitted, outside)["reason_1"] == "city").all()


def test_classes_are_brought_level_and_marked(fitted: FittedSynthesizer) -> None:
    table = rooms(500, 8)
    level = sp.augment(fitted, table, "kind", ratio=0.5, seed=0)
    counts = level["kind"].value_counts()
    assert counts["penthouse"] == round(counts["flat"] / 2)
    pd.testing.assert_frame_equal(level[~level["is_synthetic"]].drop(columns="is_synthetic"), table)
    assert (level[level["is_synthetic"]]["kind"] == "penthouse").all()
    with pytest.raises(ConfigurationError, match="Did you mean 'kind'"):
        sp.augment(fitted, table, "kin")
    with pytest.raises(ConfigurationError, match="is_synthetic"):
        sp.augment(fitted, level, "kind")


def test_edge_cases_are_unlikely_and_possible(fitted: FittedSynthesizer) -> None:
    edges = sp.edge_cases(fitted, 40, seed=0)
    assert len(edges) == 40
    assert edges["rent"].between(0, 4_000).all()
    usual = sp.score_rows(fitted, fitted.sample(400, seed=3))["log_density"]
    assert sp.score_rows(fitted, edges)["log_density"].median() < usual.quantile(0.1)


def test_stated_shares_are_met(fitted: FittedSynthesizer) -> None:
    made = sp.rebalance(fitted, 300, {"city = 'Zug'": 2, "city = 'Bern' and rooms > 3": 1}, seed=0)
    assert (made["city"] == "Zug").sum() == 200
    assert (made["rooms"][made["city"] == "Bern"] > 3).all()
    with pytest.raises(ConfigurationError, match="shares"):
        sp.rebalance(fitted, 10, {"city = 'Zug'": -1})


def test_mixing_is_marked_as_not_private(fitted: FittedSynthesizer) -> None:
    real, made = rooms(200, 9), fitted.sample(200, seed=0)
    mixed = sp.mix(real, made, 0.25, seed=0)
    assert mixed["is_synthetic"].sum() == 50
    assert len(mixed) == 200
    assert mixed.attrs["NOT_PRIVATE"] is True
    assert sp.mix(real, made, 1.0).attrs["NOT_PRIVATE"] is False
    with pytest.raises(ConfigurationError, match="sample more"):
        sp.mix(real, made.head(10), 0.5)


def test_equal_labels_make_fairer_models() -> None:
    rng = np.random.default_rng(0)
    sex = rng.choice(["f", "m"], 4_000)
    hours = np.clip(30 + 8 * (sex == "m") + rng.normal(0, 8, 4_000), 0, 80).round().astype(int)
    rich = rng.random(4_000) < 1 / (1 + np.exp(-(hours - 40) / 5 - 0.8 * (sex == "m")))
    table = pd.DataFrame({"sex": sex, "hours": hours, "rich": rich})
    schema = sp.Schema(
        columns={
            "sex": sp.Categorical(categories=["f", "m"]),
            "hours": sp.Integer(lower=0, upper=80),
            "rich": sp.Boolean(),
        },
        targets=("rich",),
    )
    fitted = sp.MixtureSynthesizer(epsilon=10.0, delta=1e-5, random_state=0).fit(table, schema)
    made, report = sp.equalize(fitted, 3_000, "sex", "rich", seed=0)
    assert len(made) == pytest.approx(3_000, abs=2)
    assert report.label_gap[0] > 0.2
    assert abs(report.prediction_gap[1]) < report.prediction_gap[0] / 3
    assert report.auc[1] > report.auc[0] - 0.15
    level, _ = sp.equalize(fitted, 3_000, "sex", "rich", strength=1.0, seed=0)
    rates = level.groupby("sex")["rich"].mean()
    assert abs(rates["f"] - rates["m"]) < 0.03
    with pytest.raises(ConfigurationError, match="two values"):
        sp.equalize(
            sp.IndependentSynthesizer(epsilon=1.0, delta=1e-5).fit(rooms(500, 0), SCHEMA), 9, "kind", "city"
        )
