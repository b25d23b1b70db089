"""The mixture and its anchor: gradients, densities, conditionals are exact; noise is no signal."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch

import synthpriv as sp
from synthpriv.schema import AnyColumn, Boolean, Categorical, Integer, Schema
from synthpriv.synthesizers.anchor import GOAL, Anchor
from synthpriv.synthesizers.mixture import MixtureModel, fit_logits
from synthpriv.synthesizers.workload import (
    FEWEST_CELLS,
    MOST_CELLS,
    MOST_NOISY_CELLS,
    Workload,
    cells_per_column,
    choose_groups,
    workload_of,
)

SIZES = (2, 5, 7, 4)


def pairs_of(given: int | None) -> Workload:
    columns = [at for at in range(len(SIZES)) if at != given]
    label = () if given is None else (given,)
    groups = tuple((*label, a, b) for a, b in itertools.combinations(columns, 2))
    return Workload(groups=groups, given=given)


def counts_of(codes: npt.NDArray[np.int64], workload: Workload) -> list[npt.NDArray[np.int64]]:
    counted = []
    for group in workload.groups:
        counts = np.zeros([SIZES[at] for at in group], dtype=np.int64)
        np.add.at(counts, tuple(codes[:, at] for at in group), 1)
        counted.append(counts)
    return counted


def even_shares() -> list[npt.NDArray[np.float64]]:
    return [np.full(size, 1 / size) for size in SIZES]


def schema_of(*columns: AnyColumn, target: bool = False) -> Schema:
    named = {f"c{at}": column for at, column in enumerate(columns)}
    return Schema(columns=named, targets=["c0"] if target else [])


@pytest.mark.parametrize("given", [None, 0, 2])
def test_the_misfit_and_its_gradient_are_those_of_the_definition(given: int | None) -> None:
    rng = np.random.default_rng(3)
    workload = pairs_of(given)
    codes = np.column_stack([rng.integers(0, size, 500) for size in SIZES])
    anchor = Anchor(workload, counts_of(codes, workload), even_shares(), 500, 3.0)
    logits = torch.randn(40, sum(SIZES), generator=torch.Generator().manual_seed(1), requires_grad=True)

    def by_definition(probabilities: torch.Tensor) -> torch.Tensor:
        parts = probabilities.split(list(SIZES), dim=1)
        total, cells = torch.zeros(()), 0
        for group, counts in zip(workload.groups, counts_of(codes, workload), strict=True):
            letters = "abc"[: len(group)]
            inputs = ",".join(f"n{letter}" for letter in letters)
            made = torch.einsum(f"{inputs}->{letters}", *(parts[at] for at in group)) / len(probabilities)
            total = total + (500 * made - torch.from_numpy(counts)).square().sum()
            cells += counts.size
        return total / (cells * 3.0**2)

    misfits = [
        function(anchor.log_probabilities(logits).exp()) for function in (anchor.misfit, by_definition)
    ]
    assert float(misfits[0].detach()) == pytest.approx(float(misfits[1].detach()), rel=1e-4)
    one, other = (torch.autograd.grad(misfit, logits)[0] for misfit in misfits)
    assert torch.allclose(one, other, rtol=1e-3, atol=1e-6 * float(other.abs().max()))


def test_densities_add_up_to_one_and_conditionals_are_bayes() -> None:
    logits = 2 * torch.randn(6, sum(SIZES), generator=torch.Generator().manual_seed(2))
    model = MixtureModel(logits, SIZES)
    every = np.array(list(itertools.product(*(range(size) for size in SIZES))), dtype=np.int16)
    density = np.exp(model.joint().log_density(every))
    assert density.sum() == pytest.approx(1.0, abs=1e-5)
    given = {1: np.eye(SIZES[1])[3], 3: np.eye(SIZES[3])[0]}
    rows = (every[:, 1] == 3) & (every[:, 3] == 0)
    exact = {
        tuple(row): value for row, value in zip(every[rows], density[rows] / density[rows].sum(), strict=True)
    }
    drawn = model.draw(60_000, torch.Generator().manual_seed(5), given)
    assert (drawn[:, 1] == 3).all()
    assert (drawn[:, 3] == 0).all()
    found, counts = np.unique(drawn, axis=0, return_counts=True)
    distance = (
        sum(abs(count / 60_000 - exact[tuple(row)]) for row, count in zip(found, counts, strict=True)) / 2
    )
    assert distance < 0.01
    free = model.draw(60_000, torch.Generator().manual_seed(5), {})
    assert abs((free[:, 1] == 3).mean() - density[every[:, 1] == 3].sum()) < 0.01


def test_a_fit_finds_what_depends_and_leaves_noise_alone() -> None:
    """A planted relation is kept; a penalty settled by the noise keeps unrelated columns unrelated."""
    rng = np.random.default_rng(11)
    rows, scale, workload = 4_000, 40.0, pairs_of(None)
    codes = np.column_stack([rng.integers(0, size, rows) for size in SIZES])
    codes[:, 3] = np.where(rng.random(rows) < 0.4, codes[:, 1] % 4, codes[:, 3])
    exact = counts_of(codes, workload)
    noisy = [counts + np.rint(rng.normal(0, scale, counts.shape)).astype(np.int64) for counts in exact]
    anchor = Anchor(workload, noisy, even_shares(), rows, scale)
    start = 0.5 * torch.randn(128, sum(SIZES), generator=torch.Generator().manual_seed(0))
    logits = fit_logits(start, anchor, 300, 0.15, lambda *_: None)
    with torch.no_grad():
        assert float(anchor.misfit(anchor.log_probabilities(logits).exp())) == pytest.approx(GOAL, abs=0.25)
    drawn = MixtureModel(logits, SIZES).draw(50 * rows, torch.Generator().manual_seed(1), {})

    def distances(counted: list[npt.NDArray[np.int64]], of: int) -> dict[tuple[int, ...], float]:
        return {
            group: float(np.abs(one / of - other / rows).sum() / 2)
            for group, one, other in zip(workload.groups, counted, exact, strict=True)
        }

    shuffled = np.column_stack([rng.permutation(codes[:, at]) for at in range(len(SIZES))])
    fitted = distances(counts_of(drawn.astype(np.int64), workload), 50 * rows)
    assert fitted[1, 3] < distances(counts_of(shuffled, workload), rows)[1, 3] * 0.6
    assert sum(fitted.values()) < sum(distances(noisy, rows).values()) / 1.3


def test_the_workload_is_a_rule_of_the_schema() -> None:
    few, many = Categorical(categories=["a", "b"]), Categorical(categories=[f"v{k}" for k in range(30)])
    number = Integer(lower=0, upper=10_000)
    assert workload_of(schema_of(few, number, number)).given is None
    within = workload_of(schema_of(few, number, number, number, target=True))
    assert within.given == 0
    assert within.groups == ((0, 1, 2), (0, 1, 3), (0, 2, 3))
    assert workload_of(schema_of(many, number, number, target=True)).given is None, "too many classes"
    assert workload_of(schema_of(few, number, target=True)).groups == ((0, 1),)
    assert workload_of(schema_of(few)).groups == ()


def test_cells_follow_rows_over_noise_within_what_counting_costs() -> None:
    number = Integer(lower=0, upper=10_000)
    narrow = schema_of(*[number] * 6)
    cells = [cells_per_column(narrow, workload_of(narrow), rows, 40.0) for rows in (100, 36_000, 10**7)]
    assert cells == [FEWEST_CELLS, round(math.sqrt(36_000 / 40)), MOST_CELLS]
    assert cells_per_column(narrow, workload_of(narrow), 1000, 0.0) == MOST_CELLS
    for columns in (45, 90):
        wide = schema_of(*[number] * columns)
        workload = workload_of(wide)
        bounded = cells_per_column(wide, workload, 10**7, 1.0)
        assert workload.size * bounded**2 <= MOST_NOISY_CELLS < workload.size * (bounded + 1) ** 2


def test_a_wide_table_measures_the_pairs_that_depend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs are chosen by noisy scores; those with the label always; the plan and the ledger say so."""
    monkeypatch.setattr("synthpriv.synthesizers.workload.MOST_GROUPS", 9)
    rng = np.random.default_rng(4)
    columns = {f"x{at}": rng.integers(0, 4, 3_000) for at in range(6)}
    columns["x5"] = np.where(rng.random(3_000) < 0.9, columns["x4"], columns["x5"])
    frame = pd.DataFrame({**columns, "y": rng.random(3_000) < 0.5})
    named = {name: Integer(lower=0, upper=3) for name in columns}
    schema = Schema(columns={**named, "y": Boolean()}, targets=["y"])
    config = sp.MixtureSynthesizer(epsilon=3.0, delta=1e-6, components=64, steps=200, random_state=0)
    plan = config.plan(schema, rows=3_000)
    assert (plan.to_dict()["marginals"], plan.to_dict()["chosen_among"]) == (9, 21)
    ledger = sp.Ledger.in_memory(sp.Budget(epsilon=3.0, delta=1e-6))
    fitted = config.fit(sp.PrivateTable(frame, schema, ledger))
    assert [charge.label for charge in ledger.charges][-2:] == ["choice of pairs", "marginals"]
    made = fitted.sample(3_000, seed=0)
    assert (made["x4"] == made["x5"]).mean() > 0.7


