"""Membership attacks on the synthetic table: what an attacker gains, beside what the claim allows.

A failed attack proves nothing; a successful one disproves the claim. Each attack is also run against a leaky
copy, which it must catch, so that silence is not read as safety.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from synthpriv.evaluation.cells import FEWEST_ROWS, Array, Cells, Tables
from synthpriv.evaluation.comparisons import RocCurve
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.estimate import Estimate
from synthpriv.evaluation.findings import Findings
from synthpriv.evaluation.intervals import (
    auc,
    clopper_pearson,
    percentile_interval,
    roc_points,
    stratified_weights,
)
from synthpriv.evaluation.space import Space, nearest_distances

Floats = npt.NDArray[np.float64]
MOST_ROWS_PER_SIDE = 5_000
MOST_SEARCHED_ROWS = 50_000
FALSE_POSITIVE_RATE = 0.01
CAUGHT = 0.9
CLOSEST = 1e-3  # distances below this are one person; keeps the logarithm of a copy's distance finite
CLOSEST_WORDS = (
    "Smoke test only, it misses most leaks: the share of training rows that are closer to the synthetic "
    "table than holdout rows are"
)
RATIO_WORDS = "Density-ratio membership attack (DOMIAS): AUC of telling training rows from holdout rows"
CONTROL_WORDS = f"Positive control: the density-ratio attack on a leaky copy, which must reach {CAUGHT}"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the attacks see of each real row: its distance to the nearest row of a few tables.

    is_member: (rows,), True for rows that were trained on. to_synthetic, to_reference: (rows,), to the table
    under attack and to real rows known to the attacker. to_copy: (rows,), to a leaky copy, the members.
    """

    is_member: npt.NDArray[np.bool_]
    to_synthetic: Floats
    to_reference: Floats
    to_copy: Floats


def judge_attacks(
    tables: Tables,
    epsilon: float,
    delta: float,
    seed: int,
    effort: Effort = Effort.standard,
    progress: Callable[[float], None] = lambda done: None,
) -> Findings:
    """The estimates "privacy.*", the ROC curves, and notes on what could not be measured.

    epsilon, delta: the claim that ceilings are drawn from (infinite: none). Columns that the synthetic table
    lacks tell an attacker nothing and are left out.
    """
    found = {"privacy.copies": copies(tables)}
    if min(len(tables.train), len(tables.holdout)) < FEWEST_ROWS:
        why = f"found {len(tables.train)} and {len(tables.holdout)}"
        note = f"Attacks are left out: they need {FEWEST_ROWS} rows of train and of holdout, {why}."
        return Findings(estimates=found, notes=(note,))
    evidence = gather(tables, seed)
    is_member = evidence.is_member
    weights = stratified_weights(is_member, np.random.default_rng(seed))
    closest, closest_copy = -evidence.to_synthetic, -evidence.to_copy
    ratio = density_ratio(evidence.to_synthetic, evidence.to_reference)
    ratio_copy = density_ratio(evidence.to_copy, evidence.to_reference)
    ceiling = auc_ceiling(epsilon, delta)
    for name, scores, leaky, words in (
        ("closest_record", closest, closest_copy, CLOSEST_WORDS),
        ("density_ratio", ratio, ratio_copy, RATIO_WORDS),
        ("positive_control", ratio_copy, ratio_copy, CONTROL_WORDS),
    ):
        beside = {"ceiling of the claim": ceiling, "leaky copy": float(auc(leaky, is_member)[0])}
        found[f"privacy.{name}.auc"] = _auc_estimate(scores, is_member, weights, beside, words)
    control = found["privacy.positive_control.auc"]
    # who equals a member cannot be told from one: the distance to the closest record of a copy shows how many
    seen = {"what the rows allow": found["privacy.closest_record.auc"].controls["leaky copy"]}
    found["privacy.positive_control.auc"] = replace(
        control, direction="higher", controls={**control.controls, **seen}
    )
    found["privacy.density_ratio.tpr_at_1pct"] = _rate_estimate(ratio, ratio_copy, is_member, epsilon, delta)
    rocs = tuple(
        roc_curve(name, scores, is_member, epsilon, delta)
        for name, scores in (
            ("density ratio", ratio),
            ("distance to closest record", closest),
            ("positive control", ratio_copy),
        )
    )
    return Findings(estimates=found, rocs=rocs, notes=_notes(is_member, control.value))


