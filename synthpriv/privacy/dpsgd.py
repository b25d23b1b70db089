"""The private trainer, loss in, steps out: the only file that imports Opacus.

Every step draws rows by independent Bernoulli trials, clips each row's whole gradient, adds Gaussian noise
to the SUM, and divides by a public constant (Abadi et al. 2016, algorithm 1; Poisson sampling as accounted).
Norms and clipped sums come from one backward pass (`layers`); noise and step are Opacus's fast-clipping
optimizer, with its noise replaced by one keyed by the operating system.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
from synthpriv.privacy.layers import check_shape, squared_norms, supported_layers, weighted_sums
from synthpriv.privacy.randomness import NoiseAhead, Randomness

RowLoss = Callable[[Tensor], Tensor]
AfterStep = Callable[[int], None]


class _KeyedNoiseOptimizer(DPOptimizerFastGradientClipping):  # type: ignore[misc]
    """Opacus's fast-clipping optimizer with noise from a generator keyed by the operating system."""

    def __init__(self, optimizer: torch.optim.Optimizer, noise: NoiseAhead, **options: Any) -> None:
        super().__init__(optimizer, **options)
        self.noise = noise

    @property
    def noise_scale(self) -> float:
        """The standard deviation of the noise on the sum."""
        return float(self.noise_multiplier * self.max_grad_norm)

    def draw_ahead(self) -> None:
        """Begin to draw this step's noise: its size and law are public, so that it need not wait."""
        if self.noise_scale > 0:
            self.noise.begin(sum(p.numel() for p in self.params), self.noise_scale)

    def accumulate(self) -> None:
        """Take the gradients, which are the whole batch's sums already, without Opacus's copy."""
        for p in self.params:
            p.summed_grad = p.grad

    def add_noise(self) -> None:
        """Add noise of standard deviation noise_multiplier * max_grad_norm to every summed gradient.

        In double precision, rounded once to that of the weights.
        """
        sizes = [p.numel() for p in self.params]
        if self.noise_scale == 0:
            for p in self.params:
                p.grad = p.summed_grad.view_as(p)
            return
        noise = moved(self.noise.take(sum(sizes), self.noise_scale), self.params[0].device)
        for p, part in zip(self.params, noise.split(sizes), strict=True):
            noisy = part.view_as(p).add_(p.summed_grad.view_as(p))
            p.grad = noisy.to(p.dtype)


