"""Stored cells as Markdown: what the policy says, what each figure orders rightly, and the figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.evaluation.orders import orders

Cell = dict[str, Any]
SHOWN = ("fresh", "dp 10", "dp 1", "dp 0.5")
SIGNS = {"clear": "++", "right": "+", "wrong": "**wrong**"}


def markdown(cells: Sequence[Cell]) -> str:
    """Verdicts, orders, and a table of figures for each dataset."""
    datasets = list(dict.fromkeys(cell["dataset"] for cell in cells))
    parts = [
        "### Thresholds",
        thresholds(cells, datasets),
        "### Verdicts",
        verdicts(cells, datasets),
        "### Orders",
        ordering(cells, datasets),
    ]
    for dataset in datasets:
        parts += [f"### {dataset}", figures([cell for cell in cells if cell["dataset"] == dataset])]
    return "\n\n".join(parts)


def thresholds(cells: Sequence[Cell], datasets: Sequence[str]) -> str:
    """Each check of the default policy: what real rows and private tables get, and which tables it flags."""
    shown = [(name, {cell["dataset"]: cell for cell in cells if cell["contender"] == name}) for name in SHOWN]
    rows = []
    for at, check in enumerate(cells[0]["checks"]):
        limits = [
            _number(held[d]["checks"][at]["threshold"]) if d in held else "-"
            for _, held in shown[:1]
            for d in datasets
        ]
        found = [" / ".join(_compared(held.get(d), check) for d in datasets) for _, held in shown]
        flagged: dict[str, list[str]] = {}
        for cell in cells:
            if cell["checks"][at]["verdict"] != "pass":
                flagged.setdefault(cell["contender"], []).append(cell["dataset"])
        names = [
            name if len(places) == len(datasets) else f"{name} ({', '.join(places)})"
            for name, places in flagged.items()
        ]
        levels = {cell["checks"][at]["verdict"] for cell in cells} - {"pass"}
        told = f"`{check['figure']}` {check['rule']}"
        rows.append((told, "/".join(sorted(levels)), " / ".join(limits), *found, ", ".join(names) or "none"))
    return _table(("check", "said", "limit for real rows", *(f"{name}" for name in SHOWN), "flagged"), rows)


def _compared(cell: Cell | None, check: dict[str, Any]) -> str:
    """The end of the interval that the rule compares."""
    figure = None if cell is None else cell["figures"].get(check["figure"])
    if figure is None:
        return "-"
    end = {"lower": "low", "upper": "high"}.get(check["rule"].partition(" ")[0], "value")
    return _number(figure[end])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def verdicts(cells: Sequence[Cell], datasets: Sequence[str]) -> str:
    """Contender by dataset: approved or refused, with the figures that failed or warned."""
    found = {(cell["contender"], cell["dataset"]): cell for cell in cells}
    names = dict.fromkeys(cell["contender"] for cell in cells)
    return _table(
        ("contender", *datasets), [(name, *(_told(found.get((name, d))) for d in datasets)) for name in names]
    )


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


def _told(cell: Cell | None) -> str:
    if cell is None:
        return ""
    parts = []
    for verdict in ("fail", "warn"):
        named = dict.fromkeys(check["figure"] for check in cell["checks"] if check["verdict"] == verdict)
        parts += [f"{verdict}: {', '.join(named)}"] if named else []
    return "; ".join(["approved" if cell["approved"] else "refused", *parts])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
