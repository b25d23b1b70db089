"""Stored cells as one Markdown table: means over seeds, real rows and independent columns first."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import Any

CONTROLS = ("real rows", "independent columns")
MODELS = ("auc_logistic", "auc_forest", "auc_boosting")
HEAD = (
    *("dataset", "epsilon", "system", "seeds", "tvd1", "tvd2", "tvd3", "auc", "LR / RF / GB", "c2st"),
    *("fit, s (CPU)", "MiB"),
)


def markdown(cells: Sequence[dict[str, Any]]) -> str:
    """One row for each dataset, epsilon and system; delta is named where it is not 1e-5."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for cell in sorted(cells, key=_order):
        groups.setdefault((cell["dataset"], cell["epsilon"], cell["system"], cell["delta"]), []).append(cell)
    lines = [HEAD, tuple("---" for _ in HEAD), *(_row(same) for same in groups.values())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _order(cell: dict[str, Any]) -> tuple[Any, ...]:
    if cell["system"] in CONTROLS:
        return cell["dataset"], 0.0, str(CONTROLS.index(cell["system"]))
    return cell["dataset"], float(cell["epsilon"]), cell["system"]


def _row(cells: list[dict[str, Any]]) -> tuple[str, ...]:
    first = cells[0]
    figure = {name: mean(cell["figures"][name] for cell in cells) for name in first["figures"]}
    control = first["system"] in CONTROLS
    usual = control or first["delta"] == 1e-5
    return (
        first["dataset"],
        "" if control else f"{float(first['epsilon']):g}",
        first["system"] if usual else f"{first['system']} (delta {first['delta']:g})",
        str(len(cells)),
        *(f"{figure[name]:.4f}" for name in ("tvd1", "tvd2", "tvd3")),
        f"{figure['auc']:.3f}",
        " / ".join(f"{figure[name]:.3f}" for name in MODELS),
        f"{figure['c2st']:.3f}",
        "" if control else f"{_mean(cells, 'fit_seconds'):.0f} ({_mean(cells, 'fit_cpu_seconds'):.0f})",
        "" if control else f"{max(cell['peak_memory_mib'] for cell in cells)}",
    )


def _mean(cells: list[dict[str, Any]], name: str) -> float:
    return mean(cell[name] for cell in cells)
