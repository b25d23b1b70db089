"""Seconds per stage and peak memory of `fit` and `sample` on Adult enlarged to millions of rows.

    python -m benchmarks.scale.run --millions 1 5 20 --folder /tmp

Each fit and each sample runs in a process of its own, whose peak resident memory is read from the system.
Stages are told apart by the progress callbacks that the command line's bars use. Training takes a fixed
number of steps of at most 4,096 rows, so that it does not grow with the table; its loader does, and is
timed apart. What is stored is added to benchmarks/results/scale.json size by size.
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
from synthpriv.schema import Schema
from synthpriv.synthesizers.storage import load
from synthpriv.synthesizers.vae import VAESynthesizer
from synthpriv.tables import write_chunks

Seconds = dict[str, dict[str, float]]

PER_ROW = ("reading the table", "counting columns", "encoding rows", "sampling")


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


def fit(table: Path, out: Path, rows: int) -> Seconds:
    """Fit a VAE on a file, as the command line does, and save it."""
    clock = Clock()
    ledger = Ledger.in_memory(Budget(epsilon=1.0, delta=1e-9))
    private = PrivateTable.read(table, Schema.read(SCHEMA), ledger, progress=clock)
    VAESynthesizer(epsilon=1.0, delta=1e-9).fit(private, progress=clock).save(out)
    return clock.stop()


def sample(saved: Path, out: Path, rows: int) -> Seconds:
    """Sample as many rows as were fitted on into a Parquet file."""
    clock = Clock()
    fitted = load(saved)
    write_chunks(fitted.sample_chunks(rows, seed=1, progress=clock), out, fitted.schema)
    return clock.stop()


JOBS: dict[str, Callable[[Path, Path, int], Seconds]] = {"fit": fit, "sample": sample}


def child(job: str, source: Path, out: Path, rows: int) -> dict[str, Any]:
    """Run one job in a process of its own: its seconds per stage and its peak memory."""
    command = [sys.executable, "-m", "benchmarks.scale.run", "--job", job, str(source), str(out), str(rows)]
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


def measure(millions: int, folder: Path) -> dict[str, Any]:
    """Both jobs on one size, in a folder that is emptied afterwards."""
    rows = millions * 1_000_000
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        table, saved, out = (Path(inside) / name for name in ("adult.parquet", "saved", "sample.parquet"))
        write_chunks(enlarged(rows), table, Schema.read(SCHEMA))
        jobs = {"fit": child("fit", table, saved, rows), "sample": child("sample", saved, out, rows)}
    cpu = jobs["fit"]["seconds"]["cpu"] | jobs["sample"]["seconds"]["cpu"]
    return {
        "rows": rows,
        "columns": 15,
        **jobs,
        "poisson_draw_milliseconds": poisson_milliseconds(rows),
        "cpu_seconds_per_million_rows": {stage: round(cpu[stage] / millions, 3) for stage in PER_ROW},
    }


def main() -> None:
    """Measure every size that is asked for, or run one job for the parent process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--job", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        job, source, out, rows = arguments.job
        seconds = JOBS[job](Path(source), Path(out), int(rows))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({"seconds": seconds, "peak_gib": round(peak, 3)}))
        return
    path = RESULTS / "scale.json"
    sizes = json.loads(path.read_text())["sizes"] if path.exists() else {}
    for millions in arguments.millions:
        sizes[str(millions)] = measure(millions, arguments.folder)
        store("scale", {"sizes": dict(sorted(sizes.items(), key=lambda item: int(item[0])))})
        print(json.dumps(sizes[str(millions)], indent=1))


if __name__ == "__main__":
    main()
