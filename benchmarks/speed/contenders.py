"""Training loops that are compared: ours, a plain one, and Opacus's two, on the same network and rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from opacus import PrivacyEngine
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from synthpriv.privacy.dpsgd import train_private
from synthpriv.privacy.dpsgd_plan import DPSGDPlan, Optimization
from synthpriv.privacy.layers import CodeLinear
from synthpriv.privacy.randomness import NoiseSource

ROWS, FEATURES = 36_000, 100
Run = Callable[[], None]


def perceptron(widths: Sequence[int], first: nn.Module | None = None) -> nn.Sequential:
    """Linear layers with leaky activations, of the given widths; `first` in place of the first of them."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.LeakyReLU(0.2)]
    return nn.Sequential(*([first] if first is not None else layers[:1]), *layers[1:-1])


def rows_and_labels() -> tuple[Tensor, Tensor]:
    """Random rows with random labels of -1 and 1, which nothing learns: gradients keep their size."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(ROWS, FEATURES, generator=generator), torch.randn(ROWS, generator=generator).sign()


def private_run(
    loss: Callable[[Tensor], Tensor], module: nn.Module, codes: Any, batch: int, steps: int
) -> Run:
    """`steps` steps of our trainer, all that it does included."""
    plan = DPSGDPlan(
        noise_multiplier=1.0,
        max_grad_norm=1.0,
        sample_rate=min(1.0, batch / codes.shape[0]),
        steps=steps,
        expected_batch=batch,
    )
    optimization = Optimization(physical_batch=1 << 20)
    return lambda: train_private(module, loss, codes, None, 1, plan, optimization, NoiseSource())


def ours(width: int, batch: int, steps: int) -> Run:
    """Our trainer on dense rows."""
    module = perceptron((FEATURES, width, width, width, 1))
    rows, labels = rows_and_labels()
    places = np.arange(ROWS, dtype=np.int32)[:, None]

    def loss(codes: Tensor) -> Tensor:
        chosen = codes[:, 0]
        return functional.softplus(-labels[chosen] * module(rows[chosen]).squeeze(1))

    return private_run(loss, module, places, batch, steps)


def plain(width: int, batch: int, steps: int, fused: bool = False) -> Run:
    """Training without privacy: rows drawn with replacement, Adam as torch has it by default, or fused."""
    module = perceptron((FEATURES, width, width, width, 1))
    rows, labels = rows_and_labels()
    optimizer = torch.optim.Adam(module.parameters(), lr=2e-3, fused=fused)

    def run() -> None:
        for _ in range(steps):
            chosen = torch.randint(ROWS, (batch,))
            optimizer.zero_grad()
            functional.softplus(-labels[chosen] * module(rows[chosen]).squeeze(1)).mean().backward()
            optimizer.step()

    return run


def opacus(mode: str, width: int, batch: int, steps: int) -> Run:
    """Opacus with its stock loader: mode "hooks" (its default) or "ghost"."""
    rows, labels = rows_and_labels()
    module = perceptron((FEATURES, width, width, width, 1))
    data = DataLoader(TensorDataset(rows, labels), batch_size=batch)
    criterion: Any = nn.BCEWithLogitsLoss()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepared = PrivacyEngine().make_private(
            module=module,
            optimizer=torch.optim.Adam(module.parameters(), lr=2e-3),
            data_loader=data,
            criterion=criterion,
            noise_multiplier=1.0,
            max_grad_norm=1.0,
            grad_sample_mode=mode,
        )
    if mode == "ghost":
        network, optimizer, criterion, loader = prepared
    else:
        network, optimizer, loader = prepared

    def run() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for step, (inputs, targets) in enumerate(loader):
                if step == steps:
                    return
                optimizer.zero_grad()
                criterion(network(inputs).squeeze(1), (targets + 1) / 2).backward()
                optimizer.step()

    return run


def random_codes(rows: int, columns: int, cells: int) -> np.ndarray[Any, np.dtype[Any]]:
    """Codes of `columns` columns with `cells` cells in all."""
    size = cells // columns
    kind = np.uint8 if size <= 256 else np.int16
    return np.random.default_rng(0).integers(0, size, (rows, columns)).astype(kind)


def ours_on_codes(codes: Any, cells: int, batch: int, steps: int, width: int = 256) -> Run:
    """Our trainer with a first layer that reads codes."""
    columns = codes.shape[1]
    module = perceptron((1, width, width, 1), CodeLinear([cells // columns] * columns, width))
    return private_run(
        lambda chosen: functional.softplus(module(chosen).squeeze(1)), module, codes, batch, steps
    )


def plain_on_one_hot(codes: Any, cells: int, batch: int, steps: int, width: int = 256) -> Run:
    """Training without privacy on dense one-hot rows, built batch by batch."""
    columns = codes.shape[1]
    module = perceptron((cells, width, width, 1))
    optimizer = torch.optim.Adam(module.parameters(), lr=2e-3)
    offsets = torch.arange(columns) * (cells // columns)

    def run() -> None:
        for _ in range(steps):
            chosen = torch.from_numpy(
                codes[np.random.default_rng().integers(0, len(codes), batch)].astype(np.int64)
            )
            rows = torch.zeros(batch, cells).scatter_(1, chosen + offsets, 1.0)
            optimizer.zero_grad()
            functional.softplus(module(rows).squeeze(1)).mean().backward()
            optimizer.step()

    return run
