"""What each of two processes does and sees, written to a file of its own; test_processes runs it."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from synthpriv.encoding.partition import first_partition
from synthpriv.errors import SynthprivError
from synthpriv.privacy.dpsgd import train_private
from synthpriv.privacy.dpsgd_plan import DPSGDPlan, Optimization
from synthpriv.privacy.layers import CodeLinear
from synthpriv.privacy.ledger import Budget, Ledger
from synthpriv.privacy.private_table import PrivateTable
from synthpriv.privacy.processes import team
from synthpriv.privacy.randomness import NoiseSource
from synthpriv.schema import Boolean, Categorical, Identifier, Integer, Schema
from synthpriv.synthesizers.vae import VAESynthesizer

NOISE = DPSGDPlan(noise_multiplier=1.3, max_grad_norm=0.7, sample_rate=1e-12, steps=1, expected_batch=10.0)
EXACT = DPSGDPlan(noise_multiplier=0.0, max_grad_norm=0.5, sample_rate=1.0, steps=4, expected_batch=96.0)
SAMPLED = DPSGDPlan(noise_multiplier=0.02, max_grad_norm=1.0, sample_rate=0.3, steps=60, expected_batch=600.0)
CELLS = 2000
VISITS = Schema(
    columns={
        "person": Identifier(pattern=r"P[0-9]{3}"),
        "ward": Categorical(categories=list("abcd")),
        "age": Integer(lower=0, upper=90),
        "insured": Boolean(),
    },
    targets=["insured"],
    privacy_unit="person",
    max_rows_per_unit=3,
)


def visits() -> pd.DataFrame:
    """700 visits of up to 200 people, at most 3 of each kept."""
    rng = np.random.default_rng(5)
    person = [f"P{k:03d}" for k in rng.integers(0, 200, 700)]
    return pd.DataFrame(
        {
            "person": person,
            "ward": rng.choice(list("abcd"), 700),
            "age": rng.integers(0, 90, 700),
            "insured": rng.random(700) < 0.7,
        }
    )


def gradients(
    module: nn.Module, codes: Any, plan: DPSGDPlan, row_loss: Callable[[torch.Tensor], torch.Tensor]
) -> tuple[np.ndarray, list[str]]:
    """Each step's noisy sum (shape (steps, parameters)) and a digest of the weights after it."""
    sums, digests = [], []
    parameters = list(module.parameters())

    def after_step(step: int) -> None:
        sums.append(np.concatenate([p.grad.flatten().numpy() for p in parameters]) * plan.expected_batch)
        digests.append(hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in parameters)).hexdigest())

    optimization = Optimization(average=0.0)
    train_private(module, row_loss, codes, None, 1, plan, optimization, NoiseSource(), after_step)
    return np.array(sums), digests


def only_noise() -> tuple[np.ndarray, list[str]]:
    """200,200 draws of one noisy step on nothing."""
    module = nn.Linear(200, 1000)
    return gradients(module, np.zeros((4, 1), dtype=np.int64), NOISE, lambda codes: module.bias[codes[:, 0]])


def exact_sums(rank: int, size: int) -> tuple[np.ndarray, list[str]]:
    """Every row at every step, no noise: this process's share of 96 rows."""
    weights = torch.Generator().manual_seed(3)
    first, last = CodeLinear([7, 5, 3], 8), nn.Linear(8, 3)
    module = nn.Sequential(first, nn.Tanh(), last)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, generator=weights) * (1 + rank))  # the lead's must win
    codes = np.random.default_rng(4).integers(0, [7, 5, 3], (96, 3))[rank::size]
    return gradients(module, codes, EXACT, lambda rows: module(rows).square().sum(1))


def sampled_sums(rank: int, size: int) -> tuple[np.ndarray, list[str]]:
    """Row j's gradient is 0.5 on cell j and on the bias: each cell shows whether its row was drawn."""
    module = CodeLinear([CELLS], 1)
    codes = np.arange(CELLS)[rank::size, None]
    return gradients(module, codes, SAMPLED, lambda rows: module(rows)[:, 0] / 2)


