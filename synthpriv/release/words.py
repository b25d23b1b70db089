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
}

FIGURE_WORDS = {
    "release.epsilon": FigureWords(label="Claimed epsilon", help=""),
    "release.delta": FigureWords(label="Claimed delta", help=""),
    "release.budget": FigureWords(label="Budget of the table", help=""),
    "release.claim": FigureWords(label="Claim that was judged", help=""),
    "release.private": FigureWords(label="Trained with privacy noise", help=""),
    "release.ledger": FigureWords(label="Ledger", help=""),
    "release.schema": FigureWords(label="Schema", help=""),
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
    "privacy.shadow.auc": FigureWords(
        label="Shadow models",
        help="The synthesizer is fitted again on small tables, with and without the persons who resemble "
        "nobody, and an attacker who knows all other rows says who was in. AUC 0.5 is a guess, and close to "
        "it is good; the claim's ceiling is what any attack may reach. It tests the synthesizer rather than "
        "this one table, and its noise differs from run to run.",
    ),
    "privacy.singling_out": FigureWords(
        label="Singling out",
        help="The attacker guesses from the synthetic table that exactly one real person has certain values. "
        "The risk is how much more often that is right of the rows that the table was made from than of rows "
        "that it never saw: 0 is good, 1 is the worst. A naive guess is told beside it.",
    ),
    "privacy.singling_out.univariate": FigureWords(label="Singling out by one column", help=""),
    "privacy.singling_out.multivariate": FigureWords(label="Singling out by several columns", help=""),
    "privacy.linkability": FigureWords(
        label="Linkability",
        help="Two halves of a person's columns (every other one, in schema order) lie in two hands; the "
        "synthetic table brings them together if both are nearest to the same synthetic row. The risk is the "
        "gain over rows that the table never saw: 0 is good, 1 is the worst.",
    ),
    "privacy.inference": FigureWords(
        label="Attribute inference",
        help="The attacker knows all of a person's columns but a target, and reads it from the nearest "
        "synthetic row. The risk is the gain over rows that the table never saw: 0 is good, 1 is the worst. "
        "What models learn of everyone is no risk of being in the table.",
    ),
}
