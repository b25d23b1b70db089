"""How a breach is planted: by rebinding a name of the product, in a process of its own."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

DPSGD = "tests/unit/test_dpsgd.py::"
NOISE = "tests/statistical/test_noise.py::"
REPLAY = "tests/statistical/test_replay.py::"
ISOLATION = "tests/statistical/test_isolation.py::"
TRAPS = "tests/statistical/test_traps.py::"
EVERY_USE = ISOLATION + "test_every_use_of_rows_was_charged_before"
NEIGHBOUR = REPLAY + "test_a_row_leaves_no_trace_but_in_what_was_released"


@dataclass(frozen=True, kw_only=True)
class Breach:
    """One planted breach: its name, the requirement of PRIVACY.md it breaks, the test that must notice."""

    name: str
    requirement: int
    killer: str
    plant: Callable[[], None]


BREACHES: list[Breach] = []


def breach(requirement: int, killer: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Register a function that plants the breach which its name says."""

    def register(plant: Callable[[], None]) -> Callable[[], None]:
        name = plant.__name__.replace("_", " ")
        BREACHES.append(Breach(name=name, requirement=requirement, killer=killer, plant=plant))
        return plant

    return register


def rebind(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replace `owner.name` by make(original), in every module of the product that imported it."""
    original = getattr(owner, name)
    replacement = make(original)
    owners = [owner]
    if isinstance(owner, types.ModuleType):
        owners += [
            module
            for key, module in list(sys.modules.items())
            if key.startswith("synthpriv") and getattr(module, name, None) is original
        ]
    for place in owners:
        setattr(place, name, replacement)


def equal(original: Callable[..., Any]) -> Callable[..., Any]:
    """A function that does what `original` does."""

    @functools.wraps(original)
    def same(*arguments: Any, **named: Any) -> Any:
        return original(*arguments, **named)

    return same
