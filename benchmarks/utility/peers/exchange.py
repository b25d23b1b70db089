"""What every synthesizer under comparison is asked and answers, in files: each runs in its own environment.

A request (JSON) names the training rows, what is public about the columns, and the claim; the answer is a
CSV of synthetic rows and a report (JSON) of versions, seconds and memory. Needs nothing but pandas.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

Request = dict[str, Any]
Sample = Callable[[int], pd.DataFrame]
NUMBERS = ("integer", "float")


def numeric(request: Request) -> list[str]:
    """The columns that are numbers."""
    return [name for name, column in request["columns"].items() if column["kind"] in NUMBERS]


def read_rows(path: str | Path, request: Request) -> pd.DataFrame:
    """A CSV with numbers as numbers and everything else as the text it is."""
    numbers = numeric(request)
    texts = {name: str for name in request["columns"] if name not in numbers}
    return pd.read_csv(path, dtype=texts, keep_default_na=False, na_values={name: [""] for name in numbers})


def answer(fit: Callable[[pd.DataFrame, Request], Sample], packages: Sequence[str]) -> None:
    """Fit on the requested rows, sample as many as asked, and write both files.

    fit: gets the training rows and the request, returns what samples a number of rows.
    """
    request = json.loads(Path(sys.argv[1]).read_text())
    request["epsilon"] = float(request["epsilon"])
    train = read_rows(request["train"], request)
    wall, cpu = time.perf_counter(), time.process_time()
    sample = fit(train, request)
    fitted, cpu_fitted = time.perf_counter(), time.process_time()
    sample(request["rows"]).to_csv(request["synthetic"], index=False)
    report = {
        "fit_seconds": round(fitted - wall, 1),
        "fit_cpu_seconds": round(cpu_fitted - cpu, 1),
        "sample_seconds": round(time.perf_counter() - fitted, 1),
        "peak_memory_mib": peak_memory_mib(),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
    }
    Path(request["report"]).write_text(json.dumps(report))


def peak_memory_mib() -> int:
    """The most memory that this process has held.

    Linux's ru_maxrss starts at the parent's, so that the status file is asked first.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    [kilobytes] = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(kilobytes) // 1024
