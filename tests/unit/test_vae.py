"""The VAE: latents hold the anchor, posteriors and densities are exact, the label starts from them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import synthpriv as sp
from synthpriv.privacy.dpsgd import train_private
from synthpriv.privacy.dpsgd_plan import DPSGDPlan, Optimization
from synthpriv.privacy.randomness import NoiseSource
from synthpriv.schema import Schema
from synthpriv.synthesizers.anchor import Anchor
from synthpriv.synthesizers.labels import LEAST, UNITS, LabelDecoder, Posterior
from synthpriv.synthesizers.latents import Latents, fit_latents, independent_latents
from synthpriv.synthesizers.products import Products
from synthpriv.synthesizers.vae import VAEModel
from synthpriv.synthesizers.workload import Workload

SIZES = [3, 2, 5, 4]
LABEL = 1
EVERY = np.array(list(itertools.product(*map(range, SIZES))), dtype=np.int16)
EXACT = DPSGDPlan(noise_multiplier=0.0, max_grad_norm=2.0, sample_rate=0.5, steps=60, expected_batch=2000.0)


def quiet(*stage: Any) -> None:
    """No progress."""


def random_latents(seed: int = 3) -> Latents:
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(1500, 6, generator=generator)
    return Latents(means, torch.randn(sum(SIZES), 6, generator=generator), torch.zeros(sum(SIZES)), SIZES)


def trained_labels() -> LabelDecoder:
    """A decoder whose weights are anything but those it starts with."""
    labels = LabelDecoder(SIZES, LABEL, 8)
    generator = torch.Generator().manual_seed(9)
    for weight in labels.tensors().values():
        weight.copy_(torch.randn(weight.shape, generator=generator))
    return labels


def test_the_posterior_of_a_label_is_bayes_rule() -> None:
    mixture = random_latents().prototypes()
    joint = np.exp(mixture.log_density(EVERY))
    others = np.delete(EVERY, LABEL, axis=1)
    found, classes = Posterior(mixture, LABEL)(EVERY)
    for row in range(0, len(EVERY), 7):
        same = (others == others[row]).all(1)
        by_class = [joint[same & (EVERY[:, LABEL] == k)].sum() for k in range(SIZES[LABEL])]
        assert float(found[row].exp()) == pytest.approx(sum(by_class), rel=1e-4)
        assert classes[row].exp().tolist() == pytest.approx([p / sum(by_class) for p in by_class], rel=1e-4)


def test_a_posterior_fits_into_codes_however_certain_it_is() -> None:
    logits = torch.full((1, sum(SIZES)), 0.0)
    logits[0, SIZES[0]] = 1e4
    codes = Posterior(Products(logits, SIZES), LABEL).as_codes(EVERY)
    assert codes.dtype == np.int16
    assert codes.shape == (len(EVERY), SIZES[LABEL])
    assert codes.min() == round(UNITS * np.log(LEAST))


@pytest.mark.parametrize("labels", [LabelDecoder(SIZES, LABEL, 8), trained_labels(), None])
def test_densities_add_up_to_one(labels: LabelDecoder | None) -> None:
    joint = VAEModel(random_latents(), labels).joint()
    assert np.exp(joint.log_density(EVERY)).sum() == pytest.approx(1.0, abs=1e-4)


def test_an_untrained_label_decoder_changes_nothing() -> None:
    latents = random_latents()
    with_it, without = (VAEModel(latents, labels) for labels in (LabelDecoder(SIZES, LABEL, 8), None))
    np.testing.assert_allclose(
        with_it.joint().log_density(EVERY), without.joint().log_density(EVERY), atol=1e-4
    )
    changed = VAEModel(latents, trained_labels())
    assert np.abs(changed.joint().log_density(EVERY) - without.joint().log_density(EVERY)).max() > 0.1


def test_samples_have_the_density_that_is_told() -> None:
    """Up to the prototypes, which stand for the prior in a density: samples draw latents anew."""
    model = VAEModel(random_latents(), trained_labels())
    drawn = model.draw(200_000, torch.Generator().manual_seed(1), {})
    cells = np.ravel_multi_index(tuple(drawn.T.astype(np.int64)), SIZES)
    found = np.bincount(cells, minlength=len(EVERY)) / len(drawn)
    told = np.exp(model.joint().log_density(EVERY))
    independent = np.prod(
        [(drawn[:, j][:, None] == np.arange(s)).mean(0)[EVERY[:, j]] for j, s in enumerate(SIZES)], axis=0
    )
    assert np.abs(found - told).sum() / 2 < 0.08
    assert np.abs(found - told).sum() < np.abs(found - independent).sum() / 3


def test_conditions_on_all_but_the_label_are_met_by_the_posterior() -> None:
    model = VAEModel(random_latents(), trained_labels())
    given = {0: np.eye(SIZES[0])[2], 3: np.eye(SIZES[3])[1]}
    assert model.reach(given).effective == 1.0
    drawn = model.draw(100_000, torch.Generator().manual_seed(1), given)
    assert (drawn[:, [0, 3]] == [2, 1]).all()
    density = np.exp(model.joint().log_density(EVERY)) * (EVERY[:, 0] == 2) * (EVERY[:, 3] == 1)
    for column in (LABEL, 2):
        told = np.bincount(EVERY[:, column], weights=density / density.sum())
        found = np.bincount(drawn[:, column], minlength=len(told)) / len(drawn)
        assert np.abs(told - found).max() < 0.06


def test_a_label_that_is_given_is_met_by_resampling() -> None:
    """The head disagrees with the latents: the other columns follow the head's say, not the latents'."""
    model = VAEModel(random_latents(), trained_labels())
    given = {LABEL: np.eye(SIZES[LABEL])[1]}
    drawn = model.draw(50_000, torch.Generator().manual_seed(1), given)
    assert (drawn[:, LABEL] == 1).all()
    assert 0.01 < model.reach(given).effective < 0.999
    distances = {}
    for name, joint in (("head", model.joint()), ("latents", model.latents.prototypes())):
        density = np.exp(joint.log_density(EVERY)) * (EVERY[:, LABEL] == 1)
        told = np.bincount(EVERY[:, 0], weights=density / density.sum())
        found = np.bincount(drawn[:, 0], minlength=len(told)) / len(drawn)
        distances[name] = np.abs(told - found).max()
    assert distances["head"] < 0.06 < distances["latents"]


def counted(codes: Any) -> tuple[Workload, list[Any]]:
    workload = Workload(groups=tuple(itertools.combinations(range(len(SIZES)), 2)), given=None)
    marginals = [np.zeros([SIZES[at] for at in group], dtype=np.int64) for group in workload.groups]
    for counts, group in zip(marginals, workload.groups, strict=True):
        np.add.at(counts, tuple(codes[:, at] for at in group), 1)
    return workload, marginals


def test_latents_and_label_learn_what_pairs_show_and_what_they_do_not() -> None:
    """A pair of columns depends: that is the latents'. The label is their parity, which no pair shows."""
    rng = np.random.default_rng(0)
    codes = np.column_stack([rng.integers(0, size, 4000) for size in SIZES])
    codes[:, 3] = np.where(rng.random(4000) < 0.7, codes[:, 2] % 4, codes[:, 3])
    parity = (codes[:, 0] + codes[:, 2]) % 2
    codes[:, LABEL] = np.where(rng.random(4000) < 0.9, parity, 1 - parity)
    workload, marginals = counted(codes)
    shares = [(np.bincount(codes[:, j], minlength=s) + 1) / (4000 + s) for j, s in enumerate(SIZES)]
    anchor = Anchor(workload, marginals, shares, 4000, 20.0)
    one_way = torch.from_numpy(np.log(np.concatenate(shares))).float()
    generator = torch.Generator().manual_seed(0)
    latents = fit_latents(anchor, one_way, 512, 6, 300, generator, quiet)
    assert float(anchor.misfit(anchor.log_probabilities(latents.pool(generator).logits).exp())) < 1.5
    drawn = latents.pool(generator).draw(40_000, generator, {})
    assert (drawn[:, 3] == drawn[:, 2] % 4).mean() > 0.65, "of 0.775; 0.25 if they were independent"

    labels = LabelDecoder(SIZES, LABEL, 16)
    labels.initialise(generator)
    model = VAEModel(latents, labels)
    assert model.posterior is not None
    before = model.joint().log_density(codes).mean()
    rows = np.hstack([codes, model.posterior.as_codes(codes)]).astype(np.int64)
    for module, loss, rate in (
        (labels.head, labels.head_loss, 0.05),
        (labels.weighing, labels.weighing_loss, 0.1),
    ):
        train_private(module, loss, rows, None, 1, EXACT, Optimization(learning_rate=rate), NoiseSource())
    assert model.joint().log_density(codes).mean() > before + 0.2
    drawn = model.draw(40_000, generator, {})
    assert (drawn[:, LABEL] == (drawn[:, 0] + drawn[:, 2]) % 2).mean() > 0.8


def test_a_single_column_has_one_mean_and_its_released_distribution() -> None:
    one_way = torch.tensor([0.7, 0.2, 0.1]).log()
    model = VAEModel(independent_latents(one_way, 4, [3]), None)
    assert np.exp(model.joint().log_density(np.array([[0], [1], [2]]))) == pytest.approx(
        [0.7, 0.2, 0.1], abs=1e-5
    )


def test_training_is_felt_and_left_out_by_a_public_rule(people: pd.DataFrame, people_schema: Schema) -> None:
    """The same fit with and without a training: the head has weights, or is as it was made."""
    small = {"epsilon": 8.0, "delta": 1e-5, "components": 16, "steps": 9, "epochs": 2, "random_state": 1}
    for most_noise, trained in ((1e9, True), (0.0, False)):
        fitted = sp.VAESynthesizer(**small, most_noise=most_noise).fit(people, people_schema)  # type: ignore[arg-type]
        assert bool(fitted.model.tensors()["head.last.weight"].any()) == trained
        assert (fitted.sample(2000, seed=0)["bought"] == "yes").mean() == pytest.approx(
            (people["bought"] == "yes").mean(), abs=0.12
        )
