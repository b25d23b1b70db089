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

RATES = {
    "tpr_at_01pct": "one false alarm in 1,000",
    "tpr_at_1pct": "one false alarm in 100",
    "tpr_at_10pct": "one false alarm in 10",
}
RATE_HELP = (
    "The share of members that the attack finds when it may wrongly accuse so many non-members. An average "
    "can hide a few persons who are recognised with certainty; this figure does not. Low is good, and the "
    "claim bounds it."
)
ATTACKS = {
    "closest_record": (
        "Closest record attack",
        "The attacker calls a person a member if a synthetic row lies close to them. AUC 0.5 is a guess. The "
        "claim bounds what any attack can reach; that bound is drawn as the ceiling. This attack misses most "
        "leaks.",
    ),
    "density_ratio": (
        "Density ratio attack",
        "The attacker compares how dense synthetic rows are around a person with how dense real rows of "
        "strangers are (DOMIAS). It finds persons who are rare in the population and yet well represented.",
    ),
    "noisy_copies": (
        "Noisy copies attack",
        "The attacker estimates how much each column was blurred, and compares how likely synthetic rows are "
        "as blurred copies of a person and as strangers. It finds rows that were copied and disguised.",
    ),
    "local_likelihood": (
        "Local likelihood attack",
        "The attacker adds a person to other real rows and sees by how much this explains the synthetic rows "
        "nearby (Gen-LRA). It finds places where the table follows a few persons too closely.",
    ),
    "pair_likelihood": (
        "Likelihood of pairs",
        "The attacker compares the shares of a person's values, one by one and in pairs, in the synthetic "
        "table and among other real rows. It finds tables whose counts are too exact.",
    ),
    "mixture_likelihood": (
        "Likelihood of mixtures",
        "The attacker fits the same model to the synthetic table and to other real rows and asks which of "
        "the two expects a person more. It finds models that were trained for too long.",
    ),
    "kernel_density": (
        "Kernel density ratio attack",
        "The density ratio attack with a smooth density on the main axes of the table.",
    ),
    "classifier": (
        "Classifier attack",
        "The attacker trains a model to tell synthetic rows from other real rows and asks it about a person "
        "(LOGAN). A person who looks synthetic to it may have been trained on.",
    ),
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
    "privacy.strongest.auc": FigureWords(
        label="Strongest membership attack",
        help="The best of all attacks below that look for persons who were in the training table. 0.5 is a "
        "guess, 1 is certainty; close to 0.5 is good, and the claim's ceiling must not be passed. The "
        "best of many tries looks good by luck, so the lower bound is corrected for their number: it "
        "is above 0.5 only where at least one attack truly works.",
    ),
    **{f"privacy.{name}.auc": FigureWords(label=label, help=text) for name, (label, text) in ATTACKS.items()},
    **{
        f"privacy.{name}.{figure}": FigureWords(label=f"{label}, {calls}", help=RATE_HELP)
        for name, (label, _) in ATTACKS.items()
        for figure, calls in RATES.items()
    },
    "privacy.positive_control.auc": FigureWords(
        label="Positive control",
        help="The density ratio attack against a table of training rows. It must succeed: an attack that "
        "misses a known leak proves nothing when it finds none.",
    ),
    "privacy.copies": FigureWords(
        label="Smoke test: exact copies",
        help="The share of synthetic rows that equal a training row in every cell. A smoke test only: "
        "rows with few columns repeat by chance, and a table without one copy can still leak.",
    ),
    "privacy.rare_near_copies": FigureWords(
        label="Smoke test: near copies of rare rows",
        help="Of the training rows that are farthest from all other real rows, the share with a synthetic "
        "row at less than half of that distance. It should be as for holdout rows. A smoke test only.",
    ),
    "privacy.closer_to_train": FigureWords(
        label="Smoke test: closer to training rows",
        help="The share of synthetic rows whose closest real row is a training row and not one of as many "
        "holdout rows (distance to closest record). Half is fair. A smoke test only: tables that pass it "
        "were shown to leak.",
    ),
    "privacy.neighbour_ratio": FigureWords(
        label="Smoke test: nearest over second nearest",
        help="How far a synthetic row is from the nearest training row, divided by the second nearest "
        "(NNDR), on average. It should be as for holdout rows; copies give 0. A smoke test only.",
    ),
}
