"""Privacy events: frozen descriptions of what was run on private rows, which know nothing of accountants.

An event names a mechanism and its public parameters; `accounting` turns a list of them into (epsilon, delta)
and the ledger stores them as JSON. They compose by standing in one list.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from synthpriv.errors import AccountingError, nearest


def _require(condition: bool, event: str, requirement: str, found: object) -> None:
    """One sentence for every bad parameter of an event."""
    if not condition:
        raise AccountingError(f"{event}: {requirement}, found {found!r}. Correct the event's parameters.")


def _is_number(value: object) -> bool:
    """A real number, and not a boolean or NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _is_count(value: object) -> bool:
    """An integer of at least 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


@dataclass(frozen=True, kw_only=True)
class Event:
    """What every event shares: a kind, and JSON in and out (`to_dict`, `event_from_dict`)."""

    kind: ClassVar[str] = "event"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: the kind and the parameters. Post-processing."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class Counts(Event):
    """Integer counts, each released with independent discrete Gaussian noise of parameter `noise_scale`.

    coordinates: how many cells one added or removed row changes, each by 1: a histogram of each of m
    columns, or m marginals, has coordinates = m. max_rows: the rows one unit may own; it changes the cells of
    one histogram by at most max_rows in total. Groups of counts with different scales are several events.
    Source: Canonne, Kamath and Steinke, The Discrete Gaussian for Differential Privacy (2020).
    """

    kind: ClassVar[str] = "counts"
    noise_scale: float
    coordinates: int = 1
    max_rows: int = 1

    def __post_init__(self) -> None:
        """Check the ranges; above 1e5 the accountant's tables would take seconds to build."""
        name, scale = "Counts", self.noise_scale
        _require(_is_number(scale) and 0 < scale <= 1e5, name, "noise_scale must lie in (0, 1e5]", scale)
        _require(_is_count(self.coordinates), name, "coordinates must be an integer >= 1", self.coordinates)
        _require(_is_count(self.max_rows), name, "max_rows must be an integer >= 1", self.max_rows)


def histogram_events(noise_scales: Iterable[float], max_rows: int) -> list[Event]:
    """One histogram per noise scale as events, equal scales as one: long lists are slow to account.

    A scale of 0 is no noise at all.

    >>> histogram_events([5.0, 7.0, 5.0], max_rows=1)
    [Counts(noise_scale=5.0, coordinates=2, max_rows=1), Counts(noise_scale=7.0, coordinates=1, max_rows=1)]
    """
    return [
        Counts(noise_scale=scale, coordinates=count, max_rows=max_rows) if scale > 0 else NonPrivate()
        for scale, count in Counter(noise_scales).items()
    ]


@dataclass(frozen=True, kw_only=True)
class Laplace(Event):
    """One count with discrete Laplace noise of scale (rows a unit may own) / epsilon: epsilon-DP, no delta.

    A replaced unit changes the count by no more than an added or removed one: epsilon is the same for both.
    Source: Ghosh, Roughgarden and Sundararajan, Universally Utility-Maximizing Privacy Mechanisms (2009).
    """

    kind: ClassVar[str] = "laplace"
    epsilon: float

    def __post_init__(self) -> None:
        """Check the range."""
        value = self.epsilon
        _require(_is_number(value) and 0 < value < math.inf, "Laplace", "epsilon must be above 0", value)


@dataclass(frozen=True, kw_only=True)
class Gaussian(Event):
    """`count` sums of L2 sensitivity 1 over all rows, each with Gaussian noise of that standard deviation."""

    kind: ClassVar[str] = "gaussian"
    noise_multiplier: float
    count: int = 1

    def __post_init__(self) -> None:
        """Check the ranges."""
        sigma = self.noise_multiplier
        _require(
            _is_number(sigma) and 0 < sigma < math.inf, "Gaussian", "noise_multiplier must be above 0", sigma
        )
        _require(_is_count(self.count), "Gaussian", "count must be an integer >= 1", self.count)


@dataclass(frozen=True, kw_only=True)
class SampledGaussian(Event):
    """DP-SGD: `steps` noisy sums, each over a Poisson sample of the rows.

    noise_multiplier: standard deviation of the noise over the clipping norm of one unit. sample_rate: the
    probability, in (0, 1], with which each row enters a step, independently of all others. Under replace-one
    the replaced row moves the sum by up to twice the clipping norm.
    Source: Abadi et al., Deep Learning with Differential Privacy (2016).
    """

    kind: ClassVar[str] = "sampled_gaussian"
    noise_multiplier: float
    sample_rate: float
    steps: int

    def __post_init__(self) -> None:
        """Check the ranges."""
        name, sigma, rate = "SampledGaussian", self.noise_multiplier, self.sample_rate
        _require(_is_number(sigma) and 0 < sigma < math.inf, name, "noise_multiplier must be above 0", sigma)
        _require(_is_number(rate) and 0 < rate <= 1, name, "sample_rate must lie in (0, 1]", rate)
        _require(_is_count(self.steps), name, "steps must be an integer >= 1", self.steps)


@dataclass(frozen=True, kw_only=True)
class NonPrivate(Event):
    """Rows were read without any noise; epsilon is infinite from here on."""

    kind: ClassVar[str] = "non_private"


_KINDS: dict[str, type[Event]] = {
    event.kind: event for event in (Counts, Laplace, Gaussian, SampledGaussian, NonPrivate)
}


def event_from_dict(value: Mapping[str, Any]) -> Event:
    """The event that `to_dict` wrote; strict: unknown kinds and fields, missing fields and bad ranges raise.

    Raises AccountingError. Post-processing.

    >>> event_from_dict({"kind": "counts", "noise_scale": 10.0, "coordinates": 3, "max_rows": 1})
    Counts(noise_scale=10.0, coordinates=3, max_rows=1)
    """
    parameters = dict(value)
    kind = parameters.pop("kind", None)
    if not isinstance(kind, str) or kind not in _KINDS:
        hint = nearest(str(kind), _KINDS)
        raise AccountingError(f"an event must have a known kind, found {kind!r}. {hint}")
    expected = {field.name for field in fields(_KINDS[kind])}
    if parameters.keys() != expected:
        raise AccountingError(
            f"a {kind} event must have exactly the fields {sorted(expected)}, found {sorted(parameters)}. "
            "Write events with to_dict."
        )
    return _KINDS[kind](**parameters)
