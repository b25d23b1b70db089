"""Replay: run a job on a table, then on its neighbour with everything released frozen, and compare.

What leaves the door (noisy counts, noisy sums) is taped in the first run and handed out again in the second,
so that whatever still differs between the two came from private rows by another way. Noise and masks of the
k-th call are the same for row i in both runs, and so is randomness inside a loss: the row that differs comes
last. What each release was made of, before noise, is taped too: its distance is the measured sensitivity.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from synthpriv.privacy import dpsgd, mechanisms
from synthpriv.privacy.private_table import PrivateTable
from synthpriv.privacy.randomness import replay

Progress = Callable[[str, int, int], None]
PRIVATE_KEYS = frozenset({"at", "created", "digest", "fingerprint", "identity", "ledger_digest", "release"})


@dataclass
class Release:
    """One value that left the door: of which kind, with which noise, what it was made of, what came out."""

    kind: str
    scale: float
    exact: np.ndarray
    out: np.ndarray


@dataclass
class Trace:
    """One run: what it asked the door for, what was released, what a bystander saw, and its result."""

    asked: list[Any] = field(default_factory=list)
    releases: list[Release] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    seen: list[Any] = field(default_factory=list)
    result: Any = None

    def distances(self, other: Trace) -> list[tuple[Release, float]]:
        """How far apart the two runs' values were before noise, release by release."""
        pairs = zip(self.releases, other.releases, strict=True)
        return [(one, float(np.linalg.norm(one.exact - another.exact))) for one, another in pairs]


class Steady:
    """Replayed noise and masks: what the k-th call gives row i does not depend on how many rows there are."""

    def __init__(self, trace: Trace) -> None:
        self.trace, self.calls = trace, 0

    def _next(self) -> np.random.Generator:
        self.calls += 1
        return np.random.default_rng([5, self.calls])

    def gaussian(self, shape: Any, scale: float, dtype: Any = "float64") -> Any:
        return (self._next().normal(0.0, 1.0, shape) * scale).astype(dtype)

    def bernoulli_rows(self, rows: int, rate: float) -> Any:
        self.trace.rates.append(rate)
        return np.flatnonzero(self._next().random(rows) < rate)

    def discrete_gaussian(self, shape: Any, scale: float) -> Any:
        return np.rint(self._next().normal(0.0, scale, shape)).astype(np.int64)

    def discrete_laplace(self, scale: float) -> int:
        return round(self._next().laplace(0.0, scale))


class LossRandomness(torch.Generator):
    """What a loss on real rows draws from; `PerRow` gives row i of a batch the same whatever its length."""


class PerRow(TorchFunctionMode):
    """Answers every draw from a `LossRandomness` by a fixed table of numbers, read from its first row on."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not isinstance(kwargs.get("generator"), LossRandomness):
            return func(*args, **kwargs)
        fixed = np.random.default_rng(11)
        if func is torch.multinomial:
            steps = (args[0] / args[0].sum()).cumsum(0).numpy()
            drawn = np.searchsorted(steps, fixed.random(args[1])).clip(max=len(steps) - 1)
            return torch.from_numpy(drawn)
        if func is torch.Tensor.exponential_:
            return args[0].copy_(torch.from_numpy(fixed.exponential(size=tuple(args[0].shape))))
        assert func in (torch.randn, torch.rand), f"no per-row form of {func}"
        shape = tuple(args[0]) if isinstance(args[0], tuple | list) else args
        draws = fixed.normal(size=shape) if func is torch.randn else fixed.random(shape)
        return torch.from_numpy(draws).float()


@contextlib.contextmanager
def losses_per_row(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give every loss on real rows randomness that belongs to the row."""
    for name, module in list(sys.modules.items()):
        if name.startswith("synthpriv.synthesizers") and hasattr(module, "loss_generator"):
            patch.setattr(module, "loss_generator", LossRandomness)
    with PerRow():
        yield