class _TeamOptimizer(DistributedDPOptimizerFastGradientClipping, _KeyedNoiseOptimizer):  # type: ignore[misc]
    """The same over several processes: clipped sums are added up over all, the noise by the lead alone.

    Opacus divides by the number of processes, so that expected_batch_size is one process's part.
    """

    def draw_ahead(self) -> None:
        """In the lead alone, whose noise is the only one."""
        if self.rank == 0:
            super().draw_ahead()


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
    the caller, before. Noise is drawn by a thread of its own while the step computes; a test's `source` is
    asked in this thread, in the same order. Among several processes each brings the codes of its own units,
    and all leave with the same weights.
    Raises UnsupportedModel and ConfigurationError for models and losses that cannot be bounded per row.
    """
    layers, device = supported_layers(module), next(module.parameters()).device
    for p in module.parameters():
        processes.team().from_lead(p.detach())
    _keep_freed_memory()
    with NoiseAhead(source) as noise:
        optimizer = _optimizer(module, plan, optimization, noise)
        rows_of_unit = _UnitIndex(codes.shape[0], units)
        average = _Average(module)
        bound = plan.max_grad_norm / rows_per_unit
        for step in range(plan.steps):
            chosen = rows_of_unit.rows(source.bernoulli_rows(rows_of_unit.count, plan.sample_rate))
            optimizer.draw_ahead()
            parts = (
                clipped_sums(layers, row_loss, moved(codes[part].astype(np.int64), device), bound)
                for part in _parts(chosen, optimization.physical_batch)
            )
            _set_gradients(layers, parts)
            _set_learning_rate(optimizer, optimization.learning_rate_at(step / max(plan.steps, 1)))
            optimizer.step()
            if step >= plan.steps * (1 - optimization.average):
                average.add()
            if after_step is not None:
                after_step(step)
    average.apply()


def _optimizer(
    module: nn.Module, plan: DPSGDPlan, optimization: Optimization, noise: NoiseAhead
) -> _KeyedNoiseOptimizer:
    """Adam on noisy sums over the public divisor."""
    size = processes.team().size
    return (_KeyedNoiseOptimizer if size == 1 else _TeamOptimizer)(
        torch.optim.Adam(
            module.parameters(), lr=optimization.learning_rate, betas=optimization.betas, fused=True
        ),
        noise=noise,
        noise_multiplier=plan.noise_multiplier,
        max_grad_norm=plan.max_grad_norm if plan.noise_multiplier > 0 else 1.0,
        expected_batch_size=plan.expected_batch / size,
    )


def _keep_freed_memory() -> None:
    """Have the C library keep what one step frees for the next, up to 62 MiB.

    To return it and to fetch it again took up to a third of a step. glibc keeps twice the size of the largest
    block under 32 MiB that was ever freed; other libraries lose nothing.
    """
    torch.empty(31 << 20, dtype=torch.uint8)


def _set_learning_rate(optimizer: _KeyedNoiseOptimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _parts(chosen: npt.NDArray[np.int64], size: int) -> Iterator[npt.NDArray[np.int64]]:
    """`chosen` in order, at most `size` at a time; nothing if it is empty."""
    return (chosen[start : start + size] for start in range(0, len(chosen), size))


def clipped_sums(layers: list[nn.Module], row_loss: RowLoss, batch: Tensor, bound: float) -> list[Tensor]:
    """The sum over rows of each row's gradient clipped to norm `bound`, one tensor per parameter.

    A row whose gradient is not finite contributes zero. Raises ConfigurationError unless row_loss returns
    one number per row, UnsupportedModel if a layer runs more than once in a pass or mixes rows.
    """
    calls = _Calls(len(batch))
    handles = [layer.register_forward_hook(calls.record) for layer in layers]
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
    inputs, grads = calls.inputs, calls.output_gradients(losses)
    norms = torch.zeros_like(losses, requires_grad=False)
    for layer, a in grads.items():
        norms += squared_norms(layer, inputs[layer], a)
    # a hair below the bound, so that rounding in the sum cannot exceed it
    weights = norms.rsqrt().mul_(bound * (1 - 1e-6)).clamp_max_(1.0).nan_to_num_(nan=0.0)
    finite = norms.isfinite()
    # to ask costs a processor nothing, but would hold up an accelerator, which cleans every time
    if finite.device.type != "cpu" or not bool(finite.all()):
        inputs = {layer: _finite_rows(x, finite) for layer, x in inputs.items()}
        grads = {layer: _finite_rows(a, finite) for layer, a in grads.items()}
    sums: list[Tensor] = []
    for layer in layers:
        if layer in grads:
            sums += weighted_sums(layer, inputs[layer], grads[layer], weights)
        else:
            sums += [torch.zeros_like(p) for p in layer.parameters(recurse=False)]
    return sums


class _Calls:
    """What each layer was given in one forward pass, and where its output lies in the graph."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.inputs: dict[nn.Module, Tensor] = {}
        self._edges: dict[nn.Module, torch.autograd.graph.GradientEdge] = {}

    def record(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        """A forward hook."""
        if layer in self.inputs:
            raise UnsupportedModel(
                f"a layer must run once per pass, found {type(layer).__name__} reused; stack the inputs as "
                "views of one row instead."
            )
        refuse_mixed_precision()
        check_shape(layer, output, self.rows)
        self.inputs[layer] = inputs[0].detach()
        self._edges[layer] = torch.autograd.graph.get_gradient_edge(output)
        # an in-place activation would rewrite the history of a view, and with it the edge
        return torch.ops.aten._unsafe_view(output, output.shape) if output._is_view() else None

    def output_gradients(self, losses: Tensor) -> dict[nn.Module, Tensor]:
        """The gradient of every row's loss at the output of every layer that it depends on."""
        if not self._edges:
            return {}
        found = torch.autograd.grad(losses.sum(), list(self._edges.values()), allow_unused=True)
        return {layer: a for layer, a in zip(self._edges, found, strict=True) if a is not None}


def _finite_rows(values: Tensor, finite: Tensor) -> Tensor:
    """Zero the rows that are not finite: zero weight alone would leave 0 * NaN."""
    keep = finite.view(-1, *[1] * (values.dim() - 1))
    return torch.where(keep, values, torch.zeros_like(values))


def _set_gradients(layers: list[nn.Module], parts: Iterable[list[Tensor]]) -> None:
    """The sum of all parts as the gradients: the first part's tensors, into which the others are added."""
    sums: list[Tensor] = []
    for part in parts:
        for total, more in zip(sums, part if sums else [], strict=True):
            total += more
        sums = sums or part
    parameters = [p for layer in layers for p in layer.parameters(recurse=False)]
    for parameter, total in zip(parameters, sums or map(torch.zeros_like, parameters), strict=True):
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
        self.weights = [p.detach() for p in module.parameters()]
        self.mean = [torch.zeros_like(p) for p in self.weights]
        self.count = 0

    def add(self) -> None:
        """Take the current weights into the mean."""
        self.count += 1
        torch._foreach_lerp_(self.mean, self.weights, 1 / self.count)

    def apply(self) -> None:
        """Put the mean into the module."""
        if self.count:
            torch._foreach_copy_(self.weights, self.mean)
