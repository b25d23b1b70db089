"""Times of contenders that take turns, so that a busy machine slows them alike; ratios turn by turn."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Clock = Callable[[], float]
CPU: Clock = time.process_time
WALL: Clock = time.perf_counter


def summary(values: list[float]) -> dict[str, float]:
    """Median, quartiles and how many."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return {
        "median": round(float(middle), 6),
        "low": round(float(low), 6),
        "high": round(float(high), 6),
        "repeats": len(values),
    }


def timed(work: Callable[[], Any]) -> float:
    """The processor time that `work` takes."""
    started = CPU()
    work()
    return CPU() - started


def in_turns(contenders: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of each contender in each of `repeats` turns, {"cpu": ..., "wall": ...}, after one turn unseen.

    Processor time is that of all threads of this process.
    """
    taken: dict[str, dict[str, list[float]]] = {
        clock: {name: [] for name in contenders} for clock in ("cpu", "wall")
    }
    for turn in range(repeats + 1):
        for name, work in contenders.items():
            cpu, wall = CPU(), WALL()
            work()
            if turn:
                taken["cpu"][name].append(CPU() - cpu)
                taken["wall"][name].append(WALL() - wall)
    return taken


def ratio(over: list[float], under: list[float]) -> dict[str, float]:
    """The ratio of two contenders' times, taken turn by turn."""
    return summary([one / other for one, other in zip(over, under, strict=True)])


def judged(figure: Mapping[str, Any], at_most: float | None = None, at_least: float | None = None) -> Any:
    """A figure with its target, and whether its median meets it."""
    middle = figure["median"]
    if at_most is not None:
        return {**figure, "target_at_most": at_most, "met": bool(middle <= at_most)}
    assert at_least is not None
    return {**figure, "target_at_least": at_least, "met": bool(middle >= at_least)}


def child(*job: str) -> Any:
    """What `python -m benchmarks.speed.run --job JOB` prints, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.speed.run", "--job", *job]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])
