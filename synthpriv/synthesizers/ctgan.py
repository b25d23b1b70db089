"""CTGANSynthesizer: a conditional GAN anchored on released marginals; its discriminator alone sees rows.

The generator first learns the noisy marginals (anchor.py), which costs nothing more. Then it plays: each real
row is paired with a generated one, and the pair's whole discriminator loss is clipped as one, so that what
the two have in common cancels and real and generated gradients shrink by the same factor. The generator
learns from the noisy discriminator and, at every step, from the marginals: no real row reaches it. There is
no packing, no batch statistic, no penalty that mixes rows, and labels are drawn from released frequencies.

The marginals do the work. On Adult the discriminator does tell held-out real rows from generated ones (AUC
0.51 at epsilon 1, 0.54 at 3, 0.58 at 10, 0.67 without noise), yet what the generator learns from it moves no
figure by more than chance; its share of the budget and its weight are therefore small where epsilon is.
"""

from __future__ import annotations

import copy
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
from synthpriv.progress import Report
from synthpriv.schema import Schema
from synthpriv.synthesizers.anchor import Anchor
from synthpriv.synthesizers.base import Fitting, Synthesizer
from synthpriv.synthesizers.configuration import check_training, configuration, layer_widths, require
from synthpriv.synthesizers.models import Reach, SampleModel, effective_share
from synthpriv.synthesizers.networks import (
    Discriminator,
    Generator,
    drawn_codes,
    initialise,
    loss_generator,
    relaxed_one_hot,
)
from synthpriv.synthesizers.planning import TrainingSettings
from synthpriv.synthesizers.products import Evidence, Products, evenly_drawn
from synthpriv.synthesizers.workload import label_column

SMALL_EPSILON = 3.0  # below it the discriminator learns next to nothing, and marginals take its share
POOL = 16_384  # rows of noise at least from which a condition picks
CALIBRATION_POOL = JOINT_POOL = 8192
CALIBRATION_STEPS = 50
GAME_RATE = 0.1  # of the generator's learning rate, once it knows the marginals


