"""Train on the synthetic table, test on real rows: whether models learnt from it are worth anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthpriv.evaluation.agreement import FEWEST_FEATURES, compared_importances, permutation_importances
from synthpriv.evaluation.cells import FEWEST_ROWS, Cells, Tables
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.findings import Findings
from synthpriv.evaluation.groups import score_groups
from synthpriv.evaluation.intervals import Floats
from synthpriv.evaluation.measured import (
    HALF,
    INDEPENDENT,
    REAL,
    SYNTHETIC,
    WITH_INDEPENDENT,
    WITH_SYNTHETIC,
    Judged,
    Measured,
    estimates_of,
    measure_agreement,
    measure_gap,
    measure_scores,
)
from synthpriv.evaluation.models import Learnt, entered_for, learn
from synthpriv.evaluation.targets import Target, read_target

MOST_IMPORTANCE_CELLS = 250_000  # test rows times features: a wide table takes fewer rows


@dataclass(frozen=True, kw_only=True)
class Work:
    """The most rows to learn from, to test on, and to permute `repeats` times for importances."""

    train: int
    test: int
    importance_rows: int
    repeats: int


WORK = {
    Effort.quick: Work(train=10_000, test=10_000, importance_rows=2_000, repeats=1),
    Effort.standard: Work(train=50_000, test=20_000, importance_rows=5_000, repeats=2),
    Effort.thorough: Work(train=100_000, test=50_000, importance_rows=20_000, repeats=5),
}


def judge_utility(
    tables: Tables,
    targets: Sequence[str],
    seed: int,
    effort: Effort = Effort.standard,
    progress: Callable[[float], None] = lambda done: None,
    *,
    groups: Sequence[str] = (),
    models: Mapping[str, Any] | None = None,
    augmentation: bool = False,
) -> Findings:
    """The estimates "utility.*", importances, groups, and notes on what could not be measured.

    Models are trained on the synthetic table, the real training rows and independent columns, and tested on
    the holdout (Esteban 2017, 'train on synthetic, test on real'). "utility.auc[TARGET].MODEL" ("r2" for a
    number) is one model's score; without MODEL it is the mean of three families, without [TARGET] the mean
    over targets. A target with fewer than two values or 20 rows is left out with a note. groups: columns
    whose groups are compared. models: entered estimators, as `evaluate` takes them. augmentation: whether the
    synthetic rows are also joined to the real ones (always at effort "thorough").
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    found, measured = Findings(), list[Measured]()
    entered = dict(models or {})
    joined = augmentation or effort is Effort.thorough
    unused = set(entered)
    # one thread inside each fit: OpenMP's waiting threads cost minutes on a machine that others use too
    with threadpool_limits(limits=1):
        for order, name in enumerate(targets):
            rng = np.random.default_rng(seed)
            target, notes = read_target(tables, name, WORK[effort].test, rng)
            found = found.joined(Findings(notes=notes))
            if target is None:
                continue
            contenders = _contenders(tables, seed, WORK[effort], joined, rng)
            fitting = entered_for(target, entered)
            unused -= set(fitting)

            def told(done: float, before: int = order) -> None:
                progress((before + done) / len(targets))

            judged = _learn(target, contenders, fitting, seed, WORK[effort], rng, told)
            figures, pictures = _compare(judged, tables, groups)
            measured += measure_scores(judged) + measure_agreement(judged) + figures
            found = found.joined(pictures).joined(Findings(notes=_notes(target, judged.learnt)))
    notes = tuple(f"Model {one!r} was not used: no target is of the kind that it predicts." for one in unused)
    return found.joined(Findings(estimates=estimates_of(measured), notes=notes))


def _contenders(
    tables: Tables, seed: int, work: Work, augmentation: bool, rng: np.random.Generator
) -> dict[str, Cells]:
    """What models learn from: the table, its controls, half of the real rows, and tables joined to them."""
    found = {name: table.sample(work.train, rng) for name, table in tables.contenders(seed).items()}
    real = found[REAL]
    found[HALF] = real.take(np.sort(rng.permutation(len(real))[: (len(real) + 1) // 2]))
    if augmentation:
        found[WITH_SYNTHETIC] = real.joined(found[SYNTHETIC])
        found[WITH_INDEPENDENT] = real.joined(found[INDEPENDENT])
    return found


def _learn(
    target: Target,
    contenders: Mapping[str, Cells],
    entered: Mapping[str, Any],
    seed: int,
    work: Work,
    rng: np.random.Generator,
    progress: Callable[[float], None],
) -> Judged:
    """Train every model on every contender; score all, and rank the features that matter."""
    features = len(target.encoder.features)
    rows = max(FEWEST_ROWS, min(work.importance_rows, MOST_IMPORTANCE_CELLS // features))
    asked = target.on(np.sort(rng.permutation(len(target.truth))[:rows])) or target
    orders = [rng.permutation(len(asked.truth)) for _ in range(work.repeats)]
    learnt: dict[str, Learnt] = {}
    importances: dict[str, Floats] = {}
    for at, (contender, cells) in enumerate(contenders.items()):
        learnt[contender], predictors = learn(target, cells, entered, seed)
        progress((at + 0.5) / len(contenders))
        if features >= FEWEST_FEATURES and contender in (SYNTHETIC, REAL, INDEPENDENT, HALF):
            importances[contender] = permutation_importances(asked, predictors, orders)
        progress((at + 1) / len(contenders))
    whole = [
        name for name in learnt[REAL].predictions if all(name in one.predictions for one in learnt.values())
    ]
    return Judged(
        target=target,
        learnt=learnt,
        scores={
            contender: {model: target.score(one.predictions[model]) for model in whole}
            for contender, one in learnt.items()
        },
        importances=importances,
        importance_rows=len(asked.truth),
    )


def _compare(judged: Judged, tables: Tables, groups: Sequence[str]) -> tuple[list[Measured], Findings]:
    """The gaps between groups, and the pictures of groups and importances."""
    target, names = judged.target, tables.train.names
    found, figures = Findings(), []
    if judged.importances:
        pair = judged.importances[SYNTHETIC], judged.importances[REAL]
        found = found.joined(Findings(importances=compared_importances(target, *pair, names)))
    families = {
        contender: {name: judged.learnt[contender].predictions[name] for name in judged.families}
        for contender in (SYNTHETIC, REAL, INDEPENDENT, HALF)
    }
    for name in groups:
        if name == target.name:
            continue
        at = names.index(name)
        scored, notes = score_groups(target, name, tables.train.columns[at], at, families)
        found = found.joined(Findings(notes=notes))
        if scored is not None:
            figures.append(measure_gap(scored))
            found = found.joined(Findings(groups=scored.compared()))
    return figures, found


def _notes(target: Target, learnt: Mapping[str, Learnt]) -> tuple[str, ...]:
    made, notes = learnt[SYNTHETIC], []
    if not made.usable:
        kind = "" if target.classes is None else f" of {made.classes} known classes"
        needs = f"{FEWEST_ROWS}" if target.classes is None else f"{FEWEST_ROWS} of 2"
        notes.append(
            f"Nothing can be learnt about {target.name!r} from the synthetic table: it has {made.rows} known "
            f"rows{kind}, and needs {needs}. Its models guess."
        )
    failed = {model: why for one in learnt.values() for model, why in one.failed.items()}
    notes += [
        f"Model {model!r} is left out for {target.name!r}: it raised {why}." for model, why in failed.items()
    ]
    return tuple(notes)
