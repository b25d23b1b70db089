"""A model that is trained on the synthetic table alone, as one public weight per bin of every column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthpriv.encoding.scores import ScoreColumn
from synthpriv.release.publishable_bins import PublicTable
from synthpriv.schema import Boolean, Categorical

SCORE_BINS = 6  # few: each adds its noise to a figure, and synthetic rows are binned alike
MOST_ROWS = 60_000
TESTED = 0.25


@dataclass(frozen=True, kw_only=True)
class PublicModel:
    """A yes-or-no question about a target, and the score of a logistic regression that answers it.

    answer: a row's true answer (0 no, 1 yes). score: the bin of the model's score. synthetic: the answers
    (0, 1) of synthetic rows that it was not trained on, by the bin of its score; counts, shape (2, bins).
    """

    target: str
    question: str
    answer: ScoreColumn
    score: ScoreColumn
    synthetic: npt.NDArray[np.int64]


def train_public_model(table: PublicTable, target: str) -> PublicModel:
    """Train on the synthetic rows: on a list's rarer value of two, or commonest; on a number's upper half."""
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

    at = table.names.index(target)
    wanted, question = _question(table, at)
    codes = table.codes[:MOST_ROWS]
    truth = wanted[codes[:, at]]
    others = [k for k in range(len(table.names)) if k != at]
    weights: list[tuple[float, ...]] = [()] * len(table.names)
    sizes = table.encoder.sizes
    starts = np.concatenate([[0], np.cumsum([sizes[k] for k in others])]).astype(np.int64)
    tested = round(TESTED * len(codes))
    if others and 0 < truth[tested:].sum() < len(truth) - tested:
        places = codes[:, others].astype(np.int64) + starts[:-1]
        pointers = np.arange(0, places.size + 1, len(others))
        shape = (len(codes), int(starts[-1]))
        hot = csr_matrix((np.ones(places.size), places.ravel(), pointers), shape=shape)
        model = LogisticRegression(max_iter=300, C=1.0).fit(hot[tested:], truth[tested:])
        for k, start in zip(others, starts, strict=False):
            weights[k] = tuple(model.coef_[0, start : start + sizes[k]].tolist())
    plain = ScoreColumn(weights=tuple(weights), edges=())
    sums = plain.sums(codes)
    edges = _edges(sums, truth)
    score = ScoreColumn(weights=tuple(weights), edges=edges)
    counts = np.zeros((2, score.cells), dtype=np.int64)
    np.add.at(counts, (truth[:tested].astype(np.int64), score.encode(codes[:tested])), 1)
    answers: list[tuple[float, ...]] = [()] * len(table.names)
    answers[at] = tuple(wanted.astype(float).tolist())
    return PublicModel(
        target=target,
        question=question,
        answer=ScoreColumn(weights=tuple(answers), edges=(0.5,)),
        score=score,
        synthetic=counts,
    )


def _edges(sums: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_]) -> tuple[float, ...]:
    """Edges between SCORE_BINS bins of a score, in which both answers together weigh the same."""
    order = np.argsort(sums, kind="stable")
    yes = max(int(truth.sum()), 1) / len(truth)
    weights = np.cumsum(np.where(truth[order], 1 / yes, 1 / max(1 - yes, 1e-9)))
    at = np.searchsorted(weights, weights[-1] * np.arange(1, SCORE_BINS) / SCORE_BINS)
    return tuple(np.unique(sums[order][np.minimum(at, len(sums) - 1)]).tolist())


def _question(table: PublicTable, at: int) -> tuple[npt.NDArray[np.bool_], str]:
    """Which bins of a column answer yes, and the question in words."""
    column = list(table.encoder.schema.modelled.values())[at]
    counts, labels, name = table.counts[at], table.labels[at], table.names[at]
    inner = len(counts) - int(column.nullable)
    wanted = np.zeros(len(counts), dtype=bool)
    if isinstance(column, Categorical | Boolean):
        chosen = int(np.argmin(counts)) if len(counts) == 2 else int(np.argmax(counts))
        wanted[chosen] = True
        return wanted, f"{name} is {labels[chosen]}"
    reached = np.cumsum(counts[:inner]) >= counts[:inner].sum() / 2
    first = min(int(np.argmax(reached)) + 1, max(inner - 1, 0))
    wanted[first:inner] = True
    return wanted, f"{name} is {labels[first].split(' to ')[0]} or more"
