"""The VAE's latents: a mixture prior and a linear decoder, fitted to released marginals; no row is read.

z is a normal of deviation KERNEL around one of K learned means, and column j given z is a softmax of a linear
decoder. A product mixture is fitted to the marginals first (mixture.py); the principal components of its
log-probabilities start means and decoder, and further steps on the same loss tune both. A standard normal
prior in place of the learned one loses to the mixture that it comes from (docs/ablations.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from synthpriv.progress import Report
from synthpriv.synthesizers.anchor import Anchor
from synthpriv.synthesizers.mixture import SPREAD, fit_logits
from synthpriv.synthesizers.products import Products

KERNEL = 0.3  # the prior's deviation around each mean, where means have deviation 1
LOGIT_RATE, TUNING_RATE = 0.15, 0.03
POOL = 4096  # latents at least from which the rows of one draw are decoded


@dataclass
class Latents:
    """The prior's means (K, latent) and the decoder's weight (cells, latent) and bias (cells,)."""

    means: Tensor
    weight: Tensor
    bias: Tensor
    sizes: Sequence[int]

    def decoded(self, generator: torch.Generator, copies: int = 1) -> Products:
        """The mixture of products that `copies` latents around every mean are decoded to."""
        around = self.means.repeat(copies, 1)
        return Products(self.logits(around + KERNEL * _normals(around, generator)), self.sizes)

    def logits(self, latents: Tensor) -> Tensor:
        """Latents (rows, latent) as logits of all columns side by side (rows, cells)."""
        return torch.addmm(self.bias, latents, self.weight.t())

    def pool(self, generator: torch.Generator) -> Products:
        """Fresh latents to sample from: each component is a draw from the prior, all means alike."""
        return self.decoded(generator, -(-POOL // len(self.means)))

    def prototypes(self) -> Products:
        """The same latents at every call, one around each mean: what posteriors and densities are of."""
        return self.decoded(torch.Generator().manual_seed(0))


def independent_latents(one_way: Tensor, latent: int, sizes: Sequence[int]) -> Latents:
    """A prior of one mean whose decoder gives independent columns (`one_way`: log-probabilities (cells,))."""
    return Latents(torch.zeros(1, latent), torch.zeros(len(one_way), latent), one_way, sizes)


def fit_latents(
    anchor: Anchor,
    one_way: Tensor,
    components: int,
    latent: int,
    steps: int,
    generator: torch.Generator,
    report: Report,
) -> Latents:
    """Prior and decoder of `components` means in `latent` dimensions; post-processing of released counts.

    one_way: log-probabilities of all columns' cells (cells,). steps: of Adam, a third of them on the decoder.
    """
    start = SPREAD * torch.randn(components, len(one_way), generator=generator) + one_way
    tuning = steps // 3
    logits = fit_logits(start, anchor, steps - tuning, LOGIT_RATE, report)
    latents = _principal(anchor.log_probabilities(logits), latent, anchor.sizes)
    _tune(latents, anchor, tuning, generator, report)
    return latents


def _tune(latents: Latents, anchor: Anchor, steps: int, generator: torch.Generator, report: Report) -> None:
    """Adam on means and decoder in place, each mean's latent drawn anew at every step."""
    parameters = [latents.means, latents.weight, latents.bias]
    for parameter in parameters:
        parameter.requires_grad_()
    optimizer = torch.optim.Adam(parameters, lr=TUNING_RATE, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=TUNING_RATE / 100)
    for step in range(steps):
        loss = anchor.loss(latents.logits(latents.means + KERNEL * _normals(latents.means, generator)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        report("tuning the decoder", step + 1, steps)
    for parameter in parameters:
        parameter.requires_grad_(False)


def _principal(log_probabilities: Tensor, latent: int, sizes: Sequence[int]) -> Latents:
    """The principal components of components' log-probabilities, scaled so that means have deviation 1."""
    rows, cells = log_probabilities.shape
    bias = log_probabilities.mean(0)
    left, values, right = torch.linalg.svd(log_probabilities - bias, full_matrices=False)
    kept = min(latent, len(values))
    means, weight = torch.zeros(rows, latent), torch.zeros(cells, latent)
    means[:, :kept] = left[:, :kept] * rows**0.5
    weight[:, :kept] = right[:kept].t() * (values[:kept] / rows**0.5)
    return Latents(means, weight, bias, sizes)


def _normals(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator)
