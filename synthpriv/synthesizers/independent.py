"""IndependentSynthesizer: one-way distributions only, the floor that every other synthesizer must beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from synthpriv.encoding.table_encoder import Codes, TableEncoder
from synthpriv.privacy.ledger import Release
from synthpriv.privacy.private_table import PrivateTable
from synthpriv.progress import Report
from synthpriv.schema import Schema
from synthpriv.synthesizers.base import SampleModel, Synthesizer
from synthpriv.synthesizers.configuration import configuration
from synthpriv.synthesizers.planning import FitPlan, TrainingSettings


@configuration
class IndependentSynthesizer(Synthesizer):
    """Columns drawn independently from their noisy one-way distributions; the whole budget counts them."""

    name: ClassVar[str] = "independent"

    def _training_settings(self, schema: Schema) -> TrainingSettings | None:
        return None

    def empty_model(self, encoder: TableEncoder) -> SampleModel:
        """The distributions are the encoder's."""
        return IndependentModel(encoder.shares)

    def _train(
        self,
        private: PrivateTable,
        release: Release,
        encoder: TableEncoder,
        plan: FitPlan,
        generator: torch.Generator,
        report: Report,
    ) -> SampleModel:
        return self.empty_model(encoder)


class IndependentModel(SampleModel):
    """A table of one-way distributions."""

    def __init__(self, shares: Sequence[npt.NDArray[np.float64]]) -> None:
        self.shares = [torch.from_numpy(share) for share in shares]

    def draw(self, count: int, generator: torch.Generator, labels: npt.NDArray[np.int64] | None) -> Codes:
        """Every column by itself."""
        columns = [torch.multinomial(s, count, replacement=True, generator=generator) for s in self.shares]
        return torch.stack(columns, dim=1).numpy().astype(np.int16)
