"""Ledger: what was promised for one table and what was spent, charged before it runs.

A ledger holds releases; a release is opened with an allowance (epsilon, delta) and holds charges, each with
its events. Two rules make the total valid although later choices depend on earlier outputs:

1. Within a release, the JOINT privacy loss of all its events stays within its allowance. Its noise scales,
   rates and steps are fixed by public facts and by the outputs of EARLIER releases; its queries may adapt.
   That is adaptive composition of mechanisms dominated by fixed ones (Zhu, Dong and Wang, Optimal Accounting
   of Differential Privacy via Characteristic Function, 2022). Parameters may also follow
   a Laplace count of the same release, whose epsilon is added plainly.
2. Across releases, each one's first charge reserves its whole allowance, and allowances add up to at most the
   budget, in epsilon and in delta. Basic composition is a valid filter however allowances are chosen (Rogers,
   Roth, Ullman and Vadhan, Privacy Odometers and Filters, 2016) and however releases interleave, since no
   refusal in one release depends on another.

So one release that takes the whole budget pays nothing for rule 2. The argument in full: docs/accounting.md.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from synthpriv.errors import BudgetExceeded, LedgerError
from synthpriv.privacy.chain import Chain, Transaction
from synthpriv.privacy.events import Event
from synthpriv.privacy.randomness import is_private
from synthpriv.privacy.statement import Budget, Charge, Statement, joint_epsilon

__all__ = ["Budget", "Charge", "Ledger", "Release"]

_MAIN = "main"  # the release of charges that name none: it reserves all that is left
_ATTEMPT = "attempt"  # the kind of record that counts as an attempt at the gate


class Ledger:
    """The one account of a table's privacy: durable, append-only, shared by all its releases; public.

    Safe under threads, processes, Ctrl-C and kill: a charge is on disk before what it pays for runs.
    """

    def __init__(self, chain: Chain, key: bytes | None = None) -> None:
        """Use `open` or `in_memory`."""
        self._chain = chain
        self._memory_key = key

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, dataset: str | None = None, budget: Budget | None = None
    ) -> Ledger:
        """Open the ledger at `path`, or create it with `budget`.

        Raises LedgerError if it belongs to another dataset, was opened with another budget (None accepts
        what it has, of either), is damaged, or is new and one of them is not given.
        """
        path = Path(path)
        if not path.exists() and (budget is None or dataset is None):
            raise LedgerError(f"a new ledger needs a dataset name and a budget, found no {path}. Pass both.")
        if not path.parent.is_dir():
            raise LedgerError(f"the ledger's folder must exist, found no {path.parent}. Create it first.")
        ledger = cls(Chain(path))
        with ledger._chain.transaction() as transaction:
            if not transaction.entries:
                if budget is None or dataset is None:
                    raise LedgerError(f"{path} must be a ledger, found it empty. Pass dataset and budget.")
                transaction.append(_header(dataset, budget))
            statement = Statement(transaction.entries)
        if dataset is not None and statement.dataset != dataset:
            raise LedgerError(
                f"{path} must be the ledger of {dataset!r}, found that of {statement.dataset!r}. "
                "Open this dataset's own ledger."
            )
        if budget is not None and budget != statement.budget:
            raise LedgerError(
                f"a budget is set once, found ({budget}) for {path}, which was opened with "
                f"({statement.budget}). Leave the budget out, or open another ledger."
            )
        return ledger

    @classmethod
    def in_memory(cls, budget: Budget, *, dataset: str = "in memory") -> Ledger:
        """A ledger that lives and dies with this process."""
        ledger = cls(Chain(None), secrets.token_bytes(32))
        with ledger._chain.transaction() as transaction:
            transaction.append(_header(dataset, budget))
        return ledger

    @property
    def budget(self) -> Budget:
        """What was promised when the ledger was created."""
        return self._statement().budget

    @property
    def dataset(self) -> str:
        """The name of the table that this ledger is of."""
        return self._statement().dataset

    @property
    def digest(self) -> str:
        """The digest of the newest entry: it stands for the whole history."""
        return self._statement().digest

    @property
    def charges(self) -> tuple[Charge, ...]:
        """Every charge, oldest first."""
        return tuple(self._statement().charges)

    @property
    def events(self) -> tuple[Event, ...]:
        """Every event of every charge, oldest first."""
        return tuple(event for charge in self.charges for event in charge.events)

    @property
    def records(self) -> tuple[dict[str, Any], ...]:
        """What was recorded without being a charge, oldest first."""
        return tuple(self._statement().records)

    @property
    def attempts(self) -> int:
        """How often a result was brought before the gate: the records of kind 'attempt'."""
        return sum(record["record"] == _ATTEMPT for record in self._statement().records)

    @property
    def is_private(self) -> bool:
        """False if anything was charged, or the ledger created, while a test replayed noise."""
        return self._statement().private

    def spent(self) -> float:
        """Epsilon spent so far, for add/remove: per release the joint loss at its delta; their sum."""
        return self._statement().spent()

    def spent_replace_one(self) -> float:
        """The same for replace-one."""
        return self._statement().spent("replace_one")

    def reserved(self) -> tuple[float, float]:
        """The (epsilon, delta) that releases have reserved so far: the claim that covers all of them."""
        return self._statement().reserved()

    def left(self) -> tuple[float, float]:
        """The (epsilon, delta) that no release has reserved yet."""
        return self._statement().left()

    def delta_share(self, epsilon: float) -> float:
        """The share of the delta left that `epsilon` is of the epsilon left: all of it for all of it."""
        return _share(self._statement(), epsilon)

    def require(self, label: str, epsilon: float, delta: float | None = None) -> None:
        """Raise BudgetExceeded if a release of that size cannot be opened now; reserves nothing."""
        self.open_release(label, epsilon=epsilon, delta=delta)

    def open_release(self, label: str, *, epsilon: float, delta: float | None = None) -> Release:
        """An allowance to charge to, reserved by its first charge. delta: None takes `delta_share(epsilon)`.

        Raises BudgetExceeded if it does not fit in what is left.
        """
        statement = self._statement()
        allowance = Budget(epsilon=epsilon, delta=_share(statement, epsilon) if delta is None else delta)
        _require_room(statement, label, allowance)
        return Release(ledger=self, identity=secrets.token_hex(8), label=label, budget=allowance)

    def charge(self, label: str, events: Event | Iterable[Event], release: Release | None = None) -> Charge:
        """Charge `events` before they run, all or none. release: None is one that takes all that is left.

        Raises BudgetExceeded if they do not fit, and then nothing was charged.
        """
        added = _as_tuple(label, events)
        # Losses are computed here first and remembered, so that others wait for the lock only briefly.
        self.check(label, added, release)
        with self._chain.transaction() as transaction:
            statement = Statement(transaction.entries)
            chosen = self._main(statement) if release is None else release
            _require_fit(statement, label, added, chosen)
            if chosen.identity not in statement.allowances:
                _append_release(transaction, chosen)
            transaction.append(
                {
                    "kind": "charge",
                    "label": label,
                    "events": [event.to_dict() for event in added],
                    "release": chosen.identity,
                    "at": _now(),
                    "private": is_private(),
                }
            )
            charge = Statement(transaction.entries).charges[-1]
        return charge

    def check(self, label: str, events: Event | Iterable[Event], release: Release | None = None) -> None:
        """Raise BudgetExceeded as `charge` would, without charging."""
        statement = self._statement()
        chosen = self._main(statement) if release is None else release
        _require_fit(statement, label, _as_tuple(label, events), chosen)

    def would_fit(self, events: Event | Iterable[Event], release: Release | None = None) -> bool:
        """Whether `charge` would accept them now."""
        try:
            self.check("events", events, release)
        except BudgetExceeded:
            return False
        return True

    def record(self, record: str, **facts: Any) -> None:
        """Write down what is no charge: a disclosure, an attempt or verdict of the gate, an accepted draft.

        facts: plain JSON values, public facts only. Raises LedgerError for other values.
        """
        with self._chain.transaction() as transaction:
            transaction.append(
                {"kind": "record", "record": record, "facts": facts, "at": _now(), "private": is_private()}
            )

    def bind(self, chunks: Iterable[bytes]) -> None:
        """Tie the ledger to one table by its bytes, in any chunking; refuse every other table from then on.

        Stored is a fingerprint under a random key that stays beside the ledger (`<path>.key`, readable by the
        owner) and never enters a bundle: without it, nobody can test a guess of the table against the ledger.
        Internal. Raises LedgerError for another table, or if the key is lost.
        """
        with self._chain.transaction() as transaction:
            stored = Statement(transaction.entries).fingerprint
            fingerprint = hmac.new(self._key(create=stored is None), digestmod=hashlib.sha256)
            for chunk in chunks:
                fingerprint.update(chunk)
            if stored is None:
                transaction.append({"kind": "lineage", "fingerprint": fingerprint.hexdigest(), "at": _now()})
            elif not hmac.compare_digest(stored, fingerprint.hexdigest()):
                raise LedgerError(
                    f"the ledger of {self.dataset!r} must stay with one table, found other rows under its "
                    "name. Open a new ledger, under a new name, for a changed table."
                )

    def verify(self) -> None:
        """Raise LedgerError naming the first entry that was altered, moved or removed."""
        self._statement()

    def describe(self) -> list[dict[str, Any]]:
        """The charges as rows for people: label, event, at, epsilon_after."""
        return self._statement().describe()

    def to_json(self) -> dict[str, Any]:
        """Everything as plain JSON values, for the bundle: each entry's content and digest. Public."""
        entries = self._chain.entries()
        return {
            "format": "synthpriv ledger 1",
            "entries": [
                {**entry.content, "sequence": entry.sequence, "digest": entry.digest} for entry in entries
            ],
        }

    def __repr__(self) -> str:
        """Public facts only."""
        statement = self._statement()
        return f"Ledger(dataset={statement.dataset!r}, budget=({statement.budget}))"

    def _statement(self) -> Statement:
        return Statement(self._chain.entries())

    def _main(self, statement: Statement) -> Release:
        """The release of charges that name none: all that was left at its first charge."""
        allowance = statement.allowances.get(_MAIN)
        if allowance is None:
            epsilon, delta = statement.left()
            if epsilon == 0.0:
                raise BudgetExceeded(
                    f"a charge needs some budget, found all of ({statement.budget}) reserved by releases. "
                    "Charge to an open release, or open a larger budget."
                )
            allowance = Budget(epsilon=epsilon, delta=delta)
        return Release(ledger=self, identity=_MAIN, label=_MAIN, budget=allowance)

    def _key(self, *, create: bool) -> bytes:
        """The secret key of the fingerprint, created with the first binding."""
        if self._chain.path is None:
            assert self._memory_key is not None
            return self._memory_key
        path = self._chain.path.with_name(self._chain.path.name + ".key")
        if create and not path.exists():
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(32))
                file.flush()
                os.fsync(file.fileno())
        try:
            key = path.read_bytes()
        except OSError as error:
            raise LedgerError(
                f"a bound ledger needs its key to recognise the table, found no {path}. Restore the file."
            ) from error
        if len(key) != 32:
            raise LedgerError(f"{path} must hold a key of 32 bytes, found {len(key)}. Restore the file.")
        return key


