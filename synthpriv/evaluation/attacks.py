"""What membership attacks gain from the synthetic table, beside what the claim allows.

A failed attack proves nothing; a successful one disproves the claim. Each attack is also run against a leaky
copy, which it should catch, so that silence is not read as safety. Several attacks are tried and the best one
counts, so that its evidence is corrected for the number of tries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from synthpriv.evaluation.ceilings import auc_ceiling, ceiling_curve
from synthpriv.evaluation.cells import FEWEST_ROWS, Array, Tables
from synthpriv.evaluation.comparisons import RocCurve
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.estimate import Estimate
from synthpriv.evaluation.evidence import holm, lower_bound, p_value_above, upper_bound
from synthpriv.evaluation.findings import Findings
from synthpriv.evaluation.intervals import (
    auc,
    clopper_pearson,
    percentile_interval,
    roc_points,
    stratified_weights,
)
from synthpriv.evaluation.membership import BUDGETS, Attacker, Lens, View
from synthpriv.evaluation.smoke import Scene, copies, smoke_tests

Floats = npt.NDArray[np.float64]
CAUGHT = 0.9
MISTAKE = 0.025  # the chance, at most, that a lower bound is too high
RATES = {"tpr_at_01pct": 0.001, "tpr_at_1pct": 0.01, "tpr_at_10pct": 0.1}
RATE_WORDS = {0.001: "a thousand", 0.01: "a hundred", 0.1: "ten"}
FEWEST_EXPECTED = 10  # false alarms, for a rate to be estimated
PLANTED = "positive_control"


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One attack of the suite. curve: its name on a plot. words: what it is. costly: left out when quick."""

    score: Callable[[Attacker, View], Floats]
    curve: str
    words: str
    costly: bool = False


ATTACKS = {
    "closest_record": Attack(
        score=Attacker.closest_record,
        curve="distance to closest record",
        words="The closest-record attack, which misses most leaks",
    ),
    "density_ratio": Attack(
        score=Attacker.density_ratio,
        curve="density ratio",
        words="The density-ratio attack (DOMIAS)",
    ),
    "noisy_copies": Attack(
        score=Attacker.noisy_copies,
        curve="noisy copies",
        words="The noisy-copies attack (likelihood ratio)",
    ),
    "local_likelihood": Attack(
        score=Attacker.local_likelihood,
        curve="local likelihood",
        words="The local-likelihood attack (Gen-LRA)",
    ),
    "pair_likelihood": Attack(
        score=Attacker.pair_likelihood,
        curve="likelihood of pairs",
        words="The likelihood ratio of all pairs of columns",
    ),
    "mixture_likelihood": Attack(
        score=Attacker.mixture_likelihood,
        curve="likelihood of mixtures",
        words="The likelihood ratio of two mixture models",
    ),
    "kernel_density": Attack(
        score=Attacker.kernel_density,
        curve="kernel density ratio",
        words="The kernel-density-ratio attack (DOMIAS)",
        costly=True,
    ),
    "classifier": Attack(
        score=Attacker.classifier,
        curve="classifier",
        words="The classifier attack (LOGAN)",
        costly=True,
    ),
}


@dataclass(frozen=True, kw_only=True, repr=False)
class Scores:
    """One attack's scores of the rows in question against the table and against a leaky copy."""

    made: Floats
    copy: Floats


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What the attacks are held against."""

    epsilon: float
    delta: float

    @property
    def auc(self) -> float:
        """The largest AUC that the claim allows."""
        return auc_ceiling(self.epsilon, self.delta)


def judge_attacks(
    tables: Tables,
    epsilon: float,
    delta: float,
    seed: int,
    effort: Effort = Effort.standard,
    progress: Callable[[float], None] = lambda done: None,
) -> Findings:
    """The estimates "privacy.*" of attacks and smoke tests, the ROC curves, and what could not be measured.

    epsilon, delta: the claim that ceilings are drawn from (infinite: none). Columns that the synthetic table
    lacks tell an attacker nothing and are left out.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    found = {"privacy.copies": copies(tables)}
    if min(len(tables.train), len(tables.holdout)) < FEWEST_ROWS:
        why = f"found {len(tables.train)} and {len(tables.holdout)}"
        note = f"Attacks are left out: they need {FEWEST_ROWS} rows of train and of holdout, {why}."
        return Findings(estimates=found, notes=(note,))
    claim, rng = Claim(epsilon=epsilon, delta=delta), np.random.default_rng(seed)
    with threadpool_limits(limits=1):  # the same sums in the same order, whatever the machine
        attacker, made, copy, is_member = set_scene(tables, seed, effort)
        scores: dict[str, Scores] = {}
        chosen = {name: one for name, one in ATTACKS.items() if effort != Effort.quick or not one.costly}
        for at, (name, attack) in enumerate(chosen.items()):
            scores[name] = Scores(made=attack.score(attacker, made), copy=attack.score(attacker, copy))
            progress(0.9 * (at + 1) / len(chosen))
        scene = _scene_of(attacker, made, copy, is_member, scores)
        found |= smoke_tests(scene, rng)
    found |= estimates_of(scores, is_member, claim, rng)
    curves = {ATTACKS[name].curve: one.made for name, one in scores.items()}
    curves["positive control"] = scores["density_ratio"].copy
    rocs = tuple(roc_curve(name, one, is_member, epsilon, delta) for name, one in curves.items())
    return Findings(estimates=found, rocs=rocs, notes=_notes(found, is_member))


