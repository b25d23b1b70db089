"""Any sequence of charges: never over the budget, monotone, the same after reopening, tamper-evident."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthpriv.errors import BudgetExceeded, LedgerError
from synthpriv.privacy.events import Counts, Event, Gaussian, Laplace, event_from_dict
from synthpriv.privacy.ledger import Budget, Ledger

EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(Laplace, epsilon=st.floats(0.01, 2.0)),
    st.builds(Counts, noise_scale=st.sampled_from([8.0, 30.0]), coordinates=st.integers(1, 3)),
    st.builds(Gaussian, noise_multiplier=st.sampled_from([6.0, 20.0]), count=st.integers(1, 2)),
)
CHARGES = st.lists(st.tuples(st.integers(0, 2), st.lists(EVENTS, min_size=1, max_size=2)), max_size=6)
SETTINGS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SETTINGS
@given(charges=CHARGES, budget=st.floats(0.2, 3.0))
def test_any_sequence_keeps_the_promise(charges: list[tuple[int, list[Event]]], budget: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger"
        ledger = Ledger.open(path, dataset="any", budget=Budget(epsilon=budget, delta=1e-6))
        releases = [ledger.open_release(str(k), epsilon=budget * share) for k, share in enumerate((0.5, 0.3))]
        spent = 0.0
        for which, events in charges:
            release = None if which == 2 else releases[which]
            fits = ledger.would_fit(events, release)
            try:
                ledger.charge("charge", events, release)
            except BudgetExceeded:
                assert not fits
                assert ledger.spent() == spent
            else:
                assert fits
                assert ledger.spent() > spent
            spent = ledger.spent()
            assert spent <= budget * (1 + 1e-9)
            assert min(ledger.left()) >= 0.0
        again = Ledger.open(path, dataset="any")
        assert again.spent() == spent
        assert again.charges == ledger.charges
        assert again.digest == ledger.digest


@SETTINGS
@given(event=EVENTS)
def test_events_survive_json(event: Event) -> None:
    assert event_from_dict(event.to_dict()) == event


@SETTINGS
@given(data=st.data())
def test_any_changed_byte_is_caught(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger"
        ledger = Ledger.open(path, dataset="any", budget=Budget(epsilon=1.0, delta=1e-6))
        for label in ("one", "two"):
            ledger.charge(label, Laplace(epsilon=0.25))
        ledger.record("verdict", approved=True)
        connection = sqlite3.connect(path)
        connection.execute("DROP TRIGGER entries_are_final")
        rows = connection.execute("SELECT content, digest FROM entries ORDER BY sequence").fetchall()
        sequence = data.draw(st.integers(0, len(rows) - 1))
        column = data.draw(st.sampled_from([0, 1]))
        original = rows[sequence][column].encode()
        position = data.draw(st.integers(0, len(original) - 1))
        flipped = original[position] ^ data.draw(st.integers(1, 255))
        changed = original[:position] + bytes([flipped]) + original[position + 1 :]
        name = ("content", "digest")[column]
        connection.execute(
            f"UPDATE entries SET {name} = CAST(? AS TEXT) WHERE sequence = ?", (changed, sequence)
        )
        connection.commit()
        connection.close()
        with pytest.raises(LedgerError, match=f"entry {sequence} altered"):
            ledger.verify()