@dataclass(frozen=True, kw_only=True)
class Release:
    """An allowance in a ledger, to charge to; public. See the rules at the top of this file."""

    ledger: Ledger = field(repr=False, compare=False)
    identity: str
    label: str
    budget: Budget

    @property
    def events(self) -> tuple[Event, ...]:
        """The events charged to this release so far."""
        return self.ledger._statement().events_of(self.identity)

    def charge(self, label: str, events: Event | Iterable[Event]) -> Charge:
        """Charge `events` before they run. Raises BudgetExceeded if they do not fit, charging nothing."""
        return self.ledger.charge(label, events, self)

    def check(self, label: str, events: Event | Iterable[Event]) -> None:
        """Raise BudgetExceeded as `charge` would, without charging."""
        self.ledger.check(label, events, self)

    def spent(self) -> float:
        """The joint add/remove epsilon of this release's events at its delta."""
        return joint_epsilon(self.events, self.budget.delta, "add_remove")

    def spent_replace_one(self) -> float:
        """The same under replace-one."""
        return joint_epsilon(self.events, self.budget.delta, "replace_one")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _header(dataset: str, budget: Budget) -> dict[str, Any]:
    return {
        "kind": "header",
        "format": 1,
        "dataset": dataset,
        "budget": budget.to_dict(),
        "adjacency": "add_remove",
        "created": _now(),
        "private": is_private(),
    }


