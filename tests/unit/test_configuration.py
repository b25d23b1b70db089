"""Configurations: a wrong argument is an error that says what to write; the right ones make a plain value."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest

import synthpriv as sp
from synthpriv.errors import ConfigurationError, SynthprivError
from synthpriv.synthesizers.base import Synthesizer
from synthpriv.synthesizers.configuration import to_dict

KINDS: list[type[Synthesizer]] = [
    sp.MixtureSynthesizer,
    sp.VAESynthesizer,
    sp.CTGANSynthesizer,
    sp.IndependentSynthesizer,
]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@pytest.mark.parametrize(
    ("kind", "wrong", "meant"),
    [
        (sp.VAESynthesizer, "epoch", "epochs"),
        (sp.VAESynthesizer, "batchsize", "batch_size"),
        (sp.VAESynthesizer, "embeding_dim", "embedding_dim"),
        (sp.VAESynthesizer, "seed_state", "random_state"),
        (sp.CTGANSynthesizer, "discriminator_step", "discriminator_steps"),
        (sp.CTGANSynthesizer, "generator_lr", "generator_dim"),
        (sp.IndependentSynthesizer, "epsilom", "epsilon"),
    ],
)
def test_an_unknown_argument_names_the_nearest_known_one(
    kind: type[Synthesizer], wrong: str, meant: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"{kind.__name__} has no argument '{wrong}'.*'{meant}'"):
        kind(**{"epsilon": 1.0, wrong: 3})


def test_an_argument_like_no_other_lists_what_there_is() -> None:
    with pytest.raises(ConfigurationError, match=r"Known: .*delta.*epsilon"):
        sp.IndependentSynthesizer(epsilon=1.0, zzz=1)


def test_pac_does_not_exist() -> None:
    """Packing rows, as CTGAN does elsewhere, would give two rows one gradient."""
    with pytest.raises(ConfigurationError, match="no argument 'pac'"):
        sp.CTGANSynthesizer(epsilon=1.0, pac=10)


@every_kind
def test_epsilon_is_needed_and_arguments_have_names(kind: type[Synthesizer]) -> None:
    with pytest.raises(ConfigurationError, match=r"needs epsilon.*epsilon=3\.0"):
        kind()
    with pytest.raises(ConfigurationError, match=r"keyword arguments only.*epsilon=2\.0"):
        kind(2.0)


RANGES: list[tuple[dict[str, Any], str]] = [
    ({"epsilon": 0}, "epsilon"),
    ({"epsilon": -1.0}, "epsilon"),
    ({"epsilon": math.nan}, "epsilon"),
    ({"epsilon": "3"}, "epsilon"),
    ({"epsilon": True}, "epsilon"),
    ({"epsilon": None}, "epsilon"),
    ({"delta": -1e-9}, "delta"),
    ({"delta": 0.9}, "delta"),
    ({"random_state": -1}, "random_state"),
    ({"random_state": 1.5}, "random_state"),
    ({"epochs": 0}, "epochs"),
    ({"epochs": 2.5}, "epochs"),
    ({"batch_size": 0}, "batch_size"),
    ({"embedding_dim": 0}, "embedding_dim"),
    ({"embedding_dim": 10_000}, "embedding_dim"),
    ({"learning_rate": 0.0}, "learning_rate"),
    ({"max_grad_norm": 0.0}, "max_grad_norm"),
    ({"max_grad_norm": math.nan}, "max_grad_norm"),
    ({"verbose": "no"}, "verbose"),
]


@pytest.mark.parametrize(("arguments", "name"), RANGES, ids=str)
def test_a_value_out_of_range_is_refused_with_what_was_found(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{name} must be .*found"):
        sp.VAESynthesizer(**{"epsilon": 1.0, **arguments})


@pytest.mark.parametrize(
    ("name", "value"), [("modes", 0), ("modes", 2.5), ("pretraining_steps", -1), ("adversarial", -0.1)]
)
def test_a_gans_arguments_are_checked_too(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be .*found"):
        sp.CTGANSynthesizer(**{"epsilon": 1.0, name: value})


@pytest.mark.parametrize("widths", [(), (0,), (128, -1), (9999,), (1.5,), 128])
@pytest.mark.parametrize("name", ["generator_dim", "discriminator_dim"])
def test_layer_widths_are_checked_one_by_one(name: str, widths: Any) -> None:
    with pytest.raises(SynthprivError, match=name):
        sp.CTGANSynthesizer(**{"epsilon": 1.0, name: widths})


def test_lists_and_tuples_of_widths_are_the_same_configuration() -> None:
    lists = sp.CTGANSynthesizer(epsilon=1.0, generator_dim=[32, 16])  # type: ignore[arg-type]
    assert lists == sp.CTGANSynthesizer(epsilon=1.0, generator_dim=(32, 16))
    assert hash(lists) == hash(sp.CTGANSynthesizer(epsilon=1.0, generator_dim=(32, 16)))


@every_kind
def test_a_configuration_is_a_value(kind: type[Synthesizer]) -> None:
    one, same, other = kind(epsilon=3.0), kind(epsilon=3.0), kind(epsilon=2.0)
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != 3.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.epsilon = 9.0  # type: ignore[misc]


@every_kind
def test_what_is_printed_makes_it_again(kind: type[Synthesizer]) -> None:
    config = kind(epsilon=3.0, delta=1e-6, random_state=7)
    assert eval(repr(config), {kind.__name__: kind}) == config


@every_kind
@pytest.mark.parametrize("epsilon", [3.0, math.inf])
def test_plain_values_survive_json(kind: type[Synthesizer], epsilon: float) -> None:
    plain = json.loads(json.dumps(to_dict(kind(epsilon=epsilon)), allow_nan=False))
    assert float(plain.pop("epsilon")) == epsilon
    assert kind(epsilon=epsilon, **plain) == kind(epsilon=epsilon)


def test_kinds_with_equal_arguments_differ() -> None:
    assert len({kind(epsilon=1.0) for kind in KINDS}) == len(KINDS)


def test_names_that_sdv_and_scikit_learn_users_know_are_there() -> None:
    known = {field.name for field in dataclasses.fields(sp.VAESynthesizer)}  # type: ignore[arg-type]
    assert known >= {"epochs", "batch_size", "embedding_dim", "random_state", "verbose"}
