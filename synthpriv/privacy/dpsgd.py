"""The private trainer, loss in, steps out: the only file that imports Opacus.

Every step draws rows by independent Bernoulli trials, clips each row's whole gradient, adds Gaussian noise
to the SUM, and divides by a public constant (Abadi et al. 2016, algorithm 1; Poisson sampling as accounted).
Norms and clipped sums come from one backward pass (`layers`); noise and step are Opacus's fast-clipping
optimizer, with its noise replaced by one keyed by the operating system.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from opacus.optimizers import DistributedDPOptimizerFastGradientClipping, DPOptimizerFastGradientClipping
from torch import Tensor, nn

from synthpriv.errors import ConfigurationError, UnsupportedModel
from synthpriv.privacy import processes
from synthpriv.privacy.column_store import CodeMatrix
from synthpriv.privacy.devices import moved, refuse_mixed_precision
from synthpriv.privacy.dpsgd_plan import DPSGDPlan, Optimization
from synthpriv.privacy.layers import squared_norms, supported_layers, weighted_sums
from synthpriv.privacy.randomness import Randomness

RowLoss = Callable[[Tensor], Tensor]
AfterStep = Callable[[int], None]


class _KeyedNoiseOptimizer(DPOptimizerFastGradientClipping):  # type: ignore[misc]
    """Opacus's fast-clipping optimizer with noise from a generator keyed by the operating system."""

    def __init__(self, optimizer: torch.optim.Optimizer, source: Randomness, **options: Any) -> None:
        super().__init__(optimizer, **options)
        self.source = source

    def add_noise(self) -> None:
        """Add noise of standard deviation noise_multiplier * max_grad_norm to every summed gradient."""
        scale = self.noise_multiplier * self.max_grad_norm
        if scale == 0:
            for p in self.params:
                p.grad = p.summed_grad.view_as(p)
            return
        drawn = self.source.gaussian(sum(p.numel() for p in self.params), scale)
        noise = moved(drawn, self.params[0].device)
        for p, part in zip(self.params, noise.split([p.numel() for p in self.params]), strict=True):
            p.grad = p.summed_grad.view_as(p) + part.view_as(p).to(p.dtype)


class _TeamOptimizer(DistributedDPOptimizerFastGradientClipping, _KeyedNoiseOptimizer):  # type: ignore[misc]
    """The same over several processes: clipped sums are added up over all, noise by the lead alone.

    Opacus divides by the number of processes, so that expected_batch_size is one process's part.
    """


def train_private(
    module: nn.Module,
    row_loss: RowLoss,
    codes: npt.NDArray[np.integer[Any]] | CodeMatrix,
    units: npt.NDArray[np.int64] | None,
    rows_per_unit: int,
    plan: DPSGDPlan,
    optimization: Optimization,
    source: Randomness,
    after_step: AfterStep | None = None,
) -> None:
    """Train `module` in place on private `codes` (shape (n, m)); only noisy sums reach its weights.

    row_loss maps a batch of codes (rows, m) to one loss per row. units: each row's unit (shape (n,); None:
    each row is one). A unit has at most `rows_per_unit` rows, and a row's gradient is clipped to
    max_grad_norm / rows_per_unit, so that a unit's whole contribution is at most max_grad_norm. Charged by
    the caller, before. Among several processes each brings the codes of its own units, and all leave with
    the same weights.
    Raises UnsupportedModel and ConfigurationError for models and losses that cannot be bounded per row.
    """
    layers, team = supported_layers(module), processes.team()
    device = next(module.parameters()).device
    refuse_mixed_precision()
    for p in module.parameters():
        team.from_lead(p.detach())
    optimizer = (_KeyedNoiseOptimizer if team.size == 1 else _TeamOptimizer)(
        torch.optim.Adam(module.parameters(), lr=optimization.learning_rate, betas=optimization.betas),
        source=source,
        noise_multiplier=plan.noise_multiplier,
        max_grad_norm=plan.max_grad_norm if plan.noise_multiplier > 0 else 1.0,
        expected_batch_size=plan.expected_batch / team.size,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer.original_optimizer, max(plan.steps, 1), eta_min=optimization.learning_rate / 10
    )
    rows_of_unit = _UnitIndex(codes.shape[0], units)
    average = _Average(module)
    for step in range(plan.steps):
        chosen = rows_of_unit.rows(source.bernoulli_rows(rows_of_unit.count, plan.sample_rate))
        optimizer.zero_grad()
        sums = [torch.zeros_like(p) for layer in layers for p in layer.parameters(recurse=False)]
        for start in range(0, len(chosen), optimization.physical_batch):
            batch = moved(codes[chosen[start : start + optimization.physical_batch]].astype(np.int64), device)
            bound = plan.max_grad_norm / rows_per_unit
            for total, part in zip(sums, clipped_sums(layers, row_loss, batch, bound), strict=True):
                total += part
        _set_gradients(layers, sums)
        optimizer.step()
        schedule.step()
        if step >= plan.steps * (1 - optimization.average):
            average.add()
        if after_step is not None:
            after_step(step)
    average.apply()


