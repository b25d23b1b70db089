"""A leaky table: a plain variational autoencoder without privacy, trained until it knows its rows."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from synthpriv.evaluation.cells import Array, Cells
from synthpriv.privacy.layers import CodeLinear
from synthpriv.synthesizers.networks import ColumnHeads

MOST_CELLS = 200
LATENT, HIDDEN = 24, 192
BATCH, RATE = 250, 2e-3
KL_WEIGHT = 0.5


class Codes:
    """Positions as codes: every value its own cell, or in a column of many values one of equal counts."""

    def __init__(self, cells: Cells) -> None:
        self.edges, coded = [], []
        for at in range(len(cells.columns)):
            values = np.unique(cells.positions[:, at])
            if len(values) > MOST_CELLS:
                levels = np.linspace(0, 1, MOST_CELLS + 1)
                values = np.unique(np.quantile(cells.positions[:, at], levels[:-1], method="lower"))
            self.edges.append(np.append(values, cells.positions[:, at].max() + 1))
            coded.append(np.searchsorted(values, cells.positions[:, at], side="right") - 1)
        self.codes = np.column_stack(coded)
        self.sizes = [len(edges) - 1 for edges in self.edges]

    def positions(self, codes: Array, rng: np.random.Generator) -> Array:
        """A position for every code, evenly drawn from its cell."""
        cells = zip(self.edges, codes.T, strict=True)
        return np.column_stack([rng.integers(edges[at], edges[at + 1]) for edges, at in cells])


class Autoencoder(nn.Module):
    """Encoder and decoder of one hidden layer each."""

    def __init__(self, codes: Codes) -> None:
        super().__init__()
        shares = [
            np.asarray((np.bincount(column, minlength=size) + 0.5) / (len(column) + 0.5 * size), np.float64)
            for column, size in zip(codes.codes.T, codes.sizes, strict=True)
        ]
        self.encoder = nn.Sequential(
            CodeLinear(codes.sizes, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, 2 * LATENT)
        )
        self.decoder = nn.Sequential(
            nn.Linear(LATENT, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN), nn.SiLU()
        )
        self.heads = ColumnHeads(HIDDEN, shares)

    def loss(self, codes: Tensor, generator: torch.Generator) -> Tensor:
        """The mean negative evidence bound, its divergence weighted."""
        mean, log_scale = self.encoder(codes).chunk(2, dim=1)
        latent = mean + log_scale.exp() * torch.randn(mean.shape, generator=generator)
        divergence = 0.5 * (mean**2 + (2 * log_scale).exp() - 2 * log_scale - 1).sum(1)
        logits = self.heads(self.decoder(latent))
        bound: Tensor = self.heads.row_loss(logits, codes) + KL_WEIGHT * divergence
        return bound.mean()


def overfitted(train: Cells, rows: int, epochs: int, seed: int) -> Cells:
    """Rows of an autoencoder that passed `epochs` times over the training rows, drawn from its prior."""
    codes, rng = Codes(train), np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model, learnt = Autoencoder(codes), torch.from_numpy(codes.codes)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for _ in range(epochs):
        order = torch.randperm(len(learnt), generator=generator)
        for start, end in pairwise(range(0, len(order) + BATCH, BATCH)):
            optimizer.zero_grad()
            model.loss(learnt[order[start:end]], generator).backward()
            optimizer.step()
    with torch.no_grad():
        logits = model.heads(model.decoder(torch.randn(rows, LATENT, generator=generator)))
        drawn = model.heads.sample(logits, generator).numpy()
    made = codes.positions(drawn, rng)
    return replace(train, positions=made, outside=np.zeros(made.shape, dtype=bool))
