"""MixtureSynthesizer: a mixture of independent columns fitted to noisy marginals; no row is read to train it.

Every component is a product of one distribution per column. The mixture's marginals are matrix products, so
that a thousand components are fitted to all pairs of columns at once in seconds (anchor.py). The relaxed
projection of Aydore et al. (2021) with soft rows is the closest relative. Conditionals and densities are
exact: given some cells, components are weighted by their posterior.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from synthpriv.encoding.table_encoder import Codes, TableEncoder
from synthpriv.privacy import devices
from synthpriv.progress import Report
from synthpriv.synthesizers.anchor import Anchor
from synthpriv.synthesizers.base import Fitting, Synthesizer
from synthpriv.synthesizers.configuration import configuration, require
from synthpriv.synthesizers.models import Reach, SampleModel
from synthpriv.synthesizers.planning import FitPlan
from synthpriv.synthesizers.products import Evidence, Products

FEWEST_COMPONENTS, MOST_COMPONENTS = 256, 2048
LARGEST_PRODUCT = 1.5e9  # components * cells^2 * classes: about a quarter of a second per step on one core
SPREAD = 0.5  # of the first logits around the one-way distributions


@configuration
class MixtureSynthesizer(Synthesizer):
    """A mixture of products, fitted to all noisy pairs of columns: the whole budget buys marginals.

    components: how many products (default: by rows over noise, 256 to 2,048). steps: of Adam (default: 400
    for up to 1,024 components, 800 above). learning_rate: of the logits, decayed to a hundredth.
    """

    name: ClassVar[str] = "mixture"

    components: int | None = None
    steps: int | None = None
    learning_rate: float = 0.15

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        if self.components is not None:
            require("components", self.components, 1, 65_536, whole=True)
        if self.steps is not None:
            require("steps", self.steps, 1, 100_000, whole=True)
        require("learning_rate", self.learning_rate, 1e-9, 10.0)

    def _marginal_share(self) -> float:
        return 1.0

    def empty_model(self, encoder: TableEncoder) -> SampleModel:
        """A mixture of no components yet: saved ones may be of any number."""
        return MixtureModel(torch.zeros(0, sum(encoder.sizes)), encoder.sizes)

    def _train(self, fitting: Fitting) -> SampleModel:
        encoder, plan = fitting.encoder, fitting.plan
        one_way = torch.from_numpy(np.log(np.concatenate(encoder.shares))).float()
        if fitting.anchor is None:  # a single column
            return MixtureModel(one_way.unsqueeze(0), encoder.sizes)
        components = self.components or components_for(plan, encoder.sizes)
        steps = self.steps or (800 if components > 1024 else 400)
        logits = SPREAD * torch.randn(components, len(one_way), generator=fitting.generator) + one_way
        device = devices.resolve(self.device)
        anchor = fitting.anchor.to(device)
        logits = fit_logits(logits.to(device), anchor, steps, self.learning_rate, fitting.report)
        return MixtureModel(logits.cpu(), encoder.sizes)


def components_for(plan: FitPlan, sizes: Sequence[int]) -> int:
    """How many components the counts can tell apart: rows over noise, as far as a step stays quick."""
    given = None if plan.workload is None else plan.workload.given
    classes = 1 if given is None else sizes[given]
    wanted = MOST_COMPONENTS if plan.marginal_scale == 0 else plan.rows / plan.marginal_scale
    affordable = LARGEST_PRODUCT / (sum(sizes) ** 2 * classes)
    components = min(max(min(wanted, affordable), FEWEST_COMPONENTS), MOST_COMPONENTS)
    return int(2 ** round(math.log2(components)))


def fit_logits(logits: Tensor, anchor: Anchor, steps: int, learning_rate: float, report: Report) -> Tensor:
    """Adam on the anchor's loss from these logits on; post-processing of the released counts."""
    logits.requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=learning_rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=learning_rate / 100)
    for step in range(steps):
        loss = anchor.loss(logits)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        report("fitting components", step + 1, steps)
    return logits.detach()


class MixtureModel(SampleModel):
    """The fitted mixture: it is its own joint distribution, and every condition is met by the posterior."""

    def __init__(self, logits: Tensor, sizes: Sequence[int]) -> None:
        self.products = Products(logits, sizes)

    def draw(self, count: int, generator: torch.Generator, evidence: Evidence) -> Codes:
        """Components by their posterior, then each column by itself."""
        return self.products.draw(count, generator, evidence)

    def reach(self, evidence: Evidence) -> Reach:
        """The mean over components."""
        return Reach(probability=float(self.products.log_weights(evidence).exp().mean()))

    def joint(self) -> Products:
        """The mixture itself."""
        return self.products

    def tensors(self) -> dict[str, Tensor]:
        """The logits."""
        return {"logits": self.products.logits}

    def fill(self, tensors: dict[str, Tensor]) -> None:
        """Take saved logits."""
        self.products = Products(tensors["logits"], self.products.sizes)