def clipped_sums(layers: list[nn.Module], row_loss: RowLoss, batch: Tensor, bound: float) -> list[Tensor]:
    """The sum over rows of each row's gradient clipped to norm `bound`, one tensor per parameter.

    A row whose gradient is not finite contributes zero. Raises ConfigurationError unless row_loss returns
    one number per row, UnsupportedModel if a layer runs more than once in a pass.
    """
    calls: dict[nn.Module, tuple[Tensor, torch.autograd.graph.GradientEdge]] = {}

    def capture(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if layer in calls:
            raise UnsupportedModel(
                f"a layer must run once per pass, found {type(layer).__name__} reused; stack the inputs as "
                "views of one row instead."
            )
        calls[layer] = (inputs[0].detach(), torch.autograd.graph.get_gradient_edge(output))
        # an in-place activation would rewrite the history of a view, and with it the edge
        return output.clone() if output._is_view() else None

    handles = [layer.register_forward_hook(capture) for layer in layers]
    try:
        losses = row_loss(batch)
    finally:
        for handle in handles:
            handle.remove()
    if losses.shape != (len(batch),):
        raise ConfigurationError(
            # the batch's size is private, and stays out of the message
            "a row loss must return one number per row, a vector as long as its batch, found "
            f"{losses.dim()} dimensions or another length; squeeze or sum it."
        )
    used = list(calls)
    gradients = torch.autograd.grad(losses.sum(), [calls[layer][1] for layer in used])
    norms = torch.stack(
        [squared_norms(layer, calls[layer][0], a) for layer, a in zip(used, gradients, strict=True)]
    ).sum(0)
    norms = norms.sqrt()
    finite = norms.isfinite()
    # a hair below the bound, so that rounding in the sum cannot exceed it
    weights = torch.where(finite, (bound * (1 - 1e-6) / norms.clamp_min(1e-30)).clamp_max(1.0), 0.0)
    sums: list[Tensor] = []
    everything_finite = bool(finite.all())
    for layer in layers:
        if layer not in calls:
            sums += [torch.zeros_like(p) for p in layer.parameters(recurse=False)]
            continue
        inputs, a = calls[layer][0], gradients[used.index(layer)]
        if not everything_finite:
            inputs, a = (_finite_rows(part, finite) for part in (inputs, a))
        sums += weighted_sums(layer, inputs, a, weights)
    return sums


def _finite_rows(values: Tensor, finite: Tensor) -> Tensor:
    """Zero the rows that are not finite: zero weight alone would leave 0 * NaN."""
    keep = finite.view(-1, *[1] * (values.dim() - 1))
    return torch.where(keep, values, torch.zeros_like(values))


def _set_gradients(layers: list[nn.Module], sums: list[Tensor]) -> None:
    parameters = [p for layer in layers for p in layer.parameters(recurse=False)]
    for parameter, total in zip(parameters, sums, strict=True):
        parameter.grad = total


class _UnitIndex:
    """Rows by unit, so that a whole unit is in or out of a batch together."""

    def __init__(self, rows: int, units: npt.NDArray[np.int64] | None) -> None:
        self.singles, self.count = units is None, rows
        if units is None:
            return
        self.order = np.argsort(units, kind="stable")
        _, self.starts = np.unique(units[self.order], return_index=True)
        self.count = len(self.starts)

    def rows(self, chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """All rows of the chosen units."""
        if self.singles:
            return chosen
        ends = np.append(self.starts[1:], len(self.order))
        parts = [self.order[self.starts[unit] : ends[unit]] for unit in chosen.tolist()]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


class _Average:
    """The running mean of a module's weights."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.mean = [torch.zeros_like(p) for p in module.parameters()]
        self.count = 0

    def add(self) -> None:
        """Take the current weights into the mean."""
        self.count += 1
        for mean, p in zip(self.mean, self.module.parameters(), strict=True):
            mean += (p.detach() - mean) / self.count

    def apply(self) -> None:
        """Put the mean into the module."""
        if self.count:
            with torch.no_grad():
                for mean, p in zip(self.mean, self.module.parameters(), strict=True):
                    p.copy_(mean)
