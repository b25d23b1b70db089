"""The trainer: clipped sums equal those of explicit per-row gradients, and traps are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from synthpriv.errors import ConfigurationError, UnsupportedModel
from synthpriv.privacy.dpsgd import clipped_sums, train_private
from synthpriv.privacy.dpsgd_plan import DPSGDPlan, Optimization
from synthpriv.privacy.layers import CodeLinear, supported_layers
from tests.conftest import Replayed

SIZES = [3, 2, 5]


def explicit_clipped_sums(module: nn.Module, loss: Any, codes: Tensor, bound: float) -> list[Tensor]:
    """The definition: one backward pass per row, clip, add."""
    parameters = list(module.parameters())
    sums = [torch.zeros_like(p) for p in parameters]
    for row in range(len(codes)):
        gradients = torch.autograd.grad(loss(codes[row : row + 1]).sum(), parameters, allow_unused=True)
        known = [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, parameters, strict=True)]
        norm = torch.sqrt(sum((g.square().sum() for g in known), torch.zeros(())))
        for total, gradient in zip(sums, known, strict=True):
            total += gradient * min(1.0, bound / (float(norm) + 1e-12))
    return sums


class CodesNetwork(nn.Module):
    def __init__(self, hidden: int, norm: bool) -> None:
        super().__init__()
        self.first = CodeLinear(SIZES, hidden)
        self.norm = nn.LayerNorm(hidden) if norm else nn.Identity()
        self.second = nn.Linear(hidden, sum(SIZES))

    def forward(self, codes: Tensor) -> Tensor:
        hidden = self.norm(self.first(codes))
        out: Tensor = self.second(functional.leaky_relu(hidden, 0.2, inplace=True))
        return out


def row_loss(network: nn.Module) -> Any:
    """Several terms on one row."""

    def loss(codes: Tensor) -> Tensor:
        logits = network(codes)
        parts = [
            functional.cross_entropy(part, codes[:, k], reduction="none")
            for k, part in enumerate(logits.split(SIZES, dim=1))
        ]
        return torch.stack(parts).sum(0) + 0.1 * logits.square().sum(1)

    return loss


def draw_codes(rows: int, seed: int) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.column_stack([rng.integers(0, size, rows) for size in SIZES]))


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(0, 9),
    hidden=st.integers(1, 12),
    norm=st.booleans(),
    bound=st.sampled_from([1e-3, 0.5, 2.0, 1e6]),
    seed=st.integers(0, 10**6),
)
def test_clipped_sums_equal_explicit_per_row_gradients(
    rows: int, hidden: int, norm: bool, bound: float, seed: int
) -> None:
    torch.manual_seed(seed)
    network = CodesNetwork(hidden, norm)
    codes = draw_codes(rows, seed)
    found = clipped_sums(supported_layers(network), row_loss(network), codes, bound)
    expected = explicit_clipped_sums(network, row_loss(network), codes, bound)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("bound", [1e-3, 0.3, 1e6])
def test_two_views_of_a_row_are_clipped_as_one(bound: float) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 6), nn.LeakyReLU(0.2, inplace=True), nn.Linear(6, 1))
    data = torch.randn(7, 2, 4)

    def loss(index: Tensor) -> Tensor:
        scores = network(data[index[:, 0]]).squeeze(-1)
        return functional.softplus(-scores[:, 0]) + functional.softplus(scores[:, 1])

    index = torch.arange(7)[:, None]
    found = clipped_sums(supported_layers(network), loss, index, bound)
    expected = explicit_clipped_sums(network, loss, index, bound)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-4, atol=2e-6)


def test_no_row_moves_the_sum_by_more_than_the_bound() -> None:
    torch.manual_seed(1)
    network = CodesNetwork(8, norm=True)
    for row in range(50):
        sums = clipped_sums(supported_layers(network), row_loss(network), draw_codes(1, row), 0.05)
        norm = float(torch.cat([total.flatten() for total in sums]).double().norm())
        assert norm <= 0.05 * (1 + 1e-6)


def test_code_linear_is_a_linear_layer_on_one_hot_rows() -> None:
    layer = CodeLinear(SIZES, 4)
    codes = draw_codes(6, 0)
    hot = torch.cat([functional.one_hot(codes[:, k], size) for k, size in enumerate(SIZES)], dim=1).float()
    torch.testing.assert_close(layer(codes), hot @ layer.weight + layer.bias)


def test_a_row_with_infinite_gradient_contributes_zero() -> None:
    network = CodesNetwork(4, norm=False)
    codes = draw_codes(5, 3)

    def broken(batch: Tensor) -> Tensor:
        factor = torch.ones(len(batch))
        factor[(batch == codes[2]).all(1)] = float("nan")
        return row_loss(network)(batch) * factor

    found = clipped_sums(supported_layers(network), broken, codes, 1.0)
    keep = torch.tensor([row for row in range(5) if not bool((codes[row] == codes[2]).all())])
    expected = clipped_sums(supported_layers(network), row_loss(network), codes[keep], 1.0)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("module", "word"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), "BatchNorm1d"),
        (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, affine=False)), "BatchNorm1d"),
        (nn.Conv1d(1, 1, 1), "Conv1d"),
        (nn.LSTM(2, 2), "LSTM"),
        (nn.ReLU(), "found none"),
    ],
)
def test_layers_without_an_exact_rule_are_refused_by_name(module: nn.Module, word: str) -> None:
    with pytest.raises(UnsupportedModel, match=word):
        supported_layers(module)


def test_shared_and_reused_weights_are_refused() -> None:
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    with pytest.raises(UnsupportedModel, match="share"):
        supported_layers(nn.Sequential(first, second))
    layer = nn.Linear(3, 3)
    with pytest.raises(UnsupportedModel, match="reused"):
        clipped_sums([layer], lambda x: layer(layer(x.float())).sum(1), torch.ones(2, 3).long(), 1.0)


def test_a_loss_that_is_not_one_number_per_row_is_refused() -> None:
    layer = nn.Linear(3, 1)
    for shaped in (lambda x: layer(x.float()), lambda x: layer(x.float()).mean()):
        with pytest.raises(ConfigurationError, match="one number per row"):
            clipped_sums([layer], shaped, torch.ones(2, 3).long(), 1.0)


def plan(**changes: Any) -> DPSGDPlan:
    constants: dict[str, Any] = {
        "noise_multiplier": 1.0,
        "max_grad_norm": 1.0,
        "sample_rate": 0.5,
        "steps": 7,
        "expected_batch": 10.0,
    }
    return DPSGDPlan(**{**constants, **changes})


def train(codes: Tensor, chosen: DPSGDPlan, source: Any, units: Any = None, per_unit: int = 1) -> list[Any]:
    torch.manual_seed(0)
    network = CodesNetwork(4, norm=False)
    steps: list[int] = []
    train_private(
        network,
        row_loss(network),
        codes.numpy(),
        np.arange(len(codes)) if units is None else units,
        per_unit,
        chosen,
        Optimization(),
        source,
        steps.append,
    )
    return [steps, *network.parameters()]


def test_empty_batches_still_take_their_noisy_step() -> None:
    class Recorder(Replayed):
        calls = 0

        def gaussian(self, shape: Any, scale: float, dtype: Any = "float64") -> Any:
            Recorder.calls += 1
            return super().gaussian(shape, scale, dtype)

    steps, *parameters = train(draw_codes(20, 0), plan(sample_rate=1e-9), Recorder())
    assert steps == list(range(7))
    assert Recorder.calls == 7
    torch.manual_seed(0)
    before = list(CodesNetwork(4, norm=False).parameters())
    assert all(not torch.equal(a, b) for a, b in zip(before, parameters, strict=True))


def test_noise_goes_on_the_sum_once_and_the_divisor_is_the_public_constant() -> None:
    """With huge noise the first Adam-free gradient is noise / expected_batch, whatever the batch held."""
    seen: list[float] = []

    class Loud(Replayed):
        def gaussian(self, shape: Any, scale: float, dtype: Any = "float64") -> Any:
            seen.append(scale)
            return super().gaussian(shape, scale, dtype)

    train(draw_codes(40, 0), plan(noise_multiplier=3.0, max_grad_norm=0.5), Loud())
    assert seen == [1.5] * 7


def test_a_unit_with_several_rows_moves_the_sum_by_at_most_the_bound() -> None:
    network = CodesNetwork(4, norm=False)
    codes = draw_codes(1, 0).repeat(3, 1)
    sums = clipped_sums(supported_layers(network), row_loss(network), codes, 0.1 / 3)
    assert float(torch.cat([s.flatten() for s in sums]).norm()) <= 0.1 * (1 + 1e-6)


def test_all_rows_of_a_unit_are_drawn_together() -> None:
    batches: list[set[int]] = []
    codes = torch.arange(12).reshape(12, 1)
    units = np.repeat(np.arange(4), 3)
    layer = nn.Linear(1, 1)

    def loss(batch: Tensor) -> Tensor:
        batches.append(set(batch[:, 0].tolist()))
        return layer(batch.float()).squeeze(1)

    train_private(layer, loss, codes.numpy(), units, 3, plan(), Optimization(), Replayed())
    for batch in batches:
        assert all({3 * u, 3 * u + 1, 3 * u + 2} <= batch or not {3 * u} & batch for u in range(4))


def test_only_one_file_imports_opacus() -> None:
    root = Path(__file__).parents[2] / "synthpriv"
    found = [
        p.name
        for p in root.rglob("*.py")
        if "opacus"
        in "".join(line for line in p.read_text().splitlines() if line.startswith(("import", "from")))
    ]
    assert found == ["dpsgd.py"]


@pytest.mark.parametrize("bound", [1e-3, 0.3, 1e6])
def test_code_views_of_a_row_are_clipped_as_one(bound: float) -> None:
    """Real and generated codes of one row through one layer: their cells may coincide."""
    torch.manual_seed(0)
    network = nn.Sequential(CodeLinear(SIZES, 6), nn.LeakyReLU(0.2, inplace=True), nn.Linear(6, 1))
    pairs = torch.stack([draw_codes(9, 1), draw_codes(9, 2)], dim=1)

    def loss(index: Tensor) -> Tensor:
        scores = network(pairs[index[:, 0]]).squeeze(-1)
        return functional.softplus(-scores[:, 0]) + functional.softplus(scores[:, 1])

    index = torch.arange(9)[:, None]
    found = clipped_sums(supported_layers(network), loss, index, bound)
    expected = explicit_clipped_sums(network, loss, index, bound)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-4, atol=2e-6)


def test_dense_and_coded_rows_give_the_same() -> None:
    layer = CodeLinear(SIZES, 4)
    codes = draw_codes(6, 0)
    hot = torch.cat([functional.one_hot(codes[:, k], size) for k, size in enumerate(SIZES)], dim=1).float()
    torch.testing.assert_close(layer(codes), layer.dense(hot))
