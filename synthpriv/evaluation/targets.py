"""Targets: which column is predicted, on which real rows, and how predictions of it are scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from synthpriv.errors import EvaluationError, nearest
from synthpriv.evaluation.cells import FEWEST_ROWS, Array, Cells, Tables, is_numeric
from synthpriv.evaluation.features import FORMS, FeatureEncoder, Form
from synthpriv.evaluation.intervals import Floats, stratified_weights
from synthpriv.evaluation.scores import Side, macro_auc, r_squared
from synthpriv.schema import Schema
from synthpriv.schema.values import MISSING

FEWEST_CLASS_ROWS = 10
MOST_CLASSES = 20


@dataclass(frozen=True, kw_only=True, repr=False)
class Target:
    """One column to predict, as classes or as a number, and the holdout rows whose value is known.

    classes: positions that are classes of their own (the rest, where there are many, are one more), or None
    for a number. sides: the classes whose scores are averaged. middle, spread, limits: of a number, which
    models see standardised and predict within the declared bounds. guess: what one who learnt nothing
    predicts for a row. forms: the test rows' features. truth: (rows,). weights: (1 + resamples, rows), first
    every row once.
    """

    name: str
    at: int
    classes: Array | None
    sides: tuple[Side, ...]
    middle: float
    spread: float
    limits: tuple[float, float]
    guess: Floats
    encoder: FeatureEncoder
    test: Cells
    forms: Mapping[Form, Array]
    truth: Array
    weights: Floats

    @property
    def score_name(self) -> str:
        """The score that stands in figures' names: "auc" for classes, "r2" for a number."""
        return "r2" if self.classes is None else "auc"

    @property
    def score_words(self) -> str:
        """The score as readers know it."""
        return "R2" if self.classes is None else "ROC AUC"

    def labelled(self, cells: Cells) -> tuple[Cells, Array]:
        """The rows whose target is known, and what models learn: a class code or a standardised number."""
        known = np.flatnonzero(cells.positions[:, self.at] != MISSING)
        positions = cells.positions[known, self.at]
        if self.classes is None:
            return cells.take(known), (positions - self.middle) / self.spread
        return cells.take(known), _codes(positions, self.classes, cells.columns[self.at].size)

    def score(self, predictions: Array) -> Floats:
        """The score of predictions of the test rows, and of its resamples: (1 + resamples,)."""
        if self.classes is None:
            return r_squared(predictions, self.truth, self.weights)
        return macro_auc(predictions, self.truth, self.sides, self.weights)

    def on(self, rows: Array) -> Target | None:
        """The same target tested on some of its rows; None if they cannot be scored."""
        truth = self.truth[rows]
        sides = tuple(side for side in self.sides if _is_frequent(truth == side[0]))
        if (not sides and self.classes is not None) or len(np.unique(truth)) < 2:
            return None
        return replace(
            self,
            sides=sides,
            test=self.test.take(rows),
            forms={form: features[rows] for form, features in self.forms.items()},
            truth=truth,
            weights=self.weights[:, rows],
        )


def check_target(schema: Schema, target: str) -> None:
    """Raise EvaluationError unless the judge can predict the column `target` of the schema."""
    if target not in schema.modelled:
        found = "an identifier" if target in schema.columns else "no column of that name"
        raise EvaluationError(
            f"target must be a column of the schema that is no identifier, found {target!r} ({found}). "
            f"{nearest(target, schema.modelled)}"
        )
    if schema.columns[target].size < 2:
        raise EvaluationError(
            f"the target must have at least two values, found one in {target!r}; name another column."
        )