def set_scene(tables: Tables, seed: int, effort: Effort) -> tuple[Attacker, View, View, Array]:
    """The attacker, the table under attack, a leaky copy, and which rows in question were trained on.

    Half of the holdout is the attacker's reference, the other half and as many rows of train are asked about,
    in random order. The leaky copy is those rows of train.
    """
    rng, budget = np.random.default_rng(seed), BUDGETS[effort]
    delivered = np.flatnonzero(tables.synthetic.delivered)
    synthetic, train, holdout = (
        cells.columns_at(delivered) for cells in (tables.synthetic, tables.train, tables.holdout)
    )
    order = rng.permutation(len(holdout))
    reference, others = holdout.take(order[: len(order) // 2]), holdout.take(order[len(order) // 2 :])
    members, others = train.sample(budget.rows, rng), others.sample(budget.rows, rng)
    asked = members.joined(others)
    mixed = rng.permutation(len(asked))
    asked, is_member = asked.take(mixed), mixed < len(members)
    made, reference = (
        table.take(rng.permutation(len(table))[: budget.searched]) for table in (synthetic, reference)
    )
    lens = Lens.of(asked.joined(reference.take(np.arange(min(len(reference), budget.rows)))))
    rows, known, under, copy = (
        lens.view(table, max(budget.compared, len(asked) * (table is asked)))
        for table in (asked, reference, made, members)
    )
    attacker = Attacker(lens=lens, rows=rows, reference=known, budget=budget, seed=seed)
    return attacker, under, copy, is_member


def estimates_of(
    scores: Mapping[str, Scores], is_member: Array, claim: Claim, rng: np.random.Generator
) -> dict[str, Estimate]:
    """Areas and rates of each attack, the positive control, and the strongest attack."""
    found: dict[str, Estimate] = {}
    weights = stratified_weights(is_member, rng)
    guesses = holm([p_value_above(one.made, is_member, 0.5) for one in scores.values()])
    for (name, one), p_value in zip(scores.items(), guesses, strict=True):
        words = (
            f"{ATTACKS[name].words}: AUC {{:.3f}} (0.5 is a coin toss; p = {p_value:.2g} after correction)"
        )
        found[f"privacy.{name}.auc"] = _area(one, is_member, weights, claim, words)
        for figure, rate in RATES.items():
            if (~is_member).sum() * rate >= FEWEST_EXPECTED:
                found[f"privacy.{name}.{figure}"] = _rate(name, one, is_member, rate, claim)
    planted = replace(scores["density_ratio"], made=scores["density_ratio"].copy)
    words = f"Positive control: the density-ratio attack on a leaky copy, which must reach {CAUGHT}: {{:.3f}}"
    control = _area(planted, is_member, weights, claim, words)
    # who equals a member cannot be told from one: the distance to the closest record of a copy shows how many
    seen = {"what the rows allow": found["privacy.closest_record.auc"].controls["leaky copy"]}
    found[f"privacy.{PLANTED}.auc"] = replace(
        control, direction="higher", controls={**control.controls, **seen}
    )
    found["privacy.strongest.auc"] = strongest(scores, is_member, claim, found)
    return found


def strongest(
    scores: Mapping[str, Scores], is_member: Array, claim: Claim, found: Mapping[str, Estimate]
) -> Estimate:
    """The largest AUC of all attacks, with bounds that hold for all of them at once."""
    name = max(scores, key=lambda one: found[f"privacy.{one}.auc"].value)
    value, tries = found[f"privacy.{name}.auc"].value, len(scores)
    low, high = (
        max(bound(one.made, is_member, MISTAKE / tries) for one in scores.values())
        for bound in (lower_bound, upper_bound)
    )
    guess, refuted = (
        min(holm([p_value_above(one.made, is_member, level) for one in scores.values()]))
        for level in (0.5, claim.auc)
    )
    controls = [found[f"privacy.{one}.auc"].controls["leaky copy"] for one in scores]
    return Estimate(
        value=value,
        low=min(low, value),
        high=max(high, value),
        method=f"normal, Bonferroni over {tries} attacks",
        direction="half",
        sentence=(
            f"The best of {tries} attacks is '{ATTACKS[name].curve}', with an AUC of {value:.3f} (0.5 is a "
            f"coin toss; the claim allows {claim.auc:.3f}). Corrected for having tried {tries}, it is at "
            f"least {low:.3f}; the smallest p-value after Holm's correction is {guess:.2g} against a coin "
            f"toss and {refuted:.2g} against the claim."
        ),
        controls={"ceiling of the claim": claim.auc, "leaky copy": max(controls)},
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


def roc_curve(name: str, scores: Array, is_member: Array, epsilon: float, delta: float) -> RocCurve:
    """The ROC curve on at most 200 rates, denser near 0, beside the ceiling of the claim."""
    rates = np.unique(np.concatenate([[0.0], np.geomspace(1e-4, 1.0, 100), np.linspace(0.01, 1.0, 99)]))
    return RocCurve(
        name=name,
        false_positive_rate=tuple(rates.tolist()),
        true_positive_rate=tuple(roc_points(scores[is_member], scores[~is_member], rates).tolist()),
        ceiling=tuple(ceiling_curve(rates, epsilon, delta).tolist()),
    )


def _scene_of(
    attacker: Attacker, made: View, copy: View, is_member: Array, scores: Mapping[str, Scores]
) -> Scene:
    """What the smoke tests look at; they know who is a member."""
    order = np.concatenate([np.flatnonzero(is_member), np.flatnonzero(~is_member)])
    closest = scores["closest_record"]
    return Scene(
        members=attacker.rows.points[is_member],
        others=attacker.rows.points[~is_member],
        reference=attacker.reference.points,
        made=made.points,
        to_made=-closest.made[order],
        to_copy=-closest.copy[order],
        to_reference=attacker.to_reference[order],
    )


def _rate(name: str, scores: Scores, is_member: Array, rate: float, claim: Claim) -> Estimate:
    value, low, high = true_positive_rate(scores.made, is_member, rate)
    leaky = true_positive_rate(scores.copy, is_member, rate)[0]
    allowed = float(ceiling_curve(np.array([rate]), claim.epsilon, claim.delta)[0])
    return Estimate(
        value=value,
        low=low,
        high=high,
        method="Clopper-Pearson on both rates",
        direction="lower",
        sentence=(
            f"{ATTACKS[name].words}: at one false alarm in {RATE_WORDS[rate]}, it finds {value:.2%} of "
            f"{is_member.sum()} training rows, from {(~is_member).sum()} others; the claim allows "
            f"{allowed:.2%}, and a leaky copy gives {leaky:.2%}."
        ),
        controls={"ceiling of the claim": allowed, "leaky copy": leaky},
    )


def _area(scores: Scores, is_member: Array, weights: Floats, claim: Claim, words: str) -> Estimate:
    value, leaky = (float(auc(one, is_member)[0]) for one in (scores.made, scores.copy))
    low, high = percentile_interval(auc(scores.made, is_member, weights))
    return Estimate(
        value=value,
        low=min(low, value),
        high=max(high, value),
        method="bootstrap over rows",
        direction="half",
        sentence=(
            f"{words.format(value)}, from {len(is_member)} rows; the claim allows {claim.auc:.3f}, a leaky "
            f"copy gives {leaky:.3f}."
        ),
        controls={"ceiling of the claim": claim.auc, "leaky copy": leaky},
    )


def _notes(found: Mapping[str, Estimate], is_member: Array) -> tuple[str, ...]:
    notes = []
    caught = found[f"privacy.{PLANTED}.auc"].value
    if caught < CAUGHT:
        notes.append(
            f"The attacks have little power on this table: even a leaky copy gives an AUC of {caught:.2f} "
            f"(training and holdout rows are often equal), so that a low figure says nothing."
        )
    others = int((~is_member).sum())
    short = [rate for rate in RATES.values() if others * rate < FEWEST_EXPECTED]
    if short:
        words = " and ".join(f"{rate:.1%}".replace(".0", "") for rate in short)
        notes.append(
            f"True positive rates at {words} are left out: they need at least "
            f"{round(FEWEST_EXPECTED / max(short)):,} holdout rows outside the reference, found {others:,}."
        )
    return tuple(notes)
