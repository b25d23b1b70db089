"""Membership inference with shadow models: the synthesizer is fitted again, with and without a person.

The game is the one that a claim is about. The attacker knows every other row of a small table and the
synthesizer, sees one synthetic table, and says whether the person was in it. The persons are those who
resemble nobody (`vulnerable`). One set of fits serves them all: each is in half of the fits, by lot.

What the attacker looks at are answers to random queries on the person's values (`queries`; Houssiau 2022; the
shortest queries are the histograms and the correlations of Stadler 2022) and the distances to the nearest
synthetic rows. Answers are taken relative to that person's own in other fits, averaged over queries of one
length, and weighed by one logistic regression for all persons: a classifier for each of them, as those
papers train from thousands of fits, learns little from dozens. Scores come from fits that neither the
comparison nor the regression has seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from synthpriv.errors import EvaluationError
from synthpriv.evaluation.attacks import roc_curve
from synthpriv.evaluation.ceilings import auc_ceiling
from synthpriv.evaluation.cells import FEWEST_ROWS, Cells, Tables, read_cells
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.estimate import Estimate
from synthpriv.evaluation.findings import Findings
from synthpriv.evaluation.intervals import RESAMPLES, auc, percentile_interval
from synthpriv.evaluation.neighbours import nearest_rows
from synthpriv.evaluation.row_queries import QUERIES_PER_ORDER, Queries, queries_on
from synthpriv.evaluation.space import Points, Space
from synthpriv.evaluation.vulnerable import NEIGHBOURS, vulnerable_rows
from synthpriv.schema import Identifier, Schema
from synthpriv.schema.identifiers import IdentifierMaker
from synthpriv.schema.values import restore

Floats = npt.NDArray[np.float64]
Refit = Callable[[pd.DataFrame, int], pd.DataFrame]

FITS = {Effort.quick: 0, Effort.standard: 48, Effort.thorough: 256}
SECONDS = {Effort.quick: 0.0, Effort.standard: 90.0, Effort.thorough: float("inf")}
FOLD = 8  # fits that are scored together; each person is in exactly half of them
FEWEST_FITS = 2 * FOLD
PERSONS = 24
BASE_ROWS = 1_000
ROWS_PER_PERSON = 4  # of the base, so that those who resemble nobody stay few
CLOSEST = 1e-3  # keeps the logarithm of a copy's distance finite
CAUGHT = 0.9


@dataclass(frozen=True, kw_only=True, repr=False)
class Game:
    """A table that the attacker knows, and the persons that may be in it besides.

    is_in: (fits, persons), whether each fit trains on each person; by lot, half of every FOLD fits, so that
    an unlucky fold cannot pass for a gain. queries: on each person. space, points: and where they lie in it.
    """

    schema: Schema
    base: Cells
    persons: Cells
    is_in: npt.NDArray[np.bool_]
    queries: tuple[Queries, ...]
    space: Space
    points: Points

    def rows(self, fit: int) -> Cells:
        """What one fit trains on."""
        return self.base.joined(self.persons.take(np.flatnonzero(self.is_in[fit])))

    def answers(self, table: Cells) -> Floats:
        """What the attacker sees of each person in one synthetic table: (persons, queries + NEIGHBOURS)."""
        shares = [queries.shares(table) for queries in self.queries]
        distances, _ = nearest_rows(self.points, self.space.points(table), NEIGHBOURS)
        lacking = NEIGHBOURS - distances.shape[1]
        closeness = -np.log(np.pad(distances, ((0, 0), (0, lacking)), mode="edge") + CLOSEST)
        return np.hstack([np.array(shares), closeness])


def judge_shadows(
    tables: Tables,
    schema: Schema,
    refit: Refit | None,
    epsilon: float,
    delta: float,
    seed: int,
    effort: Effort = Effort.standard,
    progress: Callable[[float], None] = lambda done: None,
) -> Findings:
    """The estimate "privacy.shadow.auc" and its ROC curve, or a note on why not.

    refit: fits the synthesizer on rows of the schema with a seed and returns a synthetic table of a length
    that the rows do not decide (None: it is not at hand). The same seed gives the same persons and the same
    lots; a private fit's noise cannot be repeated, and so this figure differs from run to run.
    """
    reason = _reason_against(tables, refit, effort)
    if reason or refit is None:
        return Findings(notes=(f"Shadow-model attacks are left out: {reason}",))
    rng = np.random.default_rng(seed)
    game = draw_game(tables, schema, FITS[effort], rng)
    try:
        seen = play(game, refit, SECONDS[effort], rng, progress)
    except Exception as error:  # anyone's synthesizer runs here: whatever it raises, the judge goes on
        words = f"a fit on {len(game.base):,} rows raised {type(error).__name__}: {error}"
        return Findings(notes=(f"Shadow-model attacks are left out: {words}",))
    if len(seen) < FEWEST_FITS:
        words = (
            f"{FEWEST_FITS} fits are needed, and these were too slow for {SECONDS[effort]:.0f} seconds of "
            f"work; effort 'thorough' waits for them."
        )
        return Findings(notes=(f"Shadow-model attacks are left out: {words}",))
    copies = np.array([game.answers(game.rows(fit)) for fit in range(len(seen))])
    return _findings(
        game, membership_scores(game, seen), membership_scores(game, copies), epsilon, delta, rng
    )


def draw_game(tables: Tables, schema: Schema, fits: int, rng: np.random.Generator) -> Game:
    """The base from the attacker's rows (half of the holdout), persons from those trained on, and lots."""
    base = _attackers_rows(tables, rng)
    base = base.sample(BASE_ROWS, rng)
    persons = vulnerable_rows(tables.train, min(PERSONS, len(base) // ROWS_PER_PERSON), rng)
    lots = np.tile(np.arange(FOLD) < FOLD // 2, (fits // FOLD, len(persons), 1))
    is_in = rng.permuted(lots, axis=2).transpose(0, 2, 1).reshape(-1, len(persons))
    space = Space.of(base)
    return Game(
        schema=schema,
        base=base,
        persons=persons,
        is_in=is_in,
        queries=tuple(queries_on(persons.take(np.array([at])), base, rng) for at in range(len(persons))),
        space=space,
        points=space.points(persons),
    )


def play(
    game: Game, refit: Refit, seconds: float, rng: np.random.Generator, progress: Callable[[float], None]
) -> Floats:
    """The attacker's answers in each fit, whole folds of them: (fits, persons, answers).

    Fits stop when this thread has worked for `seconds`, whatever else the machine does, and early where not
    even FEWEST_FITS will be done by then.
    """
    seen: list[Floats] = []
    started = time.thread_time()
    for fit in range(len(game.is_in)):
        rows = game.rows(fit)
        frame = frame_of(rows.take(rng.permutation(len(rows))), game.schema, fit)
        table = read_cells(refit(frame, int(rng.integers(2**31))), game.schema)
        if not len(table):
            raise EvaluationError("a refit must return at least one row, found none.")
        seen.append(game.answers(table))
        progress((fit + 1) / len(game.is_in))
        if fit == 0:
            warm = time.thread_time()  # the first fit also loads libraries
        elif (time.thread_time() - warm) / fit * max(fit, FEWEST_FITS) + warm - started > seconds:
            break
    return np.array(seen[: len(seen) // FOLD * FOLD])


def membership_scores(game: Game, seen: Floats) -> Floats:
    """How much the answers of each fit say that each person was in it: (fits, persons).

    Every fold is scored by what the other folds teach.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    is_in = game.is_in[: len(seen)]
    folds = np.arange(len(seen)) // FOLD
    scores = np.zeros(is_in.shape)
    for fold in np.unique(folds):
        others = folds != fold
        centre, spread = seen[others].mean(axis=0), seen[others].std(axis=0)
        relative = (seen - centre) / np.where(spread > 1e-9, spread, np.inf)
        signs = _averaged(relative, game)
        with threadpool_limits(limits=1):  # sums in one order: the same figure on any machine
            model = LogisticRegression().fit(signs[others].reshape(-1, signs.shape[2]), is_in[others].ravel())
        scores[~others] = model.decision_function(signs[~others].reshape(-1, signs.shape[2])).reshape(
            -1, is_in.shape[1]
        )
    return scores


def _averaged(relative: Floats, game: Game) -> Floats:
    """Answers averaged over queries of one place in the list of orders, and the two closenesses."""
    asked = relative[:, :, :-NEIGHBOURS].reshape(*relative.shape[:2], -1, QUERIES_PER_ORDER).mean(axis=3)
    close = relative[:, :, -NEIGHBOURS:]
    return np.concatenate([asked, close[:, :, :1], close.mean(axis=2, keepdims=True)], axis=2)


def frame_of(rows: Cells, schema: Schema, seed: int) -> pd.DataFrame:
    """Rows as a table of the schema; identifiers are new, so that every row is a unit of its own."""
    columns = {}
    for name, column in schema.columns.items():
        if isinstance(column, Identifier):
            own = replace(column, unique=True) if name == schema.privacy_unit else column
            columns[name] = IdentifierMaker(own, name, seed=seed).make(len(rows))
        else:
            columns[name] = restore(rows.positions[:, rows.names.index(name)], column, name)
    return pd.DataFrame(columns)


def two_way_interval(
    scores: Floats, is_in: npt.NDArray[np.bool_], rng: np.random.Generator
) -> tuple[float, float]:
    """The bootstrap interval of the pooled AUC, over fits and over persons: both were drawn by lot."""
    of_fits, of_persons = (
        rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES) for count in scores.shape
    )
    weights = (of_fits[:, :, None] * of_persons[:, None, :]).reshape(RESAMPLES, -1)
    found = auc(scores.ravel(), is_in.ravel(), weights.astype(np.float64))
    return percentile_interval(found)


def _findings(
    game: Game, scores: Floats, of_copies: Floats, epsilon: float, delta: float, rng: np.random.Generator
) -> Findings:
    is_in = game.is_in[: len(scores)]
    value, leaky = (float(auc(one.ravel(), is_in.ravel())[0]) for one in (scores, of_copies))
    low, high = two_way_interval(scores, is_in, rng)
    ceiling = auc_ceiling(epsilon, delta)
    estimate = Estimate(
        value=value,
        low=min(low, value),
        high=max(high, value),
        method="bootstrap over fits and persons",
        direction="half",
        sentence=(
            f"Shadow models: AUC of telling in which of {len(scores)} fits of the same synthesizer each of "
            f"{is_in.shape[1]} persons who resemble nobody was among about {len(game.base):,} rows: "
            f"{value:.3f} (0.5 is a coin toss); the claim allows {ceiling:.3f}, a synthesizer that returns "
            f"its rows gives {leaky:.3f}."
        ),
        controls={"ceiling of the claim": ceiling, "leaky copy": leaky},
    )
    curve = roc_curve("shadow models", scores.ravel(), is_in.ravel(), epsilon, delta)
    notes = []
    if leaky < CAUGHT:
        notes.append(
            f"The shadow-model attack has little power on this table: even a synthesizer that returns its "
            f"rows gives an AUC of {leaky:.2f} (the persons are not alone with their values)."
        )
    if len(scores) < len(game.is_in):
        notes.append(
            f"Shadow models: {len(scores)} of {len(game.is_in)} fits were done in the time they had; effort "
            f"'thorough' waits for them."
        )
    return Findings(estimates={"privacy.shadow.auc": estimate}, rocs=(curve,), notes=tuple(notes))


def _attackers_rows(tables: Tables, rng: np.random.Generator) -> Cells:
    """Half of the holdout: real rows that the synthetic table was not made from."""
    return tables.holdout.take(rng.permutation(len(tables.holdout))[: len(tables.holdout) // 2])


def _reason_against(tables: Tables, refit: Refit | None, effort: Effort) -> str:
    """Why shadow models cannot be fitted; '' if they can."""
    if not FITS[effort]:
        return f"effort {effort.value!r} has no time for fits; 'standard' makes {FITS[Effort.standard]}."
    if refit is None:
        return (
            "they fit the synthesizer again, which a table alone does not bring; 'synthpriv release' runs "
            "them, and so does evaluate(..., refit=...)."
        )
    fewest = 2 * FEWEST_ROWS
    if len(tables.holdout) < fewest or len(tables.train) < FEWEST_ROWS:
        return f"they need {fewest} holdout rows and {FEWEST_ROWS} of train, found fewer."
    return ""
