"""VAESynthesizer: a latent-variable decoder anchored on released marginals, its label learnt from rows.

A row is decoded from a latent z: all columns but the label are independent given z, and the label, last, is
decoded from z and the columns so far. The prior of z is a learned mixture, whose posterior given any columns
is exact, and takes the place of a recognition network: one trained under DP-SGD cost fidelity, and so did
training the decoder of all columns (docs/ablations.md). What marginals of pairs know is taken from released
counts, at no further cost (latents.py); what they cannot know of the label comes from DP-SGD (labels.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from synthpriv.synthesizers.labels import LabelDecoder, Posterior
from synthpriv.synthesizers.latents import Latents, fit_latents, independent_latents
from synthpriv.synthesizers.mixture import components_for
from synthpriv.synthesizers.models import SampleModel
from synthpriv.synthesizers.networks import drawn_codes
from synthpriv.synthesizers.planning import TrainingSettings
from synthpriv.synthesizers.workload import label_column

MOST_CLASSES = 32  # of a label that is learnt by DP-SGD
MOST_MEANS = 1024
LARGEST_BATCH = 16_384
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

    @property
    def conditioned(self) -> frozenset[int]:
        """Every column but the label, which is decoded last: the posterior over latents is exact."""
        label = None if self.labels is None else self.labels.label
        return frozenset(column for column in range(len(self.latents.sizes)) if column != label)

    @torch.no_grad()
    def draw(self, count: int, generator: torch.Generator, given: Mapping[int, int]) -> Codes:
        """Fresh latents by their posterior, each column by itself, then the label."""
        codes = self.latents.pool(generator).draw(count, generator, given)
        if self.labels is not None:
            likely, label = self._label_log_probabilities(codes)[1], self.labels.label
            codes[:, label] = drawn_codes(likely, [likely.shape[1]], generator)[:, 0].numpy()
        return codes

    @torch.no_grad()
    def log_density(self, codes: Codes) -> npt.NDArray[np.float64]:
        """The logarithm of each row's probability (shape (rows,)), the prior taken as its prototypes."""
        if self.labels is None:
            return self.latents.prototypes().log_density(codes)
        others, likely = self._label_log_probabilities(codes)
        label = torch.from_numpy(codes[:, self.labels.label].astype(np.int64))
        density: npt.NDArray[np.float64] = (others + likely.gather(1, label[:, None])[:, 0]).double().numpy()
        return density

    def _label_log_probabilities(self, codes: Codes) -> tuple[Tensor, Tensor]:
        """Log-densities of the other columns (rows,), and of the label given them (rows, classes)."""
        assert self.labels is not None
        assert self.posterior is not None
        others, posterior = self.posterior(codes)
        logits = self.labels.logits(torch.from_numpy(codes.astype(np.int64)), posterior)
        return others, logits.log_softmax(1)

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
