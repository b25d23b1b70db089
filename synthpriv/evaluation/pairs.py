"""The pairs of columns that are furthest off, with the joint shares that show why."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthpriv.evaluation.bins import Bins
from synthpriv.evaluation.cells import Array
from synthpriv.evaluation.comparisons import PairComparison
from synthpriv.evaluation.marginals import Group, Joint, Marginals

LISTED = 10
MOST_LABELS = 20  # of a list; a number has no more bins than that and the special ones
DIGITS = 5


def worst_pairs(
    found: Marginals, pairs: Sequence[Group], names: Sequence[str], bins: Sequence[Bins]
) -> tuple[PairComparison, ...]:
    """The pairs that are the furthest beyond their noise, the worst first.

    Those of `found.worst` have their joint shares, the others are listed.
    """
    drawn = {one.group: one for one in found.worst}
    all_pairs = list(zip(found.each, found.noises, pairs, strict=True))
    all_pairs.sort(key=lambda one: (one[0] - one[1], one[2]), reverse=True)
    return tuple(
        _drawn(drawn[group], names, bins)
        if group in drawn
        else PairComparison(first=names[group[0]], second=names[group[1]], total_variation=value, noise=noise)
        for value, noise, group in all_pairs[:LISTED]
    )


def _drawn(one: Joint, names: Sequence[str], bins: Sequence[Bins]) -> PairComparison:
    first, second = one.group
    codes = np.divmod(one.codes, len(bins[second].labels))
    weights = one.first + one.second
    places, labels = [], []
    for at, code in zip(one.group, codes, strict=True):
        place, shown = _axis(bins[at], np.bincount(code, weights=weights, minlength=len(bins[at].labels)))
        places.append(place[code])
        labels.append(shown)
    tables = []
    for shares in (one.second, one.first):
        table = np.zeros((len(labels[0]), len(labels[1])))
        np.add.at(table, (places[0], places[1]), shares)
        tables.append(tuple(tuple(row) for row in table.round(DIGITS).tolist()))
    return PairComparison(
        first=names[first],
        second=names[second],
        total_variation=one.total_variation,
        noise=one.noise,
        first_labels=labels[0],
        second_labels=labels[1],
        real=tables[0],
        synthetic=tables[1],
    )


def _axis(bins: Bins, weights: Array) -> tuple[Array, tuple[str, ...]]:
    """Where each bin is drawn, and the labels that are: bins in use, the rarest of a long list together."""
    used = np.flatnonzero(weights)
    rest = np.zeros(0, dtype=np.int64)
    if bins.edges is None and len(used) > MOST_LABELS:
        order = used[np.argsort(-weights[used], kind="stable")]
        used, rest = np.sort(order[: MOST_LABELS - 1]), order[MOST_LABELS - 1 :]
    place = np.zeros(len(bins.labels), dtype=np.int64)
    place[used] = np.arange(len(used))
    place[rest] = len(used)
    labels = tuple(bins.labels[at] for at in used)
    return place, (*labels, f"{len(rest)} others") if len(rest) else labels
