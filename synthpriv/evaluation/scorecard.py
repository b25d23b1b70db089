"""Scorecard: every figure of one synthetic table, and `evaluate`, which makes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from synthpriv.errors import EvaluationError
from synthpriv.evaluation.attacks import judge_attacks
from synthpriv.evaluation.cells import FEWEST_ROWS, Tables
from synthpriv.evaluation.comparisons import ColumnComparison, PairComparison, RocCurve
from synthpriv.evaluation.disclosed import Disclosed
from synthpriv.evaluation.estimate import Estimate
from synthpriv.evaluation.fidelity import judge_fidelity
from synthpriv.evaluation.sampling import Frames, read_tables
from synthpriv.evaluation.utility import check_target, judge_utility
from synthpriv.schema import Schema

__all__ = ["ColumnComparison", "Estimate", "PairComparison", "RocCurve", "Scorecard", "evaluate"]

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Scorecard:
    """What the judge found. Internal: its figures were computed on real rows.

    rows: how many rows "synthetic", "train" and "holdout" had. epsilon, delta: the claim (infinite: none).
    estimates: by name, "fidelity.*", "utility.*" and "privacy.*". association_*: square, in the order of
    association_names. notes: sentences on what did not fit or could not be measured.
    """

    target: str | None
    rows: Mapping[str, int]
    epsilon: float
    delta: float
    estimates: Mapping[str, Estimate]
    columns: tuple[ColumnComparison, ...]
    worst_pairs: tuple[PairComparison, ...]
    association_names: tuple[str, ...]
    association_real: Matrix
    association_synthetic: Matrix
    rocs: tuple[RocCurve, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an infinite epsilon is None."""
        plain = {name: getattr(self, name) for name in ("target", "delta", "association_names", "notes")}
        return {
            **plain,
            "rows": dict(self.rows),
            "epsilon": self.epsilon if math.isfinite(self.epsilon) else None,
            "estimates": {name: estimate.to_dict() for name, estimate in self.estimates.items()},
            "columns": [asdict(column) for column in self.columns],
            "worst_pairs": [asdict(pair) for pair in self.worst_pairs],
            "association_real": self.association_real,
            "association_synthetic": self.association_synthetic,
            "rocs": [asdict(curve) for curve in self.rocs],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Scorecard:
        """The inverse of `to_dict`, also after a trip through JSON; raises EvaluationError."""
        try:
            return cls(
                target=data["target"],
                rows=dict(data["rows"]),
                epsilon=math.inf if data["epsilon"] is None else data["epsilon"],
                delta=data["delta"],
                estimates={name: Estimate(**fields) for name, fields in data["estimates"].items()},
                columns=tuple(ColumnComparison(**_tuples(fields)) for fields in data["columns"]),
                worst_pairs=tuple(PairComparison(**fields) for fields in data["worst_pairs"]),
                association_names=tuple(data["association_names"]),
                association_real=tuple(map(tuple, data["association_real"])),
                association_synthetic=tuple(map(tuple, data["association_synthetic"])),
                rocs=tuple(RocCurve(**_tuples(fields)) for fields in data["rocs"]),
                notes=tuple(data["notes"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise EvaluationError(
                f"a scorecard must have every field that to_dict writes, found a problem with {error}; "
                f"evaluate again."
            ) from None


def evaluate(
    synthetic: Frames,
    real: Disclosed,
    *,
    target: str | None = None,
    seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> Scorecard:
    """Judge a synthetic table against real rows: fidelity, utility and attacks, each with its controls.

    synthetic: a table, or what reads it in chunks, anew with each call, where it is larger than memory.
    Marginals count every row; what cannot be counted reads a random sample, and a note says so. target: the
    column that utility predicts (default: the schema's first target). seed: of samples, models and
    resamples; the same seed gives the same scorecard. progress: called with a stage and the fraction done.
    What a table does not allow is left out with a note. Raises EvaluationError when the synthetic table has
    no row or none of the schema's columns, or when `target` was named and is not categorical or boolean.
    """
    report = progress or (lambda stage, fraction: None)
    if target is not None:
        check_target(real.schema, target)
    report("reading", 0.0)
    tables, notes = read_tables(synthetic, real, seed)
    rows = {name: tables.all_rows(name).rows for name in ("synthetic", "train", "holdout")}
    target, reason = _usable_target(real.schema, target)
    notes += reason + _notes_on_size(tables, rows)
    estimates: dict[str, Estimate] = {}
    fidelity = None
    if rows["holdout"] >= FEWEST_ROWS:
        report("fidelity", 0.05)
        fidelity = judge_fidelity(tables, seed, lambda done: report("fidelity", 0.05 + 0.25 * done))
        estimates |= fidelity.estimates
        if target is not None:
            found, more = judge_utility(
                tables, target, seed, lambda done: report("utility", 0.3 + 0.5 * done)
            )
            estimates |= found
            notes += more
    report("attacks", 0.8)
    found, rocs, more = judge_attacks(tables, real.epsilon, real.delta, seed)
    report("done", 1.0)
    return Scorecard(
        target=target,
        rows=rows,
        epsilon=real.epsilon,
        delta=real.delta,
        estimates=estimates | found,
        columns=fidelity.columns if fidelity else (),
        worst_pairs=fidelity.worst_pairs if fidelity else (),
        association_names=tables.holdout.names if fidelity else (),
        association_real=_matrix(fidelity.association_real) if fidelity else (),
        association_synthetic=_matrix(fidelity.association_synthetic) if fidelity else (),
        rocs=rocs,
        notes=notes + more,
    )


def _usable_target(schema: Schema, target: str | None) -> tuple[str | None, tuple[str, ...]]:
    """The target to predict, or None and the reason why utility is left out."""
    if target is None and not schema.targets:
        return None, ("Utility is left out: the schema declares no target, and none was named.",)
    target = target or schema.targets[0]
    try:
        check_target(schema, target)
    except EvaluationError as error:
        return None, (f"Utility is left out: {error}",)
    return target, ()


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


def _matrix(values: npt.NDArray[np.float64]) -> Matrix:
    return tuple(tuple(row) for row in values.tolist())


def _tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
