"""Networks over cell codes, of plain linear layers, so that per-row gradients have a closed form."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from synthpriv.privacy.layers import CodeLinear

# heads start close to the released one-way distributions, which their biases hold
HEAD_SCALE = 0.1
KERNEL = 0.3  # the width of the generator's noise around each of its means
Shares = Sequence[npt.NDArray[np.float64]]


def loss_generator(device: torch.device) -> torch.Generator:
    """Randomness for use inside a loss on real rows, and nowhere else.

    How far such a stream advances depends on the private size of each batch, so that nothing released may
    draw from it afterwards; it is seeded by the operating system, in each process anew.
    """
    generator = torch.Generator(device)
    generator.seed()
    return generator


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw all weights anew from `generator`, as nn.Linear does by default; the heads keep their biases."""
    heads = {layer.linear for layer in module.modules() if isinstance(layer, ColumnHeads)}
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, CodeLinear):
                layer.weight.uniform_(-1, 1, generator=generator).mul_(len(layer.offsets) ** -0.5)
            elif isinstance(layer, nn.Linear):
                scale = layer.in_features**-0.5
                layer.weight.uniform_(-1, 1, generator=generator).mul_(scale)
                if layer in heads:
                    layer.weight.mul_(HEAD_SCALE)
                else:
                    layer.bias.uniform_(-1, 1, generator=generator).mul_(scale)
            elif isinstance(layer, Generator):
                layer.means.normal_(generator=generator)


class ColumnHeads(nn.Module):
    """One softmax head per column on a shared hidden layer, biased to the released one-way distributions."""

    def __init__(self, hidden: int, shares: Shares) -> None:
        super().__init__()
        self.sizes = [len(share) for share in shares]
        self.linear = nn.Linear(hidden, sum(self.sizes))
        with torch.no_grad():
            self.linear.bias.copy_(torch.from_numpy(np.log(np.concatenate(shares))))

    def forward(self, hidden: Tensor) -> Tensor:
        """Logits of all columns side by side (shape (rows, cells))."""
        logits: Tensor = self.linear(hidden)
        return logits

    def row_loss(self, logits: Tensor, codes: Tensor) -> Tensor:
        """Negative log-likelihood of each row's codes (shape (rows,))."""
        parts = [
            functional.cross_entropy(part, codes[:, column], reduction="none")
            for column, part in enumerate(logits.split(self.sizes, dim=1))
        ]
        return torch.stack(parts).sum(0)

    @torch.no_grad()
    def match_shares(self, logits: Tensor, released: Tensor, rounds: int = 10) -> None:
        """Shift the biases until the mean of each column's softmax over `logits` is the released share.

        Iterative proportional fitting of one-way distributions (Deming and Stephan 1940); post-processing.
        """
        shift = torch.zeros_like(released)
        for _ in range(rounds):
            parts = (logits + shift).split(self.sizes, dim=1)
            mean = torch.cat([part.softmax(1).mean(0) for part in parts])
            shift += released.log() - mean.clamp_min(1e-9).log()
        self.linear.bias.add_(shift)


