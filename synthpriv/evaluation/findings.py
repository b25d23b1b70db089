"""Findings: what one part of the judge found; all parts together make a scorecard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from synthpriv.evaluation.comparisons import (
    ColumnComparison,
    GroupComparison,
    ImportanceComparison,
    PairComparison,
    RocCurve,
)
from synthpriv.evaluation.estimate import Estimate

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Estimates by name ("fidelity.*", "utility.*", "privacy.*"), what is drawn beside them, and notes.

    association_*: square, in the order of association_names. notes: sentences on what did not fit or could
    not be measured.
    """

    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    columns: tuple[ColumnComparison, ...] = ()
    worst_pairs: tuple[PairComparison, ...] = ()
    association_names: tuple[str, ...] = ()
    association_real: Matrix = ()
    association_synthetic: Matrix = ()
    importances: tuple[ImportanceComparison, ...] = ()
    groups: tuple[GroupComparison, ...] = ()
    rocs: tuple[RocCurve, ...] = ()
    notes: tuple[str, ...] = ()

    def joined(self, other: Findings) -> Findings:
        """These findings, then the other's."""
        mine = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "estimates"}
        both = {name: value + getattr(other, name) for name, value in mine.items()}
        return Findings(estimates={**self.estimates, **other.estimates}, **both)
