"""IndependentSynthesizer: one-way distributions only, the floor that every other synthesizer must beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from synthpriv.encoding.table_encoder import Codes, TableEncoder
from synthpriv.synthesizers.base import Fitting, Synthesizer
from synthpriv.synthesizers.configuration import configuration
from synthpriv.synthesizers.models import Reach, SampleModel
from synthpriv.synthesizers.products import Evidence, Products


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
    """A single product: the one-way distributions."""

    def __init__(self, shares: Sequence[npt.NDArray[np.float64]]) -> None:
        logits = torch.from_numpy(np.log(np.concatenate(shares))).float().unsqueeze(0)
        self.products = Products(logits, [len(share) for share in shares])

    def draw(self, count: int, generator: torch.Generator, evidence: Evidence) -> Codes:
        """Every column by itself."""
        return self.products.draw(count, generator, evidence)

    def reach(self, evidence: Evidence) -> Reach:
        """The product of the columns'."""
        return Reach(probability=float(self.products.log_weights(evidence).exp()))

    def joint(self) -> Products:
        """The product itself."""
        return self.products
