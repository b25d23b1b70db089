"""Agreement: whether models trained on the synthetic table lead to the conclusions of real rows.

Which model is best, and which features matter: both are orders, compared with the order that models trained
on all real rows give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import rankdata

from synthpriv.evaluation.cells import Array
from synthpriv.evaluation.comparisons import ImportanceComparison
from synthpriv.evaluation.features import Form
from synthpriv.evaluation.intervals import Floats
from synthpriv.evaluation.models import Predictor
from synthpriv.evaluation.targets import Target

FEWEST_FEATURES = 3
MOST_CELLS = 4_000_000  # of permuted rows at a time: a forest costs a call per tree, however few its rows
NOISE = 2.0  # standard errors within which an importance counts as none


def spearman(first: Floats, second: Floats) -> Floats:
    """Spearman's rank correlation down the columns of two (things, figures); 0 where all are tied.

    >>> spearman(np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [9.0], [4.0]])).tolist()
    [0.5]
    """
    ranks = [rankdata(one, axis=0) - (len(one) + 1) / 2 for one in (first, second)]
    both = (ranks[0] * ranks[1]).sum(axis=0)
    scale = np.sqrt((ranks[0] ** 2).sum(axis=0) * (ranks[1] ** 2).sum(axis=0))
    return np.asarray(np.divide(both, scale, out=np.zeros(len(both)), where=scale > 0))


def permutation_importances(
    target: Target, predictors: Mapping[str, Predictor], orders: Sequence[Array]
) -> Floats:
    """(features, 1 + resamples): the loss of score, over all predictors, when a feature's cells are permuted.

    orders: permutations of the test rows; the loss is averaged over them (Breiman 2001).
    """
    features, rows = len(target.encoder.features), len(target.truth)
    lost = np.zeros((features, len(target.weights)))
    whole = [target.score(predictor(target.forms)) for predictor in predictors.values()]
    widest = max(matrix.shape[1] for matrix in target.forms.values())
    at_once = max(1, MOST_CELLS // (rows * widest))
    batches = np.split(np.arange(features), range(at_once, features, at_once))
    for order in orders:
        for batch in batches:
            permuted = _permuted(target, batch, order)
            for predictor, score in zip(predictors.values(), whole, strict=True):
                for at, predictions in zip(batch, np.split(predictor(permuted), len(batch)), strict=True):
                    lost[at] += score - target.score(predictions)
    return lost / (len(predictors) * len(orders))


def _permuted(target: Target, batch: Array, order: Array) -> dict[Form, Array]:
    """The test rows once per feature of the batch, one below the other, that feature's cells permuted."""
    found = {}
    for form, matrix in target.forms.items():
        blocks = target.encoder.blocks(form)
        copies = np.tile(matrix, (len(batch), 1, 1))
        for copy, at in zip(copies, batch, strict=True):
            copy[:, blocks[at]] = matrix[order, blocks[at]]
        found[form] = copies.reshape(-1, matrix.shape[1])
    return found


def above_noise(importances: Floats) -> Floats:
    """Importances that the bootstrap cannot tell from none, set to none: (features, 1 + resamples)."""
    noise = NOISE * importances[:, 1:].std(axis=1, keepdims=True)
    return np.where(importances > noise, importances, 0.0)


def compared_importances(
    target: Target, synthetic: Floats, real: Floats, names: Sequence[str]
) -> tuple[ImportanceComparison, ...]:
    """Each feature's importance to models trained on either table, the most important to real rows first."""
    order = np.argsort(-real[:, 0], kind="stable")
    return tuple(
        ImportanceComparison(
            target=target.name,
            feature=names[target.encoder.features[at]],
            real=float(real[at, 0]),
            synthetic=float(synthetic[at, 0]),
        )
        for at in order
    )
