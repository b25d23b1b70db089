"""Every planted breach is noticed, and where nothing is planted the suite passes (PRIVACY.md 34)."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.mutants.__main__ import CONTROL, ROOT, Outcome, status
from tests.mutants.breaches import BREACHES

MOST_S = 900  # of a machine with much else to do; two free cores take about two minutes


@pytest.mark.slow
def test_every_mutant_is_killed() -> None:
    """And the control, the same places rebound to functions that do the same, survives every killer."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    run = subprocess.run(
        [sys.executable, "-m", "tests.mutants"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=MOST_S,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{len(BREACHES)} of {len(BREACHES)} breaches killed" in run.stdout
    [control] = [line for line in run.stdout.splitlines() if line.startswith(CONTROL)]
    assert " survived " in control


def test_a_survivor_a_broken_test_or_a_killed_control_is_a_failure() -> None:
    killed = Outcome(name="x", requirement=1, killer="t", verdict="killed", passed=0, seconds=1.0)
    control = replace(killed, name=CONTROL, verdict="survived")
    assert status([killed, control]) == 0
    for verdict in ("survived", "broke: ImportError", "no test found", "no answer"):
        assert status([killed, replace(killed, verdict=verdict), control]) == 1
    assert status([killed, replace(control, verdict="killed")]) == 1
    assert status([killed]) == 1
    assert status([control]) == 1


def test_names_are_unique_and_every_breach_has_its_place() -> None:
    names = [breach.name for breach in BREACHES]
    assert len(set(names)) == len(names)
    assert all(1 <= breach.requirement <= 33 and "::" in breach.killer for breach in BREACHES)
