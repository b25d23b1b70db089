"""How the judge ranks tables of known worth, and what the default policy says to each.

    python -m benchmarks.evaluation.run --effort quick              # three tables, ten contenders
    python -m benchmarks.evaluation.run --docs                      # write what is stored into docs/

A cell is a table and a contender; each is stored when it is done, and one that is stored for the same effort
and the same figures is not run again: --again does. Private tables are fitted once and kept under --keep.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.environment import RESULTS, environment
from benchmarks.evaluation.contenders import CONTENDERS, DELTA, table_of
from benchmarks.evaluation.orders import orders
from benchmarks.evaluation.pages import fill, sections
from benchmarks.evaluation.tables import NAMES, Rows, load
from synthpriv.errors import InfeasiblePlan
from synthpriv.evaluation.disclosed import Disclosed
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.scorecard import evaluate

PAGES = tuple(Path(__file__).parents[2] / "docs" / name for name in ("policy.md", "judge-benchmark.md"))
Cell = dict[str, Any]


def judged(dataset: str, name: str, rows: Rows, effort: Effort, keep: Path) -> Cell:
    """One contender's figures, its claim being what the attacks are held against."""
    epsilon = CONTENDERS[name].epsilon
    table = table_of(name, dataset, rows, keep)
    real = Disclosed(schema=rows.schema, train=rows.train, holdout=rows.holdout, epsilon=epsilon, delta=DELTA)
    start = time.process_time()
    card = evaluate(table, real, effort=effort)
    return {
        "dataset": dataset,
        "contender": name,
        "effort": effort.value,
        "epsilon": epsilon,
        "rows": dict(card.rows),
        "cpu_seconds": round(time.process_time() - start, 1),
        "figures": {
            figure: {
                **{end: round(getattr(one, end), 4) for end in ("value", "low", "high")},
                "direction": one.direction,
                "controls": {control: round(value, 4) for control, value in one.controls.items()},
            }
            for figure, one in card.estimates.items()
        },
    }


def run(options: argparse.Namespace) -> list[Cell]:
    """Run what is missing; store it cell by cell."""
    cells = read_cells(options.results)
    options.keep.mkdir(parents=True, exist_ok=True)
    for dataset in options.datasets:
        rows = load(dataset)
        for name in options.contenders:
            same = [cell for cell in cells if (cell["dataset"], cell["contender"]) == (dataset, name)]
            if same and same[0]["effort"] == options.effort and not options.again:
                continue
            try:
                cell = judged(dataset, name, rows, Effort(options.effort), options.keep)
            except InfeasiblePlan as error:
                print(f"{dataset} {name} is left out: {error}", file=sys.stderr)
                continue
            print(dataset, name, f"{cell['cpu_seconds']:.0f} s of processor", file=sys.stderr, flush=True)
            cells = [other for other in cells if other not in same] + [cell]
            write(options.results, cells)
    return cells


def read_cells(path: Path) -> list[Cell]:
    """The stored cells."""
    return list(json.loads(path.read_text())["cells"]) if path.exists() else []


def write(path: Path, cells: Sequence[Cell]) -> None:
    """The cells, the orders they show, and where that was measured; one cell a line."""
    order = {name: at for at, name in enumerate((*NAMES, *CONTENDERS))}
    cells = sorted(cells, key=lambda cell: (order[cell["dataset"]], order[cell["contender"]]))
    lines = ",\n".join(json.dumps(cell) for cell in cells)
    rest = json.dumps({"orders": orders(cells), "environment": environment()}, indent=1)
    path.write_text(f'{{"cells": [\n{lines}\n],{rest.removeprefix("{")}\n')


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", nargs="+", default=list(NAMES), choices=list(NAMES), metavar="TABLE")
    parser.add_argument(
        "--contenders", nargs="+", default=list(CONTENDERS), choices=list(CONTENDERS), metavar="NAME"
    )
    parser.add_argument("--effort", default="quick", choices=[effort.value for effort in Effort])
    parser.add_argument("--keep", type=Path, default=Path("release") / "contenders", help="a folder")
    parser.add_argument("--results", type=Path, default=RESULTS / "evaluation.json")
    parser.add_argument("--again", action="store_true", help="run what is stored as well")
    parser.add_argument("--docs", action="store_true", help="write what is stored into docs/, run nothing")
    return parser.parse_args(arguments)


def main() -> None:
    """Run and print what came of it, or write it into the pages that show it."""
    options = read_options()
    if not options.docs:
        print("\n\n".join(sections(run(options)).values()))
        return
    parts = sections(read_cells(options.results))
    for page in PAGES:
        fill(page, parts)


if __name__ == "__main__":
    main()