class Generator(nn.Module):
    """Noise and a label -> one softmax per column; the label's own column is the label.

    The noise is a mixture of normals of width KERNEL whose means are learned, each for one label: a label
    has means in proportion to its released share. Every hidden layer reads all before it, and the heads
    read them all (the residual blocks of CTGAN; Xu et al. 2019), so that the noise has a linear way through.
    """

    def __init__(
        self, shares: Shares, label_column: int | None, embedding: int, hidden: Sequence[int], modes: int
    ) -> None:
        super().__init__()
        self.label_column = label_column
        self.modes = [modes] if label_column is None else _in_proportion(shares[label_column], modes)
        weight = [1.0] if label_column is None else shares[label_column]
        self.weights = np.repeat(np.array(weight) / self.modes, self.modes)
        self.means = nn.Parameter(torch.zeros(sum(self.modes), embedding))
        self.body, width = nn.ModuleList(), embedding + (0 if label_column is None else len(self.modes))
        for features in hidden:
            self.body.append(nn.Sequential(nn.Linear(width, features), nn.LayerNorm(features), nn.SiLU()))
            width += features
        self.heads = ColumnHeads(width, shares)

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Logits of all columns (shape (rows, cells)); the label's column is all but certain."""
        known = one_hot(labels, len(self.modes))
        hidden = noise if self.label_column is None else torch.cat([noise, known], dim=1)
        for block in self.body:
            hidden = torch.cat([block(hidden), hidden], dim=1)
        logits: Tensor = self.heads(hidden)
        if self.label_column is None:
            return logits
        parts = list(logits.split(self.heads.sizes, dim=1))
        parts[self.label_column] = (known - 1.0) * 50.0
        return torch.cat(parts, dim=1)

    def labels(self) -> Tensor:
        """The label of every mean (shape (modes,)); 0 where there is no label."""
        counts = torch.tensor(self.modes, device=self.means.device)
        return torch.arange(len(counts), device=counts.device).repeat_interleave(
            counts, output_size=len(self.means)
        )

    def noise(self, chosen: Tensor | None, random: torch.Generator) -> Tensor:
        """Noise around the `chosen` means (None: around each of them once)."""
        means = self.means if chosen is None else self.means[chosen]
        return means + KERNEL * torch.randn(means.shape, generator=random, device=means.device)


def _in_proportion(shares: npt.NDArray[np.float64], total: int) -> list[int]:
    """Whole numbers of about `total` in all, in proportion to `shares`, and at least 1 each.

    >>> _in_proportion(np.array([0.7, 0.29, 0.01]), 10)
    [7, 3, 1]
    """
    return [max(1, round(total * share)) for share in shares.tolist()]


def one_hot(codes: Tensor, cells: int) -> Tensor:
    """Codes of shape (rows,) as rows of one 1.0 each; unlike torch's, it never waits to look at them."""
    return torch.zeros(len(codes), cells, device=codes.device).scatter_(1, codes[:, None], 1.0)


def relaxed_one_hot(
    logits: Tensor, sizes: Sequence[int], temperature: float, generator: torch.Generator
) -> Tensor:
    """One-hot draws of every column that gradients can flow through (Jang et al. 2017, straight-through)."""
    uniform = torch.rand(logits.shape, generator=generator, device=logits.device).clamp_(1e-9, 1 - 1e-7)
    noisy = (logits - (-uniform.log()).log()) / temperature
    soft = torch.cat([part.softmax(1) for part in noisy.split(list(sizes), dim=1)], dim=1)
    hard = torch.cat(
        [one_hot(part.argmax(1), part.shape[1]) for part in soft.split(list(sizes), dim=1)], dim=1
    )
    return hard - soft.detach() + soft


def drawn_codes(logits: Tensor, sizes: Sequence[int], generator: torch.Generator) -> Tensor:
    """Codes drawn from every column's softmax (shape (rows, columns)), one uniform number a code."""
    uniform = torch.rand((len(logits), len(sizes)), generator=generator, device=logits.device)
    drawn = []
    for column, part in enumerate(logits.split(list(sizes), dim=1)):
        reached = part.softmax(1).cumsum_(1)[:, :-1]  # the last code takes what rounding leaves
        drawn.append((reached <= uniform[:, column, None]).sum(1))
    return torch.stack(drawn, dim=1)


class Discriminator(nn.Module):
    """Rows -> a score, higher for real. Plain layers, nothing that mixes rows."""

    def __init__(self, sizes: Sequence[int], hidden: Sequence[int]) -> None:
        super().__init__()
        self.first = CodeLinear(sizes, hidden[0])
        self.body = nn.Sequential(
            nn.LeakyReLU(0.2),
            *(
                layer
                for before, after in pairwise(hidden)
                for layer in (nn.Linear(before, after), nn.LeakyReLU(0.2))
            ),
            nn.Linear(hidden[-1], 1),
        )

    def forward(self, codes: Tensor) -> Tensor:
        """Scores of codes of shape (..., columns)."""
        scores: Tensor = self.body(self.first(codes)).squeeze(-1)
        return scores

    def dense(self, rows: Tensor) -> Tensor:
        """Scores of generated, relaxed one-hot rows (..., cells), which gradients flow through."""
        scores: Tensor = self.body(self.first.dense(rows)).squeeze(-1)
        return scores
