"""Rows stay apart: from each other, from the generator, from the fitted model; every use of them is paid."""

from __future__ import annotations

import copy
import gc
import random
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import synthpriv as sp
from synthpriv.encoding.scores import ScoreColumn
from synthpriv.encoding.table_encoder import TableEncoder
from synthpriv.evaluation.disclosed import Disclosed
from synthpriv.privacy import dpsgd
from synthpriv.privacy.column_store import ColumnStore
from synthpriv.privacy.events import Counts, SampledGaussian
from synthpriv.privacy.private_table import PrivateTable
from synthpriv.privacy.randomness import NoiseSource
from synthpriv.privacy.statement import Charge
from synthpriv.synthesizers.anchor import Anchor
from synthpriv.synthesizers.base import Synthesizer
from tests.statistical.neighbours import ROWS, SMALL, TRAINED, TRAININGS, people_schema, people_table
from tests.statistical.replaying import Trace, losses_per_row, run

BY_NAME = [pytest.param(config, id=config.name) for config in SMALL]
TRAINED_BY_NAME = [pytest.param(config, id=config.name) for config in TRAINED]
STAGES = [
    pytest.param(config, stage, id=config.name if stage == 0 else f"{config.name}, stage {stage + 1}")
    for config in TRAINED
    for stage in range(len(TRAININGS[config.name]))
]
VAE, GAN, _ = TRAINED


class Stopped(Exception):
    """Raised by a test in the middle of a fit."""


def ledger() -> sp.Ledger:
    return sp.Ledger.in_memory(sp.Budget(epsilon=20.0, delta=1e-6))


