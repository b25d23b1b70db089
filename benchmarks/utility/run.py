"""Figures of every synthesizer on real tables: one table, stored as JSON with the environment it ran in.

    python -m benchmarks.utility.run --datasets adult credit --synthesizers vae ctgan independent \\
        --epsilons 1 3 10 --seeds 3

All-in epsilon, the same split for all (a quarter held out, by seed), the project's own judge. A cell that
is already in the results file is not run again, so that an interrupted run resumes.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.environment import environment
from synthpriv.evaluation.disclosed import Disclosed
from synthpriv.evaluation.scorecard import evaluate
from synthpriv.schema import Schema
from synthpriv.synthesizers.storage import SYNTHESIZERS
from synthpriv.tables import conform, read_table

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "utility.json"
FIGURES = ("fidelity.tvd1", "fidelity.tvd2", "fidelity.association", "utility.auc")


def split(dataset: str, seed: int) -> tuple[Schema, pd.DataFrame, pd.DataFrame]:
    """Schema, training rows and held-out rows (a quarter)."""
    schema = Schema.read(ROOT / "datasets" / f"{dataset}.toml")
    frame, _ = conform(read_table(ROOT / "datasets" / f"{dataset}.csv.gz", schema), schema)
    order = np.random.default_rng(seed).permutation(len(frame))
    cut = len(frame) * 3 // 4
    return (
        schema,
        frame.iloc[order[:cut]].reset_index(drop=True),
        frame.iloc[order[cut:]].reset_index(drop=True),
    )


def run_cell(dataset: str, synthesizer: str, epsilon: float, delta: float, seed: int) -> dict[str, Any]:
    """One fit and its figures."""
    schema, train, holdout = split(dataset, seed)
    start = time.perf_counter()
    fitted = SYNTHESIZERS[synthesizer](epsilon=epsilon, delta=delta).fit(train, schema)
    fit_seconds = time.perf_counter() - start
    synthetic = fitted.sample(len(train))
    disclosed = Disclosed(schema=schema, train=train, holdout=holdout, epsilon=epsilon, delta=delta)
    scorecard = evaluate(synthetic, disclosed)
    estimates = {name: scorecard.estimates[name] for name in FIGURES}
    return {
        "dataset": dataset,
        "synthesizer": synthesizer,
        "epsilon": "inf" if math.isinf(epsilon) else epsilon,
        "delta": delta,
        "seed": seed,
        "fit_seconds": round(fit_seconds, 1),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "figures": {name: round(estimate.value, 5) for name, estimate in estimates.items()},
        "controls": {
            name: {control: round(value, 5) for control, value in estimate.controls.items()}
            for name, estimate in estimates.items()
        },
    }


def identity(cell: dict[str, Any]) -> tuple[Any, ...]:
    """What makes two cells the same experiment."""
    return tuple(cell[key] for key in ("dataset", "synthesizer", "epsilon", "delta", "seed"))


def wanted(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every cell of the table that was asked for."""
    for seed in range(options.seeds):
        for dataset in options.datasets:
            for epsilon in options.epsilons:
                for synthesizer in options.synthesizers:
                    yield {
                        "dataset": dataset,
                        "synthesizer": synthesizer,
                        "epsilon": epsilon,
                        "delta": options.delta,
                        "seed": seed,
                    }


def print_table(cells: list[dict[str, Any]]) -> None:
    """Means over seeds, beside real rows and independent columns."""
    print(
        f"{'dataset':8} {'synthesizer':12} {'epsilon':>7} {'seeds':>5} "
        f"{'tvd1':>7} {'tvd2':>7} {'auc':>6} {'fit s':>6}"
    )
    for key in sorted({identity(cell)[:3] for cell in cells}, key=str):
        same = [cell for cell in cells if identity(cell)[:3] == key]
        figures = {name: mean(cell["figures"][name] for cell in same) for name in FIGURES}
        seconds = mean(cell["fit_seconds"] for cell in same)
        print(
            f"{key[0]:8} {key[1]:12} {key[2]!s:>7} {len(same):>5} {figures['fidelity.tvd1']:>7.4f} "
            f"{figures['fidelity.tvd2']:>7.4f} {figures['utility.auc']:>6.3f} {seconds:>6.0f}"
        )


def main() -> None:
    """Run what is missing, store after every cell, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", nargs="+", default=["adult", "credit"])
    parser.add_argument("--synthesizers", nargs="+", default=list(SYNTHESIZERS))
    parser.add_argument("--epsilons", nargs="+", type=float, default=[1.0, 3.0, 10.0])
    parser.add_argument("--delta", type=float, default=1e-6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    stored = json.loads(options.results.read_text()) if options.results.exists() else {"cells": []}
    done = {identity(cell) for cell in stored["cells"]}
    for cell in wanted(options):
        if (
            *identity(cell)[:2],
            "inf" if math.isinf(cell["epsilon"]) else cell["epsilon"],
            *identity(cell)[3:],
        ) in done:
            continue
        stored["cells"].append(run_cell(**cell))
        stored["environment"] = environment()
        options.results.write_text(json.dumps(stored, indent=1) + "\n")
    print_table(stored["cells"])


if __name__ == "__main__":
    main()
