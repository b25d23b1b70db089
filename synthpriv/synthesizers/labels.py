"""The label's decoder: p(label | the columns decoded so far), by DP-SGD on top of the latents' own posterior.

Marginals of pairs say little of what all other columns together tell of the label. A head, zero at first, is
added to the logarithm of the posterior p(label | others) that the latents give exactly; then a small linear
layer weighs the two anew, which undoes the over-confidence that clipping causes. What the posterior says of a
row is a public function of that row's own codes, so that it can be laid beside them as further codes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from synthpriv.encoding.table_encoder import Codes
from synthpriv.privacy.layers import CodeLinear
from synthpriv.synthesizers.networks import initialise
from synthpriv.synthesizers.products import (
    BATCH_ROWS,
    UNKNOWN,
    Evidence,
    Floats,
    Products,
    Shares,
    drawn_cells,
)

UNITS = 1000  # of a log-probability, as a whole number
LEAST = 1e-7  # probability of a class
FARTHEST, HALF = 6.0, 0.5  # bounds of the linear layer's inputs, and their scale


class Posterior:
    """What a mixture of products says of a label given all other columns: exact, row by row."""

    def __init__(self, mixture: Products, label: int) -> None:
        blocks = mixture.blocks
        self.classes = blocks[label]
        self.others = [column for column in range(len(blocks)) if column != label]
        kept = [blocks[column].clamp_min(1e-30).log() for column in self.others]
        self._table = torch.cat(kept, dim=1).t().contiguous()
        self._starts = torch.tensor([0, *(block.shape[1] for block in kept[:-1])]).cumsum(0)

    @torch.no_grad()
    def __call__(self, codes: Codes) -> tuple[Tensor, Tensor]:
        """Log-densities of the other columns (rows,) and log p(label | others) (rows, classes)."""
        densities, labels = [torch.zeros(0)], [torch.zeros(0, self.classes.shape[1])]
        for start in range(0, len(codes), BATCH_ROWS):
            chosen = codes[start : start + BATCH_ROWS, self.others]
            # always as many rows: a product may round otherwise in a batch of another size, and what is said
            # of a row would depend on how many others there are
            part = torch.zeros(BATCH_ROWS, len(self.others), dtype=torch.int64)
            part[: len(chosen)] = torch.from_numpy(chosen.astype(np.int64))
            joint = functional.embedding_bag(part + self._starts, self._table, mode="sum")
            total = joint.logsumexp(1, keepdim=True)
            classes = ((joint - total).exp() @ self.classes).clamp_min(LEAST)
            densities.append(total[: len(chosen), 0] - np.log(len(self.classes)))
            labels.append((classes / classes.sum(1, keepdim=True)).log()[: len(chosen)])
        return torch.cat(densities), torch.cat(labels)

    def as_codes(self, codes: Codes) -> Codes:
        """The logarithms of p(label | others) as codes (rows, classes), to lie beside a row's own."""
        return (self(codes)[1] * UNITS).round().to(torch.int16).numpy()


class LabelHead(nn.Module):
    """Codes of the other columns -> what to add to the label's logits; one hidden layer, zero at first."""

    def __init__(self, sizes: Sequence[int], hidden: int, classes: int) -> None:
        super().__init__()
        self.first = CodeLinear(sizes, hidden)
        self.last = nn.Linear(hidden, classes)
        with torch.no_grad():
            self.last.weight.zero_()
            self.last.bias.zero_()

    def forward(self, codes: Tensor) -> Tensor:
        """Shape (rows, classes)."""
        added: Tensor = self.last(functional.silu(self.first(codes)))
        return added


