"""The anchored CTGAN: marginals reach the generator for free, pairs are clipped as one, labels are kept."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import synthpriv as sp
from synthpriv.encoding.table_encoder import TableEncoder, learn_encoder
from synthpriv.privacy.dpsgd import clipped_sums
from synthpriv.privacy.layers import supported_layers
from synthpriv.schema import Categorical, Schema
from synthpriv.synthesizers.anchor import Anchor
from synthpriv.synthesizers.ctgan import CTGANModel, _Game
from synthpriv.synthesizers.workload import workload_of

ROWS = 4_000
SIZES = (2, 5, 4, 3)
CONFIG = sp.CTGANSynthesizer(
    epsilon=1.0, modes=100, embedding_dim=8, generator_dim=(16,), discriminator_dim=(16,)
)


def table() -> torch.Tensor:
    """Codes of a label and three columns, of which two depend on each other in a way that the label sets."""
    rng = np.random.default_rng(3)
    codes = np.column_stack([rng.integers(0, size, ROWS) for size in SIZES])
    codes[:, 0] = rng.random(ROWS) < 0.2
    codes[:, 2] = np.where(rng.random(ROWS) < 0.7, (codes[:, 1] + codes[:, 0]) % 4, codes[:, 2])
    return torch.from_numpy(codes)


@pytest.fixture(scope="module")
def encoder() -> TableEncoder:
    names = [[f"{column}{cell}" for cell in range(size)] for column, size in enumerate(SIZES)]
    schema = Schema(columns={n[0]: Categorical(categories=n) for n in names}, targets=["00"])
    codes = table().numpy()

    def count(level: int, partitions: object, scales: object) -> dict[str, np.ndarray]:
        return {
            name: np.bincount(codes[:, at], minlength=SIZES[at]) for at, name in enumerate(schema.columns)
        }

    return learn_encoder(schema, ROWS, [dict.fromkeys(schema.columns, 0.0), {}], count)


@pytest.fixture
def game(encoder: TableEncoder) -> _Game:
    workload, codes = workload_of(encoder.schema), table().numpy()
    counted = []
    for group in workload.groups:
        counts = np.zeros([SIZES[at] for at in group], dtype=np.int64)
        np.add.at(counts, tuple(codes[:, at] for at in group), 1)
        counted.append(counts)
    anchor = Anchor(workload, counted, encoder.shares, ROWS, 10.0)
    return _Game(CONFIG, encoder, anchor, torch.Generator().manual_seed(0))


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """The mean total variation between the triples with the label of two tables."""
    found = []
    for first, second in itertools.combinations(range(1, len(SIZES)), 2):
        shape = [SIZES[at] for at in (0, first, second)]
        shares = []
        for codes in (one, other):
            cells = np.ravel_multi_index(tuple(codes[:, at] for at in (0, first, second)), shape)
            shares.append(np.bincount(cells, minlength=int(np.prod(shape))) / len(codes))
        found.append(np.abs(shares[0] - shares[1]).sum() / 2)
    return float(np.mean(found))


def test_the_generator_learns_marginals_without_a_row(game: _Game, encoder: TableEncoder) -> None:
    before = CTGANModel(game.generator).draw(ROWS, torch.Generator().manual_seed(1), {})
    game.learn_marginals(200, 0.03, lambda *_: None)
    model = CTGANModel(game.generator).calibrated(encoder, torch.Generator().manual_seed(2))
    after = model.draw(ROWS, torch.Generator().manual_seed(1), {})
    assert distance(after, table().numpy()) < 0.06 < 0.2 < distance(before, table().numpy())


def test_labels_come_by_their_released_shares_or_as_they_are_given(game: _Game) -> None:
    model, shares = CTGANModel(game.generator), table()[:, 0].bincount().numpy() / ROWS
    drawn = model.draw(10_000, torch.Generator().manual_seed(1), {})[:, 0]
    assert (drawn == 1).mean() == pytest.approx(shares[1], abs=2e-3), "in even shares, not by chance"
    inside = game.generated(20_000, torch.Generator().manual_seed(1))[:, 0]
    assert float((inside == 1).float().mean()) == pytest.approx(shares[1], abs=0.02)
    assert (model.draw(50, torch.Generator(), {0: np.array([0.0, 1.0])})[:, 0] == 1).all()


def test_a_pair_is_clipped_as_one(game: _Game, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real and generated gradients shrink by the same factor: what is left points where the pair's does."""
    real = table()[:1]
    monkeypatch.setattr(game, "generated", lambda count, random: (real + 1) % torch.tensor(SIZES))
    layers = supported_layers(game.discriminator)
    whole, clipped = (
        torch.cat([part.flatten() for part in clipped_sums(layers, game.pair_loss, real, bound)])
        for bound in (1e9, 1e-2)
    )
    assert float(clipped.norm()) == pytest.approx(1e-2, rel=1e-4)
    assert torch.allclose(clipped / clipped.norm(), whole / whole.norm(), atol=1e-5)


def test_a_single_column_is_its_released_distribution() -> None:
    assert (
        CONFIG.plan(Schema(columns={"x": Categorical(categories=["a", "b"])}), rows=100, delta=1e-5).training
        is None
    )
