"""What the pages call a figure, and what they tell a reader about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FigureWords:
    """label: a figure's name for a reader. help: how it is made and how it is read ("" for none)."""

    label: str
    help: str


SCORE_WORDS = {
    "auc": "Area under the ROC curve",
    "average_precision": "Average precision",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "f1": "F1",
    "r2": "R²",
}
GROUPS = {"fidelity.": "Fidelity", "utility.": "Utility", "privacy.": "Privacy"}

CONTROL_MARKS = {
    "real rows": "real",
    "holdout rows": "real",
    "independent columns": "floor",
    "constant columns": "floor",
    "ceiling of the claim": "ceiling",
    "leaky copy": "leaky",
    "what the rows allow": "leaky",
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
    "release.holdout": FigureWords(label="Held-out rows", help=""),
    "fidelity.tvd1": FigureWords(
        label="Single columns",
        help="For each column: the share of cells that would have to change for the synthetic column "
        "to have the real one's shares (total variation, 0 to 1, low is good). The figure is the average "
        "over the columns. Numbers are first sorted into bins. Columns drawn independently of each other "
        "are as good as real rows here; constant columns show what bad looks like.",
    ),
    "fidelity.tvd2": FigureWords(
        label="Pairs of columns",
        help="The same distance for every pair of columns, averaged (low is good). It shows whether columns "
        "belong together as they do in the real table: columns drawn independently of each other can be "
        "perfect one by one and still miss every relation.",
    ),
    "fidelity.tvd3": FigureWords(
        label="Triples of columns",
        help="The same distance for three columns at a time, averaged over all triples or a random sample "
        "of them (low is good). Bins are coarser than those of pairs, so the two figures cannot be compared "
        "with each other, only with their controls.",
    ),
    "fidelity.jensen_shannon": FigureWords(
        label="Single columns, Jensen-Shannon",
        help="Another distance between a column's real and synthetic shares (0 to 1, low is good), averaged "
        "over the columns. It weighs values that only one of the tables has more than total variation does.",
    ),
    "fidelity.kolmogorov_smirnov": FigureWords(
        label="Numbers, largest gap",
        help="For each column of numbers or moments: over all thresholds, the largest difference between the "
        "real and the synthetic share of rows below it (0 to 1, low is good), averaged over the columns.",
    ),
    "fidelity.wasserstein": FigureWords(
        label="Numbers, mean shift",
        help="For each column of numbers or moments: how far the synthetic values would have to move on "
        "average to be spread as the real ones are (low is good), as a share of the column's declared range, "
        "so that a generous range makes it small. Averaged over the columns.",
    ),
    "fidelity.missing": FigureWords(
        label="Missing values",
        help="The average absolute difference between a column's real and synthetic share of missing values "
        "(low is good), over the columns that have any.",
    ),
    "fidelity.association": FigureWords(
        label="Associations",
        help="The average absolute difference between the real and the synthetic association of two "
        "columns (low is good): Pearson's correlation for numbers, Cramer's V for categories, the "
        "correlation ratio for one of each.",
    ),
    "fidelity.queries": FigureWords(
        label="Random questions",
        help="How far off the synthetic table's answer to a question such as 'which share of rows is 30 to "
        "45, married and in one of these jobs?' is on average (absolute error in shares of rows, low is "
        "good), over many random questions about three columns.",
    ),
    "fidelity.c2st.auc": FigureWords(
        label="Classifier that looks for synthetic rows",
        help="A strong classifier learns to tell synthetic rows from real ones and is tested on rows that it "
        "has not seen. 0.5 is best: it cannot tell. Near 1, some trait gives the synthetic rows away; it "
        "may be one that does not matter to you, so look at it together with pairs and triples.",
    ),
    "fidelity.precision": FigureWords(
        label="Precision of whole rows",
        help="Do synthetic rows lie where real rows lie? For every share, the densest region that holds that "
        "share of the real rows should hold the same share of the synthetic ones (alpha-precision, averaged "
        "over all shares; 1 is best). Rows that mix traits which do not occur together lower it.",
    ),
    "fidelity.recall": FigureWords(
        label="Recall of whole rows",
        help="The same with the roles exchanged (beta-recall; 1 is best): it falls when kinds of real people "
        "are left out of the synthetic table. A smoke test for all else: a table that scatters too widely, "
        "as independent columns do, can score high.",
    ),
    "fidelity.density": FigureWords(
        label="Density of whole rows",
        help="A smoke test: how closely synthetic rows are surrounded by real ones; about 1 for real rows, "
        "below that for rows in empty regions. Many copies of one typical row reach 1 and more, so a high "
        "figure alone is no proof of anything.",
    ),
    "fidelity.coverage": FigureWords(
        label="Coverage of whole rows",
        help="The share of real rows that have a synthetic row at least as close as their fifth real "
        "neighbour (high is good; real rows reach about 0.97). It falls when kinds of people are left out "
        "and when rows lie in the wrong places.",
    ),
    "fidelity.constraints": FigureWords(
        label="Constraints",
        help="The share of synthetic rows that break something which the schema says holds in every row, its "
        "constraints and facts. 0 is good, and what this package makes keeps all of them; beside it the "
        "share of real rows that do.",
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
    "utility.auc.naive_bayes": FigureWords(label="Naive Bayes", help=""),
    "utility.auc.decision_tree": FigureWords(label="Decision tree", help=""),
    "utility.auc.small_tree": FigureWords(label="Small decision tree", help=""),
    "utility.average_precision": FigureWords(
        label="Average precision",
        help="The same models, asked to find the rarer class: of the rows that a model calls first, the share"
        " that is right, averaged over how many it calls. 1 is perfect, a guess reaches the class's share of"
        " rows. It shows what AUC hides when a class is rare. With several classes, the mean over them.",
    ),
    "utility.f1": FigureWords(
        label="F1",
        help="The same models, each calling every row's most likely class: the balance of how many calls of "
        "the rarer class are right and how many of its rows are called (0 to 1, high is good). A model that "
        "never calls it gets 0. With several classes, the mean over them.",
    ),
    "utility.r2": FigureWords(
        label="Models of a number",
        help="Models are trained on the synthetic rows to predict a number or a date and tested on real rows "
        "that nobody trained on. R2 is the share of the variance that they explain: 1 is perfect, 0 is what "
        "the mean alone reaches, below 0 is worse than that. Training on real rows is the ceiling.",
    ),
    "utility.r2.linear_regression": FigureWords(label="Linear regression", help=""),
    "utility.r2.random_forest": FigureWords(label="Random forest", help=""),
    "utility.r2.gradient_boosting": FigureWords(label="Gradient boosting", help=""),
    "utility.r2.decision_tree": FigureWords(label="Decision tree", help=""),
    "utility.r2.small_tree": FigureWords(label="Small decision tree", help=""),
    "utility.model_rank": FigureWords(
        label="Choice of a model",
        help="Whether the synthetic table picks the model that real rows would pick: the rank correlation "
        "(Spearman, -1 to 1, high is good) of the models' scores after training on synthetic and on real "
        "rows. Five or six models only, so that two neighbours that swap cost up to 0.1. The ceiling is the "
        "order that half of the real rows give.",
    ),
    "utility.importance_rank": FigureWords(
        label="Features that matter",
        help="Whether the same columns matter to models trained on synthetic and on real rows: how much "
        "score is lost when a column's cells are permuted, as ranks (Spearman, -1 to 1, high is good). "
        "Losses within the noise count as none. The ceiling is what half of the real rows give.",
    ),
    "utility.group_gap": FigureWords(
        label="Gaps between groups",
        help="Models may serve one group of people better than another. The figure is the largest change of "
        "such a gap in score when models learn from synthetic instead of real rows (low is good). What half "
        "of the real rows give is the change that chance makes. A gap that real rows have is not counted.",
    ),
    "utility.augmentation": FigureWords(
        label="Synthetic rows beside real ones",
        help="The score of models trained on real and synthetic rows together, less that of real rows alone: "
        "above 0 the synthetic rows help those who hold the real ones. The ceiling is what the second half "
        "of the real rows adds to the first.",
    ),
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


def split_figure(name: str) -> tuple[str, str]:
    """A figure's bare name, and what stands in its brackets: the target or the group ("" for none).

    >>> split_figure("utility.auc[income].random_forest"), split_figure("fidelity.tvd1")
    (('utility.auc.random_forest', 'income'), ('fidelity.tvd1', ''))
    """
    head, bracket, rest = name.partition("[")
    inside, closed, tail = rest.rpartition("]")
    return (head + tail, inside) if bracket and closed else (name, "")


def figure_words(name: str) -> FigureWords:
    """The label and the explanation of a figure, by its bare name, with what it is of."""
    bare, of = split_figure(name)
    words = FIGURE_WORDS.get(bare) or FigureWords(label=_spoken(bare), help="")
    return FigureWords(label=f"{words.label}: {of}", help=words.help) if of else words


def model_of(name: str) -> tuple[str, str, str] | None:
    """The score, the target ("" for none) and the model of a figure that is one model's; None for others.

    >>> model_of("utility.auc[income].random_forest"), model_of("utility.auc")
    (('auc', 'income', 'random_forest'), None)
    """
    bare, of = split_figure(name)
    group, _, rest = bare.partition(".")
    score, _, model = rest.partition(".")
    return (score, of, model) if group == "utility" and score in SCORE_WORDS and model else None


def _spoken(name: str) -> str:
    """A name without its group, for reading."""
    return name.partition(".")[2].replace("_", " ").replace(".", ", ").capitalize() or name
