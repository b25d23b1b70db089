"""AutoregressiveSynthesizer: every column from any others, anchored on a mixture of released marginals.

A product mixture fitted to released marginals says exactly how likely each cell is given any known cells. A
network, zero at first, reads the known cells and adds to those log-probabilities; DP-SGD teaches it what
marginals cannot say. It learns from rows with a random part hidden (any-order training: Uria et al. 2014,
Hoogeboom et al. 2022), so that a row can be drawn, filled in or judged column by column in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from synthpriv.encoding.codec import MAX_CELLS
from synthpriv.encoding.table_encoder import Codes, TableEncoder
from synthpriv.privacy import devices, processes
from synthpriv.privacy.dpsgd_plan import Optimization
from synthpriv.privacy.layers import CodeLinear
from synthpriv.schema import Schema
from synthpriv.synthesizers.base import Fitting, Synthesizer
from synthpriv.synthesizers.configuration import configuration, require
from synthpriv.synthesizers.mixture import SPREAD, components_for, fit_logits
from synthpriv.synthesizers.models import Joint, Reach, SampleModel, effective_share
from synthpriv.synthesizers.networks import initialise, loss_generator
from synthpriv.synthesizers.planning import TrainingSettings
from synthpriv.synthesizers.products import (
    BATCH_ROWS,
    LEAST,
    UNKNOWN,
    Evidence,
    Floats,
    Products,
    Shares,
    drawn_cells,
    evenly_drawn,
)
from synthpriv.synthesizers.workload import label_column

MOST_COMPONENTS = 512  # of the mixture under a network; without one as many as in the mixture synthesizer
LARGEST_BATCH = 16_384
SURPLUS = 4  # rows drawn for each that is kept, where several columns are given in part


@configuration
class AutoregressiveSynthesizer(Synthesizer):
    """Columns drawn one after the other, each from a mixture's conditional and a network's correction.

    components: of the mixture (default: as in MixtureSynthesizer, but at most 512 under a network). steps: of
    Adam on the released marginals (default: 400 for up to 1,024 components, 800 above). hidden_dim: width of
    the network. epochs: passes of DP-SGD over the table (default: 180 steps). batch_size: expected rows per
    step (default: a quarter of the table, at most 16,384). learning_rate: of
    the network. most_noise: where the noise of a step, noise_multiplier * max_grad_norm / expected batch,
    would exceed it, no DP-SGD runs, its budget buys less noisy marginals, and the mixture is all. The default
    leaves DP-SGD out at every usual epsilon: at epsilon 10 it lost to the mixture alone (docs/ablations.md).
    """

    name: ClassVar[str] = "autoregressive"

    epochs: int | None = None
    batch_size: int | None = None
    components: int | None = None
    steps: int | None = None
    hidden_dim: int = 128
    learning_rate: float = 0.01
    max_grad_norm: float = 10.0
    most_noise: float = 0.0002

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        for name in ("epochs", "batch_size", "components"):
            if getattr(self, name) is not None:
                require(name, getattr(self, name), 1, 10**9 if name != "components" else 65_536, whole=True)
        if self.steps is not None:
            require("steps", self.steps, 1, 100_000, whole=True)
        require("hidden_dim", self.hidden_dim, 1, 4096, whole=True)
        require("learning_rate", self.learning_rate, 1e-9, 10.0)
        require("max_grad_norm", self.max_grad_norm, 1e-9)
        require("most_noise", self.most_noise, 0.0)

    def _marginal_share(self) -> float:
        """Of what encoding leaves."""
        return 0.75

    def _training_settings(self, schema: Schema) -> TrainingSettings | None:
        if len(schema.modelled) < 2:
            return None
        cells = sum(min(column.size, MAX_CELLS) + 1 for column in schema.modelled.values())
        return TrainingSettings(
            steps=180,
            epochs=self.epochs,
            batch_size=self.batch_size,
            max_grad_norm=self.max_grad_norm,
            parameters=cells * (2 * self.hidden_dim + MOST_COMPONENTS),
            activations=2 * cells + 2 * MOST_COMPONENTS + 4 * self.hidden_dim,
            largest_batch=LARGEST_BATCH,
            most_noise=self.most_noise,
        )

    def empty_model(self, encoder: TableEncoder) -> SampleModel:
        """A mixture of no components yet, and a network that adds nothing."""
        products = Products(torch.zeros(0, sum(encoder.sizes)), encoder.sizes)
        order = public_order(encoder.schema)
        return AutoregressiveModel(products, Correction(encoder.sizes, self.hidden_dim), order)

    def _train(self, fitting: Fitting) -> SampleModel:
        products = self._fit_products(fitting)
        correction = Correction(fitting.encoder.sizes, self.hidden_dim)
        initialise(correction.first, fitting.generator)
        order = public_order(fitting.encoder.schema)
        model = AutoregressiveModel(products, correction, order)
        plan = fitting.plan.training
        if plan is None:
            return model
        correction.to(devices.resolve(self.device))
        fitting.private.train(
            fitting.release,
            "training",
            fitting.encoder,
            correction,
            HiddenCells(products, correction, order, label_column(fitting.encoder.schema)),
            plan,
            Optimization(learning_rate=self.learning_rate),
            lambda step: fitting.report("training", step + 1, plan.steps),
            fitting.report,
        )
        correction.to(torch.device("cpu"))
        return model

    def _fit_products(self, fitting: Fitting) -> Products:
        """The mixture, from released counts alone."""
        encoder = fitting.encoder
        one_way = torch.from_numpy(np.log(np.concatenate(encoder.shares))).float()
        if fitting.anchor is None:  # a single column
            return Products(one_way.unsqueeze(0), encoder.sizes)
        components = self.components or components_for(fitting.plan, encoder.sizes)
        if self.components is None and fitting.plan.training is not None:
            components = min(components, MOST_COMPONENTS)
        start = SPREAD * torch.randn(components, len(one_way), generator=fitting.generator) + one_way
        steps = self.steps or (800 if components > 1024 else 400)
        logits = fit_logits(start, fitting.anchor, steps, 0.15, fitting.report)
        processes.team().from_lead(logits)
        return Products(logits, encoder.sizes)


def public_order(schema: Schema) -> list[int]:
    """The columns as rows are drawn: as the schema has them, but the label last."""
    label = label_column(schema)
    others = [column for column in range(len(schema.modelled)) if column != label]
    return others if label is None else [*others, label]


class Correction(nn.Module):
    """Known cells -> what to add to the log-probabilities of all columns' cells; zero at first."""

    def __init__(self, sizes: Sequence[int], hidden: int) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.first = CodeLinear([size + 1 for size in sizes], hidden)  # one more cell each: unknown
        self.last = nn.Linear(hidden, sum(sizes))
        with torch.no_grad():
            self.last.weight.zero_()
            self.last.bias.zero_()

    def forward(self, codes: Tensor) -> Tensor:
        """Codes (rows, columns), the last cell of each for unknown -> (rows, cells of all columns)."""
        added: Tensor = self.last(functional.silu(self.first(codes)))
        return added


