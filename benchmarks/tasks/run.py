"""What people do with a fitted model, measured on real tables.

    OMP_NUM_THREADS=1 python -m benchmarks.tasks.run
    python -m benchmarks.tasks.run --only gaps --seeds 0

Each part is stored in benchmarks/results/tasks.json as soon as it is done; a part that is run again replaces
its seeds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.environment import RESULTS, environment, store
from benchmarks.tasks import anomalies, conditions, fairness, gaps, mixing, rare

PARTS: dict[str, Callable[[int], dict[str, Any]]] = {
    "conditions": conditions.measure,
    "rare": rare.measure,
    "gaps": gaps.measure,
    "anomalies": anomalies.measure,
    "fairness": fairness.measure,
    "mixing": mixing.measure,
}


def main() -> None:
    """Measure what is asked for, print it and store it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    path = RESULTS / "tasks.json"
    parts = json.loads(path.read_text())["parts"] if path.exists() else {}
    for name in arguments.only:
        for seed in arguments.seeds:
            found = PARTS[name](seed)
            parts.setdefault(name, {})[str(seed)] = {**found, "date": environment()["date"]}
            store("tasks", {"parts": parts})
            print(json.dumps({name: found}, indent=1), flush=True)


if __name__ == "__main__":
    main()
