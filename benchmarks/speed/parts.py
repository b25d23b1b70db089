"""The parts of the speed benchmark; each returns plain values with the targets that they are held to."""

from __future__ import annotations

import gc
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from benchmarks.speed import contenders, noise
from benchmarks.speed.timing import CPU, WALL, child, in_turns, judged, ratio, summary
from synthpriv.privacy.column_store import CodeMatrix
from synthpriv.privacy.dpsgd import clipped_sums
from synthpriv.privacy.layers import CodeLinear, supported_layers
from synthpriv.privacy.randomness import NoiseSource
from synthpriv.schema import Schema
from synthpriv.synthesizers.ctgan import CTGANSynthesizer
from synthpriv.synthesizers.vae import VAESynthesizer

DATA = Path(__file__).parents[2] / "datasets"
ADULT_ROWS = 36_631
STEPS = {256: 40, 1024: 12, 2048: 6, 4096: 4, 8192: 2}
CODE_SHAPES = ((42, 600, 4096, 0.9), (42, 5000, 4096, 0.25), (100, 20_000, 2048, 0.25))
SYNTHESIZERS = {"vae": VAESynthesizer, "ctgan": CTGANSynthesizer}


def steps(repeats: int) -> dict[str, Any]:
    """Our step over a plain one, by batch size and width, on the wall and in processor time."""
    found: dict[str, Any] = {}
    for width in (256, 128):
        for batch, count in STEPS.items():
            taken = in_turns(
                {
                    "ours": contenders.ours(width, batch, count),
                    "plain": contenders.plain(width, batch, count),
                    "plain, fused Adam": contenders.plain(width, batch, count, fused=True),
                },
                repeats,
            )
            target = 1.5 if batch == 256 else 1.25
            found[f"width {width}, batch {batch}"] = {
                f"{clock}, over {other}": judged(ratio(taken[clock]["ours"], taken[clock][other]), target)
                for clock in ("wall", "cpu")
                for other in ("plain", "plain, fused Adam")
            } | {"plain milliseconds": summary([1000 * t / count for t in taken["cpu"]["plain"]])}
    return {"step over plain": found}


