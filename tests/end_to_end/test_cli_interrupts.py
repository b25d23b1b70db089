"""A release that is stopped in mid-training: the ledger stays true, and nothing is half-written."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Command, names

COMMAND = (sys.executable, "-c", "from synthpriv.cli import main; main()")
FIT = (
    *("--schema", "people.toml", "--synthesizer", "ctgan"),
    *("--epsilon", "8", "--delta", "1e-6", "--out", "shared"),
)


def training_is_charged(ledger: Path) -> bool:
    if not ledger.exists():
        return False
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        try:
            return bool(
                connection.execute("SELECT 1 FROM entries WHERE content LIKE '%training%'").fetchall()
            )
        except sqlite3.OperationalError:
            return False


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_stopped_release_has_spent_what_was_charged(
    folder: Path, synthpriv: Command, sent: signal.Signals, code: int
) -> None:
    release = [*COMMAND, "release", "people.csv", *FIT]
    process = subprocess.Popen(release, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while not training_is_charged(folder / "people.ledger.sqlite"):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(sent)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "")
    if sent == signal.SIGINT:
        assert err.count("\n") == 1
        assert "Interrupted" in err
    ledger = "people.ledger.sqlite"
    assert synthpriv("ledger", "verify", ledger).code == 0
    assert "sampled gaussian" in synthpriv("ledger", "show", ledger).out
    assert names(folder) == {"people.csv", "people.toml", ledger, f"{ledger}.key"}
    synthpriv("release", "people.csv", *FIT).failed("BudgetExceeded")
