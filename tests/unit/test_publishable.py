"""The publishable page: every number has its source, noisy figures are near the truth, and no text runs."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import synthpriv as sp
from synthpriv.evaluation.intervals import auc
from synthpriv.release.bundle import stated_claim
from synthpriv.release.publishable import publishable_page
from synthpriv.release.publishable_bins import few_bins, read_public_table
from synthpriv.release.publishable_figures import PublishedFigures, histograms_counted, publish_figures
from synthpriv.release.publishable_models import train_public_model
from synthpriv.schema import Categorical, Float, Schema
from synthpriv.synthesizers.fitted import FittedSynthesizer
from synthpriv.synthesizers.planning import set_aside
from tests.conftest import make_people
from tests.pages import Elements

SCRIPT = "<script>alert(1)</script>"
HELD_OUT = 0.5


class Made:
    """A small release: its fitted model, its ledger, and both kinds of page."""

    def __init__(self, epsilon: float, share: float, rows: int = 3000) -> None:
        people = make_people(rows).rename(columns={"city": SCRIPT})
        people["age"] = people["age"].fillna(40)
        self.schema = hostile_schema(people)
        self.people = people[list(self.schema.columns)]
        self.ledger = sp.Ledger.in_memory(sp.Budget(epsilon=epsilon, delta=1e-5), dataset=SCRIPT)
        self.private = sp.PrivateTable(self.people, self.schema, self.ledger, holdout=HELD_OUT)
        self.held = self.private.disclose("test").holdout
        synthesizer = sp.MixtureSynthesizer(epsilon=epsilon, steps=20)
        release = synthesizer.open_release(self.private)
        aside = set_aside(
            self.schema,
            epsilon=epsilon,
            delta=release.budget.delta,
            rows_are_public=False,
            share=share,
            histograms=histograms_counted(self.schema, ("bought",)),
        )
        self.fitted: FittedSynthesizer = synthesizer.fit(self.private, release=release, aside=aside)
        self.synthetic = self.fitted.sample(4000, seed=1)
        self.table = read_public_table(lambda: iter([self.synthetic]), self.schema)
        self.figures: PublishedFigures = publish_figures(
            self.private, release, aside, self.table, ("bought",)
        )
        self.spent = release.spent()

    def page(self, figures: PublishedFigures | None) -> str:
        return publishable_page(
            self.fitted, self.ledger, stated_claim(self.fitted), self.table, "synthetic.csv", figures
        )


def hostile_schema(people: pd.DataFrame) -> Schema:
    cities = tuple(sorted(set(people[SCRIPT].dropna())))
    return Schema(
        columns={
            "age": sp.Integer(lower=0, upper=110),
            SCRIPT: Categorical(categories=cities),
            "income": Float(lower=0.0, upper=200_000.0, decimals=2, nullable=True),
            "bought": Categorical(categories=("no", "yes")),
        },
        targets=("bought",),
    )


@pytest.fixture(scope="module")
def made() -> Made:
    return Made(epsilon=8.0, share=0.2)


@pytest.mark.parametrize("paid", [False, True])
def test_every_number_has_a_source_on_the_page(made: Made, paid: bool) -> None:
    """Requirement 30: no digit is shown outside an element that names where it comes from."""
    found = Elements(made.page(made.figures if paid else None))
    identifiers = {attributes["id"] for _, attributes in found.tags if "id" in attributes}
    body = found.texts[next(k for k, (text, _) in enumerate(found.texts) if "PUBLIC" in text) :]
    numbers = [(text, source) for text, source in body if re.search(r"\d", text)]
    assert len(numbers) > 30
    for text, source in numbers:
        told = source is not None or text.strip().startswith("ledger entry")
        assert told, text
    sources = {source for _, source in numbers if source}
    assert sources <= identifiers
    entries = {f"entry-{charge.sequence}" for charge in made.ledger.charges}
    assert {one for one in sources if one.startswith("entry")} == entries
    plots = [attributes for _, attributes in found.tags if "data-plot" in attributes]
    assert len(plots) >= 4 + (3 if paid else 0)


def test_declared_facts_only_where_nothing_was_paid(made: Made) -> None:
    found = Elements(made.page(None))
    figures = json.loads(found.scripts[0])
    assert all(column["real"] is None and column["error"] is None for column in figures["columns"])
    assert figures["pairs"] == []
    assert "How good it is" not in found.text
    for words in ("Synthetic table", "approved", "one row", "4,000", "verify", "schema.toml", "It covers"):
        assert words in found.text


def test_paid_figures_are_linked_to_the_entry_that_paid(made: Made) -> None:
    found = Elements(made.page(made.figures))
    [entry] = [charge for charge in made.ledger.charges if charge.label == "published figures"]
    assert entry.sequence == made.figures.sequence
    assert ("a", {"href": f"#entry-{entry.sequence}"}) in found.tags
    shown = f"{made.figures.models[0].auc.value:.3f}"
    assert any(shown in text and source == f"entry-{entry.sequence}" for text, source in found.texts)


def test_the_claim_covers_the_fit_and_the_figures(made: Made) -> None:
    assert made.spent <= made.fitted.claim.epsilon == 8.0
    assert made.ledger.spent() == made.spent


def test_names_and_categories_stay_text(made: Made) -> None:
    html = made.page(made.figures)
    found = Elements(html)
    assert [tag for tag, _ in found.tags].count("script") == 3
    assert SCRIPT in found.text
    assert "<" not in found.scripts[0]
    assert "default-src 'none'" in html
    assert len(html.encode()) < 6 * 2**20
    for _, attributes in found.tags:
        assert not {"src", "srcset", "data", "poster"} & set(attributes)
        assert (attributes.get("href") or "#").startswith("#")


def test_noisy_figures_are_near_the_truth(made: Made) -> None:
    encoder, held = made.table.encoder, made.held
    codes = encoder.encode_frame(held)
    assert made.figures.rows == pytest.approx(len(held), rel=0.1)
    for at, shares in enumerate(made.figures.columns):
        exact = np.bincount(codes[:, at], minlength=encoder.sizes[at]) / len(held)
        assert np.abs(exact - shares.real).max() < 3 * max(shares.error)
        synthetic = made.table.counts[at] / made.table.rows
        assert np.array(shares.synthetic) == pytest.approx(synthetic)
        distance = np.abs(exact - synthetic).sum() / 2
        assert shares.distance.low - 0.03 <= distance <= shares.distance.high + 0.05
    model = train_public_model(made.table, "bought")
    truth = model.answer.encode(codes) == 1
    exact_auc = float(auc(model.score.encode(codes).astype(float), truth)[0])
    found = made.figures.models[0].auc
    assert abs(found.value - exact_auc) < 2 * (found.high - found.low)
    assert found.low <= found.value <= found.high


def test_bins_are_labelled_cover_the_domain_and_do_not_see_real_rows(made: Made) -> None:
    again = read_public_table(
        lambda: iter([made.synthetic.iloc[:2000], made.synthetic.iloc[2000:]]), made.schema
    )
    assert again.encoder.to_dict() == made.table.encoder.to_dict()
    for at, (name, labels) in enumerate(zip(again.names, again.labels, strict=True)):
        assert len(labels) == again.encoder.sizes[at] == len(set(labels)), name
        assert again.counts[at].sum() == 4000
        score, few = few_bins(again, at)
        assert len(few) == score.cells <= 4
        assert (labels[-1] == few[-1] == "missing") == (name == "income")


@pytest.mark.parametrize("value", [0.0, 3.5, None])
def test_a_column_with_one_value_has_bins_too(value: float | None) -> None:
    schema = Schema(
        columns={
            "x": Float(lower=0.0, upper=1000.0, decimals=1, nullable=True),
            "y": Categorical(categories=tuple(f"kind {k}" for k in range(40))),
        },
        targets=("y", "x"),
    )
    frame = pd.DataFrame({"x": pd.Series([value] * 30, dtype=float), "y": ["kind 7"] * 30})
    table = read_public_table(lambda: iter([frame]), schema)
    assert [counts.sum() for counts in table.counts] == [30, 30]
    for target in schema.targets:
        model = train_public_model(table, target)
        assert model.synthetic.sum() > 0
        assert replace(model, target="").target == ""
