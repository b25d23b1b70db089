"""Scorecard: every figure of one synthetic table, and `evaluate`, which makes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from synthpriv.errors import EvaluationError
from synthpriv.evaluation.attacks import judge_attacks
from synthpriv.evaluation.cells import FEWEST_ROWS, Tables
from synthpriv.evaluation.comparisons import (
    ColumnComparison,
    GroupComparison,
    ImportanceComparison,
    PairComparison,
    RocCurve,
)
from synthpriv.evaluation.constraints import judge_constraints
from synthpriv.evaluation.disclosed import Disclosed
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.estimate import Estimate
from synthpriv.evaluation.fidelity import judge_fidelity
from synthpriv.evaluation.findings import Findings
from synthpriv.evaluation.models import check_models
from synthpriv.evaluation.risks import judge_risks
from synthpriv.evaluation.sampling import Frames, read_tables
from synthpriv.evaluation.shadows import Refit, judge_shadows
from synthpriv.evaluation.targets import check_target
from synthpriv.evaluation.utility import judge_utility
from synthpriv.schema import Schema

__all__ = ["ColumnComparison", "Estimate", "PairComparison", "RocCurve", "Scorecard", "evaluate"]

SECTIONS = tuple(one.name for one in fields(Findings) if one.name not in ("estimates", "notes"))
DRAWN = {
    "columns": ColumnComparison,
    "worst_pairs": PairComparison,
    "importances": ImportanceComparison,
    "groups": GroupComparison,
    "rocs": RocCurve,
}


@dataclass(frozen=True, kw_only=True)
class Scorecard(Findings):
    """What the judge found. Internal: its figures were computed on real rows.

    targets: the columns that utility predicted. rows: how many rows "synthetic", "train" and "holdout" had.
    epsilon, delta: the claim (infinite: none).
    """

    targets: tuple[str, ...]
    rows: Mapping[str, int]
    epsilon: float
    delta: float
    effort: Effort

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an infinite epsilon is None."""
        drawn = {name: [asdict(one) for one in getattr(self, name)] for name in DRAWN}
        associations = {name: getattr(self, name) for name in SECTIONS if name not in DRAWN}
        return {
            "targets": self.targets,
            "rows": dict(self.rows),
            "epsilon": self.epsilon if math.isfinite(self.epsilon) else None,
            "delta": self.delta,
            "effort": self.effort.value,
            "estimates": {name: estimate.to_dict() for name, estimate in self.estimates.items()},
            **drawn,
            **associations,
            "notes": self.notes,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Scorecard:
        """The inverse of `to_dict`, also after a trip through JSON; raises EvaluationError."""
        try:
            return cls(
                targets=tuple(data["targets"]),
                rows=dict(data["rows"]),
                epsilon=math.inf if data["epsilon"] is None else data["epsilon"],
                delta=data["delta"],
                effort=Effort(data["effort"]),
                estimates={name: Estimate(**one) for name, one in data["estimates"].items()},
                notes=tuple(data["notes"]),
                **{name: tuple(kind(**_frozen(one)) for one in data[name]) for name, kind in DRAWN.items()},
                **{name: _frozen(data[name]) for name in SECTIONS if name not in DRAWN},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise EvaluationError(
                f"a scorecard must have every field that to_dict writes, found a problem with {error}; "
                f"evaluate again."
            ) from None


def evaluate(
    synthetic: Frames,
    real: Disclosed,
    *,
    target: str | Sequence[str] | None = None,
    effort: Effort | str = Effort.standard,
    seed: int = 0,
    models: Mapping[str, Any] | None = None,
    augmentation: bool = False,
    refit: Refit | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Scorecard:
    """Judge a synthetic table against real rows: fidelity, utility and attacks, each with its controls.

    synthetic: a table, or what reads it in chunks, anew with each call, where it is larger than memory.
    Marginals count every row; what cannot be counted reads a random sample, and a note says so. target: the
    columns that utility predicts, lists as classes and numbers and dates by regression (default: the
    schema's targets). effort: "quick", "standard" or "thorough". seed: of samples, models and resamples; the
    same seed gives the same scorecard, but for what refit makes. models: unfitted scikit-learn classifiers or
    regressors by name, to be scored and ranked beside the three families; they get one-hot lists,
    standardised numbers and flags of missing values. augmentation: whether to measure what synthetic rows add
    to real ones (always at "thorough"). refit: fits the same synthesizer on a table of the schema with a seed
    and returns a synthetic table; the shadow-model attack plays with it (None: it is left out). progress:
    called with a stage and the fraction done. What a table does not allow is left out with a note. Raises
    EvaluationError when the synthetic table has no row or none of the schema's columns, when a target was
    named and cannot be predicted, or when `models` holds anything else.
    """
    report = progress or (lambda stage, fraction: None)
    effort = Effort(effort)
    check_models(models or {})
    targets, reasons = _usable_targets(real.schema, target)
    report("reading", 0.0)
    tables, notes = read_tables(synthetic, real, seed)
    rows = {name: tables.all_rows(name).rows for name in ("synthetic", "train", "holdout")}
    found = Findings(notes=notes + reasons + _notes_on_size(tables, rows))
    if rows["holdout"] >= FEWEST_ROWS:
        found = found.joined(
            _judge_quality(tables, real.schema, targets, models, augmentation, seed, effort, report)
        )
    report("attacks", 0.8)
    found = found.joined(
        _judge_privacy(
            tables, real, targets, refit, seed, effort, lambda done: report("attacks", 0.8 + 0.2 * done)
        )
    )
    report("done", 1.0)
    return Scorecard(
        targets=targets,
        rows=rows,
        epsilon=real.epsilon,
        delta=real.delta,
        effort=effort,
        **{one.name: getattr(found, one.name) for one in fields(Findings)},
    )


def _judge_quality(
    tables: Tables,
    schema: Schema,
    targets: Sequence[str],
    models: Mapping[str, Any] | None,
    augmentation: bool,
    seed: int,
    effort: Effort,
    report: Callable[[str, float], None],
) -> Findings:
    """Fidelity, then utility."""
    report("fidelity", 0.05)
    found = judge_fidelity(tables, seed, effort, lambda done: report("fidelity", 0.05 + 0.25 * done))
    found = found.joined(judge_constraints(tables, schema))
    return found.joined(
        judge_utility(
            tables,
            targets,
            seed,
            effort,
            lambda done: report("utility", 0.3 + 0.5 * done),
            groups=schema.groups,
            models=models,
            augmentation=augmentation,
        )
    )


def _judge_privacy(
    tables: Tables,
    real: Disclosed,
    targets: Sequence[str],
    refit: Refit | None,
    seed: int,
    effort: Effort,
    progress: Callable[[float], None],
) -> Findings:
    claim = (real.epsilon, real.delta)
    found = judge_attacks(tables, *claim, seed, effort, lambda done: progress(0.2 * done))
    found = found.joined(
        judge_risks(tables, targets, *claim, seed, effort, lambda done: progress(0.2 + 0.1 * done))
    )
    return found.joined(
        judge_shadows(
            tables, real.schema, refit, *claim, seed, effort, lambda done: progress(0.3 + 0.7 * done)
        )
    )


def _usable_targets(
    schema: Schema, target: str | Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The targets to predict, and why utility of one is left out; raises EvaluationError if it was named."""
    named = (target,) if isinstance(target, str) else tuple(target or ())
    for name in named:
        check_target(schema, name)
    if not named and not schema.targets:
        return (), ("Utility is left out: the schema declares no target, and none was named.",)
    usable, reasons = list(named), []
    for name in () if named else schema.targets:
        try:
            check_target(schema, name)
            usable.append(name)
        except EvaluationError as error:
            reasons.append(f"Utility of {name!r} is left out: {error}")
    return tuple(usable), tuple(reasons)


def _notes_on_size(tables: Tables, rows: Mapping[str, int]) -> tuple[str, ...]:
    notes = []
    if rows["holdout"] < FEWEST_ROWS:
        notes.append(
            f"Fidelity and utility are left out: they need {FEWEST_ROWS} holdout rows, found "
            f"{rows['holdout']}."
        )
    held = {name: len(getattr(tables, name)) for name in rows}
    if held != dict(rows):
        found = ", ".join(f"{held[name]:,} of {count:,} {name}" for name, count in rows.items())
        notes.append(
            f"The tables are long: shares of bins, missing values and total variation count every row, and "
            f"copies are looked for among all real rows; the rest is on a random sample of {found} rows."
        )
    return tuple(notes)


def _frozen(value: Any) -> Any:
    """JSON's lists as tuples, at any depth."""
    if isinstance(value, list | tuple):
        return tuple(_frozen(one) for one in value)
    if isinstance(value, dict):
        return {name: _frozen(one) for name, one in value.items()}
    return value
