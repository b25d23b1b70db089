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

    def sample(self, logits: Tensor, generator: torch.Generator) -> Tensor:
        """Codes drawn column by column (shape (rows, columns)), whatever the weights."""
        return drawn_codes(logits, self.sizes, generator)


class Generator(nn.Module):
    """Noise and a label -> one softmax per column; the label's own column is the label."""

    def __init__(
        self,
        shares: Shares,
        label_column: int | None,
        embedding: int,
        hidden: Sequence[int],
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.label_column = label_column
        self.labels = 0 if label_column is None else len(shares[label_column])
        widths = [embedding + self.labels, *hidden]
        self.body = nn.Sequential(
            *(
                layer
                for before, after in pairwise(widths)
                for layer in (nn.Linear(before, after), nn.LayerNorm(after), nn.SiLU())
            )
        )
        self.heads = ColumnHeads(widths[-1], shares)

    def forward(self, noise: Tensor, labels: Tensor | None) -> Tensor:
        """Logits of all columns (shape (rows, cells)); the label's column is all but certain."""
        if self.label_column is None or labels is None:
            logits: Tensor = self.heads(self.body(noise))
            return logits
        known = one_hot(labels, self.labels)
        parts = list(self.heads(self.body(torch.cat([noise, known], dim=1))).split(self.heads.sizes, dim=1))
        parts[self.label_column] = (known - 1.0) * 50.0
        return torch.cat(parts, dim=1)


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
