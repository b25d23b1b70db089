"""Measured: what one target's models showed, and the estimates "utility.*" that it becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from synthpriv.evaluation.agreement import above_noise, spearman
from synthpriv.evaluation.estimate import Direction, Estimate
from synthpriv.evaluation.groups import GroupScores
from synthpriv.evaluation.intervals import Floats, percentile_interval
from synthpriv.evaluation.models import FAMILIES, Learnt
from synthpriv.evaluation.scores import average_precision, macro_f1
from synthpriv.evaluation.targets import Target

SYNTHETIC, REAL, INDEPENDENT = "synthetic", "real rows", "independent columns"
HALF, WITH_SYNTHETIC, WITH_INDEPENDENT = "half", "real and synthetic", "real and independent"
AGREEING = {SYNTHETIC: SYNTHETIC, REAL: HALF, INDEPENDENT: INDEPENDENT}
TRAINED = "of three model families (the mean) trained on the synthetic table"


@dataclass(frozen=True, kw_only=True, repr=False)
class Judged:
    """What every contender's models learnt about one target.

    scores: by contender and model, (1 + resamples,). importances: by contender, (features, 1 + resamples);
    empty where there are too few features to rank.
    """

    target: Target
    learnt: Mapping[str, Learnt]
    scores: Mapping[str, Mapping[str, Floats]]
    importances: Mapping[str, Floats] = field(default_factory=dict)
    importance_rows: int = 0

    @property
    def families(self) -> tuple[str, ...]:
        """The models whose mean counts."""
        return FAMILIES[self.target.score_name]

    def mean_score(self, contender: str) -> Floats:
        """The mean score of the families: (1 + resamples,)."""
        return np.asarray(np.mean([self.scores[contender][name] for name in self.families], axis=0))


@dataclass(frozen=True, kw_only=True, repr=False)
class Measured:
    """One figure of one target, "utility.STEM[TARGET].OF": its value and resamples, by name of the control.

    what: the figure in words; where: the rest of the sentence, which is about this target only. ceiling,
    floor: what the controls are, in words.
    """

    stem: str
    of: str = ""
    target: str
    what: str
    where: str
    by: Mapping[str, Floats]
    ceiling: str = "training on real rows"
    floor: str = "on independent columns"
    direction: Direction = "higher"

    def name(self, target: str = "") -> str:
        """The figure's name; without a target it is the mean over targets."""
        return f"utility.{self.stem}{f'[{target}]' if target else ''}{f'.{self.of}' if self.of else ''}"

    def estimate(self, where: str, by: Mapping[str, Floats]) -> Estimate:
        """The figure with its interval, widened where resampling blurs an order and so misses the value."""
        own, real, floor = (float(by[name][0]) for name in (SYNTHETIC, REAL, INDEPENDENT))
        low, high = percentile_interval(by[SYNTHETIC][1:])
        return Estimate(
            value=own,
            low=min(low, own),
            high=max(high, own),
            method="bootstrap over test rows",
            direction=self.direction,
            sentence=(
                f"{self.what} {where}: {own:.3f}, where {self.ceiling} gives {real:.3f} and {self.floor} "
                f"{floor:.3f}."
            ),
            controls={REAL: real, INDEPENDENT: floor},
        )


def estimates_of(measured: Sequence[Measured]) -> dict[str, Estimate]:
    """Every figure of every target, after its mean over targets; of gaps between groups, the largest."""
    found: dict[str, Estimate] = {}
    for name in dict.fromkeys(one.name() for one in measured):
        same = [one for one in measured if one.name() == name]
        if same[0].stem == "group_gap":
            continue
        by = {control: np.mean([one.by[control] for one in same], axis=0) for control in same[0].by}
        targets = ", ".join(repr(one.target) for one in same)
        where = same[0].where if len(same) == 1 else f"to predict {targets} (the mean over the targets)"
        found[name] = same[0].estimate(where, by)
        found |= {one.name(one.target): one.estimate(one.where, one.by) for one in same}
    gaps = {
        one.name(one.target): one.estimate(one.where, one.by) for one in measured if one.stem == "group_gap"
    }
    if gaps:
        found["utility.group_gap"] = max(gaps.values(), key=lambda gap: gap.value)
    return found | gaps


