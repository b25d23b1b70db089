"""Layers whose per-row gradients have a closed form: their norms and clipped sums from one backward pass.

For a linear layer with input x and gradient a at its output, row i's weight gradient is a_i x_i^T, so that
its squared norm is |a_i|^2 |x_i|^2 and the clipped sum over rows is (c a)^T x (Goodfellow 2015, arXiv
1510.01799; Li et al. 2022, arXiv 2110.05679, section 4). A row may have k views (inputs of shape
(rows, k, features)): its gradient is then the sum over views, whose norm comes from k x k inner products.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from synthpriv.errors import UnsupportedModel

_STRIP = 64  # features summed at once where rows are many: 4,096 rows of them stay in the cache


class CodeLinear(nn.Module):
    """A linear layer on one-hot coded columns that reads the codes themselves: a gather and a sum.

    sizes: the number of cells per column. Input: codes of shape (..., columns), 0-based within each column;
    output: (..., out_features). Equal to nn.Linear on the concatenated one-hot vectors.
    """

    offsets: Tensor

    def __init__(self, sizes: Sequence[int], out_features: int) -> None:
        super().__init__()
        # numpy sorts 16 bits digit by digit, and longer ones ten times as slowly
        self.key = np.dtype(np.uint16 if max(sizes) <= 1 << 16 else np.int64)
        starts = torch.tensor([0, *sizes[:-1]]).cumsum(0)
        self.register_buffer("offsets", starts)
        # the scale of nn.Linear with one active input per column
        scale = len(sizes) ** -0.5
        self.weight = nn.Parameter(torch.empty(sum(sizes), out_features).uniform_(-scale, scale))
        self.bias = nn.Parameter(torch.zeros(out_features))

    def forward(self, codes: Tensor) -> Tensor:
        """Sum the weight rows of each column's active cell."""
        cells = (codes + self.offsets).flatten(0, -2)
        sums = functional.embedding_bag(cells, self.weight, mode="sum").add_(self.bias)
        return sums if codes.dim() == 2 else sums.view(*codes.shape[:-1], self.weight.shape[1])

    def dense(self, rows: Tensor) -> Tensor:
        """The same layer on one-hot or relaxed rows (..., cells): not for use on real rows."""
        return rows @ self.weight + self.bias


def squared_norms(layer: nn.Module, inputs: Tensor, grads: Tensor) -> Tensor:
    """The squared gradient norm of every row in `layer` (shape (rows,))."""
    if isinstance(layer, nn.LayerNorm | nn.GroupNorm):
        return torch.stack([_squares(part) for part in _scale_and_shift(layer, inputs, grads)]).sum(0)
    one = 0.0 if getattr(layer, "bias", None) is None else 1.0
    if grads.dim() == 2:
        return _squared_inputs(layer, inputs).add_(one).mul_(_squares(grads))
    if isinstance(layer, CodeLinear):
        shared = (inputs[:, :, None] == inputs[:, None, :]).sum(3)
    elif isinstance(layer, nn.Embedding):
        shared = inputs[:, :, None] == inputs[:, None, :]
    else:
        shared = inputs @ inputs.transpose(1, 2)
    # rounding may leave a tiny negative number where views cancel
    return ((shared + one) * (grads @ grads.transpose(1, 2))).sum((1, 2)).clamp_min_(0.0)


def _squared_inputs(layer: nn.Module, inputs: Tensor) -> Tensor:
    """The squared norm of each row's input: of a one-hot row, the number of its columns."""
    if isinstance(layer, nn.Linear):
        return _squares(inputs)
    ones = 1.0 if isinstance(layer, nn.Embedding) else float(inputs.shape[1])
    return torch.full((len(inputs),), ones, device=inputs.device)


def _squares(rows: Tensor) -> Tensor:
    """Squared norms of rows; half the price of squaring and adding."""
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1)
    return norms.square_()


def weighted_sums(layer: nn.Module, inputs: Tensor, grads: Tensor, weights: Tensor) -> list[Tensor]:
    """Sum over rows of weight times row gradient, one tensor per parameter of `layer`, in its order."""
    if isinstance(layer, nn.LayerNorm | nn.GroupNorm):
        return [weights @ part for part in _scale_and_shift(layer, inputs, grads)]
    if grads.dim() == 3:
        views = grads.shape[1]
        inputs, grads, weights = inputs.flatten(0, 1), grads.flatten(0, 1), weights.repeat_interleave(views)
    if isinstance(layer, nn.Linear):
        # the narrower of the two is weighted
        if inputs.shape[1] < grads.shape[1]:
            total = grads.t() @ (inputs * weights[:, None])
        else:
            total = (grads * weights[:, None]).t() @ inputs
    elif isinstance(layer, CodeLinear):
        total = _sums_by_cell(layer, inputs, grads, weights)
    else:
        assert isinstance(layer, nn.Embedding)
        total = torch.zeros_like(layer.weight).index_add_(0, inputs, grads * weights[:, None])
    return [total] if getattr(layer, "bias", None) is None else [total, weights @ grads]