class HiddenCells:
    """The loss of rows with a part hidden: the negative log-likelihood of the hidden cells.

    A quarter of the rows hides the label alone, a quarter what comes after a random place in the order in
    which rows are drawn, and half any part.
    """

    def __init__(
        self, products: Products, correction: Correction, order: Sequence[int], label: int | None
    ) -> None:
        self._correction, self._sizes = correction, torch.tensor(products.sizes)
        device = correction.last.weight.device
        self._table = torch.cat(products.tables).to(device)
        self._starts = torch.tensor([0, *(size + 1 for size in products.sizes[:-1])]).cumsum(0).to(device)
        self._shares = torch.cat(products.blocks, dim=1).to(device)
        self._places = torch.tensor(order).argsort().to(device)
        self._has_label = label is not None
        self._random = loss_generator(device)

    def __call__(self, rows: Tensor) -> Tensor:
        """Shape (rows,)."""
        columns = rows.shape[1]
        drawn = torch.rand(len(rows), columns + 2, generator=self._random, device=rows.device)
        kind, known = drawn[:, -1:], (drawn[:, -2:-1] * columns).long()
        rank = torch.where(kind < 0.5, self._places, drawn[:, :columns].argsort(1))
        if self._has_label:
            known = torch.where(kind < 0.25, columns - 1, known)
        hidden = rank >= known
        seen = torch.where(hidden, self._sizes.to(rows.device), rows)
        with torch.no_grad():
            joint = functional.embedding_bag(seen + self._starts, self._table, mode="sum")
            anchor = (joint.softmax(1) @ self._shares).clamp_min_(LEAST).log_()
        logits = anchor + self._correction(seen)
        losses = [
            functional.cross_entropy(part, rows[:, column], reduction="none")
            for column, part in enumerate(logits.split(self._sizes.tolist(), dim=1))
        ]
        return (torch.stack(losses, dim=1) * hidden).sum(1) / hidden.sum(1).sqrt()


