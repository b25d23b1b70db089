"""The internal page must tell the verdict, warn that it is internal, load nothing, and run no one's text."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import math
import re

import pytest

from synthpriv.evaluation.comparisons import ColumnComparison, PairComparison, RocCurve
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.estimate import Estimate
from synthpriv.evaluation.scorecard import Scorecard
from synthpriv.release.policy import Policy, ReleaseFacts
from synthpriv.release.report import format_figure, internal_page
from synthpriv.release.words import figure_words
from tests.made_up import full_scorecard
from tests.pages import Elements

SCRIPT = "<script>alert(1)</script>"
BREAKOUT = "</script><img src=x onerror=alert(2)>"
MEGABYTE = 2**20

FACTS = ReleaseFacts(
    epsilon=3.0,
    delta=1e-6,
    epsilon_spent_total=3.4,
    budget_epsilon=4.0,
    ledger_verified=True,
    private=True,
    schema_confirmed=True,
    attempts=2,
)
CHARGES = [
    {"label": "row count", "event": "discrete Laplace", "at": "2026-03-02", "epsilon_after": 0.4},
    {"label": SCRIPT, "event": "1920 x Gaussian", "at": "2026-03-03", "epsilon_after": 3.4},
]


def estimate(value: float, **controls: float) -> Estimate:
    return Estimate(
        value=value,
        low=value - 0.01,
        high=value + 0.01,
        method="bootstrap over rows",
        direction="higher",
        sentence=f"A sentence with {SCRIPT}.",
        controls={name.replace("_", " "): number for name, number in controls.items()},
    )


def column(name: str, total_variation: float) -> ColumnComparison:
    return ColumnComparison(
        name=name,
        kind="categorical",
        total_variation=total_variation,
        jensen_shannon=0.1,
        kolmogorov_smirnov=None,
        wasserstein=math.nan,
        missing_real=0.1,
        missing_synthetic=0.2,
        labels=("yes", BREAKOUT),
        real=(0.5, 0.5),
        synthetic=(0.4, 0.6),
    )


def scorecard() -> Scorecard:
    attack = {"ceiling_of_the_claim": 0.953, "leaky_copy": 0.99}
    return Scorecard(
        targets=(SCRIPT,),
        effort=Effort.standard,
        rows={"synthetic": 12_345, "train": 100, "holdout": 50},
        epsilon=3.0,
        delta=1e-6,
        estimates={
            "fidelity.tvd2": estimate(0.065, real_rows=0.023, independent_columns=0.087),
            "fidelity.novel": estimate(0.5),
            "utility.auc": estimate(0.88, real_rows=0.915, independent_columns=0.5),
            "utility.auc.random_forest": estimate(0.88, real_rows=0.915, independent_columns=0.5),
            "privacy.density_ratio.auc": estimate(0.52, **attack),
            "privacy.positive_control.auc": estimate(0.99, **attack),
        },
        columns=(column("calm", 0.01), column(SCRIPT, 0.1)),
        worst_pairs=(PairComparison(first="calm", second=SCRIPT, total_variation=0.2),),
        association_names=("calm", SCRIPT),
        association_real=((1.0, 0.2), (0.2, 1.0)),
        association_synthetic=((1.0, math.nan), (0.1, 1.0)),
        rocs=(
            RocCurve(
                name="density ratio",
                false_positive_rate=(0.0, 1.0),
                true_positive_rate=(0.0, 1.0),
                ceiling=(0.1, 1.0),
            ),
        ),
        notes=(BREAKOUT,),
    )


def page(card: Scorecard | None = None, **facts: float) -> str:
    card = card or scorecard()
    changed = dataclasses.replace(FACTS, **facts)
    decision = Policy.default().decide(card, changed)
    return internal_page(card, decision, changed, CHARGES, f"Adult {SCRIPT}", notes=("Made for a test.",))


@pytest.fixture(scope="module")
def html() -> str:
    return page()


@pytest.fixture(scope="module")
def elements(html: str) -> Elements:
    return Elements(html)


def test_verdict_comes_first_and_in_words(elements: Elements) -> None:
    banner = "INTERNAL: contains figures computed on real rows; do not publish"
    places = [
        elements.text.rindex(words) for words in (banner, "APPROVED", "not measured", "Made for a test.")
    ]
    assert places == sorted(places)
    assert "NOT PRIVATE" not in elements.text
    assert "read from the data" not in elements.text


def test_every_section_is_there_and_linked(elements: Elements) -> None:
    identifiers = {attributes["id"] for _, attributes in elements.tags if "id" in attributes}
    links = {attributes["href"] for tag, attributes in elements.tags if tag == "a"}
    wanted = {"verdict", "checks", "fidelity", "utility", "privacy", "columns", "pairs", "ledger", "notes"}
    assert wanted <= identifiers
    assert links == {f"#{name}" for name in (*wanted, "models", "attacks")}
    assert links <= {f"#{name}" for name in identifiers}


def test_figures_controls_and_ledger_are_told(elements: Elements) -> None:
    for words in ("0.065", "independent columns", "0.087", "12,345", "2026-03-03", "Made for a test.", "ε"):
        assert words in elements.text


def test_refusal_names_every_reason() -> None:
    text = Elements(page(ledger_verified=False, epsilon_spent_total=4.5)).text
    assert "REFUSED" in text
    assert "APPROVED" not in text
    assert "The ledger does not verify" in text
    assert "does NOT verify" in text
    assert "charged epsilon 4.5 must be at most 4" in text


def test_not_private_has_a_banner_and_nothing_to_draw_for_an_infinite_claim() -> None:
    text = Elements(page(private=False, epsilon=math.inf, epsilon_spent_total=math.inf)).text
    assert "NOT PRIVATE." in text
    assert "REFUSED" in text
    assert "∞" in text


def test_drafted_schema_has_a_note() -> None:
    assert "The schema was read from the data." in Elements(page(schema_confirmed=False)).text


def test_names_and_categories_stay_text(elements: Elements) -> None:
    tags = [tag for tag, _ in elements.tags]
    assert tags.count("script") == 3
    assert "img" not in tags
    assert SCRIPT in elements.text
    assert BREAKOUT in elements.text


def test_data_of_the_plots_are_json_without_an_angle_bracket(elements: Elements) -> None:
    data = elements.scripts[0]
    assert "<" not in data
    figures = json.loads(data)
    assert [one["name"] for one in figures["columns"]] == [SCRIPT, "calm"]
    assert figures["columns"][0]["labels"] == ["yes", BREAKOUT]
    assert figures["association"]["synthetic"][0][1] is None


def test_only_the_listed_scripts_run_and_nothing_is_loaded(html: str, elements: Elements) -> None:
    policy = next(a["content"] or "" for _, a in elements.tags if a.get("http-equiv"))
    digests = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in elements.scripts[1:]
    ]
    assert re.findall(r"'sha256-([^']+)'", policy) == digests
    assert "default-src 'none'" in policy
    for _, attributes in elements.tags:
        assert not {"src", "srcset", "data", "poster", "background"} & set(attributes)
        assert (attributes.get("href") or "#").startswith("#")
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_plotly_is_there_once_and_the_page_is_small(html: str) -> None:
    assert html.count("plotly.js v") == 1
    assert len(html.encode()) < 6 * MEGABYTE


def test_plots_have_alternative_text(elements: Elements) -> None:
    plots = [attributes for _, attributes in elements.tags if "data-plot" in attributes]
    assert {one["data-plot"] for one in plots} == {
        "column",
        "models",
        "roc",
        "real",
        "synthetic",
        "difference",
    }
    assert all(one.get("role") == "img" and one.get("aria-label") for one in plots)


def test_a_full_scorecard_is_drawn_whole() -> None:
    """Every field has its plot, every figure its place, and every link of the contents leads somewhere."""
    card = full_scorecard()
    html = page(card)
    found = Elements(html)
    plots = [(one["data-plot"], one["data-at"]) for _, one in found.tags if "data-at" in one]
    assert len(set(plots)) * 3 - 2 * len({one for one in plots if one[0] != "pair"}) == len(plots)
    count = {kind: len({at for name, at in plots if name == kind}) for kind, _ in plots}
    assert count == {"column": 5, "models": 4, "roc": 4, "importances": 2, "groups": 2, "pair": 3}
    links = {attributes["href"] for tag, attributes in found.tags if tag == "a"}
    assert {"#models", "#importances", "#groups", "#attacks"} <= links
    assert links <= {f"#{one['id']}" for _, one in found.tags if "id" in one}
    for name in card.estimates:
        assert name in found.text
    assert "thorough" in found.text
    assert "Random forest: bought" in found.text
    assert len(html.encode()) < 6 * MEGABYTE


def test_figures_that_the_policy_checks_are_large() -> None:
    found = Elements(page(full_scorecard()))
    large = [text for tag, text in found.headings if tag == "h3"]
    for label in (
        "Single columns",
        "Pairs of columns",
        "Models trained on the table",
        "Strongest membership attack",
    ):
        assert label in large
    assert "Associations" not in large


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("fidelity.tvd1", "Single columns"),
        ("utility.auc.random_forest", "Random forest"),
        ("utility.auc[in[co]me].random_forest", "Random forest: in[co]me"),
        ("utility.auc[income]", "Models trained on the table: income"),
        ("privacy.new_attack.auc", "New attack, auc"),
        ("plain", "plain"),
    ],
)
def test_any_figure_has_a_label(name: str, label: str) -> None:
    assert figure_words(name).label == label


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1])
def test_colours_can_be_told_from_what_is_behind_them(html: str, scheme: int) -> None:
    """WCAG AA: 4.5 to 1 for text, 3 to 1 for what is drawn."""
    style = html[html.index("<style>") : html.index("</style>")]
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", style.split("@media")[scheme]))
    texts = [(name, back) for name in ("ink", "muted") for back in ("paper", "panel")]
    texts += [(name, f"{name}-soft") for name in ("pass", "warn", "fail")]
    texts += [("ink", "warn-soft"), ("pass", "paper"), ("fail", "paper")]
    drawn = [(name, "paper") for name in ("real", "synthetic", "floor", "ceiling")]
    for least, pairs in ((4.5, texts), (3.0, drawn)):
        for front, back in pairs:
            dark, light = sorted((luminance(colours[front]), luminance(colours[back])))
            assert (light + 0.05) / (dark + 0.05) >= least, (front, back)


def test_poor_scorecard_still_makes_a_page() -> None:
    card = dataclasses.replace(
        scorecard(),
        targets=(),
        estimates={},
        columns=(),
        worst_pairs=(),
        association_names=(),
        association_real=(),
        association_synthetic=(),
        rocs=(),
        notes=(),
        rows={},
    )
    decision = Policy.default().decide(card, FACTS)
    html = internal_page(card, decision, FACTS, [], "Empty")
    text = Elements(html).text
    assert "not measured" in text.lower()
    assert "No charge was handed to this page." in text
    assert 'id="columns"' not in html


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "0.123"),
        (4.157, "4.157"),
        (12_345, "12,345"),
        (1234.56, "1,234.6"),
        (0.00012, "0.00012"),
        (-math.inf, "-∞"),
        (math.nan, "-"),
    ],
)
def test_numbers_are_written_for_reading(value: float, text: str) -> None:
    assert format_figure(value) == text
