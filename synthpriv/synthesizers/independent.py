"""IndependentSynthesizer: one-way distributions only, the floor that every other synthesizer must beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from synthpriv.encoding.table_encoder import Codes, TableEncoder
from synthpriv.synthesizers.base import Fitting, Synthesizer
from synthpriv.synthesizers.configuration import configuration
from synthpriv.synthesizers.models import SampleModel


@configuration
class IndependentSynthesizer(Synthesizer):
    """Columns drawn independently from their noisy one-way distributions; the whole budget counts them."""

    name: ClassVar[str] = "independent"

    def empty_model(self, encoder: TableEncoder) -> SampleModel:
        """The distributions are the encoder's."""
        return IndependentModel(encoder.shares)

    def _train(self, fitting: Fitting) -> SampleModel:
        return self.empty_model(fitting.encoder)


class IndependentModel(SampleModel):
    """A table of one-way distributions."""

    def __init__(self, shares: Sequence[npt.NDArray[np.float64]]) -> None:
        self.shares = [torch.from_numpy(share) for share in shares]

    @property
    def conditioned(self) -> frozenset[int]:
        """Every column: none tells anything of another."""
        return frozenset(range(len(self.shares)))

    def draw(self, count: int, generator: torch.Generator, given: Mapping[int, int]) -> Codes:
        """Every column by itself."""
        columns = [
            torch.full((count,), given[at])
            if at in given
            else torch.multinomial(share, count, replacement=True, generator=generator)
            for at, share in enumerate(self.shares)
        ]
        return torch.stack(columns, dim=1).numpy().astype(np.int16)
