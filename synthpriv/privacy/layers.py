"""Layers whose per-row gradients have a closed form: their norms and clipped sums from one backward pass.

For a linear layer with input x and gradient a at its output, row i's weight gradient is a_i x_i^T, so that
its squared norm is |a_i|^2 |x_i|^2 and the clipped sum over rows is (c a)^T x (Goodfellow 2015, arXiv
1510.01799; Li et al. 2022, arXiv 2110.05679, section 4). A row may have k views (inputs of shape
(rows, k, features)): its gradient is then the sum over views, whose norm comes from k x k inner products.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthpriv.errors import UnsupportedModel


class CodeLinear(nn.Module):
    """A linear layer on one-hot coded columns that reads the codes themselves: a gather and a sum.

    sizes: the number of cells per column. Input: codes of shape (..., columns), 0-based within each column;
    output: (..., out_features). Equal to nn.Linear on the concatenated one-hot vectors.
    """

    offsets: Tensor

    def __init__(self, sizes: Sequence[int], out_features: int) -> None:
        super().__init__()
        starts = torch.tensor([0, *sizes[:-1]]).cumsum(0)
        self.register_buffer("offsets", starts)
        # the scale of nn.Linear with one active input per column
        scale = len(sizes) ** -0.5
        self.weight = nn.Parameter(torch.empty(sum(sizes), out_features).uniform_(-scale, scale))
        self.bias = nn.Parameter(torch.zeros(out_features))

    def forward(self, codes: Tensor) -> Tensor:
        """Sum the weight rows of each column's active cell."""
        cells = (codes + self.offsets).flatten(0, -2)
        sums = functional.embedding_bag(cells, self.weight, mode="sum") + self.bias
        return sums.view(*codes.shape[:-1], self.weight.shape[1])

    def dense(self, rows: Tensor) -> Tensor:
        """The same layer on one-hot or relaxed rows (..., cells): not for use on real rows."""
        return rows @ self.weight + self.bias


def squared_norms(layer: nn.Module, inputs: Tensor, grads: Tensor) -> Tensor:
    """The squared gradient norm of every row in `layer` (shape (rows,))."""
    if isinstance(layer, CodeLinear):
        if inputs.dim() == 2:
            return grads.square().sum(1) * (inputs.shape[1] + 1)
        shared = (inputs[:, :, None] == inputs[:, None, :]).sum(3) + 1.0
        return _over_views(shared, grads)
    if isinstance(layer, nn.LayerNorm):
        return sum(part.square().sum(1) for part in _layer_norm_rows(layer, inputs, grads))  # type: ignore[return-value]
    assert isinstance(layer, nn.Linear)
    one = 0.0 if layer.bias is None else 1.0
    if inputs.dim() == 2:
        return (inputs.square().sum(1) + one) * grads.square().sum(1)
    return _over_views(torch.einsum("bkd,bld->bkl", inputs, inputs) + one, grads)


def _over_views(of_inputs: Tensor, grads: Tensor) -> Tensor:
    """Squared norm of a sum over views, from inner products (rows, k, k) of inputs and of gradients."""
    of_grads = torch.einsum("bko,blo->bkl", grads, grads)
    # rounding may leave a tiny negative number where views cancel
    return (of_inputs * of_grads).sum((1, 2)).clamp_min(0.0)


def weighted_sums(layer: nn.Module, inputs: Tensor, grads: Tensor, weights: Tensor) -> list[Tensor]:
    """Sum over rows of weight times row gradient, one tensor per parameter of `layer`, in its order."""
    if isinstance(layer, CodeLinear):
        scaled = _scale(grads, weights)
        total = torch.zeros_like(layer.weight)
        # one index_add_ per column: a single flat one over all columns is an order slower on CPU
        for codes in (inputs + layer.offsets).flatten(0, -2).unbind(1):
            total.index_add_(0, codes, scaled)
        return [total, scaled.sum(0)]
    if isinstance(layer, nn.LayerNorm):
        return [weights @ part for part in _layer_norm_rows(layer, inputs, grads)]
    assert isinstance(layer, nn.Linear)
    scaled = _scale(grads, weights)
    sums = [scaled.t() @ inputs.flatten(0, -2)]
    return sums if layer.bias is None else [*sums, scaled.sum(0)]


def _scale(grads: Tensor, weights: Tensor) -> Tensor:
    """Row gradients times their weights, views side by side (shape (rows * views, features))."""
    return (grads * weights.view(-1, *[1] * (grads.dim() - 1))).flatten(0, -2)


def _layer_norm_rows(layer: nn.LayerNorm, inputs: Tensor, grads: Tensor) -> list[Tensor]:
    normalised = functional.layer_norm(inputs, layer.normalized_shape, eps=layer.eps)
    parts = [normalised * grads] if layer.bias is None else [normalised * grads, grads]
    return [part.sum(1) if part.dim() == 3 else part for part in parts]


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
        if type(layer) not in (nn.Linear, CodeLinear, nn.LayerNorm) or (
            isinstance(layer, nn.LayerNorm) and len(layer.normalized_shape) != 1
        ):
            raise UnsupportedModel(
                "layers must have an exact rule for per-row gradients (Linear, CodeLinear, LayerNorm over "
                f"the last dimension), found {type(layer).__name__} at {name!r}; build it from those."
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
