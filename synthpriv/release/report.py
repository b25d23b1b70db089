"""The internal page: one offline HTML file for the data's steward, verdict first, then all that led there."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from synthpriv.release.lines import Line, line_of
from synthpriv.release.pages import format_figure, render
from synthpriv.release.words import GROUPS, SCORE_WORDS, model_of

if TYPE_CHECKING:
    from synthpriv.evaluation.comparisons import GroupComparison, ImportanceComparison
    from synthpriv.evaluation.estimate import Estimate
    from synthpriv.evaluation.scorecard import Scorecard
    from synthpriv.release.decision import Decision
    from synthpriv.release.facts import ReleaseFacts

__all__ = ["format_figure", "internal_page"]

PLANTED_CURVES = ("positive control", "leaky")
MOST_LARGE, LEAST_LARGE = 8, 2  # figures of a group that are drawn large


@dataclass(frozen=True, kw_only=True)
class BudgetBar:
    """The budget: spent before, by this release, left; as percents of the bar, with the budget's own end."""

    before: float
    this: float
    left: float
    before_percent: float
    this_percent: float
    limit_percent: float


@dataclass(frozen=True, kw_only=True)
class FigureGroup:
    """The figures of one group: those that the verdict stands on drawn large, those of single models as bars,
    all others in a table."""

    large: tuple[Line, ...]
    charted: tuple[Line, ...]
    small: tuple[Line, ...]

    @property
    def any(self) -> bool:
        """Whether there is a figure at all."""
        return bool(self.large or self.charted or self.small)


@dataclass(frozen=True, kw_only=True)
class ModelChart:
    """The models of one score and target ("" for the mean of targets), to be drawn as bars."""

    score: str
    target: str
    models: Mapping[str, Estimate]


def internal_page(
    scorecard: Scorecard,
    decision: Decision,
    facts: ReleaseFacts,
    charges: Sequence[Mapping[str, object]],
    title: str,
    notes: Sequence[str] = (),
) -> str:
    """The page as HTML text, self-contained: no file and no address is loaded by it.

    charges: the ledger's rows, oldest first, as they are to be shown (label, event, at, epsilon after).
    notes: sentences to be shown below the scorecard's own.
    """
    rank = ("fail", "warn", "pass")
    columns = sorted(scorecard.columns, key=lambda column: -column.total_variation)
    pairs = [pair for pair in scorecard.worst_pairs if pair.real and pair.synthetic]
    charts = _model_charts(scorecard.estimates)
    importances = _by_target(scorecard.importances)
    gaps = _by_column(scorecard.groups)
    payload = {
        "columns": [asdict(column) for column in columns],
        "association": {
            "names": list(scorecard.association_names),
            "real": scorecard.association_real,
            "synthetic": scorecard.association_synthetic,
        },
        "pairs": [asdict(pair) for pair in pairs],
        "rocs": [
            {**asdict(roc), "planted": any(word in roc.name for word in PLANTED_CURVES)}
            for roc in scorecard.rocs
        ],
        "models": [_chart_payload(chart) for chart in charts],
        "importances": [[asdict(one) for one in found] for found in importances.values()],
        "groups": [[asdict(one) for one in found] for found in gaps.values()],
    }
    return render(
        "report.html.jinja",
        payload,
        title=title,
        scorecard=scorecard,
        decision=decision,
        facts=facts,
        checks=sorted(decision.checks, key=lambda check: rank.index(check.verdict)),
        count={verdict: sum(check.verdict == verdict for check in decision.checks) for verdict in rank},
        budget=_budget_bar(facts),
        groups=_figure_groups(scorecard.estimates, {check.figure for check in decision.checks}),
        charts=charts,
        importances=importances,
        gaps=gaps,
        columns=columns,
        pairs=pairs,
        charges=charges,
        charge_keys=list(dict.fromkeys(key for charge in charges for key in charge)),
        notes=(*scorecard.notes, *notes),
    )


def _figure_groups(estimates: Mapping[str, Estimate], cited: Collection[str]) -> dict[str, FigureGroup]:
    """The figures by group, in the order of the scorecard; cited: those that the policy checked."""
    groups = {}
    for prefix, group in GROUPS.items():
        lines = [line_of(name, estimate) for name, estimate in estimates.items() if name.startswith(prefix)]
        large = [line for line in lines if line.name in cited][:MOST_LARGE]
        large = large or [line for line in lines if model_of(line.name) is None][:LEAST_LARGE]
        rest = [line for line in lines if line not in large]
        groups[group] = FigureGroup(
            large=tuple(large),
            charted=tuple(line for line in rest if model_of(line.name) is not None),
            small=tuple(line for line in rest if model_of(line.name) is None),
        )
    return groups


def _model_charts(estimates: Mapping[str, Estimate]) -> list[ModelChart]:
    """One chart per score and target; a mean over targets is drawn only where there is nothing finer."""
    found: dict[tuple[str, str], dict[str, Estimate]] = {}
    for name, estimate in estimates.items():
        if (parts := model_of(name)) is not None:
            score, target, model = parts
            found.setdefault((score, target), {})[model.replace("_", " ")] = estimate
    finer = {score for score, target in found if target}
    return [
        ModelChart(score=score, target=target, models=models)
        for (score, target), models in found.items()
        if target or score not in finer
    ]


def _chart_payload(chart: ModelChart) -> dict[str, Any]:
    return {
        "base": 0.5 if chart.score == "auc" else 0.0,
        "score": SCORE_WORDS[chart.score],
        "models": [{"name": name, **estimate.to_dict()} for name, estimate in chart.models.items()],
    }


def _by_target(found: Sequence[ImportanceComparison]) -> dict[str, list[ImportanceComparison]]:
    """The features of each target, the most important to real models first."""
    targets: dict[str, list[ImportanceComparison]] = {}
    for one in sorted(found, key=lambda one: -one.real):
        targets.setdefault(one.target, []).append(one)
    return targets


def _by_column(found: Sequence[GroupComparison]) -> dict[tuple[str, str, str], list[GroupComparison]]:
    """The groups by target, column and score."""
    columns: dict[tuple[str, str, str], list[GroupComparison]] = {}
    for one in found:
        columns.setdefault((one.target, one.column, SCORE_WORDS.get(one.score, one.score)), []).append(one)
    return columns


def _budget_bar(facts: ReleaseFacts) -> BudgetBar | None:
    """The budget as shares of one bar; None where a figure is infinite and there is nothing to draw."""
    spent, limit = facts.epsilon_spent_total, facts.budget_epsilon
    if not all(math.isfinite(number) for number in (facts.epsilon, spent, limit)) or limit <= 0:
        return None
    this = min(facts.epsilon, spent)
    whole = max(limit, spent)
    return BudgetBar(
        before=spent - this,
        this=this,
        left=max(limit - spent, 0.0),
        before_percent=100 * (spent - this) / whole,
        this_percent=100 * this / whole,
        limit_percent=100 * limit / whole,
    )