def calls_of_the_trainer(config: Synthesizer, patch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Encoder, module, row loss and what derives further codes, for each training that `config` would run."""
    found: list[tuple[Any, ...]] = []

    def caught(
        self: PrivateTable, release: Any, label: str, encoder: TableEncoder, *rest: Any, derived: Any = None
    ) -> None:
        found.append((encoder, *rest[:2], derived))
        if len(found) == len(TRAININGS[config.name]):
            raise Stopped

    patch.setattr(PrivateTable, "train", caught)
    with pytest.raises(Stopped):
        config.fit(people_table(), people_schema(), rows=ROWS)
    return found


def what_is_trained(
    config: Synthesizer, patch: pytest.MonkeyPatch, stage: int = 0
) -> tuple[nn.Module, Any, Tensor]:
    """The module that `config` would train, its row loss, and the table's codes."""
    encoder, module, row_loss, derived = calls_of_the_trainer(config, patch)[stage]
    codes = encoder.encode_frame(people_table())
    if derived is not None:
        codes = np.hstack([codes, derived(codes)])
    return module, row_loss, torch.from_numpy(codes.astype(np.int64))


def gradient_of_row(module: nn.Module, losses: Tensor, row: int) -> Tensor:
    parameters = list(module.parameters())
    found = torch.autograd.grad(losses[row], parameters, retain_graph=True, allow_unused=True)
    parts = [torch.zeros_like(p) if g is None else g for g, p in zip(found, parameters, strict=True)]
    return torch.cat([part.flatten() for part in parts])


@pytest.mark.parametrize(("config", "stage"), STAGES)
def test_a_rows_gradient_does_not_change_when_another_row_does(
    config: Synthesizer, stage: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requirement 14: no batch statistics, no packing (12), whatever the batch."""
    with losses_per_row(monkeypatch):
        module, row_loss, codes = what_is_trained(config, monkeypatch, stage)
        batch, changed = codes[:6], codes[:6].clone()
        changed[2] = codes[50]
        assert not torch.equal(changed, batch)
        before, after = row_loss(batch), row_loss(changed)
        for row in range(6):
            pair = [gradient_of_row(module, losses, row) for losses in (before, after)]
            assert torch.allclose(*pair, rtol=1e-5, atol=1e-7) == (row != 2), row


def test_what_is_derived_from_a_row_does_not_change_when_another_row_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Requirement 14, for what the VAE lays beside a row's codes: it is of that row alone."""
    for encoder, _, _, derived in calls_of_the_trainer(VAE, monkeypatch):
        codes = encoder.encode_frame(people_table())
        changed = codes[:60].copy()
        changed[2] = codes[70]
        whole, few, other = derived(codes), derived(codes[:60]), derived(changed)
        assert whole.shape == (ROWS, encoder.sizes[-1])
        assert np.array_equal(whole[:60], few)
        assert [row for row in range(60) if not np.array_equal(few[row], other[row])] == [2]
        assert derived(codes[:0]).shape == (0, encoder.sizes[-1])


@pytest.mark.parametrize(("config", "stage"), STAGES)
def test_no_row_of_the_table_moves_a_sum_beyond_the_bound(
    config: Any, stage: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requirement 11: the whole loss on a row is clipped as one."""
    module, row_loss, codes = what_is_trained(config, monkeypatch, stage)
    with torch.no_grad():  # weights that a training may come to: at first, some layers have no gradient
        for parameter in module.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(2))
    layers = dpsgd.supported_layers(module)
    for bound in (config.max_grad_norm, 1e-3):
        norms = [
            float(torch.cat([s.flatten() for s in dpsgd.clipped_sums(layers, row_loss, row, bound)]).norm())
            for row in codes[:40].split(1)
        ]
        assert max(norms) <= bound * (1 + 1e-6)
        assert max(norms) > 0


class Watched(ColumnStore):
    """The door's columns; keeps, at every use, how many uses there were and what had been charged."""

    def __init__(self, store: ColumnStore, book: sp.Ledger) -> None:
        vars(self).update(vars(store))
        self.book = book
        self.uses: list[tuple[str, tuple[Charge, ...]]] = []

    def _read(self, number: int, name: str) -> Any:
        self.uses.append((name, self.book.charges))
        return super()._read(number, name)


def uses_paid(charges: tuple[Charge, ...], modelled: int) -> int:
    """How many columns may be read: one for a histogram, all of them to encode rows, once a charge."""
    paid = 0
    for charge in charges:
        counts = [event.coordinates for event in charge.events if isinstance(event, Counts)]
        trains = any(isinstance(event, SampledGaussian) for event in charge.events)
        paid += modelled if trains or charge.label == "marginals" else sum(counts)
    return paid


@pytest.mark.parametrize("config", BY_NAME)
def test_every_use_of_rows_was_charged_before(config: Synthesizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requirements 15 and 16: uses counted at the door equal the ledger's events, at every moment."""
    book = ledger()
    private = PrivateTable(people_table(), people_schema(), book, rows=ROWS)
    columns = Watched(private._PrivateTable__store, book)  # type: ignore[attr-defined]
    monkeypatch.setattr(private, "_PrivateTable__store", columns)
    modelled = len(people_schema().modelled)
    drawn, shown, draw, train = [], [], NoiseSource.bernoulli_rows, PrivateTable.train

    def counted(self: PrivateTable, *rest: Any, **derived: Any) -> None:
        *before, row_loss, plan, optimization, after_step, report = rest
        train(
            self,
            *before,
            lambda codes: shown.append(len(codes)) or row_loss(codes),
            plan,
            optimization,
            after_step,
            report,
            **derived,
        )

    monkeypatch.setattr(PrivateTable, "train", counted)
    monkeypatch.setattr(
        NoiseSource,
        "bernoulli_rows",
        lambda self, *arguments: drawn.append(draw(self, *arguments)) or drawn[-1],
    )
    config.fit(private)
    trainings = [event for event in book.events if isinstance(event, SampledGaussian)]
    assert [event.steps for event in trainings] == TRAININGS.get(config.name, [])
    for place, (_, charged) in enumerate(columns.uses, start=1):
        assert place <= uses_paid(charged, modelled)
    assert len(columns.uses) == uses_paid(book.charges, modelled)
    assert len(drawn) == sum(event.steps for event in trainings)
    assert sum(shown) == sum(len(rows) for rows in drawn)


def test_held_out_rows_are_counted_once_and_after_their_charge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requirements 15 and 16, for figures that are published."""
    book = ledger()
    private = PrivateTable(people_table(), people_schema(), book, holdout=0.5)
    columns = Watched(private._PrivateTable__store, book)  # type: ignore[attr-defined]
    monkeypatch.setattr(private, "_PrivateTable__store", columns)
    release = book.open_release("figures", epsilon=5.0, delta=1e-6)
    private.tallies(release, "figures", one_encoder()(), [(0,), (0, 1)], 9.0)
    assert book.events == (Counts(noise_scale=9.0, coordinates=2, max_rows=1),)
    assert sorted(name for name, _ in columns.uses) == sorted(people_schema().modelled)
    assert all(charged == book.charges for _, charged in columns.uses)


def test_a_rows_score_does_not_change_when_another_row_does() -> None:
    """Requirement 14, for the scores of held-out rows: to the last bit, in any company."""
    random = np.random.default_rng(4)
    weights = tuple(tuple(random.normal(size=7).tolist()) for _ in range(5))
    score = ScoreColumn(weights=weights, edges=(-1.0, 0.0, 1.0))
    codes = random.integers(0, 7, (400, 5)).astype(np.int16)
    alone = np.array([score.sums(codes[row : row + 1])[0] for row in range(400)])
    np.testing.assert_array_equal(score.sums(codes), alone)
    np.testing.assert_array_equal(score.encode(codes[::-1]), score.encode(codes)[::-1])


@pytest.mark.parametrize("config", TRAINED_BY_NAME)
def test_a_run_that_dies_in_training_has_paid_for_all_of_it(config: Any) -> None:
    """Requirement 16."""
    book = ledger()

    def die(stage: str, done: int, total: int) -> None:
        if stage == "training" and done == 2:
            raise Stopped

    with pytest.raises(Stopped):
        config.fit(PrivateTable(people_table(), people_schema(), book, rows=ROWS), progress=die)
    steps = [event.steps for event in book.events if isinstance(event, SampledGaussian)]
    assert steps == TRAININGS[config.name][:1]
    assert book.spent() > 0.9 * config.epsilon


def play(codes: Tensor) -> tuple[Any, list[Tensor]]:
    """A game whose discriminator looks at `codes`, then one step of its generator."""
    with pytest.MonkeyPatch.context() as patch:
        _, pair_loss, _ = what_is_trained(GAN, patch)
        game = pair_loss.__self__
        torch.manual_seed(0)
        for parameter in (*game.generator.parameters(), *game.discriminator.parameters()):
            nn.init.normal_(parameter, std=0.3)
        game.outside.manual_seed(5)
        game.pair_loss(codes % torch.tensor(game.sizes))
        game.generator_step()
    return game, [p.detach().clone() for p in game.generator.parameters()]


def test_the_generators_updates_are_free_of_real_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requirement 19: through the graph, and through any side effect of the loss on real rows."""
    _, pair_loss, codes = what_is_trained(GAN, monkeypatch)
    game = pair_loss.__self__
    game.generator.zero_grad(set_to_none=True)
    pair_loss(codes[:9]).sum().backward()
    assert all(p.grad is None for p in game.generator.parameters())
    assert all(p.grad is not None for p in game.discriminator.parameters())
    game.discriminator.zero_grad(set_to_none=True)
    weights = [p.detach().clone() for p in game.discriminator.parameters()]
    losses: list[Tensor] = []
    backward = Tensor.backward
    monkeypatch.setattr(Tensor, "backward", lambda self, **kw: losses.append(self) or backward(self, **kw))
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self: None)
    game.generator_step()
    players = {id(p) for p in (*game.generator.parameters(), *game.discriminator.parameters())}
    assert {id(leaf) for leaf in leaves_of(losses[0])} == players
    assert all(p.grad is None for p in game.discriminator.parameters())
    for before, after in zip(weights, game.discriminator.parameters(), strict=True):
        assert torch.equal(before, after)


def leaves_of(loss: Tensor) -> list[Tensor]:
    """The leaf tensors that `loss` was computed from and could send a gradient to."""
    seen, stack, leaves = set(), [loss.grad_fn], []
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            leaves.append(node.variable)
        stack.extend(parent for parent, _ in node.next_functions)
    return leaves


def test_what_the_discriminator_looked_at_does_not_reach_the_generator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Requirement 19: other rows, and other numbers of them, leave the generator's step bit by bit."""
    encoder_width = len(people_schema().modelled)
    rng = np.random.default_rng(0)
    few, many = (torch.from_numpy(rng.integers(0, 2, (rows, encoder_width))) for rows in (3, 90))
    # the two fits count with real noise, and would differ by that alone
    monkeypatch.setattr(sp.CTGANSynthesizer, "_learn_encoder", one_encoder())
    anchor = an_anchor(monkeypatch)
    monkeypatch.setattr(sp.CTGANSynthesizer, "_measure_marginals", lambda *arguments: copy.deepcopy(anchor))
    (_, one), (_, other) = play(few), play(many)
    for mine, theirs in zip(one, other, strict=True):
        assert torch.equal(mine, theirs)


def an_anchor(monkeypatch: pytest.MonkeyPatch) -> Anchor:
    """The anchor of one fit, as it was measured."""
    found: list[Anchor] = []
    with monkeypatch.context() as patch:
        measure = Synthesizer._measure_marginals
        patch.setattr(
            Synthesizer,
            "_measure_marginals",
            lambda self, *arguments: found.append(copy.deepcopy(measure(self, *arguments))) or found[0],
        )
        what_is_trained(GAN, patch)
    return found[0]


def one_encoder() -> Any:
    """A stand-in for learning an encoder that always returns the same one."""
    encoder = SMALL[0].fit(people_table(), people_schema(), rows=ROWS).encoder
    return lambda *arguments: encoder


def noise_of(trace: Trace, kind: str) -> list[np.ndarray]:
    """What was added to each release of one kind, but for histograms of few cells."""
    added = [
        np.asarray(release.out, dtype=np.float64).ravel() - release.exact.ravel()
        for release in trace.releases
        if release.kind == kind
    ]
    return [noise for noise in added if noise.size > 20]


@pytest.mark.parametrize("config", BY_NAME)
def test_the_same_seeds_twice_give_different_noise(
    config: Synthesizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requirement 20: neither random_state nor any global seed reaches noise."""
    learn, encoder = Synthesizer._learn_encoder, one_encoder()()
    # histograms are counted with noise as ever, but one encoder keeps the networks' shapes the same
    monkeypatch.setattr(Synthesizer, "_learn_encoder", lambda self, *a: learn(self, *a) and encoder)

    def fit() -> Trace:
        torch.manual_seed(1)
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        return run(lambda progress: config.fit(people_table(), people_schema(), rows=ROWS), real_noise=True)

    one, other = fit(), fit()
    assert one.result.claim.private
    assert other.result.claim.private
    histograms = list(zip(noise_of(one, "histogram")[:3], noise_of(other, "histogram")[:3], strict=True))
    sums = list(zip(noise_of(one, "sum"), noise_of(other, "sum"), strict=True))
    assert len(histograms) == 3
    assert len(sums) == TRAININGS.get(config.name, [0])[0]
    for mine, theirs in histograms + sums:
        assert not np.allclose(mine, theirs, atol=1e-3)


def reachable(root: Any) -> Iterator[Any]:
    """Every object that `root` holds, directly or not, without walking into modules and classes."""
    seen, stack = set(), [root]
    while stack:
        item = stack.pop()
        if id(item) in seen or isinstance(item, types.ModuleType | type):
            continue
        seen.add(id(item))
        yield item
        if isinstance(item, types.FunctionType):
            stack.extend([item.__closure__, item.__defaults__, item.__kwdefaults__, item.__dict__])
        else:
            stack.extend(gc.get_referents(item))


def holds_rows(root: Any) -> bool:
    """Whether a table, a door or anything as long as the private table can be reached."""
    return any(
        isinstance(item, pd.DataFrame | pd.Series | PrivateTable | Disclosed)
        or (isinstance(item, np.ndarray | Tensor) and ROWS in item.shape)
        for item in reachable(root)
    )


@pytest.mark.parametrize("config", BY_NAME)
def test_a_fitted_synthesizer_reaches_no_row(config: Synthesizer) -> None:
    """Requirement 31: it has no handle to filter its samples with, before or after it sampled."""
    private = PrivateTable(people_table(), people_schema(), ledger(), rows=ROWS)
    fitted = config.fit(private)
    assert not holds_rows(fitted)
    fitted.sample(10)
    assert not holds_rows(fitted)
    assert holds_rows(private)
    fitted.model.leak = lambda: private  # type: ignore[attr-defined]
    assert holds_rows(fitted)