def read_target(
    tables: Tables, name: str, most_rows: int, rng: np.random.Generator
) -> tuple[Target | None, tuple[str, ...]]:
    """The target, tested on at most `most_rows` holdout rows, and notes; None where it cannot be judged."""
    train, at = tables.train, tables.train.names.index(name)
    if len(train.names) == 1:
        return None, (f"Utility of {name!r} is left out: the schema has no column to predict it from.",)
    encoder = FeatureEncoder.fit(train, name)
    known = train.positions[:, at][train.positions[:, at] != MISSING]
    notes: tuple[str, ...] = ()
    classes, middle, spread, limits, guess = None, 0.0, 1.0, (0.0, 0.0), np.zeros(1)
    if is_numeric(train.columns[at]):
        if len(known):
            middle, spread = float(known.mean()), float(known.std()) or 1.0
        limits = (-middle / spread, (train.columns[at].size - 1 - middle) / spread)
    else:
        classes, notes = _classes(known, train.columns[at].size, name)
        codes = _codes(known, classes, train.columns[at].size)
        guess = np.bincount(codes, minlength=len(classes) + 1) / max(1, len(codes))
    target = Target(
        name=name,
        at=at,
        classes=classes,
        sides=(),
        middle=middle,
        spread=spread,
        limits=limits,
        guess=guess,
        encoder=encoder,
        test=tables.holdout,
        forms={},
        truth=np.zeros(0),
        weights=np.zeros((0, 0)),
    )
    test, truth = target.labelled(tables.holdout.sample(most_rows, rng))
    values = len(np.unique(truth))
    if min(len(truth), len(train)) < FEWEST_ROWS or values < 2:
        found = f"found {len(train)} and {len(truth)} rows and {values} of {name!r}"
        note = (
            f"Utility of {name!r} is left out: it needs {FEWEST_ROWS} rows of train and holdout and two "
            f"classes, or two values of a number, {found}."
        )
        return None, (note,)
    sides, more = _sides(truth, name) if classes is not None else ((), ())
    strata = truth if classes is not None else np.zeros(len(truth), dtype=np.int64)
    return replace(
        target,
        sides=sides,
        test=test,
        forms={form: encoder.encode(test, form) for form in FORMS},
        truth=truth,
        weights=np.vstack([np.ones(len(truth)), stratified_weights(strata, rng)]),
    ), notes + more


def _classes(known: Array, size: int, name: str) -> tuple[Array, tuple[str, ...]]:
    """The target's positions that are classes of their own; the rest, where there are many, are one class."""
    if size <= MOST_CLASSES:
        return np.arange(size), ()
    common = np.argsort(-np.bincount(known, minlength=size), kind="stable")[: MOST_CLASSES - 1]
    note = f"{name!r} has {size} classes; utility takes all but the {MOST_CLASSES - 1} most common as one."
    return np.sort(common), (note,)


def _codes(positions: Array, classes: Array, size: int) -> Array:
    """Each position's place in `classes`, len(classes) for the rest."""
    lookup = np.full(size, len(classes))
    lookup[classes] = np.arange(len(classes))
    return lookup[positions]


def _sides(truth: Array, name: str) -> tuple[tuple[Side, ...], tuple[str, ...]]:
    """Of two classes the rarer; of more, each that has rows enough (or all, if none has), and a note."""
    found, counts = np.unique(truth, return_counts=True)
    codes = found.tolist()
    frequent = [code for code in codes if _is_frequent(truth == code)]
    few = f"fewer than {FEWEST_CLASS_ROWS} holdout rows"
    if not frequent:
        notes: tuple[str, ...] = (f"Every class of {name!r}, or every other, has {few}: read the intervals.",)
    elif len(frequent) < len(codes) and len(codes) > 2:
        left = len(codes) - len(frequent)
        notes = (f"{left} of the {len(codes)} classes of {name!r} have {few}; averages leave them out.",)
    else:
        notes = ()
    if len(codes) == 2:
        rarer = int(counts.argmin())
        return ((codes[rarer], codes[1 - rarer]),), notes
    return tuple((code, None) for code in frequent or codes), notes


def _is_frequent(members: Array) -> bool:
    return bool(FEWEST_CLASS_ROWS <= members.sum() <= len(members) - FEWEST_CLASS_ROWS)
