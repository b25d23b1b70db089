"""What is left of a synthesizer once it is fitted: a model that draws codes, and can be saved."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch

from synthpriv.encoding.table_encoder import Codes


class SampleModel(ABC):
    """The generator side of a fitted synthesizer: draws codes, holds no row."""

    @abstractmethod
    def draw(self, count: int, generator: torch.Generator, given: Mapping[int, int]) -> Codes:
        """`count` rows of codes (shape (count, columns)) that have the `given` codes, by column."""

    @property
    def conditioned(self) -> frozenset[int]:
        """The columns whose code `draw` can be given."""
        return frozenset()

    @property
    def network(self) -> torch.nn.Module | None:
        """The network that sampling needs, if any: its tensors are all that is saved."""
        return None

    def tensors(self) -> dict[str, torch.Tensor]:
        """What is saved beside the encoder."""
        return {} if self.network is None else dict(self.network.state_dict())

    def fill(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take saved tensors, already checked against the names and shapes of `tensors()`."""
        if self.network is not None:
            self.network.load_state_dict(tensors, assign=True)


def evenly_drawn(weights: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """`count` places, each as often as its weight says but for a fraction: systematic sampling, shuffled."""
    cumulative = weights.double().cumsum(0)
    steps = (torch.arange(count, dtype=torch.float64) + torch.rand(1, generator=generator)) / max(count, 1)
    chosen = torch.searchsorted(cumulative, steps * cumulative[-1], right=True).clamp_max(len(weights) - 1)
    return chosen[torch.randperm(count, generator=generator)]
