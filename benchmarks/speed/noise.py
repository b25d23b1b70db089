"""What privacy noise costs: per normal, as a share of a DP-SGD step, and for a histogram of a million cells.

Times are processor times; the share of a step is taken within each run, of both threads together.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from randomgen import AESCounter, ChaCha
from torch.nn import functional

from benchmarks.speed.timing import summary, timed
from synthpriv.privacy.dpsgd import train_private
from synthpriv.privacy.dpsgd_plan import DPSGDPlan, Optimization
from synthpriv.privacy.mechanisms import noisy_counts
from synthpriv.privacy.randomness import NoiseSource
from synthpriv.synthesizers.networks import Discriminator, initialise

NORMALS = 100_000
SIZES = [16] * 14 + [2]  # the columns of a table such as Adult
HIDDEN = (256, 160)  # with these sizes, 100 thousand parameters
TARGETS = {2048: 0.25, 8192: 0.10}
HISTOGRAM_TARGET = 20.0


class Watched(NoiseSource):
    """A noise source that adds up the time its normals take."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def gaussian(self, *arguments: Any, **options: Any) -> Any:
        started = time.thread_time()
        drawn = super().gaussian(*arguments, **options)
        self.seconds += time.thread_time() - started
        return drawn


def cost_of_a_normal(repeats: int = 60) -> dict[str, Any]:
    """Nanoseconds per normal of the noise source (four draws), and of single draws of other generators."""
    source = NoiseSource()
    chacha = np.random.Generator(ChaCha(key=secrets.randbits(256), rounds=20))  # type: ignore[arg-type]
    aes = np.random.Generator(AESCounter(key=secrets.randbits(128)))  # type: ignore[arg-type]
    philox = np.random.Generator(np.random.Philox(secrets.randbits(128)))
    contenders: dict[str, Callable[[], Any]] = {
        "noise_source": lambda: source.gaussian(NORMALS, 1.0),
        "aes_single_draw": lambda: aes.standard_normal(NORMALS),
        "chacha20_single_draw": lambda: chacha.standard_normal(NORMALS),
        "philox_single_draw": lambda: philox.standard_normal(NORMALS),
    }
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, work in contenders.items():
            taken[name].append(timed(work) / NORMALS * 1e9)
    return {"nanoseconds_per_normal": {name: summary(values) for name, values in taken.items()}}


def small_network() -> Discriminator:
    """A network of about 100 thousand parameters."""
    network = Discriminator(SIZES, HIDDEN)
    initialise(network, torch.Generator().manual_seed(0))
    return network


def share_of_steps(batch: int, steps: int = 6) -> tuple[float, float]:
    """The share of the noise in a run of DP-SGD steps, and the seconds of one step."""
    rng = np.random.default_rng(0)
    codes = np.column_stack([rng.integers(0, size, 4 * batch) for size in SIZES]).astype(np.int16)
    network, source = small_network(), Watched()
    plan = DPSGDPlan(
        noise_multiplier=1.0, max_grad_norm=1.0, sample_rate=0.25, steps=steps, expected_batch=batch
    )
    arguments = (codes, np.arange(len(codes)), 1, plan, Optimization(), source)
    taken = timed(lambda: train_private(network, lambda c: functional.softplus(-network(c)), *arguments))
    return source.seconds / taken, taken / steps


def cost_in_a_step(repeats: int = 15) -> dict[str, Any]:
    """The noise's share of a step at each batch size, batches taking turns."""
    for batch in TARGETS:
        share_of_steps(batch, steps=2)
    runs: dict[int, list[tuple[float, float]]] = {batch: [] for batch in TARGETS}
    for _ in range(repeats):
        for batch, found in runs.items():
            found.append(share_of_steps(batch))
    return {
        "parameters": sum(p.numel() for p in small_network().parameters()),
        "share_of_a_step": {
            str(batch): {
                **summary([share for share, _ in found]),
                "target_at_most": TARGETS[batch],
                "met": bool(np.median([share for share, _ in found]) <= TARGETS[batch]),
                "seconds_per_step": summary([seconds for _, seconds in found]),
            }
            for batch, found in runs.items()
        },
    }


def cost_of_a_histogram(cells: int = 10**6, repeats: int = 3) -> dict[str, Any]:
    """Seconds for the discrete noise of a million cells, with a caller that watches progress."""
    exact = np.zeros(cells, dtype=np.int64)
    calls: list[tuple[int, int]] = []
    taken = [
        timed(lambda: noisy_counts(exact, 50.0, lambda done, total: calls.append((done, total))))
        for _ in range(repeats)
    ]
    assert calls[-1] == (cells, cells)
    return {
        "histogram_of_a_million_cells": {
            "seconds": summary(taken),
            "target_at_most": HISTOGRAM_TARGET,
            "met": bool(np.median(taken) <= HISTOGRAM_TARGET),
            "progress_calls_per_run": len(calls) // repeats,
        }
    }


def measure(repeats: int = 15) -> dict[str, Any]:
    """Every figure of this file."""
    return {**cost_of_a_normal(4 * repeats), **cost_in_a_step(repeats), **cost_of_a_histogram()}
