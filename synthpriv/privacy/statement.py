"""What a ledger's entries say: the budget, the allowances of releases, the charges, the records."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from synthpriv.errors import LedgerError
from synthpriv.privacy import accounting
from synthpriv.privacy.chain import Entry
from synthpriv.privacy.events import Event, event_from_dict

_ROUNDING = 1e-9  # the share of a budget by which sums of allowances may miss it in floating point


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What is promised for add/remove of one unit: epsilon above 0 (infinite: nothing), delta in [0, 1)."""

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not self.epsilon > 0:
            raise LedgerError(f"a budget's epsilon must be above 0, found {self.epsilon!r}. Raise it.")
        if not 0 <= self.delta < 1:
            raise LedgerError(f"a budget's delta must lie in [0, 1), found {self.delta!r}. Try 1e-6.")

    def __str__(self) -> str:
        """Both numbers in words."""
        return f"epsilon {self.epsilon:.6g}, delta {self.delta:.6g}"

    def to_dict(self) -> dict[str, float | None]:
        """Plain JSON values; an infinite epsilon is null."""
        return {"epsilon": self.epsilon if math.isfinite(self.epsilon) else None, "delta": self.delta}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Budget:
        """The budget that `to_dict` wrote."""
        epsilon = value["epsilon"]
        return cls(epsilon=math.inf if epsilon is None else epsilon, delta=value["delta"])


@dataclass(frozen=True, kw_only=True)
class Charge:
    """One charged access. release: its identity; at: UTC, ISO 8601; private: False under replayed noise."""

    label: str
    events: tuple[Event, ...]
    release: str
    at: str
    private: bool
    sequence: int
    digest: str


@functools.lru_cache(maxsize=512)
def joint_epsilon(events: tuple[Event, ...], delta: float, adjacency: accounting.Adjacency) -> float:
    """accounting.epsilon, remembered: a ledger asks for the same list again and again."""
    return accounting.epsilon(events, delta, adjacency=adjacency)


class Statement:
    """The entries of a chain, read from oldest to newest; changes nothing.

    Raises LedgerError if they are not a ledger's.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        if not entries or entries[0].content.get("kind") != "header":
            raise LedgerError("a ledger must begin with its header, found none. Restore it from a copy.")
        self.digest = entries[-1].digest
        self.allowances: dict[str, Budget] = {}
        self.charges: list[Charge] = []
        self.records: list[dict[str, Any]] = []
        self.fingerprint: str | None = None
        try:
            self._read_header(entries[0].content)
            for entry in entries[1:]:
                self._read(entry)
        except (KeyError, TypeError, AttributeError) as error:
            raise LedgerError(
                f"every entry must be one that synthpriv writes, found one that is not ({error!r}). "
                "Restore the ledger from a copy."
            ) from error

    def _read_header(self, header: dict[str, Any]) -> None:
        self.dataset: str = header["dataset"]
        self.budget = Budget.from_dict(header["budget"])
        self.private: bool = header["private"]

    def _read(self, entry: Entry) -> None:
        content = dict(entry.content)
        kind = content.pop("kind")
        if kind == "release":
            self.allowances[content["identity"]] = Budget.from_dict(content["budget"])
        elif kind == "charge":
            events = tuple(event_from_dict(event) for event in content.pop("events"))
            charge = Charge(**content, events=events, sequence=entry.sequence, digest=entry.digest)
            self.charges.append(charge)
            self.private = self.private and charge.private
        elif kind == "lineage":
            self.fingerprint = content["fingerprint"]
        else:
            self.records.append(content)

    def events_of(self, release: str) -> tuple[Event, ...]:
        """The events of one release, in the order they were charged."""
        return tuple(event for charge in self.charges if charge.release == release for event in charge.events)

    def reserved(self) -> tuple[float, float]:
        """The epsilon and the delta that releases have reserved so far; 0 and 0 if none has."""
        allowances = self.allowances.values()
        return math.fsum(a.epsilon for a in allowances), math.fsum(a.delta for a in allowances)

    def left(self) -> tuple[float, float]:
        """The epsilon and the delta that no release has reserved; both at least 0."""
        if math.isinf(self.budget.epsilon):
            return math.inf, self.budget.delta
        epsilon, delta = (
            whole - part
            for whole, part in zip((self.budget.epsilon, self.budget.delta), self.reserved(), strict=True)
        )
        # What rounding leaves over is nothing.
        return (
            epsilon if epsilon > self.budget.epsilon * _ROUNDING else 0.0,
            delta if delta > self.budget.delta * _ROUNDING else 0.0,
        )

    def has_room(self, allowance: Budget) -> bool:
        """Whether the allowance fits in what is left, but for rounding in the ninth digit."""
        if math.isinf(self.budget.epsilon):
            return True
        epsilon, delta = self.left()
        return (
            allowance.epsilon <= epsilon + self.budget.epsilon * _ROUNDING
            and allowance.delta <= delta + self.budget.delta * _ROUNDING
        )

    def spent(self, adjacency: accounting.Adjacency = "add_remove") -> float:
        """The sum over releases of the joint epsilon of each one's events at its own delta."""
        return math.fsum(
            joint_epsilon(self.events_of(release), allowance.delta, adjacency)
            for release, allowance in self.allowances.items()
        )

    def describe(self) -> list[dict[str, Any]]:
        """The charges as rows for people: number, what, mechanism, when, and epsilon spent after each."""
        rows: list[dict[str, Any]] = []
        seen: dict[str, tuple[Event, ...]] = {}
        for charge in self.charges:
            seen[charge.release] = (*seen.get(charge.release, ()), *charge.events)
            after = math.fsum(
                joint_epsilon(events, self.allowances[release].delta, "add_remove")
                for release, events in seen.items()
            )
            rows.append(
                {
                    "label": charge.label,
                    "event": _in_words(charge.events),
                    "at": charge.at,
                    "epsilon_after": after,
                }
            )
        return rows


def _in_words(events: Sequence[Event]) -> str:
    """One event in full, several by kind.

    >>> from synthpriv.privacy.events import Counts
    >>> _in_words([Counts(noise_scale=9.0), Counts(noise_scale=12.5)])
    '2 x counts'
    """
    if len(events) == 1:
        values = {name: value for name, value in events[0].to_dict().items() if name != "kind"}
        words = ", ".join(
            f"{name.replace('_', ' ')} {value:.6g}" for name, value in values.items() if value != 1
        )
        return f"{events[0].kind.replace('_', ' ')}: {words}" if words else events[0].kind.replace("_", " ")
    kinds = Counter(event.kind.replace("_", " ") for event in events)
    return ", ".join(f"{count} x {kind}" for kind, count in kinds.items())
