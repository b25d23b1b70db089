"""VAESynthesizer: a latent-variable decoder anchored on released marginals, its label learnt from rows.

A row is decoded from a latent z: all columns but the label are independent given z, and the label, last, is
decoded from z and the columns so far. The prior of z is a learned mixture, whose posterior given any columns
is exact, and takes the place of a recognition network: one trained under DP-SGD cost fidelity, and so did
training the decoder of all columns (docs/ablations.md). What marginals of pairs know is taken from released
counts, at no further cost (latents.py); what they cannot know of the label comes from DP-SGD (labels.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from synthpriv.encoding.codec import MAX_CELLS
from synthpriv.encoding.table_encoder import Codes, TableEncoder
from synthpriv.privacy import devices, processes
from synthpriv.privacy.dpsgd_plan import Optimization
from synthpriv.schema import Schema
from synthpriv.synthesizers.base import Fitting, Synthesizer
from synthpriv.synthesizers.configuration import check_training, configuration, require
from synthpriv.synthesizers.labels import LabelDecoder, LabelledJoint, Posterior
from synthpriv.synthesizers.latents import POOL, Latents, fit_latents, independent_latents
from synthpriv.synthesizers.mixture import components_for
from synthpriv.synthesizers.models import Joint, Reach, SampleModel, effective_share
from synthpriv.synthesizers.planning import TrainingSettings
from synthpriv.synthesizers.products import Evidence, drawn_cells, evenly_drawn
from synthpriv.synthesizers.workload import label_column

MOST_CLASSES = 32  # of a label that is learnt by DP-SGD
MOST_MEANS = 1024
LARGEST_BATCH = 16_384
SURPLUS = 4  # rows drawn for each that is kept, where the label is given
WEIGHING = 5  # one step in so many is the second stage's
WEIGHING_RATE = 0.1


@configuration
class VAESynthesizer(Synthesizer):
    """A variational autoencoder of a learned mixture prior, a linear decoder and a label decoded last.

    embedding_dim: size of the latent. components: means of its prior (default: by rows over noise, 256 to
    1,024). steps: of Adam on the released marginals. hidden_dim: width of the label's head. epochs: passes
    of DP-SGD over the table (default: 180 steps; 130 below epsilon 2). batch_size: expected rows per step
    (default: a quarter of the table, at most 16,384). learning_rate: of the head.

    most_noise: where the noise of a step, noise_multiplier * max_grad_norm / expected batch, would exceed it,
    no DP-SGD runs and its budget buys less noisy marginals; the label then follows the latents alone, as it
    does in a table without a target of at most 32 categories, or with fewer than three columns. All of it is
    known when planning.
    """

    name: ClassVar[str] = "vae"
    within_classes: ClassVar[bool] = False  # the label's relations are the head's to learn

    epochs: int | None = None
    batch_size: int | None = None
    embedding_dim: int = 32
    components: int | None = None
    steps: int = 600
    hidden_dim: int = 128
    learning_rate: float = 0.02
    max_grad_norm: float = 2.0
    most_noise: float = 0.006

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        check_training(self)
        require("hidden_dim", self.hidden_dim, 1, 4096, whole=True)
        require("steps", self.steps, 1, 100_000, whole=True)
        if self.components is not None:
            require("components", self.components, 1, 65_536, whole=True)
        require("most_noise", self.most_noise, 0.0)

    def _marginal_share(self) -> float:
        """Of what encoding leaves: the more there is, the more of it the label's head can use."""
        return 0.75 if self.epsilon < 2 else 0.625 if self.epsilon < 6 else 0.5

    def _training_settings(self, schema: Schema) -> TrainingSettings | None:
        if decoded_label(schema) is None:
            return None
        cells = sum(min(column.size, MAX_CELLS) + 1 for column in schema.modelled.values())
        return TrainingSettings(
            steps=130 if self.epsilon < 2 else 180,
            epochs=self.epochs,
            batch_size=self.batch_size,
            max_grad_norm=self.max_grad_norm,
            parameters=cells * (self.hidden_dim + MOST_MEANS),
            activations=2 * cells + 4 * self.hidden_dim,
            largest_batch=LARGEST_BATCH,
            most_noise=self.most_noise,
        )

    def empty_model(self, encoder: TableEncoder) -> SampleModel:
        """A model of no means yet: saved ones may be of any number."""
        cells = sum(encoder.sizes)
        latents = Latents(
            torch.zeros(0, self.embedding_dim),
            torch.zeros(cells, self.embedding_dim),
            torch.zeros(cells),
            encoder.sizes,
        )
        return VAEModel(latents, self._label_decoder(encoder))

    def _label_decoder(self, encoder: TableEncoder) -> LabelDecoder | None:
        label = decoded_label(encoder.schema)
        return None if label is None else LabelDecoder(encoder.sizes, label, self.hidden_dim)

    def _train(self, fitting: Fitting) -> SampleModel:
        latents, labels = self._fit_latents(fitting), self._label_decoder(fitting.encoder)
        for tensor in (latents.means, latents.weight, latents.bias):
            processes.team().from_lead(tensor)
        model = VAEModel(latents, labels)
        if labels is not None:
            labels.initialise(fitting.generator)
            if fitting.plan.training is not None and model.posterior is not None:
                self._train_label(fitting, labels, model.posterior)
        return model

    def _fit_latents(self, fitting: Fitting) -> Latents:
        encoder = fitting.encoder
        one_way = torch.from_numpy(np.log(np.concatenate(encoder.shares))).float()
        if fitting.anchor is None:  # a single column
            return independent_latents(one_way, self.embedding_dim, encoder.sizes)
        means = self.components or min(components_for(fitting.plan, encoder.sizes), MOST_MEANS)
        arguments = (means, self.embedding_dim, self.steps, fitting.generator, fitting.report)
        return fit_latents(fitting.anchor, one_way, *arguments)

    def _train_label(self, fitting: Fitting, labels: LabelDecoder, posterior: Posterior) -> None:
        """DP-SGD in two stages, head and then weighing, whose steps are those of the plan together."""
        plan = fitting.plan.training
        assert plan is not None
        last = plan.steps // WEIGHING
        labels.to(devices.resolve(self.device))

        def stage(
            name: str, module: nn.Module, loss: Callable[[Tensor], Tensor], steps: range, rate: float
        ) -> None:
            fitting.private.train(
                fitting.release,
                name,
                fitting.encoder,
                module,
                loss,
                replace(plan, steps=len(steps)),
                Optimization(learning_rate=rate),
                lambda step: fitting.report("training", steps[step] + 1, plan.steps),
                fitting.report,
                derived=posterior.as_codes,
            )

        heads, weights = range(plan.steps - last), range(plan.steps - last, plan.steps)
        stage("training the label's head", labels.head, labels.head_loss, heads, self.learning_rate)
        if weights:
            stage("weighing the label's head", labels.weighing, labels.weighing_loss, weights, WEIGHING_RATE)
        labels.to(torch.device("cpu"))