def _append_release(transaction: Transaction, release: Release) -> None:
    transaction.append(
        {
            "kind": "release",
            "identity": release.identity,
            "label": release.label,
            "budget": release.budget.to_dict(),
            "at": _now(),
        }
    )


def _as_tuple(label: str, events: Event | Iterable[Event]) -> tuple[Event, ...]:
    added = (events,) if isinstance(events, Event) else tuple(events)
    if not added or not all(isinstance(event, Event) for event in added):
        raise LedgerError(f"{label!r} must charge one or more events, found {added!r}. Pass what is to run.")
    return added


def _share(statement: Statement, epsilon: float) -> float:
    left_epsilon, left_delta = statement.left()
    if left_epsilon == float("inf") or epsilon >= left_epsilon:
        return left_delta
    return left_delta * epsilon / left_epsilon


def _require_room(statement: Statement, label: str, allowance: Budget) -> None:
    """Rule 2: allowances add up to at most the budget."""
    if not statement.has_room(allowance):
        epsilon, delta = statement.left()
        raise BudgetExceeded(
            f"{label!r} needs {allowance}, found epsilon {epsilon:.6g}, delta {delta:.6g} left of the budget "
            f"({statement.budget}). Lower what it needs, or open a larger budget."
        )


def _require_fit(statement: Statement, label: str, added: tuple[Event, ...], release: Release) -> None:
    """Rules 1 and 2 for one charge."""
    if release.identity not in statement.allowances:
        _require_room(statement, label, release.budget)
    before = statement.events_of(release.identity)
    after = joint_epsilon((*before, *added), release.budget.delta, "add_remove")
    if after > release.budget.epsilon:
        whole = release.budget == statement.budget
        name = "the budget" if whole else f"the allowance of release {release.label!r}"
        raise BudgetExceeded(
            f"{label!r} would raise epsilon from "
            f"{joint_epsilon(before, release.budget.delta, 'add_remove'):.6g} to {after:.6g}; "
            f"{name} is {release.budget.epsilon:.6g}. Lower epsilon or open a larger "
            f"{'budget' if whole else 'release'}."
        )
