"""What the gate says: every check with its figure, interval, threshold and verdict, and the outcome."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from synthpriv.evaluation.scorecard import Scorecard

Verdict = Literal["pass", "warn", "fail"]
Level = Literal["warn", "fail"]
VERSION = 1  # of the JSON document


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of a decision: the figure, its interval, the threshold, the verdict and the reason in words.

    rule: how figure and threshold are compared ("lower bound at most ceiling of the claim"; "" for a fact).
    value, low, high and threshold are None where there is no number (the ledger) or it was not measured.
    """

    figure: str
    rule: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    verdict: Verdict
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a number that is not finite becomes None (the reason still says it)."""
        return {key: _finite(value) for key, value in asdict(self).items()}


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Every check, and whether the release may leave.

    judged: a "release", with its ledger, or the "tables" alone, whose claim nobody could check: that is never
    approved.
    """

    approved: bool
    checks: tuple[Check, ...]
    judged: Literal["release", "tables"] = "release"

    @classmethod
    def of(cls, checks: tuple[Check, ...], judged: Literal["release", "tables"] = "release") -> Decision:
        """The decision that follows from the checks: approved if it is a release and none of them fails."""
        passed = all(check.verdict != "fail" for check in checks)
        return cls(approved=passed and judged == "release", checks=checks, judged=judged)

    @property
    def passed(self) -> bool:
        """Whether no check failed; tables alone can pass, and are not approved by it."""
        return all(check.verdict != "fail" for check in self.checks)

    @property
    def word(self) -> str:
        """APPROVED or REFUSED for a release, PASSED or FAILED for tables."""
        if self.judged == "tables":
            return "PASSED" if self.passed else "FAILED"
        return "APPROVED" if self.approved else "REFUSED"

    @property
    def reasons(self) -> str:
        """One line: what was refused or warned about, the refusals first."""
        told = [check for verdict in ("fail", "warn") for check in self.checks if check.verdict == verdict]
        head = self.word.lower()
        if not told:
            return f"{head}: all {len(self.checks)} checks passed"
        return f"{head}: " + "; ".join(f"{check.verdict} {check.figure}: {check.reason}" for check in told)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "judged": self.judged,
            "approved": self.approved,
            "passed": self.passed,
            "reasons": self.reasons,
            "checks": [check.to_dict() for check in self.checks],
        }


def to_document(scorecard: Scorecard, decision: Decision) -> dict[str, Any]:
    """What `synthpriv evaluate --json` prints and a release stores, as `scorecard.schema.json` describes it.

    Internal. A number that is not finite is None.
    """
    return {
        "version": VERSION,
        "decision": decision.to_dict(),
        "scorecard": _finite(scorecard.to_dict()),
    }


def _finite(value: Any) -> Any:
    """The value with None for every number that JSON cannot write, lists for tuples."""
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
