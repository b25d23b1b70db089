"""Models: what learns from a table to predict a target, the house's own and those that a user enters."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthpriv.errors import EvaluationError
from synthpriv.evaluation.cells import FEWEST_ROWS, Array, Cells
from synthpriv.evaluation.features import Form
from synthpriv.evaluation.intervals import Floats
from synthpriv.evaluation.targets import Target

Predictor = Callable[[Mapping[Form, Array]], Floats]

FAMILIES = {
    "auc": ("logistic_regression", "random_forest", "gradient_boosting"),
    "r2": ("linear_regression", "random_forest", "gradient_boosting"),
}
ALSO_RANKED = {"auc": ("naive_bayes", "decision_tree", "small_tree"), "r2": ("decision_tree", "small_tree")}
LINEAR = ("logistic_regression", "linear_regression", "naive_bayes")


@dataclass(frozen=True, kw_only=True, repr=False)
class Learnt:
    """What models learnt from one table: their predictions of the test rows, by model.

    usable: whether the table held anything to learn from; if not, every prediction is the guess. failed: by
    entered model, why it could not be used.
    """

    predictions: Mapping[str, Floats]
    rows: int
    classes: int
    usable: bool
    failed: Mapping[str, str]


def check_models(models: Mapping[str, Any]) -> None:
    """Raise EvaluationError unless every value is an unfitted scikit-learn classifier or regressor."""
    if not isinstance(models, Mapping):
        raise EvaluationError(
            f"models must map a name to a scikit-learn estimator, found {type(models).__name__}; write "
            f"models={{'nearest': KNeighborsClassifier()}}."
        )
    taken = {name for names in (*FAMILIES.values(), *ALSO_RANKED.values()) for name in names}
    for name, model in models.items():
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in taken:
            raise EvaluationError(
                f"a model's name must be lower-case letters, digits and _, and none of "
                f"{', '.join(sorted(taken))}, found {name!r}; rename it."
            )
        kind = _kind(model)
        found = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        if kind is None:
            raise EvaluationError(
                f"model {name!r} must be an unfitted scikit-learn classifier or regressor, found "
                f"{found}; pass an estimator such as KNeighborsClassifier()."
            )
        if kind == "auc" and not hasattr(model, "predict_proba"):
            raise EvaluationError(
                f"model {name!r} must have predict_proba, found none in {found}; wrap it in "
                f"CalibratedClassifierCV."
            )


def entered_for(target: Target, models: Mapping[str, Any]) -> dict[str, Any]:
    """The entered models that predict this kind of target."""
    return {name: model for name, model in models.items() if _kind(model) == target.score_name}


def learn(
    target: Target, cells: Cells, entered: Mapping[str, Any], seed: int
) -> tuple[Learnt, dict[str, Predictor]]:
    """Train every model on the rows of `cells` whose target is known; and the predictors of the families.

    entered: models of a user, by name, which see the "linear" features.
    """
    rows, labels = target.labelled(cells)
    classes = 0 if target.classes is None else len(np.unique(labels))
    own = (*FAMILIES[target.score_name], *ALSO_RANKED[target.score_name])
    usable = len(labels) >= FEWEST_ROWS and (target.classes is None or classes >= 2)
    features = {form: target.encoder.encode(rows, form) for form in target.forms}
    predictors: dict[str, Predictor] = {}
    predictions: dict[str, Floats] = {}
    failed: dict[str, str] = {}
    for name in own:
        form: Form = "linear" if name in LINEAR else "ordinal"
        if usable:
            predictor = _fit(_model(name, target, classes, seed), form, features, labels, target)
        else:
            predictor = _guesses(target)
        predictions[name] = predictor(target.forms)
        if name in FAMILIES[target.score_name]:
            predictors[name] = predictor
    for name, model in entered.items():
        try:
            predictor = (
                _fit(_fresh(model, seed), "linear", features, labels, target) if usable else _guesses(target)
            )
            predictions[name] = predictor(target.forms)
        except Exception as error:  # a stranger's model may raise anything; the others still count
            failed[name] = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    made = Learnt(predictions=predictions, rows=len(labels), classes=classes, usable=usable, failed=failed)
    return made, predictors


def _guesses(target: Target) -> Predictor:
    def guess(forms: Mapping[Form, Array]) -> Floats:
        rows = len(forms["ordinal"])
        return np.zeros(rows) if target.classes is None else np.tile(target.guess, (rows, 1))

    return guess


def _fit(model: Any, form: Form, features: Mapping[Form, Array], labels: Array, target: Target) -> Predictor:
    """Train; the predictor gives standardised numbers, or (rows, classes) with 0 for a class never seen."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # a synthetic table may be separable without end; the unfinished fit is then its score
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features[form], labels)
    if "n_jobs" in model.get_params(deep=False):
        model.set_params(n_jobs=1)  # threads add up a forest's trees in the order in which they finish

    def predict(forms: Mapping[Form, Array]) -> Floats:
        rows = len(forms[form])
        if target.classes is None:
            numbers = np.asarray(model.predict(forms[form]), dtype=np.float64).reshape(rows)
            found = np.clip(numbers, *target.limits)
        else:
            found = np.zeros((rows, len(target.classes) + 1))
            found[:, model.classes_] = model.predict_proba(forms[form])
        if not np.isfinite(found).all():
            raise ValueError("predictions must be finite numbers")
        return found

    return predict


