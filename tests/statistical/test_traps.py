"""The traps that stock tools leave open, each guarded: who falls into one is told why."""

from __future__ import annotations

import gc
import inspect
import math
import weakref
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import synthpriv as sp
from synthpriv.errors import ConfigurationError, UnsupportedModel
from synthpriv.privacy.dpsgd import train_private
from synthpriv.privacy.dpsgd_plan import DPSGDPlan, Optimization
from synthpriv.privacy.layers import CodeLinear
from synthpriv.privacy.private_table import PrivateTable
from synthpriv.synthesizers.base import Synthesizer
from synthpriv.synthesizers.configuration import REFUSED
from tests.conftest import Replayed
from tests.statistical.neighbours import SMALL, people_schema, people_table
from tests.statistical.test_isolation import holds_rows, ledger

PLAN = DPSGDPlan(noise_multiplier=1.0, max_grad_norm=0.5, sample_rate=0.4, steps=6, expected_batch=12.0)


class Loud(Replayed):
    """Noise of exactly one standard deviation everywhere; remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.rates: list[float] = []
        self.sizes: list[int] = []
        self.scales: list[float] = []

    def gaussian(self, shape: Any, scale: float, dtype: Any = "float64") -> Any:
        self.scales.append(scale)
        return np.full(shape, scale)

    def bernoulli_rows(self, rows: int, rate: float) -> Any:
        self.rates.append(rate)
        chosen = super().bernoulli_rows(rows, rate)
        self.sizes.append(len(chosen))
        return chosen


def make_codes(rows: int) -> Any:
    return np.random.default_rng(0).integers(0, 3, (rows, 2))


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(CodeLinear([3, 3], 4), nn.Tanh(), nn.Linear(4, 1))


def train(codes: Any, plan: DPSGDPlan = PLAN, physical_batch: int = 4096) -> tuple[Loud, list[Tensor]]:
    """Train on squared outputs; the source as it was used, and the gradients that the optimizer was given."""
    network, source = small_network(), Loud()
    given: list[Tensor] = []
    step = torch.optim.Adam.step

    def watched(self: Any, closure: Any = None) -> Any:
        given.append(torch.cat([p.grad.flatten().clone() for p in network.parameters()]))
        return step(self, closure)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", watched)
        train_private(
            network,
            lambda batch: network(batch).squeeze(1).square(),
            codes,
            np.arange(len(codes)),
            1,
            plan,
            Optimization(physical_batch=physical_batch),
            source,
        )
    return source, given


@pytest.mark.parametrize("rows", [1, 39, 40, 1000])
def test_rate_steps_and_divisor_are_the_plans_whatever_the_table(rows: int) -> None:
    """Stock Opacus takes 1 / len(loader) and the loader's batch size."""
    source, given = train(make_codes(rows))
    assert source.rates == [PLAN.sample_rate] * PLAN.steps
    assert source.scales == [PLAN.noise_multiplier * PLAN.max_grad_norm] * PLAN.steps
    assert len(given) == PLAN.steps
    for size, gradient in zip(source.sizes, given, strict=True):
        noise = torch.full_like(gradient, source.scales[0])
        total = gradient * PLAN.expected_batch - noise
        assert float(total.norm()) <= size * PLAN.max_grad_norm * (1 + 1e-5) + 1e-5
        assert (float(total.norm()) > 1e-5) == (size > 0)


def test_an_empty_batch_is_noise_over_the_public_divisor() -> None:
    plan = DPSGDPlan(**{**vars(PLAN), "sample_rate": 1e-12})
    source, given = train(make_codes(40), plan)
    assert source.sizes == [0] * PLAN.steps
    assert len(given) == PLAN.steps
    for gradient in given:
        expected = torch.full_like(gradient, 0.5 / PLAN.expected_batch)
        torch.testing.assert_close(gradient, expected)


