"""Utility of every synthesizer and its peers on real tables: one judge, one split, one table of figures.

    python -m benchmarks.utility.run --systems synthpriv-mixture dpmm-mst --epsilons 1 inf --seeds 0 1 2
    python -m benchmarks.utility.run --table

A cell is a synthesizer, a table, an epsilon, a delta and a seed; epsilon is all-in. Each cell runs in a
process of its own and is stored when it is done; one that is stored is not run again, so that an interrupted
run resumes. A cell that fails is told, left out, and tried again by the next run.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.environment import RESULTS, environment
from benchmarks.utility.judge import Judge, independent
from benchmarks.utility.peers.exchange import Request, numeric, read_rows
from benchmarks.utility.systems import SYSTEMS
from benchmarks.utility.table import CONTROLS, markdown
from synthpriv.schema import Schema
from synthpriv.tables import conform, read_table

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "synthpriv" / "peers"
KEY = ("dataset", "system", "epsilon", "delta", "seed")
Cell = dict[str, Any]


class Results:
    """The cells of a results file, one a line; written whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cells: list[Cell] = json.loads(path.read_text())["cells"] if path.exists() else []

    def has(self, cell: Cell) -> bool:
        """Whether the same experiment is stored."""
        return any(all(stored[key] == cell[key] for key in KEY) for stored in self.cells)

    def add(self, cell: Cell) -> None:
        """Store one more cell."""
        self.cells.append(cell)
        lines = ",\n".join(json.dumps(cell) for cell in self.cells)
        partial = self.path.with_suffix(".partial")
        partial.write_text(f'{{"cells": [\n{lines}\n]}}\n')
        os.replace(partial, self.path)


def split(dataset: str, seed: int) -> tuple[Schema, pd.DataFrame, pd.DataFrame]:
    """Schema, training rows and held-out rows (a quarter, by the seed)."""
    schema = Schema.read(schema_path(dataset))
    frame, _ = conform(read_table(ROOT / "datasets" / f"{dataset}.csv.gz", schema), schema)
    order = np.random.default_rng(seed).permutation(len(frame))
    cut = len(frame) * 3 // 4
    return (
        schema,
        frame.iloc[order[:cut]].reset_index(drop=True),
        frame.iloc[order[cut:]].reset_index(drop=True),
    )


def schema_path(dataset: str) -> Path:
    """The file that says what is public about a table."""
    return ROOT / "datasets" / f"{dataset}.toml"


class Contest:
    """One table, split by one seed, as files that every contender reads, and its judge."""

    def __init__(self, dataset: str, seed: int, folder: Path) -> None:
        schema, train, test = split(dataset, seed)
        self.folder = folder
        self.request: Request = {
            "schema": str(schema_path(dataset)),
            "columns": {name: public(column) for name, column in schema.columns.items()},
            "train": str(folder / "train.csv"),
            "synthetic": str(folder / "synthetic.csv"),
            "report": str(folder / "report.json"),
            "rows": len(train),
            "seed": seed,
        }
        train.to_csv(folder / "train.csv", index=False)
        test.to_csv(folder / "test.csv", index=False)
        self.train = read_rows(folder / "train.csv", self.request)
        self.judge = Judge(
            self.train,
            read_rows(folder / "test.csv", self.request),
            numeric=numeric(self.request),
            target=schema.targets[0],
        )

    def control(self, name: str) -> Cell:
        """The figures of real training rows or of independent columns."""
        real = name == CONTROLS[0]
        return {
            "figures": self.figures(self.train if real else independent(self.train, self.request["seed"]))
        }

    def run(self, cell: Cell, options: argparse.Namespace) -> Cell:
        """Fit and sample in a process of its own, judge the answer.

        Raises CalledProcessError or TimeoutExpired when the process does.
        """
        system = SYSTEMS[cell["system"]]
        asked = {
            **self.request,
            "system": cell["system"].partition("-")[2] if not system.environment else cell["system"],
            "epsilon": cell["epsilon"],
            "delta": cell["delta"],
            "options": dict(system.options),
        }
        (self.folder / "request.json").write_text(json.dumps(asked))
        threads = {name: str(options.threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        subprocess.run(
            [*system.command(options.environments), str(self.folder / "request.json")],
            check=True,
            cwd=ROOT,
            env={**os.environ, **threads, "OMP_WAIT_POLICY": "passive"},
            timeout=options.timeout,
            stdout=subprocess.DEVNULL,
        )
        report = json.loads((self.folder / "report.json").read_text())
        figures = self.figures(read_rows(self.folder / "synthetic.csv", self.request))
        return {"options": asked["options"], **report, "threads": options.threads, "figures": figures}

    def figures(self, frame: pd.DataFrame) -> dict[str, float]:
        """The judge's figures, rounded."""
        return {name: round(value, 5) for name, value in self.judge.figures(frame).items()}


def public(column: Any) -> dict[str, Any]:
    """What a peer is told about a column."""
    if column.kind in ("integer", "float"):
        return {"kind": column.kind, "lower": column.lower, "upper": column.upper}
    if column.kind in ("categorical", "boolean"):
        values = column.categories if column.kind == "categorical" else (False, True)
        return {"kind": column.kind, "categories": [str(value) for value in values]}
    raise ValueError(f"the exchange knows numbers and categories, found {column.kind}; extend `public`.")


def wanted(options: argparse.Namespace) -> Iterator[Cell]:
    """Every cell that was asked for and can be run, controls included."""
    for seed in options.seeds:
        for dataset in options.datasets:
            base = {"dataset": dataset, "seed": seed}
            yield from ({**base, "system": name, "epsilon": None, "delta": None} for name in CONTROLS)
            for epsilon in options.epsilons:
                shown = "inf" if math.isinf(epsilon) else epsilon
                for system in options.systems:
                    if SYSTEMS[system].runs(epsilon):
                        yield {**base, "system": system, "epsilon": shown, "delta": options.delta}


def run(options: argparse.Namespace, results: Results) -> None:
    """Run what is missing; store it cell by cell."""
    missing = [cell for cell in wanted(options) if not results.has(cell)]
    with tempfile.TemporaryDirectory() as folder:

        @cache
        def contest(dataset: str, seed: int) -> Contest:
            path = Path(folder) / f"{dataset}-{seed}"
            path.mkdir()
            return Contest(dataset, seed, path)

        for done, cell in enumerate(missing):
            print(f"{done + 1}/{len(missing)}", *(f"{key}={cell[key]}" for key in KEY), file=sys.stderr)
            held = contest(cell["dataset"], cell["seed"])
            try:
                known = cell["system"] in CONTROLS
                found = held.control(cell["system"]) if known else held.run(cell, options)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                print(f"left out: {error}", file=sys.stderr)
                continue
            results.add({**cell, **found, "environment": environment()})


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS), metavar="SYSTEM"
    )
    parser.add_argument("--datasets", nargs="+", default=["adult", "credit"])
    parser.add_argument("--epsilons", nargs="+", type=float, default=[0.5, 1.0, 3.0, 10.0, math.inf])
    parser.add_argument("--delta", type=float, default=1e-5)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds that a cell may take")
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="where peers are installed")
    parser.add_argument("--results", type=Path, default=RESULTS / "utility.json")
    parser.add_argument(
        "--table", action="store_true", help="print what is stored, as Markdown, and run nothing"
    )
    return parser.parse_args(arguments)


def main() -> None:
    """Run, then print the table."""
    options = read_options()
    results = Results(options.results)
    if not options.table:
        run(options, results)
    print(markdown(results.cells))


if __name__ == "__main__":
    main()