def opacus(repeats: int) -> dict[str, Any]:
    """How many times as long Opacus's steps take as ours at batch 2048, its stock loader included."""
    taken = in_turns(
        {
            "ours": contenders.ours(256, 2048, 4),
            "ghost": contenders.opacus("ghost", 256, 2048, 4),
            "hooks": contenders.opacus("hooks", 256, 2048, 1),
        },
        max(3, repeats // 2),
    )
    hooks = {clock: [4 * t for t in taken[clock]["hooks"]] for clock in taken}
    return {
        "opacus over ours, batch 2048": {
            "ghost, cpu": judged(ratio(taken["cpu"]["ghost"], taken["cpu"]["ours"]), at_least=2.0),
            "ghost, wall": judged(ratio(taken["wall"]["ghost"], taken["wall"]["ours"]), at_least=2.0),
            "hooks, cpu": judged(ratio(hooks["cpu"], taken["cpu"]["ours"]), at_least=30.0),
            "hooks, wall": judged(ratio(hooks["wall"], taken["wall"]["ours"]), at_least=30.0),
        }
    }


def loader(repeats: int, rows: int = 1_000_000, batch: int = 4096, count: int = 4) -> dict[str, Any]:
    """The share of a step that drawing rows and gathering their codes from a mapped file takes."""
    codes = contenders.random_codes(rows, 42, 600)
    mapped = CodeMatrix(rows, 42, 600 // 42, memory_limit=0)
    mapped.append(codes)
    source = NoiseSource()

    def load() -> None:
        for _ in range(count):
            mapped[source.bernoulli_rows(rows, batch / rows)].astype(np.int64)

    taken = in_turns({"load": load, "step": contenders.ours_on_codes(mapped, 588, batch, count)}, repeats)
    shares = ratio(taken["cpu"]["load"], taken["cpu"]["step"])
    return {"loader share of a step, a million rows": judged(shares, 0.03)}


def memory(_: int) -> dict[str, Any]:
    """Peak memory of a step beyond what stood before, ours over plain, each in a process of its own."""
    found = {}
    for batch in (1024, 4096, 8192):
        mine, others = (child("memory", name, str(batch)) for name in ("ours", "plain"))
        found[f"batch {batch}"] = {
            "ours MiB": mine,
            "plain MiB": others,
            "ratio": judged(summary([mine / others]), 2.0),
        }
    return {"peak extra memory": found}


def memory_job(name: str, batch: str) -> float:
    """MiB that three steps take at their peak beyond a warm process."""
    make: Callable[[int, int, int], contenders.Run] = getattr(contenders, name)
    make(256, 16, 2)()
    run = make(256, int(batch), 3)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from here
    before = _status("VmRSS")
    run()
    return round((_status("VmHWM") - before) / 1024, 1)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def codes(repeats: int) -> dict[str, Any]:
    """A private step on codes over a plain step on dense one-hot rows, and how equal the two sums are."""
    found: dict[str, Any] = {}
    for columns, cells, batch, target in CODE_SHAPES:
        table = contenders.random_codes(2 * batch, columns, cells)
        taken = in_turns(
            {
                "ours": contenders.ours_on_codes(table, cells, batch, 2),
                "plain": contenders.plain_on_one_hot(table, cells, batch, 2),
            },
            max(3, repeats // 2),
        )
        found[f"{columns} columns, {cells} cells, batch {batch}"] = {
            "cpu": judged(ratio(taken["cpu"]["ours"], taken["cpu"]["plain"]), target),
            "wall": judged(ratio(taken["wall"]["ours"], taken["wall"]["plain"]), target),
            "largest difference of the sums, relative": _difference(table, cells),
        }
    return {"private on codes over plain on one-hot": found}


def _difference(table: Any, cells: int) -> float:
    """Of the clipped sums on codes and on one-hot rows, the largest difference over the largest entry."""
    columns, width = table.shape[1], 256
    sizes = [cells // columns] * columns
    coded = contenders.perceptron((1, width, 1), CodeLinear(sizes, width))
    dense = contenders.perceptron((sum(sizes), width, 1))
    state = dict(coded.state_dict())
    state.pop("0.offsets")
    dense.load_state_dict({**state, "0.weight": state["0.weight"].t()})
    batch = torch.from_numpy(table[:512].astype(np.int64))
    hot = torch.zeros(512, sum(sizes)).scatter_(1, batch + torch.arange(columns) * sizes[0], 1.0)
    found = clipped_sums(
        supported_layers(coded), lambda rows: functional.softplus(coded(rows).squeeze(1)), batch, 0.1
    )
    expected = clipped_sums(
        supported_layers(dense), lambda rows: functional.softplus(dense(hot).squeeze(1)), batch, 0.1
    )
    expected[0] = expected[0].t()
    largest = max(float(part.abs().max()) for part in expected)
    return max(float((a - b).abs().max()) / largest for a, b in zip(found, expected, strict=True))


def fits(repeats: int) -> dict[str, Any]:
    """Seconds of a whole fit on Adult at default settings, calibration included, two cores."""
    found: dict[str, Any] = {}
    for name in SYNTHESIZERS:
        runs = [child("fit", name) for _ in range(min(3, repeats))]
        found[name] = {
            "wall seconds": judged(summary([run["wall"] for run in runs]), 60.0),
            "cpu seconds": summary([run["cpu"] for run in runs]),
        }
    return {"fit on Adult": found}


def fit_job(name: str) -> dict[str, float]:
    """One fit, with as many threads as there are cores."""
    torch.set_num_threads(os.cpu_count() or 1)
    frame = pd.read_csv(DATA / "adult.csv.gz").iloc[:ADULT_ROWS]
    schema = Schema.read(DATA / "adult.toml")
    wall, cpu = WALL(), CPU()
    SYNTHESIZERS[name](epsilon=3.0, delta=1e-6).fit(frame, schema, rows=ADULT_ROWS)
    return {"wall": round(WALL() - wall, 2), "cpu": round(CPU() - cpu, 2)}


def scaling(repeats: int) -> dict[str, Any]:
    """Milliseconds of a private step on codes as rows, columns and categories grow; batch 2048."""
    shapes = {
        **{f"{rows:,} rows": (rows, 15, 210) for rows in (36_000, 1_000_000, 5_000_000)},
        **{f"{columns} columns of 14 cells": (36_000, columns, 14 * columns) for columns in (10, 40, 160)},
        **{f"40 columns of {size} cells": (36_000, 40, 40 * size) for size in (14, 56, 224)},
    }
    runs = {
        name: contenders.ours_on_codes(contenders.random_codes(rows, columns, cells), cells, 2048, 2)
        for name, (rows, columns, cells) in shapes.items()
    }
    taken = in_turns(runs, repeats)["cpu"]
    return {
        "milliseconds of a private step": {
            name: summary([500 * seconds for seconds in found]) for name, found in taken.items()
        }
    }


def calibration(repeats: int) -> dict[str, Any]:
    """Seconds to plan a fit on Adult: the encoder's noise and that of DP-SGD on the joint loss."""
    schema = Schema.read(DATA / "adult.toml")

    def plan(name: str) -> float:
        started = CPU()
        SYNTHESIZERS[name](epsilon=3.0, delta=1e-6).plan(schema, rows=ADULT_ROWS)
        return CPU() - started

    times = {name: summary([plan(name) for _ in range(min(3, repeats))]) for name in SYNTHESIZERS}
    return {"seconds to calibrate the noise": times}


def imports(repeats: int) -> dict[str, Any]:
    """Wall seconds of `import synthpriv` (beyond an empty interpreter) and of `synthpriv --help` (in all)."""
    jobs = {
        "nothing": ["-c", "pass"],
        "import": ["-c", "import synthpriv"],
        "help": ["-c", "from synthpriv.cli import main; main()", "--help"],
    }
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(repeats + 1):
        for name, arguments in jobs.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
            if turn:
                taken[name].append(time.perf_counter() - started)
    beyond = [max(0.0, a - b) for a, b in zip(taken["import"], taken["nothing"], strict=True)]
    return {
        "seconds to start": {
            "import synthpriv": judged(summary(beyond), 0.5),
            "synthpriv --help": judged(summary(taken["help"]), 0.7),
        }
    }


def privacy_noise(repeats: int) -> dict[str, Any]:
    """What the noise costs: `benchmarks.speed.noise`."""
    return {"noise": noise.measure(repeats)}


PARTS: dict[str, Callable[[int], dict[str, Any]]] = {
    "steps": steps,
    "opacus": opacus,
    "loader": loader,
    "memory": memory,
    "codes": codes,
    "fits": fits,
    "scaling": scaling,
    "calibration": calibration,
    "imports": imports,
    "noise": privacy_noise,
}
JOBS: dict[str, Callable[..., Any]] = {"memory": memory_job, "fit": fit_job}


def run_job(name: str, *arguments: str) -> str:
    """One job's result as JSON, for the process that asked for it."""
    result = JOBS[name](*arguments)
    assert not isinstance(result, float) or math.isfinite(result)
    return json.dumps(result)
