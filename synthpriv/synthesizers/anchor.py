"""Released marginals as a loss: how far any model's joint distribution is from what the noise allows.

A batch of rows of probabilities, one softmax per column, is a mixture of products; its marginals of all pairs
of columns are one matrix product, P^T P / rows, which is compared with the noisy counts (workload.py). The
loss is the likelihood of the noise plus a penalty on dependence, whose weight is settled by the noise itself:
a model that fits the counts better than the truth would is fitting noise (Morozov's discrepancy principle).
All of it is post-processing: nothing here reads a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from synthpriv.synthesizers.workload import Workload

GOAL, NEAR = 0.9, 1.2  # of the misfit that the truth would have
LEAST_SCALE = 0.5  # where counts are exact, the error that a model may make


class Anchor:
    """The misfit of a model to noisy marginals, and its penalty for dependence that they do not call for.

    marginals: counts of the workload's groups, each of the shape of its columns' cells. shares: the released
    one-way distribution of each column. rows: the public row count. noise_scale: of every count.
    """

    def __init__(
        self,
        workload: Workload,
        marginals: Sequence[npt.NDArray[np.int64]],
        shares: Sequence[npt.NDArray[np.float64]],
        rows: int,
        noise_scale: float,
    ) -> None:
        self.sizes = [len(share) for share in shares]
        self._starts = np.concatenate([[0], np.cumsum(self.sizes)])
        self._given = workload.given
        self._log_shares = torch.from_numpy(np.log(np.concatenate(shares))).float()
        self._target, self._measured = self._matrices(workload, marginals, rows)
        self._precision = (rows / max(noise_scale, LEAST_SCALE)) ** 2
        self._expected = float(self._measured.sum()) * len(self._target)
        self._rows = rows
        self.weight = torch.tensor(rows / 50.0)

    def to(self, device: torch.device) -> Anchor:
        """The same anchor, moved to `device` in place."""
        for name in ("_log_shares", "_target", "_measured", "weight"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def _matrices(
        self, workload: Workload, marginals: Sequence[npt.NDArray[np.int64]], rows: int
    ) -> tuple[Tensor, Tensor]:
        """Shares of every pair of cells, one matrix per class of the label, and which were measured."""
        classes, cells = 1 if self._given is None else self.sizes[self._given], sum(self.sizes)
        target = np.zeros((classes, cells, cells), dtype=np.float32)
        measured = np.zeros((cells, cells), dtype=np.float32)
        for group, counts in zip(workload.groups, marginals, strict=True):
            first, second = (slice(self._starts[at], self._starts[at + 1]) for at in group[-2:])
            share = counts.reshape(classes, *counts.shape[-2:]) / rows
            target[:, first, second], target[:, second, first] = share, share.swapaxes(1, 2)
            measured[first, second] = measured[second, first] = 1.0
        return torch.from_numpy(target), torch.from_numpy(measured)

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Logits (rows, cells) as the logarithms of one distribution per column."""
        return torch.cat([part.log_softmax(1) for part in logits.split(self.sizes, dim=1)], dim=1)

    def misfit(self, probabilities: Tensor) -> Tensor:
        """The squared distance of rows of probabilities to the counts, over what the truth would have."""
        arguments = (probabilities, self._label(), self._target, self._measured)
        misfit: Tensor = _SquaredError.apply(*arguments)  # type: ignore[no-untyped-call]
        return misfit * (self._precision / self._expected)

    def _label(self) -> slice | None:
        """The columns of cells that are the label's."""
        if self._given is None:
            return None
        return slice(int(self._starts[self._given]), int(self._starts[self._given + 1]))

    def loss(self, logits: Tensor) -> Tensor:
        """Misfit and penalty of rows of logits (rows, cells), in units of log-likelihood.

        The penalty is the divergence of the rows' distributions from independent columns. Its weight is
        turned down while the misfit is above GOAL, and up below.
        """
        log_probabilities = self.log_probabilities(logits)
        probabilities = log_probabilities.exp()
        misfit = self.misfit(probabilities)
        divergence = (probabilities * (log_probabilities - self._log_shares)).sum() / len(logits)
        loss = 0.25 * self._expected * misfit + self.weight * divergence
        self._settle(misfit.detach())
        return loss

    def _settle(self, misfit: Tensor) -> None:
        """One turn of the penalty's weight: slow on the way to the counts, quick once the model is near."""
        pace = torch.where(misfit < NEAR, 0.3, 0.02)
        turned = self.weight * (pace * (GOAL - misfit).clamp(-0.5, 0.5)).exp()
        self.weight = turned.clamp(self._rows / 10_000, self._rows / 3)


class _SquaredError(torch.autograd.Function):
    """The squared distance between the rows' marginals and the target, with its gradient in closed form.

    Autograd would take three products where two do: as the error E is symmetric, the gradient of
    ||P^T diag(w) P - T||^2 is 4 diag(w) P E towards P, and 2 (P E * P) 1 towards w.
    """

    @staticmethod
    def forward(
        context: Any, probabilities: Tensor, label: slice | None, target: Tensor, measured: Tensor
    ) -> Tensor:
        """The sum over classes of the label of squared errors of all measured pairs of cells."""
        rows = len(probabilities)
        total, gradient = probabilities.new_zeros(()), torch.zeros_like(probabilities)
        for at, wanted in enumerate(target):
            weight = None if label is None else probabilities[:, label.start + at].unsqueeze(1)
            weighted = probabilities if weight is None else weight * probabilities
            error = (weighted.t() @ probabilities / rows - wanted).mul_(measured)
            total += error.square().sum()
            towards = probabilities @ error
            if weight is not None and label is not None:
                gradient[:, label.start + at] += 2 / rows * (towards * probabilities).sum(1)
                towards *= weight
            gradient.add_(towards, alpha=4 / rows)
        context.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(context: Any, *outer: Tensor) -> tuple[Tensor, None, None, None]:
        """The saved gradient, scaled."""
        (gradient,) = context.saved_tensors
        return outer[0] * gradient, None, None, None
