"""What the pages call a figure, and what they tell a reader about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FigureWords:
    """label: a figure's name for a reader. help: how it is made and how it is read ("" for none)."""

    label: str
    help: str


GROUPS = {"fidelity.": "Fidelity", "utility.": "Utility", "privacy.": "Privacy"}

CONTROL_MARKS = {
    "real rows": "real",
    "holdout rows": "real",
    "independent columns": "floor",
    "ceiling of the claim": "ceiling",
    "leaky copy": "leaky",
    "what the rows allow": "leaky",
}

FIGURE_WORDS = {
    "release.epsilon": FigureWords(label="Claimed epsilon", help=""),
    "release.delta": FigureWords(label="Claimed delta", help=""),
    "release.budget": FigureWords(label="Budget of the table", help=""),
    "release.claim": FigureWords(label="Claim that was judged", help=""),
    "release.private": FigureWords(label="Trained with privacy noise", help=""),
    "release.ledger": FigureWords(label="Ledger", help=""),
    "release.schema": FigureWords(label="Schema", help=""),
    "release.holdout": FigureWords(label="Held-out rows", help=""),
    "fidelity.tvd1": FigureWords(
        label="Single columns",
        help="For each column: the share of cells that would have to change for the synthetic column "
        "to have the real one's shares (total variation, 0 to 1). The figure is the average over "
        "the columns. Numbers are first sorted into bins.",
    ),
    "fidelity.tvd2": FigureWords(
        label="Pairs of columns",
        help="The same distance for every pair of columns, averaged. It shows whether columns belong "
        "together as they do in the real table: columns drawn independently of each other can be "
        "perfect one by one and still miss every relation.",
    ),
    "fidelity.association": FigureWords(
        label="Associations",
        help="The average absolute difference between the real and the synthetic association of two "
        "columns: Pearson's correlation for numbers, Cramer's V for categories, the correlation "
        "ratio for one of each.",
    ),
    "utility.auc": FigureWords(
        label="Models trained on the table",
        help="Models are trained on the synthetic rows and tested on real rows that nobody trained on."
        " AUC is the chance that a model ranks a random positive row above a random negative one:"
        " 0.5 is a guess, 1 is perfect. Training on real rows is the ceiling.",
    ),
    "utility.auc.logistic_regression": FigureWords(label="Logistic regression", help=""),
    "utility.auc.random_forest": FigureWords(label="Random forest", help=""),
    "utility.auc.gradient_boosting": FigureWords(label="Gradient boosting", help=""),
    "privacy.copies": FigureWords(
        label="Exact copies",
        help="The share of synthetic rows that equal a training row in every cell. A smoke test only: "
        "rows with few columns repeat by chance, and a table without one copy can still leak.",
    ),
    "privacy.closest_record.auc": FigureWords(
        label="Closest record attack",
        help="The attacker calls a person a member if a synthetic row lies close to them. AUC 0.5 is a"
        " guess. The claim bounds what any attack can reach; that bound is drawn as the ceiling.",
    ),
    "privacy.density_ratio.auc": FigureWords(
        label="Density ratio attack",
        help="The attacker compares how dense synthetic rows are around a person with how dense real "
        "rows of strangers are (DOMIAS). It finds persons who are rare in the population and yet "
        "well represented.",
    ),
    "privacy.density_ratio.tpr_at_1pct": FigureWords(
        label="Density ratio attack, confident calls",
        help="The share of members that the attack finds when it may wrongly accuse 1 in 100 non-"
        "members. An average can hide a few persons who are recognised with certainty; this "
        "figure does not.",
    ),
    "privacy.positive_control.auc": FigureWords(
        label="Positive control",
        help="The same attack against a table in which training rows were planted. It must succeed: an"
        " attack that misses a known leak proves nothing when it finds none.",
    ),
}


def bare_name(figure: str) -> str:
    """A figure's name without the target or group that it is of, which may be any text.

    >>> bare_name("utility.auc[income].random_forest"), bare_name("utility.auc[a].[b]"), bare_name("a[")
    ('utility.auc.random_forest', 'utility.auc', 'a[')
    """
    head, opened, rest = figure.partition("[")
    _, closed, tail = rest.rpartition("]")
    return head + tail if opened and closed else figure


def words_of(figure: str) -> FigureWords:
    """A figure's words, with its target or group in the label; its name where it has none."""
    words = FIGURE_WORDS.get(bare_name(figure))
    if words is None:
        return FigureWords(label=figure, help="")
    _, opened, rest = figure.partition("[")
    subject = rest.rpartition("]")[0]
    return FigureWords(label=f"{words.label} ({subject})", help=words.help) if opened and subject else words
