"""Our clipped sums are those of Opacus's own per-row gradients, over random networks of any depth.

Opacus has no code layer, so its networks are fed one-hot rows. Both compute in single precision and add in
different orders: they agree to 1e-5 of the largest entry of the sum.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus.grad_sample import GradSampleModule
from torch import Tensor, nn
from torch.nn import functional

from synthpriv.errors import UnsupportedModel
from synthpriv.privacy.dpsgd import clipped_sums
from synthpriv.privacy.layers import CodeLinear, supported_layers, weighted_sums

pytestmark = pytest.mark.filterwarnings("ignore:.*hook.*")
Loss = Callable[[Tensor], Tensor]
EPS = 0.01  # with the default of 1e-5 two channels that happen to be close magnify rounding 300-fold
NORMS: dict[str, Callable[[int], list[nn.Module]]] = {
    "none": lambda width: [],
    "layer": lambda width: [nn.LayerNorm(width, eps=EPS)],
    "group": lambda width: [nn.GroupNorm(2 if width % 2 == 0 and width > 2 else 1, width, eps=EPS)],
}


class Network(nn.Module):
    """A first layer on codes or dense rows, then linear layers with norms, in-place activations, a branch.

    embedded: a learnt vector for the first column's code is added to the first layer's output.
    """

    def __init__(
        self,
        sizes: list[int],
        widths: list[int],
        norm: str,
        bias: bool,
        codes: bool,
        inplace: bool = True,
        embedded: bool = False,
    ) -> None:
        super().__init__()
        self.sizes = sizes
        self.first = CodeLinear(sizes, widths[0]) if codes else nn.Linear(sum(sizes), widths[0])
        self.embedding = nn.Embedding(sizes[0], widths[0]) if embedded else None
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += NORMS[norm](before)
            layers += [nn.LeakyReLU(0.2, inplace=inplace), nn.Linear(before, after, bias=bias)]
        self.body = nn.Sequential(*layers)
        self.heads = nn.Linear(widths[-1], sum(sizes))
        self.score = nn.Linear(widths[-1], 1)

    def forward(self, rows: Tensor, codes: Tensor) -> Tensor:
        """Logits and a score side by side."""
        hidden = self.first(rows)
        if self.embedding is not None:
            hidden = hidden + self.embedding(codes[:, 0])
        hidden = self.body(hidden)
        return torch.cat([self.heads(hidden), self.score(hidden)], dim=1)


def one_hot(codes: Tensor, sizes: list[int]) -> Tensor:
    return torch.cat([functional.one_hot(codes[:, k], size) for k, size in enumerate(sizes)], dim=1).float()


def terms(outputs: Tensor, codes: Tensor, sizes: list[int]) -> Tensor:
    """Several terms on each row: one per head, one on the score, one on all."""
    *heads, score = outputs.split([*sizes, 1], dim=1)
    parts = [functional.cross_entropy(head, codes[:, k], reduction="none") for k, head in enumerate(heads)]
    return torch.stack(parts).sum(0) + functional.softplus(-score.squeeze(1)) + 0.1 * outputs.square().sum(1)


def per_row_of_opacus(network: nn.Module, loss: Callable[[nn.Module], Tensor]) -> list[Tensor]:
    """Opacus's per-row gradients, one tensor (rows, ...) per parameter, in double precision."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampled = GradSampleModule(network, loss_reduction="sum")
        loss(sampled).sum().backward()
        found = [p.grad_sample.double() for p in network.parameters()]  # type: ignore[attr-defined]
        sampled.remove_hooks()
    return found


def clipped(rows: list[Tensor], bound: float) -> list[Tensor]:
    norms = torch.stack([part.flatten(1).square().sum(1) for part in rows]).sum(0).sqrt()
    weights = (bound / norms.clamp_min(1e-30)).clamp_max(1.0)
    return [torch.einsum("b,b...->...", weights, part) for part in rows]


def assert_equal(found: list[Tensor], expected: list[Tensor]) -> None:
    largest = max(float(part.abs().max()) for part in expected)
    for one, other in zip(found, expected, strict=True):
        assert float((one.double() - other).abs().max()) <= 1e-5 * largest


def bounds_of(rows: list[Tensor]) -> dict[str, float]:
    """Bounds that clip every row, about half of them, and none."""
    norms = torch.stack([part.flatten(1).square().sum(1) for part in rows]).sum(0).sqrt()
    return {
        "all": float(norms.min()) / 2,
        "half": float(norms.median()),
        "none": float(norms.max()) * 2,
    }


