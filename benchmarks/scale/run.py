"""Seconds per stage and peak memory of `fit`, `sample`, `release` and `evaluate` on Adult, enlarged.

    python -m benchmarks.scale.run --millions 1 5 20 --jobs fit sample --folder /tmp

Each job runs in a process of its own, whose peak resident memory is read from the system. Stages are told
apart by the progress callbacks that the command line's bars use. Training takes a fixed number of steps of
at most 4,096 rows, so that it does not grow with the table; its loader does, and is timed apart. Judging has
fixed costs too (models and attacks on samples). What is stored is added to benchmarks/results/scale.json
size by size and job by job.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.environment import RESULTS, store
from benchmarks.scale.enlarge import SCHEMA, enlarged
from synthpriv.privacy.ledger import Budget, Ledger
from synthpriv.privacy.private_table import PrivateTable
from synthpriv.privacy.randomness import NoiseSource
from synthpriv.release.judging import judge_files
from synthpriv.release.pipeline import ReleaseRequest, run_release
from synthpriv.release.policy import Policy
from synthpriv.schema import Schema
from synthpriv.synthesizers.storage import load
from synthpriv.synthesizers.vae import VAESynthesizer
from synthpriv.tables import write_chunks

Seconds = dict[str, dict[str, float]]

PER_ROW = ("reading the table", "counting columns", "encoding rows", "sampling")
CLAIM = {"epsilon": 1.0, "delta": 1e-9}


class Clock:
    """Seconds per stage, from the moments at which a progress callback names the next one.

    On the wall and of this process's processor time, which other work on the machine does not stretch.
    """

    def __init__(self) -> None:
        self.seconds: Seconds = {"wall": {}, "cpu": {}}
        self._stage, self._since = "starting", self._now()

    @staticmethod
    def _now() -> dict[str, float]:
        return {"wall": time.perf_counter(), "cpu": time.process_time()}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Take the time of a stage that follows another."""
        stage = stage.split(",")[0]
        if stage != self._stage:
            self.stop()
            self._stage = stage

    def stop(self) -> Seconds:
        """Book what has passed to the stage that runs."""
        now = self._now()
        for kind, spent in self.seconds.items():
            passed = now[kind] - self._since[kind]
            spent[self._stage] = round(spent.get(self._stage, 0.0) + passed, 3)
        self._since = now
        return self.seconds


def fit(folder: Path, rows: int) -> Seconds:
    """Fit a VAE on a file, as the command line does, and save it."""
    clock = Clock()
    ledger = Ledger.in_memory(Budget(**CLAIM))
    private = PrivateTable.read(folder / TABLE, Schema.read(SCHEMA), ledger, progress=clock)
    VAESynthesizer(**CLAIM).fit(private, progress=clock).save(folder / "saved")
    return clock.stop()


def sample(folder: Path, rows: int) -> Seconds:
    """Sample as many rows as were fitted on into a Parquet file."""
    clock = Clock()
    fitted = load(folder / "saved")
    write_chunks(fitted.sample_chunks(rows, seed=1, progress=clock), folder / SAMPLE, fitted.schema)
    return clock.stop()


def release(folder: Path, rows: int) -> Seconds:
    """Fit, sample, judge and bundle, as the command line does."""
    clock = Clock()
    request = ReleaseRequest(
        table=folder / TABLE,
        schema=Schema.read(SCHEMA),
        synthesizer=VAESynthesizer(**CLAIM),
        out=folder / "shared",
        ledger=folder / "ledger.sqlite",
        budget=Budget(**CLAIM),
        policy=Policy.default(),
        output_format="parquet",
    )
    run_release(request, clock)
    return clock.stop()


def evaluate(folder: Path, rows: int) -> Seconds:
    """Judge the sample against the table, both read from their files."""
    clock = Clock()
    judge_files(
        folder / TABLE,
        folder / SAMPLE,
        Schema.read(SCHEMA),
        holdout=None,
        target=None,
        policy=Policy.default(),
        progress=clock,
        **CLAIM,
    )
    return clock.stop()


TABLE, SAMPLE = "adult.parquet", "sample.parquet"
JOBS: dict[str, Callable[[Path, int], Seconds]] = {
    "fit": fit,
    "sample": sample,
    "release": release,
    "evaluate": evaluate,
}


def child(job: str, folder: Path, rows: int) -> dict[str, Any]:
    """Run one job in a process of its own: its seconds per stage and its peak memory."""
    command = [sys.executable, "-m", "benchmarks.scale.run", "--job", job, str(folder), str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def poisson_milliseconds(rows: int, repeats: int = 20) -> float:
    """The median time of one step's draw of 4,096 expected rows."""
    source, times = NoiseSource(), []
    for _ in range(repeats):
        start = time.perf_counter()
        source.bernoulli_rows(rows, 4096 / rows)
        times.append(time.perf_counter() - start)
    return round(1000 * sorted(times)[repeats // 2], 3)


def measure(millions: int, jobs: list[str], parent: Path) -> dict[str, Any]:
    """The jobs on one size, in a folder that is emptied afterwards."""
    rows = millions * 1_000_000
    with tempfile.TemporaryDirectory(dir=parent) as inside:
        folder = Path(inside)
        write_chunks(enlarged(rows), folder / TABLE, Schema.read(SCHEMA))
        done: dict[str, Any] = {job: child(job, folder, rows) for job in jobs}
    cpu = {stage: spent for job in done.values() for stage, spent in job["seconds"]["cpu"].items()}
    return {
        "rows": rows,
        "columns": 15,
        **done,
        "poisson_draw_milliseconds": poisson_milliseconds(rows),
        "cpu_seconds_per_million_rows": {
            stage: round(cpu[stage] / millions, 3) for stage in PER_ROW if stage in cpu
        },
    }


def main() -> None:
    """Measure every size that is asked for, or run one job for the parent process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument("--job", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        job, folder, rows = arguments.job
        seconds = JOBS[job](Path(folder), int(rows))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({"seconds": seconds, "peak_gib": round(peak, 3)}))
        return
    path = RESULTS / "scale.json"
    sizes = json.loads(path.read_text())["sizes"] if path.exists() else {}
    for millions in arguments.millions:
        found = measure(millions, arguments.jobs, arguments.folder)
        sizes[str(millions)] = {**sizes.get(str(millions), {}), **found}
        store("scale", {"sizes": dict(sorted(sizes.items(), key=lambda item: int(item[0])))})
        print(json.dumps(sizes[str(millions)], indent=1))


if __name__ == "__main__":
    main()