def decoded_label(schema: Schema) -> int | None:
    """The label that is decoded last, by position: the first target of few categories, beside two columns."""
    label, columns = label_column(schema), list(schema.modelled.values())
    if label is None or len(columns) < 3 or columns[label].size > MOST_CLASSES:
        return None
    return label


class VAEModel(SampleModel):
    """Prior and decoder, and the label's decoder where there is a label."""

    def __init__(self, latents: Latents, labels: LabelDecoder | None) -> None:
        self.latents, self.labels = latents, labels

    @cached_property
    def posterior(self) -> Posterior | None:
        """What the latents say of the label given the other columns."""
        return None if self.labels is None else Posterior(self.latents.prototypes(), self.labels.label)

    @torch.no_grad()
    def draw(self, count: int, generator: torch.Generator, evidence: Evidence) -> Codes:
        """Fresh latents by their posterior, each column by itself, then the label.

        Evidence on the label is met twice: by the latents' own posterior of it, and then, as the head may say
        otherwise, by resampling with the ratio of the two.
        """
        pool = self.latents.pool(generator)
        if self.labels is None:
            return pool.draw(count, generator, evidence)
        label = self.labels.label
        if label not in evidence:
            codes = pool.draw(count, generator, evidence)
            weights = self._label_shares(codes)
        else:
            codes = pool.draw(SURPLUS * count, generator, evidence)
            weights, log_ratios = self._label_weights(codes, evidence[label])
            kept = evenly_drawn(log_ratios.softmax(0), count, generator)
            codes, weights = codes[kept.numpy()], weights[kept]
        codes[:, label] = drawn_cells(weights, torch.arange(count), generator).numpy()
        return codes

    @torch.no_grad()
    def reach(self, evidence: Evidence) -> Reach:
        """Exact but for a label whose head and latents disagree: then by the ratios of a public draw."""
        generator = torch.Generator().manual_seed(0)
        pool = self.latents.pool(generator)
        probability = float(pool.log_weights(evidence).exp().mean())
        if self.labels is None or self.labels.label not in evidence:
            return Reach(probability=probability)
        codes = pool.draw(POOL, generator, evidence)
        log_ratios = self._label_weights(codes, evidence[self.labels.label])[1]
        return Reach(
            probability=probability * float(log_ratios.exp().mean()), effective=effective_share(log_ratios)
        )

    def joint(self) -> Joint:
        """The latents' prototypes, and the label's decoder where a row's other cells are known."""
        prototypes = self.latents.prototypes()
        return prototypes if self.labels is None else LabelledJoint(prototypes, self.labels)

    def _label_weights(self, codes: Codes, allowed: npt.NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        """Of rows, each class's allowed probability (rows, classes); and the logarithm of its sum over that
        which the latents gave it."""
        assert self.posterior is not None
        mask = torch.from_numpy(allowed).float()
        weights = self._label_shares(codes) * mask
        proposed = (self.posterior(codes)[1].exp() * mask).sum(1)
        return weights, (weights.sum(1).clamp_min(1e-30) / proposed.clamp_min(1e-30)).log()

    def _label_shares(self, codes: Codes) -> Tensor:
        """The probability of each class given the other columns (rows, classes)."""
        assert self.labels is not None
        assert self.posterior is not None
        return self.labels.log_shares(codes, self.posterior(codes)[1]).exp()

    def tensors(self) -> dict[str, Tensor]:
        """Means, decoder, and the label's decoder."""
        latents = {name: getattr(self.latents, name) for name in ("means", "weight", "bias")}
        return latents if self.labels is None else latents | self.labels.tensors()

    def fill(self, tensors: dict[str, Tensor]) -> None:
        """Take saved tensors."""
        sizes = self.latents.sizes
        self.latents = Latents(tensors["means"], tensors["weight"], tensors["bias"], sizes)
        if self.labels is not None:
            self.labels = self.labels.filled(tensors)
        vars(self).pop("posterior", None)
