"""MixtureSynthesizer: a mixture of independent columns fitted to noisy marginals; no row is read to train it.

Every component is a product of one distribution per column. The mixture's marginals are matrix products, so
that a thousand components are fitted to all pairs of columns at once in seconds (anchor.py). The relaxed
projection of Aydore et al. (2021) with soft rows is the closest relative. Conditionals and densities are
exact: given some cells, components are weighted by their posterior.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from synthpriv.encoding.table_encoder import Codes, TableEncoder
from synthpriv.privacy import devices
from synthpriv.progress import Report
from synthpriv.synthesizers.anchor import Anchor
from synthpriv.synthesizers.base import Fitting, Synthesizer
from synthpriv.synthesizers.configuration import configuration, require
from synthpriv.synthesizers.models import SampleModel, evenly_drawn
from synthpriv.synthesizers.planning import FitPlan

FEWEST_COMPONENTS, MOST_COMPONENTS = 256, 2048
LARGEST_PRODUCT = 1.5e9  # components * cells^2 * classes: about a quarter of a second per step on one core
SPREAD = 0.5  # of the first logits around the one-way distributions
DENSITY_ROWS = 2048


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
    """Components of equal weight, each one softmax per column (logits of shape (components, cells))."""

    def __init__(self, logits: Tensor, sizes: Sequence[int]) -> None:
        self.logits, self.sizes = logits, list(sizes)

    @property
    def conditioned(self) -> frozenset[int]:
        """Every column: the posterior over components is exact."""
        return frozenset(range(len(self.sizes)))

    def _blocks(self) -> list[Tensor]:
        """The distributions of each column, one (components, cells) tensor per column."""
        return [part.softmax(1) for part in self.logits.split(self.sizes, dim=1)]

    @torch.no_grad()
    def draw(self, count: int, generator: torch.Generator, given: Mapping[int, int]) -> Codes:
        """Components by their posterior, in even shares (systematic sampling), then each column by itself."""
        blocks = self._blocks()
        log_weights = torch.zeros(len(self.logits), dtype=torch.float64)
        for column, cell in given.items():
            log_weights += blocks[column][:, cell].double().clamp_min(1e-300).log()
        chosen = evenly_drawn(log_weights.softmax(0), count, generator)
        codes = torch.empty(count, len(self.sizes), dtype=torch.int16)
        for column, block in enumerate(blocks):
            if column in given:
                codes[:, column] = given[column]
                continue
            drawn = torch.rand(count, 1, generator=generator)
            beyond = (drawn > block.cumsum(1)[chosen]).sum(1)
            codes[:, column] = beyond.clamp_max(self.sizes[column] - 1).to(torch.int16)
        return codes.numpy()

    @torch.no_grad()
    def log_density(self, codes: Codes) -> npt.NDArray[np.float64]:
        """The logarithm of the probability of each row of codes (shape (rows,))."""
        columns = [block.clamp_min(1e-30).log().t().contiguous() for block in self._blocks()]
        densities = []
        for start in range(0, len(codes), DENSITY_ROWS):
            part = torch.from_numpy(codes[start : start + DENSITY_ROWS].astype(np.int64))
            joint = sum((column[part[:, at]] for at, column in enumerate(columns)), torch.zeros(1))
            densities.append(joint.double().logsumexp(1) - math.log(len(self.logits)))
        return torch.cat(densities).numpy() if densities else np.zeros(0)

    def tensors(self) -> dict[str, Tensor]:
        """The logits."""
        return {"logits": self.logits}

    def fill(self, tensors: dict[str, Tensor]) -> None:
        """Take saved logits."""
        self.logits = tensors["logits"]
