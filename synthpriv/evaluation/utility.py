"""Train on the synthetic table, test on real rows: whether models learnt from it are worth anything."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from synthpriv.errors import EvaluationError, nearest
from synthpriv.evaluation.cells import FEWEST_ROWS, Array, Cells, Tables, is_numeric
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.estimate import Estimate
from synthpriv.evaluation.findings import Findings
from synthpriv.evaluation.intervals import auc, percentile_interval, stratified_weights
from synthpriv.schema import Schema
from synthpriv.schema.values import MISSING

Floats = npt.NDArray[np.float64]
MOST_TRAINING_ROWS = 50_000
MOST_TEST_ROWS = 20_000
MOST_CLASSES = 20
MOST_INDICATORS = 50
MODELS = {"logistic_regression": "linear", "random_forest": "ordinal", "gradient_boosting": "ordinal"}


@dataclass(frozen=True, kw_only=True)
class FeatureEncoder:
    """Cells -> features, fixed by the schema and the real training rows, the same for every table.

    features: the feature columns' indices. kept: per feature, the categories with an indicator (the most
    common, where there are many), or None for a number. middle, spread: per feature, for numbers.
    """

    features: tuple[int, ...]
    kept: tuple[Array | None, ...]
    middle: tuple[float, ...]
    spread: tuple[float, ...]

    @classmethod
    def fit(cls, train: Cells, target: str) -> FeatureEncoder:
        """The encoder of every column but the target."""
        features = tuple(at for at, name in enumerate(train.names) if name != target)
        kept: list[Array | None] = []
        middle, spread = [], []
        for at in features:
            positions = train.positions[:, at]
            present = positions[positions != MISSING]
            if is_numeric(train.columns[at]):
                kept.append(None)
                middle.append(float(present.mean()) if len(present) else 0.0)
                spread.append(float(present.std()) if len(present) else 0.0)
            else:
                common = np.argsort(-np.bincount(present, minlength=train.columns[at].size), kind="stable")
                kept.append(np.sort(common[:MOST_INDICATORS]))
                middle.append(0.0)
                spread.append(0.0)
        return cls(features=features, kept=tuple(kept), middle=tuple(middle), spread=tuple(spread))

    def encode(self, cells: Cells, form: str) -> Array:
        """The features in the form that a model needs, "linear" or "ordinal"."""
        return self.linear(cells) if form == "linear" else self.ordinal(cells)

    def linear(self, cells: Cells) -> Array:
        """(rows, indicators and numbers): one-hot lists, standardised numbers within +-10, missing flags.

        An unknown category has no indicator; a missing number is the mean, with its flag set.
        """
        blocks = []
        for at, kept, middle, spread in zip(self.features, self.kept, self.middle, self.spread, strict=True):
            positions = cells.positions[:, at, None]
            missing = (positions == MISSING) & ~cells.outside[:, at, None]
            if kept is None:
                standard = np.clip((positions - middle) / (spread or 1.0), -10.0, 10.0)
                block = np.where(positions == MISSING, 0.0, standard)
            else:
                block = positions == kept
            blocks += [block.astype(np.float32), missing.astype(np.float32)]
        return np.hstack(blocks)

    def ordinal(self, cells: Cells) -> Array:
        """(rows, features): positions as they are, for trees; missing is -1, an unknown category -2."""
        features = list(self.features)
        unknown = cells.outside[:, features] & (cells.positions[:, features] == MISSING)
        return np.where(unknown, -2, cells.positions[:, features]).astype(np.float32)


def check_target(schema: Schema, target: str) -> None:
    """Raise EvaluationError unless `target` is a categorical or boolean column of the schema."""
    if target not in schema.columns:
        raise EvaluationError(
            f"target must be a column of the schema, found {target!r}. {nearest(target, schema.columns)}"
        )
    kind = schema.columns[target].kind
    if kind not in ("categorical", "boolean"):
        raise EvaluationError(
            f"target must be a categorical or boolean column, found {target!r} ({kind}); name another column "
            f"or declare its values as categories."
        )


def judge_utility(
    tables: Tables,
    target: str,
    seed: int,
    effort: Effort = Effort.standard,
    progress: Callable[[float], None] = lambda done: None,
) -> Findings:
    """The estimates "utility.auc" and "utility.auc.MODEL", and notes on what could not be measured.

    Each model is trained on the synthetic table, the real training rows and independent columns, and tested
    on the holdout (Esteban 2017, 'train on synthetic, test on real'). No estimate, and a note, when the real
    rows have fewer than two classes or fewer than 20 rows.
    """
    rng = np.random.default_rng(seed)
    label = tables.train.names.index(target)
    classes, notes = _classes(tables.train, label, target)
    test, truth = _labelled(tables.holdout.sample(MOST_TEST_ROWS, rng), label, classes)
    judged = np.unique(truth)
    if min(len(truth), len(tables.train)) < FEWEST_ROWS or len(judged) < 2:
        why = f"found {len(tables.train)} and {len(truth)} rows and {len(judged)} classes of {target!r}"
        note = (
            f"Utility is left out: it needs {FEWEST_ROWS} rows of train and holdout and two classes, {why}."
        )
        return Findings(notes=(note,))
    if len(tables.train.names) == 1:
        note = f"Utility is left out: the schema has no column to predict {target!r} from."
        return Findings(notes=(note,))
    encoder = FeatureEncoder.fit(tables.train, target)
    tests = {form: encoder.encode(test, form) for form in ("linear", "ordinal")}
    weights = np.vstack([np.ones(len(truth)), stratified_weights(truth, rng)])
    contenders = tables.contenders(seed)
    figures: dict[str, dict[str, Floats]] = {model: {} for model in MODELS}
    for at, (name, table) in enumerate(contenders.items()):
        rows, labels = _labelled(table.sample(MOST_TRAINING_ROWS, rng), label, classes)
        seen = len(np.unique(labels))
        usable = len(labels) >= FEWEST_ROWS and seen >= 2
        if not usable and name == "synthetic":
            why = f"it has {len(labels)} rows of {seen} known classes, and needs {FEWEST_ROWS} of 2"
            notes += (
                f"Nothing can be learnt about {target!r} from the synthetic table: {why}. Its AUC is 0.5.",
            )
        for order, (model, form) in enumerate(MODELS.items()):
            figures[model][name] = np.full(len(weights), 0.5)
            if usable:
                features = encoder.encode(rows, form)
                scores = _scores(_model(model, seen, seed), features, labels, tests[form], len(classes) + 1)
                figures[model][name] = macro_auc(scores, truth, weights)
            progress((at + (order + 1) / len(MODELS)) / len(contenders))
    mean = {name: np.mean([figures[model][name] for model in MODELS], axis=0) for name in contenders}
    estimates = {"utility.auc": _estimate(mean, "three models (the mean)", target, len(truth))}
    for model in MODELS:
        words = model.replace("_", " ")
        estimates[f"utility.auc.{model}"] = _estimate(figures[model], words, target, len(truth))
    return Findings(estimates=estimates, notes=notes)


def macro_auc(scores: Array, truth: Array, weights: Array) -> Floats:
    """One-vs-rest AUC averaged over the classes in `truth`, for each row of `weights`.

    scores: (rows, classes); truth: (rows,) class codes; weights: (figures, rows). Two classes need one
    comparison only.
    """
    judged = np.unique(truth)
    if len(judged) == 2:
        first, second = judged
        return auc(scores[:, second] - scores[:, first], truth == second, weights)
    return np.asarray(np.mean([auc(scores[:, one], truth == one, weights) for one in judged], axis=0))


def _classes(train: Cells, label: int, target: str) -> tuple[Array, tuple[str, ...]]:
    """The target's positions that are classes of their own; the rest, where there are many, are one class."""
    size = train.columns[label].size
    if size <= MOST_CLASSES:
        return np.arange(size), ()
    present = train.positions[:, label][train.positions[:, label] != MISSING]
    common = np.argsort(-np.bincount(present, minlength=size), kind="stable")[: MOST_CLASSES - 1]
    note = f"{target!r} has {size} classes; utility takes all but the {MOST_CLASSES - 1} most common as one."
    return np.sort(common), (note,)


