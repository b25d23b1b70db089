"""Products: every answer is checked against sums over all rows that there can be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from synthpriv.synthesizers.products import UNKNOWN, Products, drawn_cells

SIZES = (3, 4, 2)
EVERY = np.array(list(itertools.product(*map(range, SIZES))), dtype=np.int16)


@pytest.fixture(scope="module")
def products() -> Products:
    return Products(2 * torch.randn(5, sum(SIZES), generator=torch.Generator().manual_seed(3)), SIZES)


@pytest.fixture(scope="module")
def density(products: Products) -> np.ndarray:
    return np.exp(products.log_density(EVERY))


def matching(row: list[int]) -> np.ndarray:
    return np.all([(value == UNKNOWN) | (EVERY[:, at] == value) for at, value in enumerate(row)], axis=0)


@pytest.mark.parametrize("row", [[-1, -1, -1], [2, -1, -1], [-1, 3, 1], [0, 1, 0]])
def test_the_density_of_a_row_with_gaps_is_the_sum_over_what_may_fill_them(
    products: Products, density: np.ndarray, row: list[int]
) -> None:
    found = products.log_density(np.array([row], dtype=np.int16))
    assert np.exp(found[0]) == pytest.approx(density[matching(row)].sum(), rel=1e-4)


def test_conditionals_are_bayes_rule(products: Products, density: np.ndarray) -> None:
    rows = np.array([[2, 1, -1], [-1, 1, 0], [0, 3, 1]], dtype=np.int16)
    found = products.conditionals(rows, range(len(SIZES)))
    for column, size in enumerate(SIZES):
        for row, shares in zip(rows.tolist(), found[column], strict=True):
            row[column] = UNKNOWN
            told = [density[matching(row) & (EVERY[:, column] == cell)].sum() for cell in range(size)]
            assert shares.tolist() == pytest.approx([one / sum(told) for one in told], rel=1e-3)


def test_each_cells_surprise_is_its_conditional(products: Products) -> None:
    rows = np.array([[2, 1, 0], [0, -1, 1]], dtype=np.int16)
    found = products.log_conditionals(rows)
    assert found[1, 1] == 0.0
    for at, row in enumerate(rows):
        for column, cell in enumerate(row):
            if cell != UNKNOWN:
                share = products.conditionals(rows, [column])[0][at, cell]
                assert found[at, column] == pytest.approx(np.log(share), abs=1e-3)


def test_gaps_are_filled_from_the_joint_distribution(products: Products, density: np.ndarray) -> None:
    given = np.tile(np.array([[2, -1, -1]], dtype=np.int16), (40_000, 1))
    filled = products.complete(given, torch.Generator().manual_seed(0), {})
    assert (filled[:, 0] == 2).all()
    assert filled.min() >= 0
    wanted = density * (EVERY[:, 0] == 2)
    cells = np.ravel_multi_index(tuple(filled.T.astype(np.int64)), SIZES)
    found = np.bincount(cells, minlength=len(EVERY)) / len(filled)
    assert np.abs(found - wanted / wanted.sum()).sum() / 2 < 0.01
    held = products.complete(given, torch.Generator().manual_seed(0), {1: np.array([0.0, 1.0, 1.0, 0.0])})
    assert set(held[:, 1]) == {1, 2}
    wanted *= np.isin(EVERY[:, 1], [1, 2])
    told = np.bincount(EVERY[:, 2], weights=wanted / wanted.sum())
    assert (held[:, 2] == 1).mean() == pytest.approx(told[1], abs=0.01)
    apart = np.abs(found - density).sum() / 2
    assert apart > 0.3, "rows that ignore what is known are told apart"


def test_evidence_may_allow_parts_of_cells(products: Products, density: np.ndarray) -> None:
    evidence = {1: np.array([0.0, 0.5, 1.0, 0.0]), 2: np.array([1.0, 0.25])}
    drawn = products.draw(60_000, torch.Generator().manual_seed(1), evidence)
    weights = density * evidence[1][EVERY[:, 1]] * evidence[2][EVERY[:, 2]]
    assert float(products.log_weights(evidence).exp().mean()) == pytest.approx(weights.sum(), rel=1e-4)
    cells = np.ravel_multi_index(tuple(drawn.T.astype(np.int64)), SIZES)
    found = np.bincount(cells, minlength=len(EVERY)) / len(drawn)
    assert np.abs(found - weights / weights.sum()).sum() / 2 < 0.01


def test_a_cell_without_weight_is_never_drawn() -> None:
    weights = torch.tensor([[0.0, 1e-12, 0.0, 0.0], [0.0, 0.0, 3.0, 0.0]])
    chosen = torch.arange(2).repeat(50_000)
    drawn = drawn_cells(weights, chosen, torch.Generator().manual_seed(0))
    assert (drawn == torch.tensor([1, 2], dtype=torch.int16).repeat(50_000)).all()