def _sums_by_cell(layer: CodeLinear, codes: Tensor, grads: Tensor, weights: Tensor) -> Tensor:
    """Row k of the result adds weight times gradient over all rows with cell k in one of their columns.

    On a processor the rows are sorted by cell, column by column, and each cell's are gathered and added in
    one pass: half the price of `index_add_`, which reads and writes a cell once for each row that has it.
    """
    rows, features = grads.shape
    cells = codes + layer.offsets
    if grads.device.type != "cpu" or rows == 0:
        total, weighted = torch.zeros_like(layer.weight), grads * weights[:, None]
        for column in cells.unbind(1):
            total.index_add_(0, column, weighted)
        return total
    order = codes.t().numpy().astype(layer.key).argsort(axis=1, kind="stable").ravel()
    ends = torch.bincount(cells.flatten(), minlength=len(layer.weight)).cumsum(0)
    parts = [
        functional.embedding_bag(
            torch.from_numpy(order), part * weights[:, None], functional.pad(ends[:-1], (1, 0)), mode="sum"
        )
        for part in grads.split(_STRIP if rows > 1024 else features, dim=1)
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _scale_and_shift(layer: nn.LayerNorm | nn.GroupNorm, inputs: Tensor, grads: Tensor) -> list[Tensor]:
    """Each row's gradient of a normalisation's scale and of its shift (shape (rows, features))."""
    if isinstance(layer, nn.LayerNorm):
        normalised = functional.layer_norm(inputs, layer.normalized_shape, eps=layer.eps)
    else:
        normalised = functional.group_norm(inputs, layer.num_groups, eps=layer.eps)
    parts = [normalised * grads] if layer.bias is None else [normalised * grads, grads]
    return [part.sum(1) if part.dim() == 3 else part for part in parts]


def check_shape(layer: nn.Module, output: Tensor, rows: int) -> None:
    """Raise UnsupportedModel unless `output` has one entry per row, each of one or several views.

    Two entries of a row, side by side in a longer batch, would be clipped one by one.
    """
    views = output.dim() - 2
    if len(output) != rows or views not in (0, 1) or (views and isinstance(layer, nn.GroupNorm)):
        raise UnsupportedModel(
            # the batch's size is private, and stays out of the message
            "a layer's output must be (rows, features) or, but for a GroupNorm, (rows, views, features), "
            f"found {output.dim()} dimensions or another length from {type(layer).__name__}; stack what "
            "belongs to one row as its views."
        )


def supported_layers(module: nn.Module) -> list[nn.Module]:
    """The layers of `module` that hold parameters; raises UnsupportedModel naming what has no closed form."""
    layers: list[nn.Module] = []
    owned: set[int] = set()
    for name, layer in module.named_modules():
        if isinstance(layer, nn.modules.batchnorm._NormBase):
            raise UnsupportedModel(
                f"layers must not mix rows, found {type(layer).__name__} at {name!r}, whose batch statistics "
                "make one row's gradient depend on the others; use LayerNorm."
            )
        parameters = [p for p in layer.parameters(recurse=False) if p.requires_grad]
        if not parameters:
            continue
        if not _has_closed_form(layer):
            raise UnsupportedModel(
                "layers must have an exact rule for per-row gradients (Linear, CodeLinear, plain Embedding, "
                "LayerNorm over the last dimension, GroupNorm), found "
                f"{type(layer).__name__} at {name!r}; build it from those."
            )
        if any(id(p) in owned for p in parameters):
            raise UnsupportedModel(
                f"layers must not share weights, found {name!r} sharing with another; copy them."
            )
        if len(parameters) != len(list(layer.parameters(recurse=False))):
            raise UnsupportedModel(f"layers must be trained whole, found {name!r} frozen in part.")
        owned.update(id(p) for p in parameters)
        layers.append(layer)
    if not layers:
        raise UnsupportedModel("a module must have trainable layers, found none.")
    return layers


def _has_closed_form(layer: nn.Module) -> bool:
    """Whether it is one of the layers above, in a form whose gradient is a sum over rows.

    An embedding that scales by frequency or limits norms in its forward pass is not, and one with padding
    drops a part of it.
    """
    if type(layer) is nn.LayerNorm:
        return len(layer.normalized_shape) == 1
    if type(layer) is nn.Embedding:
        special = layer.padding_idx is not None or layer.max_norm is not None
        return not (special or layer.scale_grad_by_freq or layer.sparse)
    return type(layer) in (nn.Linear, CodeLinear, nn.GroupNorm)