def test_choosing_takes_the_label_first_and_chance_off() -> None:
    every = Workload(groups=((0, 1), (0, 2), (1, 2)), given=None, chosen=2)
    shares = [np.full(2, 0.5), np.full(20, 0.05), np.full(20, 0.05)]
    scores = np.array([150, 400, 900])  # by chance alone, (1, 2) would show about 640 of 1,000 rows
    assert choose_groups(every, scores, shares, 1_000, label=None).groups == ((0, 2), (1, 2))
    assert choose_groups(every, scores, shares, 1_000, label=1).groups == ((0, 1), (1, 2))


def test_rare_conditions_cost_no_redraws(people: pd.DataFrame, people_schema: Schema) -> None:
    fitted = sp.MixtureSynthesizer(epsilon=8.0, delta=1e-5, components=64, steps=50).fit(
        people, people_schema
    )
    table = fitted.sample(3_000, seed=1, conditions={"age": 63, "city": "Genf", "member": True})
    assert len(table) == 3_000
    assert (table["age"] == 63).all()
    assert (table["city"] == "Genf").all()


def test_a_saved_mixture_samples_the_same(
    people: pd.DataFrame, people_schema: Schema, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fitted = sp.MixtureSynthesizer(epsilon=8.0, delta=1e-5, steps=5).fit(people, people_schema)
    folder = tmp_path_factory.mktemp("saved") / "model"
    fitted.save(folder)
    pd.testing.assert_frame_equal(sp.load(folder).sample(200, seed=4), fitted.sample(200, seed=4))