def gather(tables: Tables, seed: int) -> Evidence:
    """Half of the holdout is the reference, the other half and as many rows of train are asked about."""
    rng = np.random.default_rng(seed)
    delivered = np.flatnonzero(tables.synthetic.delivered)
    synthetic, train, holdout = (
        cells.columns_at(delivered) for cells in (tables.synthetic, tables.train, tables.holdout)
    )
    order = rng.permutation(len(holdout))
    reference = holdout.take(order[: len(order) // 2])
    others = holdout.take(order[len(order) // 2 :][:MOST_ROWS_PER_SIDE])
    members = train.sample(MOST_ROWS_PER_SIDE, rng)
    space = Space.of(members.joined(holdout.sample(MOST_ROWS_PER_SIDE, rng)))
    rows = space.points(members.joined(others))
    to_synthetic, to_reference, to_copy = (
        nearest_distances(rows, space.points(table.sample(MOST_SEARCHED_ROWS, rng)))
        for table in (synthetic, reference, members)
    )
    return Evidence(
        is_member=np.arange(len(rows)) < len(members),
        to_synthetic=to_synthetic,
        to_reference=to_reference,
        to_copy=to_copy,
    )


def density_ratio(to_synthetic: Floats, to_reference: Floats) -> Floats:
    """DOMIAS (van Breugel 2023): the log density of the synthetic rows over that of the reference rows.

    Each is a nearest-neighbour density, which falls with a power of the distance to the nearest row (the same
    power in both, so it is left out). One neighbour sees copies and overfitting better than three or ten.
    """
    return np.asarray(np.log(to_reference + CLOSEST) - np.log(to_synthetic + CLOSEST))


def copies(tables: Tables) -> Estimate:
    """The share of synthetic rows (of the sample) that equal any training row in every delivered column."""
    delivered = np.flatnonzero(tables.synthetic.delivered)
    made = _fingerprints(tables.synthetic, delivered)
    found = {}
    for name in ("train", "holdout"):
        found[name] = np.zeros(len(made), dtype=bool)
        for cells in tables.all_rows(name).chunks():
            found[name] |= np.isin(made, _fingerprints(cells, delivered))
    hits = int(found["train"].sum())
    by_chance = int(found["holdout"].sum()) / len(made)
    scaled = min(by_chance * tables.all_rows("train").rows / max(tables.all_rows("holdout").rows, 1), 1.0)
    low, high = clopper_pearson(hits, len(made))
    return Estimate(
        value=hits / len(made),
        low=low,
        high=high,
        method="Clopper-Pearson",
        direction="lower",
        sentence=(
            f"{hits} of {len(made)} synthetic rows ({hits / len(made):.2%}) equal a training row in every "
            f"column; {scaled:.2%} would by chance, judging by the holdout rows that they equal, scaled to "
            f"the size of the training table. A smoke test: a leak need not be an exact copy."
        ),
        controls={"holdout rows": scaled, "leaky copy": 1.0},
    )


def true_positive_rate(scores: Array, is_member: Array, rate: float) -> tuple[float, float, float]:
    """The share of members above the threshold that at most `rate` of the others exceed: value, low, high.

    Clopper-Pearson on both rates (97.5% each): the threshold's own false positive rate is only known within
    an interval, and the bounds are scaled by it, which is right for a concave ROC curve. Few others therefore
    give a wide interval and not an accusation.
    """
    members, others = scores[is_member], scores[~is_member]
    allowed = int(rate * len(others))
    threshold = np.sort(others)[len(others) - 1 - allowed]
    hits, false = int((members > threshold).sum()), int((others > threshold).sum())
    low, high = clopper_pearson(hits, len(members), alpha=0.025)
    false_low, false_high = clopper_pearson(false, len(others), alpha=0.025)
    low *= min(rate / false_high, 1.0)
    high = min(high * max(rate / false_low, 1.0), 1.0) if false_low > 0 else 1.0
    return hits / len(members), low, high


def ceiling_curve(false_positive_rate: Array, epsilon: float, delta: float) -> Floats:
    """The highest true positive rate that (epsilon, delta) allows at each rate (Kairouz 2015; Dong 2022).

    The smallest of 1, e^eps x + delta and 1 - e^-eps (1 - delta - x).

    >>> ceiling_curve(np.array([0.0, 0.5, 1.0]), 0.0, 0.1).round(3).tolist()
    [0.1, 0.6, 1.0]
    """
    rates = np.asarray(false_positive_rate, dtype=np.float64)
    steep = np.where(rates > 0, rates * math.exp(min(epsilon, 700.0)), 0.0) + delta
    flat = 1 - math.exp(-epsilon) * np.maximum(1 - delta - rates, 0.0)
    return np.asarray(np.minimum(np.minimum(steep, flat), 1.0))


def auc_ceiling(epsilon: float, delta: float) -> float:
    """The area under `ceiling_curve`: (1 - delta)(1 + delta e^-eps) / (1 + e^-eps) + delta.

    >>> [round(auc_ceiling(epsilon, 0.0), 3) for epsilon in (0.0, 1.0, math.inf)]
    [0.5, 0.731, 1.0]
    """
    inverse = math.exp(-epsilon)
    return (1 - delta) * (1 + delta * inverse) / (1 + inverse) + delta


def roc_curve(name: str, scores: Array, is_member: Array, epsilon: float, delta: float) -> RocCurve:
    """The ROC curve on at most 200 rates, denser near 0, beside the ceiling of the claim."""
    rates = np.unique(np.concatenate([[0.0], np.geomspace(1e-4, 1.0, 100), np.linspace(0.01, 1.0, 99)]))
    return RocCurve(
        name=name,
        false_positive_rate=tuple(rates.tolist()),
        true_positive_rate=tuple(roc_points(scores[is_member], scores[~is_member], rates).tolist()),
        ceiling=tuple(ceiling_curve(rates, epsilon, delta).tolist()),
    )


def _rate_estimate(
    ratio: Floats, ratio_copy: Floats, is_member: Array, epsilon: float, delta: float
) -> Estimate:
    value, low, high = true_positive_rate(ratio, is_member, FALSE_POSITIVE_RATE)
    leaky = true_positive_rate(ratio_copy, is_member, FALSE_POSITIVE_RATE)[0]
    allowed = float(ceiling_curve(np.array([FALSE_POSITIVE_RATE]), epsilon, delta)[0])
    return Estimate(
        value=value,
        low=low,
        high=high,
        method="Clopper-Pearson on both rates",
        direction="lower",
        sentence=(
            f"At one false alarm in a hundred, the density-ratio attack finds {value:.2%} of "
            f"{is_member.sum()} training rows; the claim allows {allowed:.2%}, and a leaky copy gives "
            f"{leaky:.2%}."
        ),
        controls={"ceiling of the claim": allowed, "leaky copy": leaky},
    )


def _auc_estimate(
    scores: Floats, is_member: Array, weights: Floats, controls: dict[str, float], words: str
) -> Estimate:
    value = float(auc(scores, is_member)[0])
    low, high = percentile_interval(auc(scores, is_member, weights))
    allowed, leaky = controls["ceiling of the claim"], controls["leaky copy"]
    return Estimate(
        value=value,
        low=low,
        high=high,
        method="bootstrap over rows",
        direction="half",
        sentence=(
            f"{words}: {value:.3f} (0.5 is a coin toss), from {len(scores)} rows; the claim allows "
            f"{allowed:.3f}, a leaky copy gives {leaky:.3f}."
        ),
        controls=controls,
    )


def _notes(is_member: Array, caught: float) -> tuple[str, ...]:
    notes = []
    others = int((~is_member).sum())
    if caught < CAUGHT:
        notes.append(
            f"The attacks have little power on this table: even a leaky copy gives an AUC of {caught:.2f} "
            f"(training and holdout rows are often equal), so that a low figure says nothing."
        )
    if others < 10 / FALSE_POSITIVE_RATE:
        notes.append(
            f"The true positive rate at 1% needs at least 1,000 holdout rows outside the reference, found "
            f"{others}; its interval is wide."
        )
    return tuple(notes)


def _fingerprints(cells: Cells, delivered: Array) -> Array:
    """One whole number per row, equal for rows that are equal in every delivered column."""
    parts = {str(at): np.where(cells.outside[:, at], -2, cells.positions[:, at]) for at in delivered}
    return pd.util.hash_pandas_object(pd.DataFrame(parts), index=False).to_numpy()
