"""Stored cells as Markdown: what the policy says, what each figure orders rightly, and the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.evaluation.contenders import DELTA
from benchmarks.evaluation.orders import orders
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.estimate import Estimate
from synthpriv.evaluation.scorecard import Scorecard
from synthpriv.release.decision import Check, Decision
from synthpriv.release.facts import ReleaseFacts
from synthpriv.release.policy import Policy

Cell = dict[str, Any]
Decided = dict[tuple[str, str], Decision]
SHOWN = ("fresh", "dp 10", "dp 1", "dp 0.5")
SIGNS = {"clear": "++", "right": "+", "wrong": "**wrong**"}


def sections(cells: Sequence[Cell]) -> dict[str, str]:
    """Thresholds, verdicts, orders and figures as Markdown, by name."""
    datasets = list(dict.fromkeys(cell["dataset"] for cell in cells))
    decided = {(cell["contender"], cell["dataset"]): decide(cell) for cell in cells}
    of = {dataset: [cell for cell in cells if cell["dataset"] == dataset] for dataset in datasets}
    return {
        "thresholds": thresholds(decided, datasets),
        "verdicts": verdicts(decided, datasets),
        "orders": ordering(cells, datasets),
        "figures": "\n\n".join(f"### {dataset}\n\n{figures(of[dataset])}" for dataset in datasets),
    }


def fill(page: Path, parts: Mapping[str, str]) -> None:
    """Put each part between its two comments on a page, where the page has them."""
    text = page.read_text(encoding="utf-8")
    for name, part in parts.items():
        head, begin, rest = text.partition(f"<!-- {name} -->")
        _, end, tail = rest.partition(f"<!-- end of {name} -->")
        if begin and end:
            text = f"{head}{begin}\n\n{part}\n\n{end}{tail}"
    page.write_text(text, encoding="utf-8")


def decide(cell: Cell) -> Decision:
    """What the default policy says to the stored figures, as if the claim stood in a sound ledger."""
    estimates = {
        name: Estimate(**figure, method="stored", sentence="Stored.")
        for name, figure in cell["figures"].items()
    }
    epsilon = cell["epsilon"]
    card = Scorecard(
        targets=(),
        rows=cell["rows"],
        epsilon=epsilon,
        delta=DELTA,
        effort=Effort(cell["effort"]),
        estimates=estimates,
    )
    facts = ReleaseFacts(
        epsilon=epsilon,
        delta=DELTA,
        epsilon_spent_total=epsilon,
        budget_epsilon=epsilon,
        ledger_verified=True,
        private=True,
        schema_confirmed=True,
        attempts=1,
    )
    return Policy.default().decide(card, facts)


def thresholds(decided: Decided, datasets: Sequence[str]) -> str:
    """Each check of the default policy: what real rows and private tables get, and which tables it flags."""
    rows = []
    for rule in Policy.default().rules:
        checks = {
            place: check
            for place, decision in decided.items()
            for check in decision.checks
            if (check.figure, check.rule) == (rule.figure, rule.words)
        }
        limits = [checks.get((SHOWN[0], dataset)) for dataset in datasets]
        found = [" / ".join(_compared(checks.get((name, d)), rule.bound) for d in datasets) for name in SHOWN]
        flagged: dict[str, list[str]] = {}
        for (name, dataset), check in checks.items():
            if check.verdict != "pass":
                flagged.setdefault(name, []).append(dataset)
        told = [
            name if len(places) == len(datasets) else f"{name} ({', '.join(places)})"
            for name, places in flagged.items()
        ]
        limit = " / ".join(_number(None if check is None else check.threshold) for check in limits)
        words = f"`{rule.figure}` {rule.words}"
        rows.append((words, rule.level, limit, *found, ", ".join(told) or "none"))
    return _table(("check", "level", "limit for real rows", *SHOWN, "flagged"), rows)


def verdicts(decided: Decided, datasets: Sequence[str]) -> str:
    """Contender by dataset: approved or refused, with the figures that failed or warned."""
    names = dict.fromkeys(name for name, _ in decided)
    rows = [(name, *(_told(decided.get((name, dataset))) for dataset in datasets)) for name in names]
    return _table(("contender", *datasets), rows)


def ordering(cells: Sequence[Cell], datasets: Sequence[str]) -> str:
    """Figure and pair by dataset: ++ with intervals apart, + by value, wrong."""
    marks: dict[tuple[str, str], dict[str, str]] = {}
    for order in orders(cells):
        key = (order["figure"], f"{order['better']} < {order['worse']}")
        marks.setdefault(key, {})[order["dataset"]] = SIGNS[order["verdict"]]
    rows = [
        (f"`{figure}`", pair, *(found.get(dataset, "") for dataset in datasets))
        for (figure, pair), found in marks.items()
    ]
    return _table(("figure", "better < worse", *datasets), rows)


def figures(cells: Sequence[Cell]) -> str:
    """Figure by contender."""
    names = dict.fromkeys(name for cell in cells for name in cell["figures"])
    rows = [
        (
            f"`{name}`",
            *(f"{cell['figures'][name]['value']:.3f}" if name in cell["figures"] else "" for cell in cells),
        )
        for name in names
    ]
    return _table(("figure", *(cell["contender"] for cell in cells)), rows)


def _told(decision: Decision | None) -> str:
    if decision is None:
        return ""
    parts = [decision.word.lower()]
    for verdict in ("fail", "warn"):
        named = dict.fromkeys(check.figure for check in _judged(decision) if check.verdict == verdict)
        parts += [f"{verdict}: {', '.join(named)}"] if named else []
    return "; ".join(parts)


def _judged(decision: Decision) -> list[Check]:
    """The checks on figures, in the policy's order."""
    return [check for check in decision.checks if not check.figure.startswith("release.")]


def _compared(check: Check | None, bound: str) -> str:
    return _number(None if check is None else getattr(check, bound))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