def refused(work: Callable[[], object]) -> list[str]:
    """The kind and the words of the error that `work` must raise."""
    try:
        work()
    except SynthprivError as error:
        return [type(error).__name__, str(error)]
    return ["nothing", ""]


def of_a_table(folder: Path, rank: int) -> dict[str, Any]:
    """Counting, charging and refusing, with each unit in one process."""
    ledger = Ledger.open(folder / "visits.sqlite", dataset="visits", budget=Budget(epsilon=9.0, delta=1e-4))
    table = PrivateTable(visits(), VISITS, ledger, holdout=0.25)
    free = PrivateTable(visits(), VISITS, Ledger.in_memory(Budget(epsilon=float("inf"), delta=0.0)))
    release = free.ledger.open_release("exact", epsilon=float("inf"))
    partitions = {name: first_partition(column) for name, column in VISITS.modelled.items()}
    counted = free.histograms(release, "exact", partitions, dict.fromkeys(partitions, 0.0))
    tiny = PrivateTable(visits()[:1], VISITS, Ledger.in_memory(Budget(epsilon=float("inf"), delta=0.0)))
    lone = tiny.histograms(
        tiny.ledger.open_release("lone", epsilon=float("inf")),
        "lone",
        partitions,
        dict.fromkeys(partitions, 0.0),
    )
    foreign = visits() if rank == 0 else visits().assign(age=lambda t: (t["age"] + 1) % 90)
    lacking = visits() if rank == 0 else visits().drop(columns="age")
    fitted = VAESynthesizer(
        epsilon=3.0, delta=1e-5, epochs=2, batch_size=64, device="cpu", components=8, steps=6, most_noise=1e9
    ).fit(table)
    fitted.save(folder / "visits.synth")
    own = free._PrivateTable__own  # type: ignore[attr-defined]
    [(_, columns)] = free._PrivateTable__store.chunks(["person"])  # type: ignore[attr-defined]
    return {
        "counted": {name: counts.tolist() for name, counts in counted.items()},
        "lone": [int(counts.sum()) for counts in lone.values()],
        "rows": free.count(release, float("inf")),
        "own": columns["person"][own].tolist(),
        "weights": [p.flatten().tolist() for p in fitted.model.tensors().values()],
        "claim": repr(fitted.claim),
        "too much": refused(lambda: VAESynthesizer(epsilon=7.0, delta=1e-5).fit(table)),
        "foreign": refused(lambda: PrivateTable(foreign, VISITS, Ledger.in_memory(ledger.budget))),
        "lacking": refused(lambda: PrivateTable(lacking, VISITS, Ledger.in_memory(ledger.budget))),
        "other": refused(lambda: VAESynthesizer(epsilon=1.0 + rank, delta=1e-5).fit(table)),
        "disclosed": refused(lambda: table.disclose("a test")),
    }


def main(folder: Path) -> None:
    """Write <rank>.npz and <rank>.json."""
    us = team()
    noise, after_noise = only_noise()
    exact, after_exact = exact_sums(us.rank, us.size)
    sampled, after_sampled = sampled_sums(us.rank, us.size)
    source = NoiseSource()
    np.savez(
        folder / f"{us.rank}.npz", noise=noise, exact=exact, sampled=sampled, own=source.gaussian(9, 1.0)
    )
    seen = of_a_table(folder, us.rank) | {"weights after": [*after_noise, *after_exact, *after_sampled]}
    seen["draws"] = [source.bernoulli_rows(500, 0.5).tolist(), source.bernoulli_rows(500, 0.01).tolist()]
    (folder / f"{us.rank}.json").write_text(json.dumps({**seen, "size": us.size, "pid": os.getpid()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
