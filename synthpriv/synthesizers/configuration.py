"""Configurations: frozen, printable, comparable, and strict about the names and ranges of their arguments."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar, dataclass_transform

from synthpriv.errors import ConfigurationError, nearest

Class = TypeVar("Class")

_PACKING = "rows that are judged together share a gradient, which cannot be clipped row by row; leave it out"
_PRIVATE_SCORE = "a score on private rows is an access to them that nobody has charged; set steps in advance"
_BATCHES = "accounting is for rows drawn by independent trials, never for shuffled or fixed batches"
_SEED = "noise is keyed by the operating system; random_state drives initial weights, sample(seed=) a sample"
_CALIBRATED = "noise is calibrated from epsilon and delta; set those"
REFUSED = {
    "pac": _PACKING,
    "batch_norm": _PACKING,
    "early_stopping": _PRIVATE_SCORE,
    "patience": _PRIVATE_SCORE,
    "validation_split": _PRIVATE_SCORE,
    "validation_data": _PRIVATE_SCORE,
    "shuffle": _BATCHES,
    "drop_last": _BATCHES,
    "seed": _SEED,
    "noise_seed": _SEED,
    "sigma": _CALIBRATED,
    "noise_multiplier": _CALIBRATED,
}


@dataclass_transform(kw_only_default=True, frozen_default=True)
def configuration(cls: type[Class]) -> type[Class]:
    """A frozen keyword-only dataclass whose constructor names the nearest known argument on a mistake."""
    made = dataclass(frozen=True, kw_only=True)(cls)
    construct: Callable[..., None] = made.__init__
    known = [field.name for field in fields(made)]  # type: ignore[arg-type]

    def __init__(self: Any, *positional: Any, **arguments: Any) -> None:  # noqa: N807
        if positional:
            raise ConfigurationError(
                f"{made.__name__} takes keyword arguments only, found {len(positional)} positional; "
                f"write {known[0]}={positional[0]!r}."
            )
        for name in arguments:
            if name not in known:
                hint = f"The reason: {REFUSED[name]}." if name in REFUSED else nearest(name, known)
                raise ConfigurationError(f"{made.__name__} has no argument {name!r}. {hint}")
        if "epsilon" not in arguments:
            raise ConfigurationError(f"{made.__name__} needs epsilon, found none; write epsilon=3.0.")
        construct(self, **arguments)

    made.__init__ = __init__  # type: ignore[method-assign]
    return made


def require(name: str, value: Any, low: float, high: float = math.inf, *, whole: bool = False) -> None:
    """Raise ConfigurationError unless `value` is a number in low..high (and whole, where asked)."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high or (whole and value % 1 != 0):
        kind = "a whole number" if whole else "a number"
        span = f"at least {low}" if high == math.inf else f"in {low}..{high}"
        raise ConfigurationError(f"{name} must be {kind} {span}, found {value!r}.")


def require_flag(name: str, value: Any) -> None:
    """Raise ConfigurationError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} must be True or False, found {value!r}.")


def require_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raise ConfigurationError unless `value` is one of `choices`."""
    if value not in choices:
        raise ConfigurationError(f"{name} must be one of {', '.join(choices)}, found {value!r}.")


def layer_widths(name: str, value: Any) -> tuple[int, ...]:
    """The widths of hidden layers: 1 to 16 whole numbers; raises ConfigurationError."""
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= 16:
        raise ConfigurationError(f"{name} must be a list of 1 to 16 widths, found {value!r}.")
    for width in value:
        require(name, width, 1, 4096, whole=True)
    return tuple(int(width) for width in value)


def to_dict(config: Any) -> dict[str, Any]:
    """A configuration as plain values; an infinite epsilon is written as text."""
    plain = asdict(config)
    return {key: "inf" if value == math.inf else value for key, value in plain.items()}


def check_training(config: Any) -> None:
    """The arguments that every trained synthesizer shares."""
    for name in ("epochs", "batch_size"):
        if getattr(config, name) is not None:
            require(name, getattr(config, name), 1, 10**9, whole=True)
    require("embedding_dim", config.embedding_dim, 1, 4096, whole=True)
    require("learning_rate", config.learning_rate, 1e-9, 10.0)
    require("max_grad_norm", config.max_grad_norm, 1e-9)
