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
    blocks = {form: target.encoder.blocks(form) for form in target.forms}
    lost = np.zeros((len(target.encoder.features), target.weights.shape[0]))
    for predictor in predictors.values():
        whole = target.score(predictor(target.forms))
        for at in range(len(lost)):
            for order in orders:
                lost[at] += whole - target.score(predictor(_permuted(target.forms, blocks, at, order)))
    return lost / (len(predictors) * len(orders))


def _permuted(
    forms: Mapping[Form, Array], blocks: Mapping[Form, Sequence[slice]], feature: int, order: Array
) -> dict[Form, Array]:
    found = {}
    for form, features in forms.items():
        block = blocks[form][feature]
        found[form] = features.copy()
        found[form][:, block] = features[order, block]
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