@configuration
class CTGANSynthesizer(Synthesizer):
    """A conditional GAN: a generator anchored on released marginals, a discriminator that is private.

    epochs, batch_size: as for the VAE. embedding_dim: size of the generator's noise. modes: of its noise.
    generator_dim, discriminator_dim: widths of the hidden layers. pretraining_steps: of the generator, on
    the marginals alone. discriminator_steps: per generator step. adversarial: weight of a row's adversarial
    term beside the log-likelihood of the marginals (default: a tenth of epsilon, at most 100).
    """

    name: ClassVar[str] = "ctgan"

    epochs: int | None = None
    batch_size: int | None = None
    embedding_dim: int = 32
    modes: int = 1024
    generator_dim: tuple[int, ...] = (128,)
    discriminator_dim: tuple[int, ...] = (64, 32)
    pretraining_steps: int = 400
    generator_learning_rate: float = 0.03
    learning_rate: float = 1e-2
    discriminator_steps: int = 2
    adversarial: float | None = None
    temperature: float = 0.5
    max_grad_norm: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        check_training(self)
        for name in ("generator_dim", "discriminator_dim"):
            object.__setattr__(self, name, layer_widths(name, getattr(self, name)))
        require("generator_learning_rate", self.generator_learning_rate, 1e-9, 10.0)
        for name in ("modes", "pretraining_steps", "discriminator_steps"):
            require(name, getattr(self, name), 1, 10_000, whole=True)
        if self.adversarial is not None:
            require("adversarial", self.adversarial, 0.0)
        require("temperature", self.temperature, 0.05, 10.0)

    def _marginal_share(self) -> float:
        return 0.9 if self.epsilon < SMALL_EPSILON else 0.7

    @property
    def adversarial_weight(self) -> float:
        """The weight of the adversarial term: by default it grows with what the noise lets through."""
        return min(0.1 * self.epsilon, 100.0) if self.adversarial is None else self.adversarial

    def _training_settings(self, schema: Schema) -> TrainingSettings | None:
        if len(schema.modelled) < 2:
            return None  # one column is its released distribution
        cells = sum(min(column.size, MAX_CELLS) + 1 for column in schema.modelled.values())
        widths = (cells, *self.discriminator_dim, 1)
        return TrainingSettings(
            steps=300,
            epochs=self.epochs,
            batch_size=self.batch_size,
            max_grad_norm=self.max_grad_norm,
            parameters=sum(before * after for before, after in pairwise(widths)),
            activations=2 * sum(widths) + cells,
        )

    def network(self, encoder: TableEncoder) -> Generator:
        """A generator without trained weights."""
        label = label_column(encoder.schema)
        return Generator(encoder.shares, label, self.embedding_dim, self.generator_dim, self.modes)

    def empty_model(self, encoder: TableEncoder) -> SampleModel:
        """A model without trained weights."""
        return CTGANModel(self.network(encoder))

    def _train(self, fitting: Fitting) -> SampleModel:
        plan, encoder, report = fitting.plan, fitting.encoder, fitting.report
        if plan.training is None or fitting.anchor is None:
            network = self.network(encoder)
            initialise(network, fitting.generator)
            return CTGANModel(network).calibrated(encoder, fitting.generator)
        steps = plan.training.steps
        game = _Game(self, encoder, fitting.anchor, fitting.generator)
        game.learn_marginals(self.pretraining_steps, self.generator_learning_rate, report)
        game.begin(plan.rows, steps // self.discriminator_steps)

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
        return CTGANModel(game.averaged_generator(report)).calibrated(encoder, fitting.generator)


class _Game:
    """The two players and what the generator's side does before, between and after private steps."""

    def __init__(
        self, config: CTGANSynthesizer, encoder: TableEncoder, anchor: Anchor, random: torch.Generator
    ) -> None:
        self.config, self.sizes = config, encoder.sizes
        device = devices.resolve(config.device)
        self.anchor, self.generator = anchor.to(device), config.network(encoder)
        self.discriminator = Discriminator(self.sizes, config.discriminator_dim)
        for network in (self.generator, self.discriminator):
            initialise(network, random)
            network.to(device)
        self.outside, self.inside = devices.generator_on(device, random), loss_generator(device)
        self.every = self.generator.labels()
        self.weights = torch.from_numpy(self.generator.weights).float().to(device)

    def learn_marginals(self, steps: int, learning_rate: float, report: Report) -> None:
        """Post-processing of the released marginals: Adam on the anchor alone."""
        optimizer = _Optimizer(self.generator, learning_rate, (0.9, 0.99), steps)
        for step in range(steps):
            optimizer.step(self.anchor.loss(self.every_mode()))
            report("fitting the generator to marginals", step + 1, steps)

    def begin(self, rows: int, turns: int) -> None:
        """Before the first private step: the generator's optimizer for `turns` steps on `rows` rows."""
        self.rows, self.turn, self.average_from = rows, 0, turns // 2
        self.optimizer = _Optimizer(
            self.generator, GAME_RATE * self.config.generator_learning_rate, (0.5, 0.9), turns
        )
        self.averaged = copy.deepcopy(self.generator)

    def every_mode(self) -> Tensor:
        """Logits of one generated row for every mode of the noise."""
        logits: Tensor = self.generator(self.generator.noise(None, self.outside), self.every)
        return logits

    def generated(self, count: int, random: torch.Generator) -> Tensor:
        """Codes of `count` generated rows, modes and so labels drawn by their released frequencies."""
        modes = torch.multinomial(self.weights, count, replacement=True, generator=random)
        logits = self.generator(self.generator.noise(modes, random), self.every[modes])
        return drawn_codes(logits, self.sizes, random)

    def pair_loss(self, codes: Tensor) -> Tensor:
        """The discriminator's loss on each real row together with a generated one (shape (rows,))."""
        with torch.no_grad():
            generated = self.generated(len(codes), self.inside)
        scores = self.discriminator(torch.stack([codes, generated], dim=1))
        return functional.softplus(-scores[:, 0]) + functional.softplus(scores[:, 1])

    def generator_step(self) -> None:
        """One step of the generator: it sees the discriminator and released marginals, no real row."""
        logits = self.every_mode()
        fake = relaxed_one_hot(logits, self.sizes, self.config.temperature, self.outside)
        adversarial = functional.softplus(-self.discriminator.dense(fake)).mean()
        self.optimizer.step(
            self.anchor.loss(logits) + self.rows * self.config.adversarial_weight * adversarial
        )
        self.turn += 1
        if self.turn > self.average_from:
            with torch.no_grad():
                for mean, p in zip(self.averaged.parameters(), self.generator.parameters(), strict=True):
                    mean.lerp_(p, 1 / (self.turn - self.average_from))

    def averaged_generator(self, report: Report) -> Generator:
        """The mean of the generator's weights over its second half, brought back to the marginals."""
        self.generator = self.averaged
        rate = GAME_RATE * self.config.generator_learning_rate
        self.learn_marginals(CALIBRATION_STEPS, rate, report)
        return self.generator.cpu()


class _Optimizer:
    """Adam with cosine decay for a generator; a loss may reach other networks, and leaves them alone."""

    def __init__(
        self, network: Generator, learning_rate: float, betas: tuple[float, float], steps: int
    ) -> None:
        self.parameters = list(network.parameters())
        self.adam = torch.optim.Adam(self.parameters, lr=learning_rate, betas=betas)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            self.adam, max(1, steps), eta_min=learning_rate / 100
        )

    def step(self, loss: Tensor) -> None:
        """One step down `loss`."""
        self.adam.zero_grad()
        loss.backward(inputs=self.parameters)
        self.adam.step()
        self.schedule.step()


