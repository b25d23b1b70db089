"""CTGANSynthesizer: a conditional GAN over cell codes whose discriminator alone sees real rows, under DP-SGD.

Each real row is paired with a generated one, and the pair's whole discriminator loss is clipped as one: what
the two have in common cancels, and real and generated gradients shrink by the same factor. The generator
learns from the noisy discriminator and from released one-way distributions: no real row reaches it. There is
no packing, no batch statistic, no penalty that mixes rows, and labels are drawn from released frequencies.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from synthpriv.encoding.codec import MAX_CELLS
from synthpriv.encoding.table_encoder import Codes, TableEncoder
from synthpriv.privacy import devices
from synthpriv.privacy.dpsgd_plan import Optimization
from synthpriv.schema import Schema
from synthpriv.synthesizers.base import Fitting, Synthesizer
from synthpriv.synthesizers.configuration import check_training, configuration, layer_widths, require
from synthpriv.synthesizers.models import SampleModel
from synthpriv.synthesizers.networks import (
    Discriminator,
    Generator,
    drawn_codes,
    initialise,
    loss_generator,
    relaxed_one_hot,
)
from synthpriv.synthesizers.planning import TrainingSettings
from synthpriv.synthesizers.workload import label_column

CALIBRATION_POOL = 8192


@configuration
class CTGANSynthesizer(Synthesizer):
    """A conditional GAN: many noisy discriminator steps, a generator anchored on released distributions.

    epochs, batch_size: as for the VAE. embedding_dim: size of the generator's noise. generator_dim,
    discriminator_dim: widths of the hidden layers. discriminator_steps: per generator step. anchor: weight
    of the divergence between generated and released one-way distributions in the generator's loss.
    """

    name: ClassVar[str] = "ctgan"

    epochs: int | None = None
    batch_size: int | None = None
    embedding_dim: int = 64
    generator_dim: tuple[int, ...] = (256, 256)
    discriminator_dim: tuple[int, ...] = (256, 128)
    generator_learning_rate: float = 2e-3
    learning_rate: float = 1e-2
    discriminator_steps: int = 2
    anchor: float = 10.0
    temperature: float = 0.5
    max_grad_norm: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        check_training(self)
        for name in ("generator_dim", "discriminator_dim"):
            object.__setattr__(self, name, layer_widths(name, getattr(self, name)))
        require("generator_learning_rate", self.generator_learning_rate, 1e-9, 10.0)
        require("discriminator_steps", self.discriminator_steps, 1, 10_000, whole=True)
        require("anchor", self.anchor, 0.0)
        require("temperature", self.temperature, 0.05, 10.0)

    def _training_settings(self, schema: Schema) -> TrainingSettings:
        cells = sum(min(column.size, MAX_CELLS) + 1 for column in schema.modelled.values())
        widths = (cells, *self.discriminator_dim, 1)
        return TrainingSettings(
            steps=1000,
            epochs=self.epochs,
            batch_size=self.batch_size,
            max_grad_norm=self.max_grad_norm,
            parameters=sum(before * after for before, after in pairwise(widths)),
            activations=2 * sum(widths) + cells,
        )

    def empty_model(self, encoder: TableEncoder) -> SampleModel:
        """A generator without trained weights."""
        label = label_column(encoder.schema)
        return CTGANModel(Generator(encoder.shares, label, self.embedding_dim, self.generator_dim), encoder)

    def _train(self, fitting: Fitting) -> SampleModel:
        plan, encoder, report = fitting.plan, fitting.encoder, fitting.report
        assert plan.training is not None
        steps = plan.training.steps
        game = _Game(self, encoder, label_column(encoder.schema), fitting.generator, steps)

        def after_step(step: int) -> None:
            if (step + 1) % self.discriminator_steps == 0:
                game.generator_step()
            report("training", step + 1, steps)

        fitting.private.train(
            fitting.release,
            "training",
            encoder,
            game.discriminator,
            game.pair_loss,
            plan.training,
            Optimization(learning_rate=self.learning_rate, betas=(0.5, 0.9), average=0.0),
            after_step,
            report,
        )
        return CTGANModel(game.averaged_generator(), encoder)


class _Game:
    """The two players and what the generator's side does between private steps."""

    def __init__(
        self,
        config: CTGANSynthesizer,
        encoder: TableEncoder,
        label: int | None,
        random: torch.Generator,
        steps: int,
    ) -> None:
        self.config, self.sizes = config, encoder.sizes
        device = devices.resolve(config.device)
        self.released = torch.from_numpy(np.concatenate(encoder.shares)).float().to(device)
        self.generator = Generator(encoder.shares, label, config.embedding_dim, config.generator_dim)
        self.discriminator = Discriminator(self.sizes, config.discriminator_dim)
        for network in (self.generator, self.discriminator):
            initialise(network, random)
            network.to(device)
        self.outside, self.inside = devices.generator_on(device, random), loss_generator(device)
        self.label = None if label is None else self.released.split(list(self.sizes))[label].log()
        turns = max(1, steps // config.discriminator_steps)
        self.optimizer = torch.optim.Adam(
            self.generator.parameters(), lr=config.generator_learning_rate, betas=(0.5, 0.9)
        )
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            self.optimizer, turns, eta_min=config.generator_learning_rate / 10
        )
        self.averaged = copy.deepcopy(self.generator)
        self.turn, self.average_from = 0, turns // 2

    def generate(self, count: int, random: torch.Generator) -> Tensor:
        """Logits of `count` generated rows, labels drawn from their released frequencies."""
        labels = None
        if self.label is not None:
            labels = drawn_codes(self.label.expand(count, -1), [len(self.label)], random)[:, 0]
        noise = torch.randn(count, self.config.embedding_dim, generator=random, device=self.released.device)
        logits: Tensor = self.generator(noise, labels)
        return logits

    def pair_loss(self, codes: Tensor) -> Tensor:
        """The discriminator's loss on each real row together with a generated one (shape (rows,))."""
        with torch.no_grad():
            generated = drawn_codes(self.generate(len(codes), self.inside), self.sizes, self.inside)
        scores = self.discriminator(torch.stack([codes, generated], dim=1))
        return functional.softplus(-scores[:, 0]) + functional.softplus(scores[:, 1])

    def generator_step(self) -> None:
        """One step of the generator: it sees the discriminator and released distributions, no real row."""
        logits = self.generate(1024, self.outside)
        fake = relaxed_one_hot(logits, self.sizes, self.config.temperature, self.outside)
        mean = torch.cat([part.softmax(1) for part in logits.split(list(self.sizes), dim=1)], dim=1).mean(0)
        drift = (self.released * (self.released.log() - (mean + 1e-6).log())).sum()
        loss = functional.softplus(-self.discriminator.dense(fake)).mean() + self.config.anchor * drift
        self.optimizer.zero_grad()
        loss.backward(inputs=list(self.generator.parameters()))
        self.optimizer.step()
        self.schedule.step()
        self.turn += 1
        if self.turn > self.average_from:
            with torch.no_grad():
                for mean, p in zip(self.averaged.parameters(), self.generator.parameters(), strict=True):
                    mean.lerp_(p, 1 / (self.turn - self.average_from))

    def averaged_generator(self) -> Generator:
        """The mean of the generator's weights over its second half, its columns matched to released ones."""
        self.generator = self.averaged
        with torch.no_grad():
            self.averaged.heads.match_shares(self.generate(CALIBRATION_POOL, self.outside), self.released)
        return self.averaged.cpu()


class CTGANModel(SampleModel):
    """The generator, and the released frequencies that its labels are drawn from."""

    def __init__(self, generator: Generator, encoder: TableEncoder) -> None:
        self.generator = generator
        label = generator.label_column
        self.label_shares = None if label is None else torch.from_numpy(encoder.shares[label])

    @property
    def conditioned(self) -> frozenset[int]:
        """The label, which the generator is given."""
        label = self.generator.label_column
        return frozenset() if label is None else frozenset({label})

    @torch.no_grad()
    def draw(self, count: int, generator: torch.Generator, given: Mapping[int, int]) -> Codes:
        """Noise and labels through the generator, then each column from its softmax."""
        labels, column = None, self.generator.label_column
        if column is not None and column in given:
            labels = torch.full((count,), given[column])
        elif self.label_shares is not None:
            labels = torch.multinomial(self.label_shares, count, replacement=True, generator=generator)
        noise = torch.randn(count, self.generator.embedding, generator=generator)
        codes = self.generator.heads.sample(self.generator(noise, labels), generator)
        return codes.numpy().astype(np.int16)

    @property
    def network(self) -> Generator:
        """The generator."""
        return self.generator
