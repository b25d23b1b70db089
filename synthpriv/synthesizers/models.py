"""What is left of a synthesizer once it is fitted: a model that draws codes, and can be saved."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from synthpriv.encoding.table_encoder import Codes
from synthpriv.synthesizers.products import Evidence, Shares

Floats = npt.NDArray[np.float64]


class Joint(Protocol):
    """The joint distribution of a row's cells, as tasks ask for it. Codes of -1 are unknown cells."""

    def log_density(self, codes: Codes) -> Floats:
        """The logarithm of the probability of each row's known cells: (rows,)."""

    def log_conditionals(self, codes: Codes) -> Floats:
        """The logarithm of each known cell's probability given its row's others, 0 for unknown: (rows, m)."""

    def conditionals(self, codes: Codes, columns: Sequence[int]) -> list[Shares]:
        """Columns' distributions given each row's other known cells, their own unread: (rows, cells) each."""

    def complete(self, codes: Codes, generator: torch.Generator, evidence: Evidence) -> Codes:
        """The rows with their unknown cells drawn given the known ones, within the evidence."""


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How a model meets evidence.

    probability: of the evidence under the model. effective: the share of a draw that counts, as in importance
    sampling (the effective sample size over the pool's), 1 where the posterior is exact.
    """

    probability: float
    effective: float = 1.0


class SampleModel(ABC):
    """The generator side of a fitted synthesizer: draws codes, holds no row."""

    @abstractmethod
    def draw(self, count: int, generator: torch.Generator, evidence: Evidence) -> Codes:
        """`count` rows of codes (shape (count, columns)) whose cells meet the evidence."""

    @abstractmethod
    def reach(self, evidence: Evidence) -> Reach:
        """How likely the evidence is, and how well `draw` meets it."""

    @abstractmethod
    def joint(self) -> Joint:
        """The model's joint distribution, or the closest to it that has densities and conditionals."""

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


def effective_share(log_weights: torch.Tensor) -> float:
    """(sum w)^2 / (n sum w^2): 1 for equal weights, 1/n where one has all (Kish 1965)."""
    weights = (log_weights - log_weights.max()).exp()
    return float(weights.sum().square() / (len(weights) * weights.square().sum()))