def _model(name: str, target: Target, classes: int, seed: int) -> Any:
    """One of the house's models; classes: how many the table has."""
    if target.classes is None:
        return _regressor(name, seed)
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.tree import DecisionTreeClassifier

    if name == "logistic_regression":
        return LogisticRegression(max_iter=500)
    if name == "random_forest":
        return RandomForestClassifier(n_estimators=100, min_samples_leaf=5, n_jobs=2, random_state=seed)
    if name == "gradient_boosting":
        # several classes: a rare one's leaves grow without end where nothing holds them
        rounds, held = (100, 0.0) if classes == 2 else (max(20, 300 // classes), 1.0)
        return HistGradientBoostingClassifier(
            max_iter=rounds, l2_regularization=held, early_stopping=False, random_state=seed
        )
    if name == "naive_bayes":
        return GaussianNB()
    shape = {"max_depth": 3} if name == "small_tree" else {"min_samples_leaf": 20}
    return DecisionTreeClassifier(random_state=seed, **shape)


def _regressor(name: str, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
    from sklearn.linear_model import Ridge
    from sklearn.tree import DecisionTreeRegressor

    if name == "linear_regression":
        return Ridge()
    if name == "random_forest":
        return RandomForestRegressor(
            n_estimators=100, min_samples_leaf=5, max_features=1 / 3, n_jobs=2, random_state=seed
        )
    if name == "gradient_boosting":
        return HistGradientBoostingRegressor(max_iter=100, early_stopping=False, random_state=seed)
    shape = {"max_depth": 3} if name == "small_tree" else {"min_samples_leaf": 20}
    return DecisionTreeRegressor(random_state=seed, **shape)


def _kind(model: Any) -> str | None:
    """The score of what the model predicts, "auc" or "r2"; None for anything that is no estimator."""
    from sklearn.base import is_classifier, is_regressor

    if isinstance(model, type) or not all(hasattr(model, part) for part in ("fit", "predict", "get_params")):
        return None
    try:
        return "auc" if is_classifier(model) else "r2" if is_regressor(model) else None
    except AttributeError:  # it has the methods, and not what scikit-learn asks of its own
        return None


def _fresh(model: Any, seed: int) -> Any:
    """An unfitted copy that repeats itself: every random_state that was left open is the seed."""
    from sklearn.base import clone

    copy = clone(model)
    open_seeds = [
        name
        for name, value in copy.get_params(deep=True).items()
        if value is None and (name == "random_state" or name.endswith("__random_state"))
    ]
    return copy.set_params(**dict.fromkeys(open_seeds, seed))