@settings(max_examples=60, deadline=None)
@given(
    rows=st.sampled_from([1, 1, 2, 3, 8, 33]),
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    widths=st.lists(st.integers(2, 17), min_size=1, max_size=4),
    norm=st.sampled_from(sorted(NORMS)),
    bias=st.booleans(),
    embedded=st.booleans(),
    share=st.sampled_from(["all", "half", "none"]),
    codes=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_clipped_sums_are_those_of_opacus(
    rows: int,
    sizes: list[int],
    widths: list[int],
    norm: str,
    bias: bool,
    embedded: bool,
    share: str,
    codes: bool,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    ours = Network(sizes, widths, norm, bias, codes, embedded=embedded)
    # Opacus's hooks refuse activations in place
    theirs = Network(sizes, widths, norm, bias, codes=False, inplace=False, embedded=embedded)
    state = {k: v.clone() for k, v in ours.state_dict().items() if k != "first.offsets"}
    if codes:
        state["first.weight"] = state["first.weight"].t()
    theirs.load_state_dict(state)
    rng = np.random.default_rng(seed)
    table = torch.from_numpy(np.column_stack([rng.integers(0, size, rows) for size in sizes]))
    dense = one_hot(table, sizes) if codes else torch.randn(rows, sum(sizes))
    expected = per_row_of_opacus(theirs, lambda sampled: terms(sampled(dense, table), table, sizes))
    bound = bounds_of(expected)[share]
    found = clipped_sums(
        supported_layers(ours), lambda c: terms(ours(c if codes else dense, c), c, sizes), table, bound
    )
    if codes:
        found[0] = found[0].t()
    assert_equal(found, clipped(expected, bound * (1 - 1e-6)))


@settings(max_examples=20, deadline=None)
@given(
    widths=st.lists(st.integers(2, 17), min_size=1, max_size=4),
    norm=st.sampled_from(sorted(NORMS)),
    codes=st.booleans(),
)
def test_an_empty_batch_sums_to_zero(widths: list[int], norm: str, codes: bool) -> None:
    sizes = [3, 2]
    network = Network(sizes, widths, norm, True, codes, embedded=True)
    table = torch.zeros((0, 2), dtype=torch.long)

    def loss(batch: Tensor) -> Tensor:
        return terms(network(batch if codes else one_hot(batch, sizes), batch), batch, sizes)

    found = clipped_sums(supported_layers(network), loss, table, 1.0)
    for part, p in zip(found, network.parameters(), strict=True):
        assert part.shape == p.shape
        assert not part.any()


@settings(max_examples=30, deadline=None)
@given(
    rows=st.one_of(st.integers(0, 400), st.integers(1020, 1030)),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    wide=st.sampled_from([1, 63, 64, 65, 130]),
    views=st.integers(1, 3),
    seed=st.integers(0, 10**6),
)
def test_the_sum_of_the_code_layer_is_that_of_the_dense_layer(
    rows: int, sizes: list[int], wide: int, views: int, seed: int
) -> None:
    torch.manual_seed(seed)
    layer = CodeLinear(sizes, wide)
    codes = torch.stack([torch.randint(size, (rows, views)) for size in sizes], dim=2)
    grads, weights = torch.randn(rows, views, wide), torch.rand(rows)
    found = weighted_sums(layer, codes, grads, weights)
    hot = one_hot(codes.flatten(0, 1), sizes).view(rows, views, sum(sizes))
    expected = [torch.einsum("b,bvi,bvo->io", weights, hot, grads), torch.einsum("b,bvo->o", weights, grads)]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-4)


def test_columns_of_more_cells_than_sixteen_bits_are_summed_by_cell() -> None:
    layer = CodeLinear([70_000, 3], 1)
    codes = torch.tensor([[69_999, 0], [69_999 - 65_536, 2], [69_999, 2]])
    weight, bias = weighted_sums(layer, codes, torch.ones(3, 1), torch.tensor([1.0, 2.0, 4.0]))
    assert weight.nonzero()[:, 0].tolist() == [69_999 - 65_536, 69_999, 70_000, 70_002]
    assert weight[[69_999 - 65_536, 69_999, 70_000, 70_002], 0].tolist() == [2, 5, 1, 6]
    assert bias.tolist() == [7]


@pytest.mark.parametrize("bound", [1e-3, 0.5, 1e6])
def test_an_embedding_of_several_views_is_clipped_as_one_row(bound: float) -> None:
    """Two of a row's indices may be the same: then their gradients meet in one weight."""
    torch.manual_seed(0)
    layer, codes = nn.Embedding(3, 4), torch.tensor([[0, 0], [1, 2], [2, 2], [0, 1]])
    factor = torch.randn(3, 4)

    def loss(rows: Tensor) -> Tensor:
        scores: Tensor = (layer(rows) * factor[rows]).sum((1, 2))
        return scores

    [found] = clipped_sums([layer], loss, codes, bound)
    expected = torch.zeros(3, 4)
    for row in range(4):
        own = torch.zeros(3, 4).index_add_(0, codes[row], factor[codes[row]])
        expected += own * min(1.0, bound / float(own.norm()))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("stacked", [True, False])
def test_a_layer_without_one_entry_per_row_is_refused(stacked: bool) -> None:
    """Two entries side by side would be clipped one by one, and their row would count twice."""
    layer = nn.Linear(3, 1)

    def loss(rows: Tensor) -> Tensor:
        entries = torch.cat([rows, -rows]) if stacked else rows.sum(0, keepdim=True)
        return layer(entries.float()).view(-1, len(rows)).sum(0) if stacked else layer(entries.float())[:, 0]

    with pytest.raises(UnsupportedModel, match="Linear"):
        clipped_sums([layer], loss, torch.ones(2, 3).long(), 1.0)


def test_a_layer_that_the_loss_leaves_out_sums_to_zero() -> None:
    used, unused = nn.Linear(3, 1), nn.Linear(3, 1)

    def loss(rows: Tensor) -> Tensor:
        unused(rows.float())
        scores: Tensor = used(rows.float()).squeeze(1)
        return scores

    sums = clipped_sums([used, unused], loss, torch.ones(2, 3).long(), 1.0)
    assert [bool(part.any()) for part in sums] == [True, True, False, False]


@pytest.mark.parametrize(
    "layer", [nn.Embedding(3, 4, max_norm=1.0), nn.Bilinear(4, 4, 4), nn.Conv1d(1, 1, 1)]
)
def test_layers_without_a_closed_form_here_are_refused_by_name(layer: nn.Module) -> None:
    with pytest.raises(UnsupportedModel, match=type(layer).__name__):
        supported_layers(nn.Sequential(nn.Linear(4, 4), layer))
