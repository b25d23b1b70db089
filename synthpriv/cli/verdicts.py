"""A decision on the command line: one line for people, a JUnit file for continuous integration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from synthpriv.cli.words import counted

if TYPE_CHECKING:
    from synthpriv.release.decision import Check, Decision

REFUSED = 3
MOST_REASONS = 3


def verdict_line(decision: Decision, mark: str = "") -> str:
    """The decision and its reasons: what failed, or else what its reader should be told."""
    level = "warn" if decision.passed else "fail"
    told = [check for check in decision.checks if check.verdict == level]
    reasons = [_reason(check) for check in told[:MOST_REASONS]]
    if len(told) > MOST_REASONS:
        place = "on the page" if decision.judged == "release" else "above"
        reasons.append(f"{len(told) - MOST_REASONS} more {place}")
    head = f"{decision.word}{mark}  "
    if not decision.passed:
        return f"{head}{'; '.join(reasons)}"
    if not told:
        return f"{head}all {len(decision.checks)} checks passed"
    return f"{head}with {counted(len(told), 'warning')}: {'; '.join(reasons)}"


def store_junit(path: Path | None, decision: Decision, name: str) -> None:
    """Write the checks as JUnit XML, if a file is wanted."""
    from synthpriv.release.junit import to_junit

    if path is not None:
        path.write_text(to_junit(decision, name), encoding="utf-8")


def _reason(check: Check) -> str:
    from synthpriv.release.words import figure_words

    facts = check.figure.startswith("release.")
    return check.reason if facts else f"{figure_words(check.figure).label}: {check.reason}"