def test_accumulation_adds_noise_once_per_logical_batch() -> None:
    whole, split = train(make_codes(60)), train(make_codes(60), physical_batch=7)
    assert min(whole[0].sizes) > 7
    assert split[0].scales == whole[0].scales
    for one, other in zip(whole[1], split[1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def through_the_door(module: nn.Module, row_loss: Callable[[Tensor], Tensor]) -> sp.Ledger:
    """Train `module` on the people, at the door itself."""
    book = ledger()
    encoder = SMALL[0].fit(people_table(), people_schema(), rows=397).encoder
    private = PrivateTable(people_table(), people_schema(), book)
    release = book.open_release("trap", epsilon=20.0, delta=1e-6)
    plan = DPSGDPlan(noise_multiplier=2.0, max_grad_norm=1.0, sample_rate=0.5, steps=2, expected_batch=9.0)
    private.train(release, "training", encoder, module, row_loss, plan, Optimization())
    return book


@pytest.mark.parametrize(
    "shape",
    [lambda x: x, lambda x: x.mean(), lambda x: x.sum(0), lambda x: x.squeeze(1)[:-1]],
    ids=["a column", "a scalar", "a sum", "one short"],
)
def test_a_loss_that_is_not_one_number_per_row_is_refused_without_the_batch_size(shape: Any) -> None:
    """In ghost mode a loss of shape (n, 1) multiplies the clipped sum by n, silently."""
    layer = nn.Linear(len(people_schema().modelled), 1)
    messages = set()
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="one number per row") as refused:
            through_the_door(layer, lambda codes: shape(layer(codes.float())))
        messages.add(str(refused.value))
    assert len(messages) == 1, "how many rows were drawn is private"


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Linear(6, 2), nn.BatchNorm1d(2)),
        nn.Sequential(nn.Linear(6, 2), nn.BatchNorm1d(2, affine=False)),
        nn.Sequential(nn.Linear(6, 2), nn.PReLU()),
        nn.Embedding(3, 2, padding_idx=0),
        nn.GRU(6, 2),
    ],
    ids=lambda module: str(list(module.modules())[-1]).split("(")[0],
)
def test_a_layer_without_an_exact_rule_is_refused_before_a_row_is_read(module: nn.Module) -> None:
    seen: list[Tensor] = []
    with pytest.raises(UnsupportedModel):
        through_the_door(module, lambda codes: seen.append(codes) or module(codes.float()).sum(1))
    assert not seen


@pytest.mark.parametrize("config", [pytest.param(c, id=c.name) for c in SMALL])
def test_rows_of_nothing_but_nan_leave_finite_weights(config: Synthesizer) -> None:
    frame = people_table().astype({"age": float, "member": object, "city": object, "bought": object})
    frame.loc[::9, ["age", "income"]] = [math.nan, math.inf]
    frame.loc[::9, ["city", "member", "bought"]] = None
    frame.loc[::9, "since"] = pd.NaT
    fitted = config.fit(frame, people_schema())
    assert all(bool(torch.isfinite(tensor).all()) for tensor in fitted.model.tensors().values())
    assert len(fitted.sample(50)) == 50


def test_a_row_whose_loss_is_not_finite_leaves_finite_weights() -> None:
    codes = make_codes(30)
    codes[4] = [2, 2]
    network = small_network()

    def poisoned(batch: Tensor) -> Tensor:
        return network(batch).squeeze(1) / (batch.sum(1) - 4).float()

    plan = DPSGDPlan(**{**vars(PLAN), "sample_rate": 1.0})
    train_private(network, poisoned, codes, np.arange(30), 1, plan, Optimization(), Loud())
    assert all(bool(torch.isfinite(p).all()) for p in network.parameters())


@pytest.mark.parametrize("config", [pytest.param(c, id=c.name) for c in SMALL])
@pytest.mark.parametrize("name", REFUSED)
def test_what_other_tools_offer_is_refused_with_the_reason(config: Synthesizer, name: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        type(config)(epsilon=3.0, **{name: 2})
    assert REFUSED[name] in str(refused.value)
    assert f"{name!r}" in str(refused.value)


def test_packing_is_refused_because_rows_would_share_a_gradient() -> None:
    with pytest.raises(ConfigurationError, match=r"'pac'.*share a gradient"):
        sp.CTGANSynthesizer(epsilon=3.0, pac=10)


@pytest.mark.parametrize("config", [pytest.param(c, id=c.name) for c in SMALL])
def test_there_is_no_argument_that_looks_at_private_scores(config: Synthesizer) -> None:
    """Requirement 17: neither the configuration nor `fit` can stop early, validate or choose.

    release and aside are an allowance in the ledger and an event to be charged to it: no figure, no row.
    """
    assert not {field.name for field in fields(config)} & REFUSED.keys()  # type: ignore[arg-type]
    wanted = ["table", "schema", "rows", "progress", "release", "aside"]
    assert list(inspect.signature(config.fit).parameters) == wanted
    assert "callback" not in " ".join(field.name for field in fields(config))  # type: ignore[arg-type]


def test_the_trainer_keeps_no_copy_of_the_rows() -> None:
    """A loader would: its dataset lives as long as the optimizer that was made from it."""
    codes, network = make_codes(397), small_network()
    batches: list[Any] = []

    def loss(batch: Tensor) -> Tensor:
        batches.append(weakref.ref(batch))
        return network(batch).squeeze(1)

    train_private(network, loss, codes, np.arange(397), 1, PLAN, Optimization(), Loud())
    alive = weakref.ref(codes)
    assert not holds_rows(network)
    assert all(p.grad is None or p.grad.shape == p.shape for p in network.parameters())
    del codes
    gc.collect()
    assert alive() is None
    assert len(batches) == PLAN.steps
    assert all(batch() is None for batch in batches)