class CTGANModel(SampleModel):
    """The generator, whose labels come by their released frequencies."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator

    @torch.no_grad()
    def _products(self, count: int, random: torch.Generator, evidence: Evidence) -> Products:
        """`count` rows of noise as the products that they are decoded to; the generator is given labels."""
        labels, column = self.generator.labels(), self.generator.label_column
        weights = torch.from_numpy(self.generator.weights)
        if column is not None and column in evidence:
            weights = weights * torch.from_numpy(evidence[column])[labels]
        modes = evenly_drawn(weights, count, random)
        return Products(
            self.generator(self.generator.noise(modes, random), labels[modes]), self.generator.heads.sizes
        )

    def draw(self, count: int, generator: torch.Generator, evidence: Evidence) -> Codes:
        """Modes in even shares, noise around them through the generator, each column from its softmax.

        Evidence weighs a larger pool of noise.
        """
        pool = max(count, POOL) if evidence else count
        return self._products(pool, generator, evidence).draw(count, generator, evidence)

    @torch.no_grad()
    def reach(self, evidence: Evidence) -> Reach:
        """By importance sampling over one public pool of noise."""
        pool = self._products(POOL, torch.Generator().manual_seed(0), {})
        column = self.generator.label_column
        others = {at: allowed for at, allowed in evidence.items() if at != column}
        given = self._products(POOL, torch.Generator().manual_seed(0), evidence)
        return Reach(
            probability=float(pool.log_weights(evidence).exp().mean()),
            effective=effective_share(given.log_weights(others)),
        )

    def joint(self) -> Products:
        """One public pool of noise, decoded."""
        return self._products(JOINT_POOL, torch.Generator().manual_seed(0), {})

    def calibrated(self, encoder: TableEncoder, random: torch.Generator) -> CTGANModel:
        """This model with the mean of every column brought to its released distribution."""
        released = torch.from_numpy(np.concatenate(encoder.shares)).float()
        self.generator.heads.match_shares(self._products(CALIBRATION_POOL, random, {}).logits, released)
        return self

    @property
    def network(self) -> Generator:
        """The generator."""
        return self.generator