class LabelDecoder:
    """Head and linear layer; untrained, the label follows the latents' posterior unchanged.

    Each is trained alone, the head first. `head_loss` and `weighing_loss` are of rows that hold all codes of
    the table and then those of `Posterior.as_codes`.
    """

    def __init__(self, sizes: Sequence[int], label: int, hidden: int) -> None:
        self.sizes, self.label, self.hidden = list(sizes), label, hidden
        self.others = [column for column in range(len(sizes)) if column != label]
        classes = sizes[label]
        self.head = LabelHead([sizes[column] for column in self.others], hidden, classes)
        self.weighing = nn.Linear(2 * classes, classes)
        with torch.no_grad():
            self.weighing.weight.copy_(torch.cat([torch.eye(classes)] * 2, dim=1) / HALF)
            self.weighing.bias.zero_()

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the head's first layer anew."""
        initialise(self.head.first, generator)

    def to(self, device: torch.device) -> None:
        """Move both."""
        self.head.to(device)
        self.weighing.to(device)

    def head_loss(self, rows: Tensor) -> Tensor:
        """Negative log-likelihood of each row's label before weighing (shape (rows,))."""
        codes, posterior = self._parts(rows)
        logits = posterior + self.head(codes[:, self.others])
        return functional.cross_entropy(logits, codes[:, self.label], reduction="none")

    def weighing_loss(self, rows: Tensor) -> Tensor:
        """The same after weighing; the head is held."""
        codes, posterior = self._parts(rows)
        logits = self.logits(codes, posterior)
        return functional.cross_entropy(logits, codes[:, self.label], reduction="none")

    def logits(self, codes: Tensor, posterior: Tensor) -> Tensor:
        """The label's logits (rows, classes) given all codes, its own unread, and the log-posterior."""
        with torch.no_grad():
            parts = (posterior, self.head(codes[:, self.others]))
            inputs = torch.cat([part - part.mean(1, keepdim=True) for part in parts], dim=1)
        logits: Tensor = self.weighing(inputs.clamp(-FARTHEST, FARTHEST) * HALF)
        return logits

    @torch.no_grad()
    def log_shares(self, codes: Codes, posterior: Tensor) -> Tensor:
        """The logarithm of each class's probability given the other columns (rows, classes)."""
        return self.logits(torch.from_numpy(codes.astype(np.int64)), posterior).log_softmax(1)

    def _parts(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return rows[:, : len(self.sizes)], rows[:, len(self.sizes) :].float() / UNITS

    def tensors(self) -> dict[str, Tensor]:
        """All weights by name."""
        return {
            f"{name}.{key}": parameter.detach()
            for name, module in (("head", self.head), ("weighing", self.weighing))
            for key, parameter in module.named_parameters()
        }

    def filled(self, tensors: dict[str, Tensor]) -> LabelDecoder:
        """A decoder of the same shape with saved weights."""
        filled = LabelDecoder(self.sizes, self.label, self.hidden)
        for name, weight in filled.tensors().items():
            weight.copy_(tensors[name])
        return filled


class LabelledJoint(Products):
    """A mixture of products in which the decoder has the last word on a label whose row is known."""

    def __init__(self, products: Products, labels: LabelDecoder) -> None:
        super().__init__(products.logits, products.sizes)
        self._labels, self._posterior = labels, Posterior(products, labels.label)

    def log_density(self, codes: Codes) -> Floats:
        """As a mixture; of whole rows, the other columns' density times the decoder's share."""
        found, label = super().log_density(codes), self._labels.label
        whole = (codes != UNKNOWN).all(1)
        others, shares = self._decoded(codes[whole])
        own = torch.from_numpy(codes[whole, label].astype(np.int64))
        found[whole] = others + shares.gather(1, own[:, None])[:, 0].double()
        return found

    def log_conditionals(self, codes: Codes) -> Floats:
        """As a mixture, but for the labels of whole rows."""
        found, label = super().log_conditionals(codes), self._labels.label
        whole = (codes != UNKNOWN).all(1)
        own = torch.from_numpy(codes[whole, label].astype(np.int64))
        found[whole, label] = self._decoded(codes[whole])[1].gather(1, own[:, None])[:, 0].double()
        return found

    def conditionals(self, codes: Codes, columns: Sequence[int]) -> list[Shares]:
        """As a mixture, but for the label of a row whose other cells are known."""
        found = super().conditionals(codes, columns)
        if self._labels.label in columns:
            known = self._others_known(codes)
            found[list(columns).index(self._labels.label)][known] = self._decoded(codes[known])[1].exp()
        return found

    def complete(self, codes: Codes, generator: torch.Generator, evidence: Evidence) -> Codes:
        """As a mixture, then an unknown label by the decoder."""
        filled, label = super().complete(codes, generator, evidence), self._labels.label
        unknown = codes[:, label] == UNKNOWN
        shares = self._decoded(filled[unknown])[1].exp()
        if label in evidence:
            shares = shares * torch.from_numpy(evidence[label]).float()
        filled[unknown, label] = drawn_cells(shares, torch.arange(len(shares)), generator).numpy()
        return filled

    def _others_known(self, codes: Codes) -> npt.NDArray[np.bool_]:
        others = np.delete(codes, self._labels.label, axis=1)
        return np.asarray((others != UNKNOWN).all(1))

    def _decoded(self, codes: Codes) -> tuple[Tensor, Tensor]:
        """Log-densities of the other columns (rows,) and the label's log-shares (rows, classes)."""
        others, posterior = self._posterior(codes)
        known = np.maximum(codes, 0)  # the label's own code is not read
        return others.double(), self._labels.log_shares(known, posterior)
