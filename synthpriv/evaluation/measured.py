"""Measured: what one target's models showed, and the estimates "utility.*" that it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from synthpriv.evaluation.agreement import above_noise, spearman
from synthpriv.evaluation.cells import Array
from synthpriv.evaluation.estimate import Direction, Estimate
from synthpriv.evaluation.groups import GroupScores
from synthpriv.evaluation.intervals import Floats, percentile_interval
from synthpriv.evaluation.models import FAMILIES, Learnt
from synthpriv.evaluation.scores import Side, average_precision, macro_f1
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

    group: the column whose groups it compares ("utility.STEM[TARGET by GROUP]"). what: the figure in words;
    where: the rest of the sentence, which is about this target only. ceiling, floor: the controls in words.
    """

    stem: str
    of: str = ""
    target: str
    group: str = ""
    what: str
    where: str
    by: Mapping[str, Floats]
    ceiling: str = "training on real rows"
    floor: str = "on independent columns"
    direction: Direction = "higher"

    @property
    def bare_name(self) -> str:
        """The name of the figure that joins all targets."""
        return f"utility.{self.stem}{f'.{self.of}' if self.of else ''}"

    @property
    def name(self) -> str:
        """The figure's name."""
        subject = f"{self.target} by {self.group}" if self.group else self.target
        return f"utility.{self.stem}[{subject}]{f'.{self.of}' if self.of else ''}"

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
    for bare in dict.fromkeys(one.bare_name for one in measured):
        same = [one for one in measured if one.bare_name == bare]
        alone = {one.name: one.estimate(one.where, one.by) for one in same}
        if same[0].group:
            found[bare] = max(alone.values(), key=lambda gap: gap.value)
        else:
            by = {control: np.mean([one.by[control] for one in same], axis=0) for control in same[0].by}
            targets = ", ".join(repr(one.target) for one in same)
            mean = f"to predict {targets} (the mean over the targets)"
            found[bare] = same[0].estimate(same[0].where if len(same) == 1 else mean, by)
        found |= alone
    return found


def measure_scores(judged: Judged) -> list[Measured]:
    """Every score of one target: of the families, of each model, and what synthetic rows add to real ones."""
    target, words = judged.target, judged.target.score_words
    where = f"to predict {target.name!r}, {_tested(target)}"
    means = {contender: judged.mean_score(contender) for contender in judged.scores}
    shown = {"": (f"{words} {TRAINED}", means)} | {
        model: (
            f"{words} of {model.replace('_', ' ')} trained on the synthetic table",
            {contender: by[model] for contender, by in judged.scores.items()},
        )
        for model in judged.scores[SYNTHETIC]
    }
    found = [
        Measured(
            stem=target.score_name,
            of=model,
            target=target.name,
            what=what,
            where=where,
            by={control: by[control] for control in (SYNTHETIC, REAL, INDEPENDENT)},
        )
        for model, (what, by) in shown.items()
    ]
    if target.classes is not None:
        found.append(_measure_calls(judged, "average_precision", "Average precision", average_precision))
        found.append(_measure_calls(judged, "f1", "F1", macro_f1))
    if WITH_SYNTHETIC in means:
        gained = {
            SYNTHETIC: means[WITH_SYNTHETIC] - means[REAL],
            REAL: means[REAL] - means[HALF],
            INDEPENDENT: means[WITH_INDEPENDENT] - means[REAL],
        }
        found.append(
            Measured(
                stem="augmentation",
                target=target.name,
                what="Gain in score of three model families (the mean) as synthetic rows join the real ones",
                where=where,
                by=gained,
                ceiling="joining the second half of the real rows to the first",
                floor="joining independent columns",
            )
        )
    return found


def _measure_calls(
    judged: Judged, stem: str, words: str, score: Callable[[Array, Array, Sequence[Side], Floats], Floats]
) -> Measured:
    """A score that sorts or calls anew with each resample, which the table alone gets: the families' mean."""
    target = judged.target
    weights = {SYNTHETIC: target.weights, REAL: target.weights[:1], INDEPENDENT: target.weights[:1]}
    found = {
        contender: [
            score(judged.learnt[contender].predictions[model], target.truth, target.sides, resamples)
            for model in judged.families
        ]
        for contender, resamples in weights.items()
    }
    sides = "its classes, the mean" if target.sides[0][1] is None else "its rarer class"
    return Measured(
        stem=stem,
        target=target.name,
        what=f"{words} {TRAINED}",
        where=f"to predict {target.name!r} ({sides}), {_tested(target)}",
        by={contender: np.mean(scores, axis=0) for contender, scores in found.items()},
    )


def _tested(target: Target) -> str:
    return f"tested on {len(target.truth):,} real holdout rows"


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
        target=target.name,
        group=scored.column,
        what=f"Largest change of the gap in {target.score_words} between two groups of {scored.column!r}, "
        f"against training on real rows: {gains!r} gains on {loses!r}",
        where=f"when models predict {target.name!r} on {sum(scored.rows):,} holdout rows of "
        f"{len(scored.groups)} groups",
        by=by,
        ceiling="training on half of the real rows",
        direction="lower",
    )
