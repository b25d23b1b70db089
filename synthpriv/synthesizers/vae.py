"""VAESynthesizer: a variational autoencoder over cell codes, trained whole under DP-SGD."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch

from synthpriv.encoding.codec import MAX_CELLS
from synthpriv.encoding.table_encoder import Codes, TableEncoder
from synthpriv.privacy import devices
from synthpriv.privacy.dpsgd_plan import Optimization
from synthpriv.schema import Schema
from synthpriv.synthesizers.base import Fitting, Synthesizer
from synthpriv.synthesizers.configuration import check_training, configuration, require
from synthpriv.synthesizers.models import SampleModel
from synthpriv.synthesizers.networks import Decoder, VariationalAutoencoder, initialise, loss_generator
from synthpriv.synthesizers.planning import TrainingSettings

CALIBRATION_POOL = 8192


@configuration
class VAESynthesizer(Synthesizer):
    """A variational autoencoder whose encoder and decoder both learn from noisy clipped gradients.

    epochs: passes over the table (default: a fixed number of steps). batch_size: expected rows per step
    (default: a quarter of the table, at most 4096; large batches and few steps suit a fixed budget).
    embedding_dim: size of the latent. hidden_dim: width of the hidden layers. beta: weight of the latent's
    divergence from the normal.
    """

    name: ClassVar[str] = "vae"

    epochs: int | None = None
    batch_size: int | None = None
    embedding_dim: int = 16
    hidden_dim: int = 256
    beta: float = 1.0
    learning_rate: float = 0.01
    max_grad_norm: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        check_training(self)
        require("hidden_dim", self.hidden_dim, 1, 4096, whole=True)
        require("beta", self.beta, 0.0, 100.0)

    def _training_settings(self, schema: Schema) -> TrainingSettings:
        cells = sum(min(column.size, MAX_CELLS) + 1 for column in schema.modelled.values())
        weights = (2 * cells + 3 * self.embedding_dim) * self.hidden_dim
        return TrainingSettings(
            steps=400,
            epochs=self.epochs,
            batch_size=self.batch_size,
            max_grad_norm=self.max_grad_norm,
            parameters=weights,
            activations=2 * cells + 4 * self.hidden_dim,
        )

    def empty_model(self, encoder: TableEncoder) -> SampleModel:
        """A decoder without trained weights."""
        return VAEModel(Decoder(encoder.shares, self.embedding_dim, self.hidden_dim))

    def _train(self, fitting: Fitting) -> SampleModel:
        plan, encoder, generator, report = fitting.plan, fitting.encoder, fitting.generator, fitting.report
        assert plan.training is not None
        steps = plan.training.steps
        network = VariationalAutoencoder(encoder.shares, self.embedding_dim, self.hidden_dim)
        initialise(network, generator)
        device = devices.resolve(self.device)
        network.to(device)
        inside = loss_generator(device)
        fitting.private.train(
            fitting.release,
            "training",
            encoder,
            network,
            lambda codes: network.row_loss(codes, inside, self.beta),
            plan.training,
            Optimization(learning_rate=self.learning_rate),
            lambda step: report("training", step + 1, steps),
            report,
        )
        decoder = network.decoder.cpu()
        with torch.no_grad():
            pool = decoder(torch.randn(CALIBRATION_POOL, self.embedding_dim, generator=generator))
        decoder.heads.match_shares(pool, torch.from_numpy(np.concatenate(encoder.shares)).float())
        return VAEModel(decoder)


class VAEModel(SampleModel):
    """The decoder and a standard normal."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder

    @torch.no_grad()
    def draw(self, count: int, generator: torch.Generator, given: Mapping[int, int]) -> Codes:
        """Decode normal latents, then draw each column from its softmax."""
        latents = torch.randn(count, self.decoder.latent, generator=generator)
        codes = self.decoder.heads.sample(self.decoder(latents), generator)
        return codes.numpy().astype(np.int16)

    @property
    def network(self) -> Decoder:
        """The decoder."""
        return self.decoder
