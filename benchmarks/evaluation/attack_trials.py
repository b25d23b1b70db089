"""Whether the membership attacks catch leaky tables and leave harmless ones alone, on real data.

    python -m benchmarks.evaluation.attack_trials --data adult credit --trials 40

adds to results/attack_trials.json. Harmless tables are judged in many trials, each with another split of the
rows; leaky ones once.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.environment import RESULTS, store
from benchmarks.evaluation.overfitted import overfitted
from synthpriv.evaluation.attacks import judge_attacks
from synthpriv.evaluation.cells import Cells, Tables, is_numeric, read_cells
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.findings import Findings
from synthpriv.schema import Schema

DATASETS = Path(__file__).parents[2] / "datasets"
EPSILON, DELTA = 1.0, 1e-5
EPOCHS = {"adult": 600, "credit": 400}
VAE_ROWS = 1_000
NOISE = 0.02
RESAMPLED = 0.05

Make = Callable[[Cells, Cells, np.random.Generator], Cells]
HARMLESS: Mapping[str, Make] = {
    "fresh real rows": lambda train, fresh, rng: fresh,
    "independent columns of the training rows": lambda train, fresh, rng: train.shuffled(rng),
}


def jittered(train: Cells, rng: np.random.Generator, share: float, declared: bool) -> Cells:
    """Numbers moved by normal noise of a share of their declared range, or of that of the middle 90%.

    RESAMPLED of the categories become another row's.
    """
    moved = train.positions.copy()
    for at, column in enumerate(train.columns):
        positions = train.positions[:, at]
        if is_numeric(column):
            width = column.size - 1 if declared else float(np.ptp(np.quantile(positions, [0.05, 0.95])))
            noise = rng.normal(0, share * width, len(train))
            moved[:, at] = np.clip(np.round(positions + noise), 0, column.size - 1)
        else:
            other = rng.random(len(train)) < RESAMPLED
            moved[other, at] = positions[rng.permutation(len(train))][other]
    return replace(train, positions=moved)


LEAKY: Mapping[str, Make] = {
    "training rows": lambda train, fresh, rng: train,
    "jitter: 1% of the declared range": lambda train, fresh, rng: jittered(train, rng, 0.01, True),
    "jitter: 2% of the declared range": lambda train, fresh, rng: jittered(train, rng, 0.02, True),
    "jitter: 3% of the middle 90%": lambda train, fresh, rng: jittered(train, rng, 0.03, False),
    "jitter: 5% of the middle 90%": lambda train, fresh, rng: jittered(train, rng, 0.05, False),
}


def splits(name: str, rows: int, seed: int) -> Iterator[Cells]:
    """Training rows, twice as many of holdout, and fresh ones; of one table without missing values."""
    schema = Schema.read(DATASETS / f"{name}.toml")
    table = pd.read_csv(DATASETS / f"{name}.csv.gz", keep_default_na=False)
    table = table.sample(n=4 * rows, random_state=seed)
    for start, end in ((0, rows), (rows, 3 * rows), (3 * rows, 4 * rows)):
        yield read_cells(table.iloc[start:end], schema)


def judged(train: Cells, holdout: Cells, made: Cells, seed: int, effort: Effort) -> dict[str, Any]:
    """The areas of all attacks and the processor seconds."""
    start = time.process_time()
    tables = Tables(synthetic=made, train=train, holdout=holdout)
    found: Findings = judge_attacks(tables, EPSILON, DELTA, seed, effort)
    areas = {
        name.split(".")[1]: [round(one.value, 4), round(one.low, 4)]
        for name, one in found.estimates.items()
        if name.endswith(".auc")
    }
    return {"cpu_seconds": round(time.process_time() - start, 1), "value_and_low": areas}


def trials(name: str, kind: str, count: int, rows: int, effort: Effort) -> dict[str, Any]:
    """Harmless tables in seeded trials: how often the strongest attack's lower bound accuses them."""
    results = []
    for seed in range(count):
        train, holdout, fresh = splits(name, rows, seed)
        made = HARMLESS[kind](train, fresh, np.random.default_rng(seed))
        results.append(judged(train, holdout, made, seed, effort)["value_and_low"])
    lows = np.array([one["strongest"][1] for one in results])
    found = {
        "trials": count,
        "rows": rows,
        "lower_bound_above_half": int((lows > 0.5).sum()),
        f"lower_bound_above_half_and_{NOISE}": int((lows > 0.5 + NOISE).sum()),
        "highest_lower_bound": float(lows.max()),
        "mean_auc": {
            attack: round(float(np.mean([one[attack][0] for one in results])), 4) for attack in results[0]
        },
        "strongest_lower_bounds": lows.tolist(),
    }
    print(name, kind, {key: found[key] for key in list(found)[:5]}, flush=True)
    return found


def leaks(name: str, rows: int, effort: Effort) -> dict[str, Any]:
    """Every leaky table, once."""
    train, holdout, fresh = splits(name, rows, 0)
    found = {}
    for kind, make in LEAKY.items():
        made = make(train, fresh, np.random.default_rng(0))
        found[kind] = {"rows": rows, **judged(train, holdout, made, 0, effort)}
        print(name, kind, found[kind], flush=True)
    few = train.take(np.arange(VAE_ROWS))
    made = overfitted(few, 3 * VAE_ROWS, EPOCHS[name], seed=0)
    kind = "over-fitted VAE without privacy"
    found[kind] = {"rows": VAE_ROWS, "epochs": EPOCHS[name], **judged(few, holdout, made, 0, effort)}
    print(name, kind, found[kind], flush=True)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all trials and store their results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", default=["adult", "credit"])
    parser.add_argument("--parts", nargs="+", default=["leaky", *HARMLESS], choices=["leaky", *HARMLESS])
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--rows", type=int, default=1_500)
    options = parser.parse_args(arguments)
    for name in options.data:
        for part in options.parts:
            if part == "leaky":
                result = leaks(name, options.rows, Effort.standard)
            else:
                result = trials(name, part, options.trials, options.rows, Effort.quick)
            add(name, part, result)


def add(name: str, part: str, result: Mapping[str, Any]) -> None:
    """Store one more result beside those that are there."""
    path = RESULTS / "attack_trials.json"
    found = json.loads(path.read_text())["data"] if path.exists() else {}
    found.setdefault(name, {})[part] = result
    store("attack_trials", {"claim": {"epsilon": EPSILON, "delta": DELTA}, "data": found})


if __name__ == "__main__":
    main()
