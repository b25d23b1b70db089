"""Products: a mixture of independent columns, in which densities, conditionals and posteriors are exact.

The mixture synthesizer is one; the VAE's latents and the CTGAN's noise decode to one. Given some cells, each
component is weighted by how likely they are under it; the rest of a row is then drawn from a component.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from synthpriv.encoding.table_encoder import Codes

Floats = npt.NDArray[np.float64]
Shares = npt.NDArray[np.float32]
Evidence = Mapping[int, Floats]  # by column: the share of each cell that is allowed, 0..1 (shape (cells,))
UNKNOWN = -1
BATCH_ROWS = 2048
LEAST = 1e-30


class Products:
    """Components of equal weight, each one softmax per column (logits of shape (components, cells))."""

    def __init__(self, logits: Tensor, sizes: Sequence[int]) -> None:
        self.logits, self.sizes = logits, list(sizes)

    @cached_property
    def blocks(self) -> list[Tensor]:
        """The distributions of each column, one (components, cells) tensor per column."""
        return [part.softmax(1) for part in self.logits.split(self.sizes, dim=1)]

    @cached_property
    def tables(self) -> list[Tensor]:
        """Log-probabilities of each column, (cells + 1, components); the last row, for unknown, is 0."""
        logs = [block.clamp_min(LEAST).log().t() for block in self.blocks]
        return [torch.cat([log, log.new_zeros(1, log.shape[1])]).contiguous() for log in logs]

    @torch.no_grad()
    def log_weights(self, evidence: Evidence) -> Tensor:
        """How likely the evidence is under each component, as a logarithm (components,)."""
        total = torch.zeros(len(self.logits), dtype=torch.float64)
        for column, allowed in evidence.items():
            total += (self.blocks[column].double() @ torch.from_numpy(allowed)).clamp_min(1e-300).log()
        return total

    @torch.no_grad()
    def draw(self, count: int, generator: torch.Generator, evidence: Evidence) -> Codes:
        """`count` rows: components by their posterior, in even shares, then each column by itself."""
        chosen = evenly_drawn(self.log_weights(evidence).softmax(0), count, generator)
        codes = torch.empty(count, len(self.sizes), dtype=torch.int16)
        for column, block in enumerate(self.blocks):
            if column in evidence:
                block = block * torch.from_numpy(evidence[column]).float()
            codes[:, column] = drawn_cells(block, chosen, generator)
        return codes.numpy()

    @torch.no_grad()
    def complete(self, codes: Codes, generator: torch.Generator, evidence: Evidence) -> Codes:
        """The rows with every UNKNOWN cell drawn from its joint distribution given the row's other cells.

        evidence: what may be drawn.
        """
        filled = codes.copy()
        allowed = {
            column: self.blocks[column] * torch.from_numpy(w).float() for column, w in evidence.items()
        }
        for rows, joint in self._joints(codes):
            unknown = torch.from_numpy(codes[rows] == UNKNOWN)
            for column, block in allowed.items():
                joint = joint + unknown[:, column, None] * block.sum(1).clamp_min(LEAST).log()
            chosen = _by_row(joint.softmax(1), generator)
            for column in np.flatnonzero(unknown.any(0).numpy()).tolist():
                drawn = drawn_cells(allowed.get(column, self.blocks[column]), chosen, generator).numpy()
                filled[rows, column] = np.where(unknown[:, column].numpy(), drawn, codes[rows, column])
        return filled

    @torch.no_grad()
    def conditionals(self, codes: Codes, columns: Sequence[int]) -> list[Shares]:
        """Columns' distributions given each row's other known cells, their own unread: (rows, cells) each."""
        found: list[list[Shares]] = [[np.zeros((0, self.sizes[at]), dtype=np.float32)] for at in columns]
        for rows, joint in self._joints(codes):
            for place, column in enumerate(columns):
                own = self.tables[column][torch.from_numpy(codes[rows, column].astype(np.int64))]
                found[place].append(((joint - own).softmax(1) @ self.blocks[column]).numpy())
        return [np.concatenate(parts) for parts in found]

    @torch.no_grad()
    def log_density(self, codes: Codes) -> Floats:
        """The logarithm of the probability of each row's known cells (shape (rows,))."""
        parts = [np.zeros(0)]
        for _, joint in self._joints(codes):
            parts.append(joint.double().logsumexp(1).numpy() - math.log(len(self.logits)))
        return np.concatenate(parts)

    @torch.no_grad()
    def log_conditionals(self, codes: Codes) -> Floats:
        """The logarithm of the probability of each known cell given all others of its row: (rows, columns).

        0 for an unknown cell.
        """
        found = np.zeros(codes.shape)
        for rows, joint in self._joints(codes):
            total = joint.logsumexp(1)
            for column, table in enumerate(self.tables):
                others = joint - table[torch.from_numpy(codes[rows, column].astype(np.int64))]
                found[rows, column] = (total - others.logsumexp(1)).double().numpy()
        return found

    def _joints(self, codes: Codes) -> Iterator[tuple[slice, Tensor]]:
        """Of some rows at a time, the log-probability of their known cells under each component."""
        for start in range(0, len(codes), BATCH_ROWS):
            rows = slice(start, start + BATCH_ROWS)
            yield rows, self.log_joint(torch.from_numpy(codes[rows].astype(np.int64)))

    def log_joint(self, codes: Tensor) -> Tensor:
        """The log-probability of each row's known cells under each component: (rows, components)."""
        total = codes.new_zeros(len(codes), len(self.logits), dtype=torch.float32)
        for at, table in enumerate(self.tables):
            known = codes[:, at] != UNKNOWN  # unknown, -1, is the table's last row, of zeros
            if known.any():
                total += table[codes[:, at]]
        return total


def drawn_cells(weights: Tensor, chosen: Tensor, generator: torch.Generator) -> Tensor:
    """One cell for each of `chosen` (rows of `weights`), in proportion: (chosen,) of int16."""
    cumulative = weights.cumsum(1)
    last = weights.shape[1] - 1 - (weights > 0).flip(1).int().argmax(1)
    drawn = torch.rand(len(chosen), 1, generator=generator) * cumulative[chosen, -1:]
    beyond = (drawn >= cumulative[chosen]).sum(1)
    return torch.minimum(beyond, last[chosen]).to(torch.int16)


def evenly_drawn(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` places, each as often as its weight says but for a fraction: systematic sampling, shuffled."""
    cumulative = weights.double().cumsum(0)
    steps = (torch.arange(count, dtype=torch.float64) + torch.rand(1, generator=generator)) / max(count, 1)
    chosen = torch.searchsorted(cumulative, steps * cumulative[-1], right=True).clamp_max(len(weights) - 1)
    return chosen[torch.randperm(count, generator=generator)]


def _by_row(shares: Tensor, generator: torch.Generator) -> Tensor:
    """One component per row of shares (rows, components)."""
    cumulative = shares.cumsum(1)
    drawn = torch.rand(len(shares), 1, generator=generator) * cumulative[:, -1:]
    return torch.searchsorted(cumulative, drawn, right=True)[:, 0].clamp_max(shares.shape[1] - 1)