class AutoregressiveModel(SampleModel):
    """Mixture and correction; its own joint distribution, column by column in a public order.

    Where no correction was learnt, the mixture answers for itself: exactly, and at once.
    """

    def __init__(self, products: Products, correction: Correction, order: Sequence[int]) -> None:
        self.products, self.correction, self.order = products, correction, list(order)
        self.sizes = products.sizes

    @property
    def corrected(self) -> bool:
        """Whether the network adds anything."""
        return bool(self.correction.last.weight.any()) or bool(self.correction.last.bias.any())

    @torch.no_grad()
    def draw(self, count: int, generator: torch.Generator, evidence: Evidence) -> Codes:
        """Given columns first, then the others in order; rows are kept by how likely what was given is."""
        if not self.corrected:
            return self.products.draw(count, generator, evidence)
        partly = sum(np.count_nonzero(allowed) > 1 for allowed in evidence.values())
        surplus = SURPLUS if partly and len(evidence) > 1 else 1
        codes, log_weights = self._drawn(surplus * count, generator, evidence)
        kept: Codes = codes[evenly_drawn(log_weights.softmax(0), count, generator).numpy()]
        return kept

    @torch.no_grad()
    def reach(self, evidence: Evidence) -> Reach:
        """By a public draw of what is given."""
        if not self.corrected:
            return Reach(probability=float(self.products.log_weights(evidence).exp().mean()))
        log_weights = self._drawn(BATCH_ROWS, torch.Generator().manual_seed(0), evidence)[1]
        return Reach(probability=float(log_weights.exp().mean()), effective=effective_share(log_weights))

    def joint(self) -> Joint:
        """The model itself."""
        return self if self.corrected else self.products

    def _drawn(self, count: int, generator: torch.Generator, evidence: Evidence) -> tuple[Codes, Tensor]:
        """Whole rows, and how likely what was given turned out (rows,), as a logarithm."""
        codes = np.full((count, len(self.sizes)), UNKNOWN, dtype=np.int16)
        log_weights = torch.zeros(count, dtype=torch.float64)
        order = [*evidence, *(column for column in self.order if column not in evidence)]
        for start in range(0, count, BATCH_ROWS):
            part = codes[start : start + BATCH_ROWS]
            joint = torch.zeros(len(part), len(self.products.logits))
            for column in order:
                shares = self._shares(part, column, joint)
                if column in evidence:
                    shares = shares * torch.from_numpy(evidence[column]).float()
                    log_weights[start : start + BATCH_ROWS] += shares.sum(1).double().clamp_min(1e-300).log()
                part[:, column] = drawn_cells(shares, torch.arange(len(part)), generator)
                joint += self.products.tables[column][torch.from_numpy(part[:, column].astype(np.int64))]
        return codes, log_weights

    @torch.no_grad()
    def complete(self, codes: Codes, generator: torch.Generator, evidence: Evidence) -> Codes:
        """Unknown cells in order, each given all that is known by then."""
        filled = codes.copy()
        for column in self.order:
            rows = np.flatnonzero(codes[:, column] == UNKNOWN)
            for start in range(0, len(rows), BATCH_ROWS):
                part = rows[start : start + BATCH_ROWS]
                shares = self._shares(filled[part], column)
                if column in evidence:
                    shares = shares * torch.from_numpy(evidence[column]).float()
                filled[part, column] = drawn_cells(shares, torch.arange(len(part)), generator)
        return filled

    @torch.no_grad()
    def conditionals(self, codes: Codes, columns: Sequence[int]) -> list[Shares]:
        """Each with its own column hidden."""
        hidden = [codes.copy() for _ in columns]
        for column, part in zip(columns, hidden, strict=True):
            part[:, column] = UNKNOWN
        return [
            np.concatenate(
                [np.zeros((0, self.sizes[column]), dtype=np.float32)]
                + [
                    self._shares(part[start : start + BATCH_ROWS], column).numpy()
                    for start in range(0, len(part), BATCH_ROWS)
                ]
            )
            for column, part in zip(columns, hidden, strict=True)
        ]

    def log_conditionals(self, codes: Codes) -> Floats:
        """The known cells' shares, each given all others."""
        found = np.zeros(codes.shape)
        for column in range(len(self.sizes)):
            known = np.flatnonzero(codes[:, column] != UNKNOWN)
            shares = self.conditionals(codes[known], [column])[0]
            found[known, column] = np.log(
                np.maximum(shares[np.arange(len(known)), codes[known, column]], LEAST)
            )
        return found

    def log_density(self, codes: Codes) -> Floats:
        """The sum over known cells, in order, each given the known ones before it."""
        found = np.zeros(len(codes))
        before = np.full_like(codes, UNKNOWN)
        for column in self.order:
            known = np.flatnonzero(codes[:, column] != UNKNOWN)
            shares = self.conditionals(before[known], [column])[0]
            found[known] += np.log(np.maximum(shares[np.arange(len(known)), codes[known, column]], LEAST))
            before[known, column] = codes[known, column]
        return found

    def _shares(self, codes: Codes, column: int, joint: Tensor | None = None) -> Tensor:
        """The column's distribution given each row's known cells (rows, cells); its own is unknown.

        joint: `log_joint` of the rows, where it is known already.
        """
        seen = torch.from_numpy(codes.astype(np.int64))
        joint = self.products.log_joint(seen) if joint is None else joint
        anchor = (joint.softmax(1) @ self.products.blocks[column]).clamp_min(LEAST).log()
        cells = torch.where(seen == UNKNOWN, torch.tensor(self.sizes), seen)
        hidden = functional.silu(self.correction.first(cells))
        start = sum(self.sizes[:column])
        last = self.correction.last
        rows = slice(start, start + self.sizes[column])
        return (anchor + functional.linear(hidden, last.weight[rows], last.bias[rows])).softmax(1)

    def tensors(self) -> dict[str, Tensor]:
        """The mixture's logits and the network's weights."""
        network = {name: weight.detach() for name, weight in self.correction.named_parameters()}
        return {"logits": self.products.logits, **network}

    def fill(self, tensors: dict[str, Tensor]) -> None:
        """Take saved tensors."""
        self.products = Products(tensors["logits"], self.sizes)
        correction = Correction(self.sizes, tensors["last.weight"].shape[1])
        with torch.no_grad():
            for name, weight in correction.named_parameters():
                weight.copy_(tensors[name])
        self.correction = correction