def measure_scores(judged: Judged) -> list[Measured]:
    """The scores of the families and of each model, and what the synthetic rows add to the real ones."""
    target, name = judged.target, judged.target.name
    where = f"to predict {name!r} and tested on {len(target.truth):,} real holdout rows"
    words, stem = target.score_words, target.score_name
    means = {contender: judged.mean_score(contender) for contender in judged.scores}
    found = [Measured(stem=stem, target=name, what=f"{words} {TRAINED}", where=where, by=_controls(means))]
    found += [
        Measured(
            stem=stem,
            of=model,
            target=name,
            what=f"{words} of {model.replace('_', ' ')} trained on the synthetic table",
            where=where,
            by=_controls({contender: by[model] for contender, by in judged.scores.items()}),
        )
        for model in judged.scores[SYNTHETIC]
    ]
    if target.classes is not None:
        rarer = " (its rarer class)" if len(target.sides) == 1 else " (the mean over its classes)"
        for stem, words, score in (
            ("average_precision", "Average precision", average_precision),
            ("f1", "F1", macro_f1),
        ):
            by = {
                contender: np.mean(
                    [
                        score(
                            judged.learnt[contender].predictions[model], target.truth, target.sides, weights
                        )
                        for model in judged.families
                    ],
                    axis=0,
                )
                for contender, weights in _weights(target).items()
            }
            place = where.replace(" and tested", f"{rarer} and tested")
            found.append(Measured(stem=stem, target=name, what=f"{words} {TRAINED}", where=place, by=by))
    if WITH_SYNTHETIC in means:
        gained = {
            SYNTHETIC: means[WITH_SYNTHETIC] - means[REAL],
            REAL: means[REAL] - means[HALF],
            INDEPENDENT: means[WITH_INDEPENDENT] - means[REAL],
        }
        what = f"Gain in {words} of three model families (the mean) when synthetic rows join the real ones"
        halves, floor = "joining the second half of the real rows to the first", "joining independent columns"
        found.append(
            Measured(
                stem="augmentation",
                target=name,
                what=what,
                where=where,
                by=gained,
                ceiling=halves,
                floor=floor,
            )
        )
    return found


def measure_agreement(judged: Judged) -> list[Measured]:
    """Whether the order of models, and that of features, is the one that real rows give.

    The ceiling is the order that half of the real rows give, beside the order of all.
    """
    target, name = judged.target, judged.target.name
    table = {contender: np.stack(list(by.values())) for contender, by in judged.scores.items()}
    models = len(table[REAL])
    found = [
        Measured(
            stem="model_rank",
            target=name,
            what="Agreement (Spearman) of the orders of models trained on synthetic and on real rows",
            where=f"to predict {name!r} ({models} models by {target.score_words} on {len(target.truth):,} "
            f"holdout rows; neighbours that swap cost {12 / (models * (models**2 - 1)):.2f})",
            by={control: spearman(table[made], table[REAL]) for control, made in AGREEING.items()},
            ceiling="training on half of the real rows",
        )
    ]
    if judged.importances:
        told = {contender: above_noise(one) for contender, one in judged.importances.items()}
        features = len(told[REAL])
        found.append(
            Measured(
                stem="importance_rank",
                target=name,
                what="Agreement (Spearman) of which features matter to models trained on synthetic and on "
                "real rows",
                where=f"to predict {name!r} ({features} features by the loss of {target.score_words} when "
                f"permuted in {judged.importance_rows:,} holdout rows)",
                by={control: spearman(told[made], told[REAL]) for control, made in AGREEING.items()},
                ceiling="training on half of the real rows",
            )
        )
    return found


def measure_gap(scored: GroupScores) -> Measured:
    """The largest change of a gap between two groups, against training on all real rows."""
    target = scored.target
    by, pairs = {}, {}
    for control, made in AGREEING.items():
        by[control], pairs[control] = scored.gap_change(made, REAL)
    gains, loses = pairs[SYNTHETIC]
    return Measured(
        stem="group_gap",
        of=scored.column,
        target=target.name,
        what=f"Largest change of the gap in {target.score_words} between two groups of {scored.column!r}, "
        f"against training on real rows: {gains!r} gains on {loses!r}",
        where=f"when models predict {target.name!r} on {sum(scored.rows):,} holdout rows of "
        f"{len(scored.groups)} groups",
        by=by,
        ceiling="training on half of the real rows",
        direction="lower",
    )


def _controls(by: Mapping[str, Floats]) -> dict[str, Floats]:
    return {name: by[name] for name in (SYNTHETIC, REAL, INDEPENDENT)}


def _weights(target: Target) -> dict[str, Floats]:
    """Resamples for the table alone: these scores sort anew for each."""
    once = target.weights[:1]
    return {SYNTHETIC: target.weights, REAL: once, INDEPENDENT: once}
