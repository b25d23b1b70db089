"""The ledger: charges first, refuses what does not fit, survives crashes and races, notices tampering."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from synthpriv.errors import BudgetExceeded, LedgerError
from synthpriv.privacy.accounting import epsilon
from synthpriv.privacy.events import Counts, Event, Laplace, NonPrivate, SampledGaussian
from synthpriv.privacy.ledger import Budget, Ledger
from synthpriv.privacy.randomness import replay

BUDGET = Budget(epsilon=4.0, delta=1e-6)
HISTOGRAMS = Counts(noise_scale=10.0, coordinates=4)


def third() -> Event:
    return Laplace(epsilon=0.3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def tamper(path: Path, statement: str, *values: object) -> None:
    """Change a ledger as somebody with a database tool would."""
    connection = sqlite3.connect(path)
    for trigger in ("entries_are_final", "entries_remain"):
        connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
    connection.execute(statement, values)
    connection.commit()
    connection.close()


def test_a_charge_is_stored_and_read_back(path: Path) -> None:
    ledger = Ledger.open(path, dataset="adult", budget=BUDGET)
    charge = ledger.charge("histograms", HISTOGRAMS)
    again = Ledger.open(path, dataset="adult")
    assert again.charges == (charge,)
    assert again.events == (HISTOGRAMS,)
    assert again.digest == charge.digest == ledger.digest
    assert again.budget == BUDGET
    assert again.dataset == "adult"
    assert again.spent() == ledger.spent() == epsilon([HISTOGRAMS], 1e-6)
    assert again.spent_replace_one() > again.spent()
    assert again.is_private


def test_one_release_pays_only_its_joint_loss() -> None:
    events = [HISTOGRAMS, SampledGaussian(noise_multiplier=1.5, sample_rate=0.02, steps=300)]
    joint = epsilon(events, 1e-6)
    exact = Ledger.in_memory(Budget(epsilon=joint, delta=1e-6))
    for event in events:
        exact.charge("part", event)
    assert exact.spent() == joint
    short = Ledger.in_memory(Budget(epsilon=joint * (1 - 1e-9), delta=1e-6))
    assert not short.would_fit(events)
    with pytest.raises(BudgetExceeded):
        short.charge("all", events)


def test_what_does_not_fit_is_refused_with_figures_and_not_charged() -> None:
    ledger = Ledger.in_memory(Budget(epsilon=4.0, delta=1e-6))
    ledger.charge("rows", Laplace(epsilon=3.9))
    with pytest.raises(BudgetExceeded) as refusal:
        ledger.charge("histograms", Laplace(epsilon=0.5))
    assert str(refusal.value) == (
        "'histograms' would raise epsilon from 3.9 to 4.4; the budget is 4. "
        "Lower epsilon or open a larger budget."
    )
    with pytest.raises(BudgetExceeded):
        ledger.check("reading", NonPrivate())
    assert len(ledger.charges) == 1
    assert ledger.would_fit(Laplace(epsilon=0.1))


def test_second_release_fits_beside_the_first() -> None:
    ledger = Ledger.in_memory(BUDGET)
    first = ledger.open_release("first", epsilon=3.0)
    assert first.budget.delta == pytest.approx(0.75e-6)
    first.charge("histograms", HISTOGRAMS)
    second = ledger.open_release("second", epsilon=1.0)
    second.charge("histograms", Counts(noise_scale=12.0))
    assert ledger.left() == (0.0, 0.0)
    assert first.events == (HISTOGRAMS,)
    assert ledger.spent() == pytest.approx(first.spent() + second.spent())
    assert ledger.spent_replace_one() == pytest.approx(first.spent_replace_one() + second.spent_replace_one())
    with pytest.raises(BudgetExceeded, match="'third' needs epsilon"):
        ledger.open_release("third", epsilon=0.1, delta=0.0)


def test_a_release_keeps_to_its_allowance_whatever_the_ledger_has_left() -> None:
    ledger = Ledger.in_memory(BUDGET)
    release = ledger.open_release("small", epsilon=0.5, delta=1e-7)
    with pytest.raises(BudgetExceeded, match=r"allowance of release 'small' is 0\.5"):
        release.charge("rows", Laplace(epsilon=0.6))
    release.check("rows", Laplace(epsilon=0.5))


def test_an_allowance_is_reserved_by_the_first_charge_and_not_before() -> None:
    ledger = Ledger.in_memory(BUDGET)
    release = ledger.open_release("first", epsilon=3.0)
    ledger.require("other", 4.0)
    release.charge("rows", Laplace(epsilon=0.1))
    with pytest.raises(BudgetExceeded, match=r"epsilon 1, delta .* left"):
        ledger.require("other", 4.0)
    assert ledger.left()[0] == pytest.approx(1.0)


def test_two_open_releases_cannot_both_take_the_last() -> None:
    ledger = Ledger.in_memory(BUDGET)
    first, second = (ledger.open_release(name, epsilon=3.0) for name in ("first", "second"))
    first.charge("rows", Laplace(epsilon=0.1))
    with pytest.raises(BudgetExceeded, match="'rows' needs epsilon 3"):
        second.charge("rows", Laplace(epsilon=0.1))


def test_unnamed_charges_take_what_releases_left() -> None:
    ledger = Ledger.in_memory(BUDGET)
    ledger.open_release("first", epsilon=3.0).charge("rows", Laplace(epsilon=3.0))
    ledger.charge("more", Laplace(epsilon=0.9))
    assert not ledger.would_fit(Laplace(epsilon=0.2))
    other = Ledger.in_memory(BUDGET)
    other.open_release("all", epsilon=4.0).charge("rows", Laplace(epsilon=0.1))
    with pytest.raises(BudgetExceeded, match="reserved by releases"):
        other.charge("more", Laplace(epsilon=0.1))


def test_without_noise_only_an_infinite_budget_holds() -> None:
    ledger = Ledger.in_memory(Budget(epsilon=math.inf, delta=0.0))
    for label in ("one", "two"):
        ledger.open_release(label, epsilon=math.inf).charge("reading", NonPrivate())
    assert ledger.spent() == math.inf
    assert ledger.to_json()["entries"][0]["budget"] == {"epsilon": None, "delta": 0.0}


def test_opening_asks_for_the_same_facts(path: Path) -> None:
    for known in ({"dataset": "adult"}, {"budget": BUDGET}):
        with pytest.raises(LedgerError, match="needs a dataset name and a budget"):
            Ledger.open(path, **known)  # type: ignore[arg-type]
    assert not path.exists()
    Ledger.open(path, dataset="adult", budget=BUDGET)
    Ledger.open(path, dataset="adult", budget=BUDGET)
    assert Ledger.open(path).dataset == "adult"
    with pytest.raises(LedgerError, match=r"epsilon 5.*opened with \(epsilon 4"):
        Ledger.open(path, dataset="adult", budget=Budget(epsilon=5.0, delta=1e-6))
    with pytest.raises(LedgerError, match="'census', found that of 'adult'"):
        Ledger.open(path, dataset="census")
    with pytest.raises(LedgerError, match="folder"):
        Ledger.open(path.parent / "no" / "ledger.sqlite", dataset="adult", budget=BUDGET)


def test_other_files_are_refused_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "table.csv"
    text.write_text("age,sex\n" * 200)
    database = tmp_path / "other.sqlite"
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE people (name TEXT)")
    connection.commit()
    connection.close()
    empty = tmp_path / "empty.sqlite"
    empty.touch()
    for file in (text, database):
        before = file.read_bytes()
        with pytest.raises(LedgerError):
            Ledger.open(file, dataset="adult", budget=BUDGET)
        assert file.read_bytes() == before
    with pytest.raises(LedgerError, match="empty"):
        Ledger.open(empty, dataset="adult")


@pytest.mark.parametrize(
    ("epsilon", "delta"), [(0.0, 1e-6), (-1.0, 1e-6), (math.nan, 1e-6), (1.0, 1.0), (1.0, -1e-9)]
)
def test_bad_budgets_raise(epsilon: float, delta: float) -> None:
    with pytest.raises(LedgerError, match="budget's"):
        Budget(epsilon=epsilon, delta=delta)


def test_charges_must_be_events() -> None:
    ledger = Ledger.in_memory(BUDGET)
    for wrong in ([], ["counts"]):
        with pytest.raises(LedgerError, match="one or more events"):
            ledger.charge("nothing", wrong)  # type: ignore[arg-type]


def test_records_are_no_charges() -> None:
    ledger = Ledger.in_memory(BUDGET)
    ledger.record("attempt")
    ledger.record("verdict", approved=False, reasons=["distance"])
    ledger.record("attempt")
    assert ledger.attempts == 2
    assert ledger.charges == ()
    assert ledger.spent() == 0.0
    assert ledger.to_json()["entries"][2]["facts"] == {"approved": False, "reasons": ["distance"]}
    for wrong in (math.nan, b"bytes", {1, 2}):
        with pytest.raises(LedgerError, match="JSON"):
            ledger.record("verdict", figure=wrong)


def test_replayed_noise_marks_the_ledger() -> None:
    from tests.unit.test_randomness import Silence

    ledger = Ledger.in_memory(BUDGET)
    ledger.charge("rows", third())
    assert ledger.is_private
    with replay(Silence()):
        ledger.charge("rows", third())
        assert not Ledger.in_memory(BUDGET).is_private
    assert not ledger.is_private


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_a_ledger_stays_with_its_table(kind: str, path: Path) -> None:
    ledger = (
        Ledger.in_memory(BUDGET) if kind == "memory" else Ledger.open(path, dataset="adult", budget=BUDGET)
    )
    ledger.bind([b"one", b"two"])
    ledger.bind([b"onetwo"])
    with pytest.raises(LedgerError, match="one table"):
        ledger.bind([b"one", b"three"])


def test_the_fingerprint_tells_nothing_without_its_key(path: Path) -> None:
    fingerprints = []
    for name in ("a", "b"):
        file = path.with_name(name)
        ledger = Ledger.open(file, dataset="adult", budget=BUDGET)
        ledger.bind([b"the same table"])
        fingerprints.append(ledger.to_json()["entries"][1]["fingerprint"])
        key = file.with_name(name + ".key")
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert key.read_bytes().hex() not in json.dumps(ledger.to_json())
    assert fingerprints[0] != fingerprints[1]
    key.write_bytes(b"short")
    with pytest.raises(LedgerError, match="32 bytes"):
        ledger.bind([b"the same table"])
    key.unlink()
    with pytest.raises(LedgerError, match="Restore"):
        ledger.bind([b"the same table"])


def test_describe_and_export() -> None:
    ledger = Ledger.in_memory(BUDGET)
    ledger.charge("rows", third())
    ledger.charge("histograms", [HISTOGRAMS, Counts(noise_scale=30.0)])
    rows = ledger.describe()
    assert [(row["label"], row["event"]) for row in rows] == [
        ("rows", "laplace: epsilon 0.3"),
        ("histograms", "2 x counts"),
    ]
    assert rows[0]["epsilon_after"] == 0.3
    assert rows[1]["epsilon_after"] == ledger.spent()
    exported = json.loads(json.dumps(ledger.to_json(), allow_nan=False))
    assert [entry["kind"] for entry in exported["entries"]] == ["header", "release", "charge", "charge"]
    assert exported["entries"][-1]["digest"] == ledger.digest
    assert "adult" not in repr(ledger)


def test_the_database_itself_refuses_changes(path: Path) -> None:
    Ledger.open(path, dataset="adult", budget=BUDGET)
    connection = sqlite3.connect(path)
    for statement in ("UPDATE entries SET content = '{}'", "DELETE FROM entries"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("UPDATE entries SET content = replace(content, '0.3', '0.1') WHERE sequence = 2", 2),
        ("UPDATE entries SET digest = upper(digest) WHERE sequence = 1", 1),
        ("UPDATE entries SET content = x'80ff' WHERE sequence = 3", 3),
        ("UPDATE entries SET content = CAST(x'80ff' AS TEXT) WHERE sequence = 3", 3),
        ("DELETE FROM entries WHERE sequence = 2", 2),
        ("UPDATE entries SET sequence = 9 WHERE sequence = 3", 3),
        ("INSERT INTO entries SELECT 4, content, digest FROM entries WHERE sequence = 3", 4),
    ],
)
def test_tampering_is_noticed_and_named(path: Path, statement: str, broken: int) -> None:
    ledger = Ledger.open(path, dataset="adult", budget=BUDGET)
    ledger.charge("rows", third())
    ledger.charge("rows", third())
    ledger.verify()
    tamper(path, statement)
    for action in (ledger.verify, ledger.spent, lambda: ledger.charge("more", third())):
        with pytest.raises(LedgerError, match=f"entry {broken} altered"):
            action()


def race(path: str, barrier: multiprocessing.synchronize.Barrier, spent: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    """Charge until nothing fits; creating the ledger is part of the race."""
    barrier.wait()
    ledger = Ledger.open(path, dataset="adult", budget=Budget(epsilon=2.0, delta=1e-6))
    charged = 0
    try:
        while charged < 20:
            ledger.charge(f"process {os.getpid()}", third())
            charged += 1
    except BudgetExceeded:
        spent.put(charged)


def test_eight_processes_race_for_the_last_of_a_budget(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, spent = context.Barrier(8), context.Queue()
    processes = [context.Process(target=race, args=(str(path), barrier, spent)) for _ in range(8)]
    for process in processes:
        process.start()
    charged = [spent.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    ledger = Ledger.open(path, dataset="adult")
    ledger.verify()
    assert sum(charged) == len(ledger.charges) == 6
    assert ledger.spent() == pytest.approx(1.8)


KILLED = """
import os, signal, sys
from synthpriv.privacy.events import Laplace
from synthpriv.privacy.ledger import Budget, Ledger
ledger = Ledger.open(sys.argv[1], dataset="adult", budget=Budget(epsilon=1.0, delta=1e-6))
ledger.charge("before", Laplace(epsilon=0.3))
{then}
"""


@pytest.mark.parametrize(
    ("then", "sent"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", signal.SIGKILL),
        (
            "with ledger._chain.transaction() as t:\n"
            "    t.append({'kind': 'record'})\n"
            "    os.kill(os.getpid(), signal.SIGKILL)",
            signal.SIGKILL,
        ),
    ],
)
def test_killed_in_the_middle_what_was_charged_stays_charged(
    path: Path, then: str, sent: signal.Signals
) -> None:
    finished = subprocess.run([sys.executable, "-c", KILLED.format(then=then), str(path)], check=False)
    assert finished.returncode == -sent
    ledger = Ledger.open(path, dataset="adult")
    ledger.verify()
    assert [charge.label for charge in ledger.charges] == ["before"]
    assert ledger.digest == ledger.charges[-1].digest
    ledger.charge("after", third())
    assert ledger.spent() == pytest.approx(0.6)


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_an_interrupt_inside_a_transaction_leaves_nothing(kind: str, path: Path) -> None:
    ledger = (
        Ledger.in_memory(BUDGET) if kind == "memory" else Ledger.open(path, dataset="adult", budget=BUDGET)
    )

    def interrupted() -> None:
        with ledger._chain.transaction() as transaction:
            transaction.append({"kind": "record"})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    ledger.charge("rows", third())
    assert [entry["kind"] for entry in ledger.to_json()["entries"]] == ["header", "release", "charge"]


def test_a_forked_child_cannot_charge_a_ledger_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger.in_memory(BUDGET)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(LedgerError, match="process"):
        ledger.charge("rows", third())
