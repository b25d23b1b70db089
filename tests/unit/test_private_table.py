"""The door: what it offers, what it refuses, and how it bounds the rows of one unit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import synthpriv as sp
from synthpriv.encoding.partition import first_partition
from synthpriv.encoding.scores import ScoreColumn
from synthpriv.errors import BudgetExceeded, ConfigurationError, LedgerError, TableError
from synthpriv.privacy.events import Counts
from synthpriv.release.publishable_bins import read_public_table
from synthpriv.schema import Identifier, Integer, Schema
from tests.conftest import make_people


def ledger() -> sp.Ledger:
    return sp.Ledger.in_memory(sp.Budget(epsilon=10.0, delta=1e-5))


def test_the_door_shows_no_row_no_length_no_index(people: pd.DataFrame, people_schema: Schema) -> None:
    private = sp.PrivateTable(people, people_schema, ledger())
    assert repr(private) == "PrivateTable(columns=7, holdout=0.0)"
    for attempt in (lambda: len(private), lambda: private["age"], lambda: list(private)):
        with pytest.raises(TypeError):
            attempt()
    with pytest.raises(AttributeError):
        private.frame  # noqa: B018
    assert not hasattr(private, "__dict__")


def test_bad_tables_and_arguments_are_refused(people: pd.DataFrame, people_schema: Schema) -> None:
    for frame, word in (
        (people.drop(columns="age"), "age"),
        (people.assign(extra=1), "extra"),
        (pd.concat([people, people[["age"]]], axis=1), "age"),
        (people.iloc[:0], "row"),
        (people.assign(city="Rom"), "city"),
    ):
        with pytest.raises(TableError, match=word):
            sp.PrivateTable(frame, people_schema, ledger())
    with pytest.raises(ConfigurationError, match="holdout"):
        sp.PrivateTable(people, people_schema, ledger(), holdout=1.0)
    with pytest.raises(ConfigurationError, match="rows"):
        sp.PrivateTable(people, people_schema, ledger(), rows=0)


def test_another_table_under_the_same_ledger_is_refused(people: pd.DataFrame, people_schema: Schema) -> None:
    book = ledger()
    sp.PrivateTable(people, people_schema, book)
    sp.PrivateTable(people.copy(), people_schema, book)
    with pytest.raises(LedgerError, match="other rows"):
        sp.PrivateTable(make_people(2000, seed=1), people_schema, book)


def test_holdout_and_training_rows_are_a_random_partition(
    people: pd.DataFrame, people_schema: Schema
) -> None:
    book = ledger()
    splits = [sp.PrivateTable(people, people_schema, book, holdout=0.25).disclose("test") for _ in range(2)]
    for split in splits:
        assert len(split.train) + len(split.holdout) == len(people)
        assert abs(len(split.holdout) / len(people) - 0.25) < 0.06
        assert not set(split.train["id"]) & set(split.holdout["id"])
    assert set(splits[0].holdout["id"]) != set(splits[1].holdout["id"])
    assert (
        sum(record["record"] == "disclosure" for record in book.to_json()["entries"] if "record" in record)
        == 2
    )


def unit_schema(max_rows: int) -> Schema:
    return Schema(
        columns={"person": Identifier(), "visits": Integer(lower=0, upper=50)},
        privacy_unit="person",
        max_rows_per_unit=max_rows,
    )


def test_a_doubled_unit_raises_where_one_row_was_declared() -> None:
    frame = pd.DataFrame({"person": ["a", "b", "a"], "visits": [1, 2, 3]})
    with pytest.raises(TableError, match="max_rows_per_unit"):
        sp.PrivateTable(frame, unit_schema(1), ledger())


def test_rows_of_a_unit_beyond_the_bound_are_dropped_by_a_random_order() -> None:
    frame = pd.DataFrame({"person": ["a"] * 30 + ["b"], "visits": [*range(30), 40]})
    kept = [
        sp.PrivateTable(frame, unit_schema(3), ledger()).disclose("test").train["visits"] for _ in range(6)
    ]
    assert all(len(rows) == 4 and 40 in set(rows) for rows in kept)
    assert len({tuple(rows) for rows in kept}) > 1, "the choice is random"


def test_noise_grows_with_the_rows_that_a_unit_may_own() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"person": rng.integers(0, 900, 2000).astype(str), "visits": rng.integers(0, 50, 2000)}
    )
    config = sp.IndependentSynthesizer(epsilon=5.0, delta=1e-5)
    one = config.plan(unit_schema(1), rows=2000).encoding_scales[0]["visits"]
    five = config.plan(unit_schema(5), rows=2000).encoding_scales[0]["visits"]
    assert five == pytest.approx(5 * one)
    assert len(config.fit(frame, unit_schema(5)).sample(100)) == 100


def test_histograms_are_charged_before_they_are_counted(people: pd.DataFrame, people_schema: Schema) -> None:
    book = ledger()
    private = sp.PrivateTable(people, people_schema, book)
    release = book.open_release("test", epsilon=1.0, delta=1e-6)
    partition = first_partition(people_schema.columns["city"])
    with pytest.raises(BudgetExceeded):
        private.histograms(release, "too much", {"city": partition}, {"city": 0.1})
    assert not book.charges
    counts = private.histograms(release, "cities", {"city": partition}, {"city": 20.0})["city"]
    assert [charge.label for charge in book.charges] == ["cities"]
    assert abs(int(counts.sum()) - 2000) < 400


def test_held_out_rows_are_tallied_and_no_others(people: pd.DataFrame, people_schema: Schema) -> None:
    book = ledger()
    private = sp.PrivateTable(people, people_schema, book, holdout=0.25)
    held = private.disclose("test").holdout
    release = book.open_release("test", epsilon=4.0, delta=1e-6)
    table = read_public_table(lambda: iter([people]), people_schema)
    sizes, city = table.encoder.sizes, table.names.index("city")
    weights = [()] * len(sizes)
    weights[city] = tuple(float(code) for code in range(sizes[city]))
    first = ScoreColumn(weights=tuple(weights), edges=(0.5,))
    groups = [(city,), (city, len(sizes))]
    with pytest.raises(BudgetExceeded):
        private.tallies(release, "too much", table.encoder, groups, 0.1)
    with pytest.raises(ConfigurationError, match="one weight per cell"):
        private.tallies(release, "other columns", table.encoder, groups, 8.0, [replace(first, weights=((),))])
    assert not book.charges
    alone, pair = private.tallies(release, "figures", table.encoder, groups, 8.0, [first])
    assert book.events == (Counts(noise_scale=8.0, coordinates=2, max_rows=1),)
    exact = np.bincount(table.encoder.encode_frame(held)[:, city], minlength=sizes[city])
    assert np.abs(alone - exact).max() < 50
    assert pair.shape == (sizes[city], 2)
    assert np.abs(pair[0] - [exact[0], 0]).max() < 50
    assert np.abs(pair[1:, 1] - exact[1:]).max() < 50


def test_the_ledger_alone_tells_the_gate_what_it_must_know(
    people: pd.DataFrame, people_schema: Schema
) -> None:
    """Disclose, evaluate, decide: the attempt and its verdict are recorded."""
    book = ledger()
    private = sp.PrivateTable(people, people_schema, book, holdout=0.25)
    assert private.disclose("before any fit").epsilon == float("inf")
    fitted = sp.IndependentSynthesizer(epsilon=4.0).fit(private)
    real = private.disclose("release review")
    assert (real.epsilon, real.delta) == (4.0, pytest.approx(4e-6))
    scorecard = sp.evaluate(fitted.sample(1000), real, target="bought")
    decision = sp.Policy.default().decide(scorecard, book)
    assert decision.approved
    assert [r["record"] for r in book.records] == ["disclosure", "disclosure", "attempt", "verdict"]
    again = sp.Policy.default().decide(scorecard, book)
    assert again.approved
    assert book.attempts == 2
    noiseless = sp.Ledger.in_memory(sp.Budget(epsilon=float("inf"), delta=0.0))
    bare = sp.PrivateTable(people, people_schema, noiseless, holdout=0.25)
    sp.IndependentSynthesizer(epsilon=float("inf")).fit(bare)
    refused = sp.Policy.default().decide(scorecard, noiseless)
    assert not refused.approved
    assert "NOT PRIVATE" in refused.reasons
    assert noiseless.attempts == 1
    assert noiseless.records[-1]["facts"] == {"approved": False}