def run(job: Callable[[Progress], Any], frozen: Trace | None = None, *, real_noise: bool = False) -> Trace:
    """Run `job` under replay (or with real noise), handing out the releases of `frozen` if there are any."""
    trace = Trace()
    said = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.nullcontext() if real_noise else replay(Steady(trace)),
        losses_per_row(patch),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
        warnings.catch_warnings(record=True) as warned,
    ):
        warnings.simplefilter("always")
        _tape_door(patch, trace)
        _tape_mechanisms(patch, trace, frozen)
        _tape_trainer(patch, trace, frozen)
        try:
            trace.result = job(lambda *stage: trace.seen.append(stage))
        except Exception as error:
            trace.seen.append((type(error), str(error)))
    trace.seen += [(warning.category, str(warning.message)) for warning in warned]
    trace.seen.append(said.getvalue())
    return trace


def _release(trace: Trace, frozen: Trace | None, kind: str, scale: float, exact: Any, out: Any) -> Any:
    """Tape one release, and return what leaves: in a frozen run, what left in the first."""
    if frozen is not None:
        place = len(trace.releases)
        assert place < len(frozen.releases), f"the neighbour releases more: a {kind}"
        out = frozen.releases[place].out
    trace.releases.append(Release(kind, scale, np.atleast_1d(np.array(exact, dtype=np.float64)), out))
    return out


def _tape_mechanisms(patch: pytest.MonkeyPatch, trace: Trace, frozen: Trace | None) -> None:
    count, counts = mechanisms.noisy_count, mechanisms.noisy_counts
    patch.setattr(
        mechanisms,
        "noisy_count",
        lambda exact, scale: _release(trace, frozen, "count", scale, exact, count(exact, scale)),
    )
    patch.setattr(
        mechanisms,
        "noisy_counts",
        lambda exact, scale: _release(trace, frozen, "histogram", scale, exact, counts(exact, scale)),
    )


def _tape_trainer(patch: pytest.MonkeyPatch, trace: Trace, frozen: Trace | None) -> None:
    optimizer = dpsgd._KeyedNoiseOptimizer
    add_noise = optimizer.add_noise

    def taped(self: Any) -> None:
        exact = torch.cat([p.summed_grad.flatten().double() for p in self.params]).numpy()
        add_noise(self)
        out = torch.cat([p.grad.flatten() for p in self.params]).clone()
        out = _release(trace, frozen, "sum", self.noise_multiplier * self.max_grad_norm, exact, out)
        for p, part in zip(self.params, out.split([p.numel() for p in self.params]), strict=True):
            p.grad = part.view_as(p).clone()

    patch.setattr(optimizer, "add_noise", taped)


def _tape_door(patch: pytest.MonkeyPatch, trace: Trace) -> None:
    """Write down every call of the door with all its public arguments."""
    for name in ("count", "histograms", "marginals", "dependence", "train", "tallies", "disclose"):
        patch.setattr(PrivateTable, name, _taped(trace, name, getattr(PrivateTable, name)))


def _taped(trace: Trace, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def taped(self: PrivateTable, *args: Any, **kwargs: Any) -> Any:
        trace.asked.append((name, *(_plain(value) for value in (*args, *kwargs.values()))))
        return method(self, *args, **kwargs)

    return taped


def _plain(value: Any) -> Any:
    """A public argument as something that == compares."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if hasattr(value, "starts"):
        return value.starts.tolist(), value.ends.tolist(), value.nullable
    if isinstance(value, torch.nn.Module):
        return {key: tensor.tolist() for key, tensor in value.state_dict().items()}
    if hasattr(value, "codecs"):
        return json.dumps(value.to_dict())
    if hasattr(value, "ledger"):
        return value.label, value.budget
    return None if callable(value) else value


def public_ledger(ledger: Any) -> Any:
    """A ledger's entries but for identities, times and digests, which are random or follow from them."""
    return redacted(ledger.to_json())


def redacted(value: Any) -> Any:
    """JSON values without identities, times, digests and the keyed fingerprint."""
    if isinstance(value, dict):
        return {key: redacted(inner) for key, inner in value.items() if key not in PRIVATE_KEYS}
    return [redacted(inner) for inner in value] if isinstance(value, list) else value