def _labelled(cells: Cells, label: int, classes: Array) -> tuple[Cells, Array]:
    """The rows whose target is known, and their class: its place in `classes`, len(classes) for the rest."""
    lookup = np.full(cells.columns[label].size + 1, len(classes))
    lookup[classes] = np.arange(len(classes))
    known = np.flatnonzero(cells.positions[:, label] != MISSING)
    return cells.take(known), lookup[cells.positions[known, label]]


def _scores(model: Any, features: Array, labels: Array, test: Array, classes: int) -> Floats:
    """Train the model and give its probability of each class (test rows, classes); 0 for one it never saw."""
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    # one thread inside each fit: OpenMP's waiting threads cost minutes on a machine that others use too
    with threadpool_limits(limits=1), warnings.catch_warnings():
        # a synthetic table may be separable without end; the unfinished fit is then its score
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features, labels)
    scores = np.zeros((len(test), classes))
    scores[:, model.classes_] = model.predict_proba(test)
    return scores


def _model(name: str, classes: int, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    if name == "logistic_regression":
        return LogisticRegression(max_iter=500)
    if name == "random_forest":
        return RandomForestClassifier(n_estimators=100, min_samples_leaf=5, n_jobs=2, random_state=seed)
    rounds = 100 if classes == 2 else max(20, 300 // classes)
    return HistGradientBoostingClassifier(max_iter=rounds, early_stopping=False, random_state=seed)


def _estimate(figures: Mapping[str, Floats], words: str, target: str, rows: int) -> Estimate:
    own, real, floor = (float(figures[name][0]) for name in ("synthetic", "real rows", "independent columns"))
    low, high = percentile_interval(figures["synthetic"][1:])
    return Estimate(
        value=own,
        low=low,
        high=high,
        method="bootstrap over test rows",
        direction="higher",
        sentence=(
            f"ROC AUC of {words} trained on the synthetic table to predict {target!r} and tested on {rows} "
            f"real holdout rows: {own:.3f}, where training on real rows gives {real:.3f} and on independent "
            f"columns {floor:.3f}."
        ),
        controls={"real rows": real, "independent columns": floor},
    )
