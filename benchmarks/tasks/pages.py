"""The tables of the task pages, from what is stored: python -m benchmarks.tasks.pages"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.environment import RESULTS
from benchmarks.tasks.common import LEARNERS

DOCS = Path(__file__).parents[2] / "docs"


def markdown(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def conditions(found: Mapping[str, Any]) -> str:
    """What events cost."""
    rows = [
        [
            event if kind == "mixture" else "",
            kind,
            f"{one['real_share']:.3%}",
            f"{one['probability']:.3%}",
            f"{one['effective']:.0%}",
            one["seconds"],
        ]
        for event, kinds in found.items()
        for kind, one in kinds.items()
    ]
    head = ["event", "model", "share of real rows", "under the model", "effective share", "CPU s"]
    return markdown(head, rows)


def rare(found: Mapping[str, Any]) -> str:
    """Classes brought level."""
    rows = []
    for name, ways in found.items():
        for way, models in ways.items():
            cells = []
            for model in LEARNERS:
                for figure in ("balanced_accuracy", "average_precision"):
                    value, low, high = models[model][figure]
                    cells.append(f"{value:.3f} ({low:.3f} to {high:.3f})")
            rows.append([name, way, *cells])
    short = [f"{model}: {figure}" for model in LEARNERS for figure in ("balanced accuracy", "AP")]
    return markdown(["table", "way", *short], rows)


def gaps(found: Mapping[str, Any]) -> str:
    """Gaps filled."""
    rows = [
        [kind, way, one.get("accuracy", ""), one.get("error", ""), one["auc"], one.get("seconds", "")]
        for kind, ways in found.items()
        for way, one in ways.items()
    ]
    return markdown(["gaps", "way", "accuracy of lists", "error of numbers", "AUC after", "CPU s"], rows)


def anomalies(found: Mapping[str, Any]) -> str:
    """Anomalies found."""
    rows = [
        [kind, way, one["auc"], one.get("named", ""), one.get("named_first", "")]
        for kind, ways in found.items()
        for way, one in ways.items()
    ]
    return markdown(["anomalies", "way", "ROC AUC", "named", "named first"], rows)


def fairness(found: Mapping[str, Any]) -> str:
    """Gaps between the sexes."""
    ways = {way: models for way, models in found.items() if isinstance(models, Mapping)}
    rows = [
        [way, *(f"{models[name]['gap']:+.3f} / {models[name]['auc']:.3f}" for name in (*LEARNERS, "mean"))]
        for way, models in ways.items()
    ]
    table = markdown(["learnt from (gap / AUC)", *LEARNERS, "mean"], rows)
    return f"{table}\n\nThe strength that was found: {found['strength']:g}."


def mixing(found: Mapping[str, Any]) -> str:
    """Shares of synthetic rows."""
    shares = found["auc"]
    return markdown(["synthetic share", *shares], [["AUC", *shares.values()]])


PAGES = {
    "task-conditions.md": conditions,
    "task-rare-classes.md": rare,
    "task-gaps.md": gaps,
    "task-anomalies.md": anomalies,
    "task-fairness.md": fairness,
    "task-mixing.md": mixing,
}


def main() -> None:
    """Write each table between its marker and the end of its page's section of figures."""
    parts = json.loads((RESULTS / "tasks.json").read_text())["parts"]
    for page, table in PAGES.items():
        part = table.__name__
        if part not in parts:
            continue
        seed = min(parts[part])
        found = {name: value for name, value in parts[part][seed].items() if name != "date"}
        text = (DOCS / page).read_text()
        head, rest = text.split(f"<!-- {part} -->\n", 1)
        rest = re.sub(r"^.*?<!-- end -->\n", "", rest, count=1, flags=re.DOTALL)
        block = f"<!-- {part} -->\n\n{table(found)}\n\n<!-- end -->\n"
        (DOCS / page).write_text(head + block + rest)


if __name__ == "__main__":
    main()
