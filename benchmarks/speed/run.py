"""What privacy costs in time and memory, as ratios within one run, held to stated targets.

    OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive python -m benchmarks.speed.run
    python -m benchmarks.speed.run --only steps codes

Contenders take turns, and a ratio is taken turn by turn; figures are medians with quartiles. torch has one
thread (two for whole fits). Processor times add up all threads, the noise's included; wall times are what a
user waits, and are to be read beside the load that is stored with them. What is measured is added to
benchmarks/results/speed.json part by part.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from benchmarks.environment import RESULTS, environment, store
from benchmarks.speed.parts import PARTS, run_job


def table(figures: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Every figure of nested results as a name and a line: median (quartiles), target and verdict."""
    for name, value in figures.items():
        here = (*path, name)
        if isinstance(value, Mapping) and "median" in value:
            line = f"{value['median']:10.3g}  ({value['low']:.3g} to {value['high']:.3g})"
            for word in ("at_most", "at_least"):
                if f"target_{word}" in value:
                    verdict = "met" if value["met"] else "MISSED"
                    line += f"  {word.replace('_', ' ')} {value[f'target_{word}']:g}: {verdict}"
            yield ": ".join(here), line
        elif isinstance(value, Mapping):
            yield from table(value, here)
        elif isinstance(value, float | int):
            yield ": ".join(here), f"{value:10.3g}"


def main() -> None:
    """Measure what is asked for, print it and store it; or run one job for the parent process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--job", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.job:
        print(run_job(*arguments.job))
        return
    path = RESULTS / "speed.json"
    parts = json.loads(path.read_text())["parts"] if path.exists() else {}
    for name in arguments.only:
        figures = PARTS[name](arguments.repeats)
        parts[name] = {**figures, "date": environment()["date"], "load": round(os.getloadavg()[0], 2)}
        store("speed", {"parts": {part: parts[part] for part in PARTS if part in parts}})
        for label, line in table(figures):
            print(f"{label:<86}{line}", flush=True)


if __name__ == "__main__":
    main()
