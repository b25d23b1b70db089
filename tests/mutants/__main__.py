"""Plant every breach, run the test that must notice it, print a table: `python -m tests.mutants [words]`.

A breach is killed if its test fails on an assertion. The control rebinds the same places to functions that do
the same: every one of those tests must pass. Exit status 0 only if all breaches are killed and the control
survives. Each runs in a fork of a process that has imported and computed what all of them need.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.mutants.planting import DPSGD, Breach

WORKERS = 2
LONGEST_S = 300.0  # a child that takes longer hangs
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CONTROL = "nothing"
NO_ANSWER = {"verdict": "no answer", "passed": 0}
QUIET = ("-q", "-o", "addopts=", "-p", "no:cacheprovider")
FAILED = (AssertionError, pytest.fail.Exception)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one planted breach: 'killed', 'survived', or how its run went wrong."""

    name: str
    requirement: int
    killer: str
    verdict: str
    passed: int
    seconds: float

    def __str__(self) -> str:
        """One line of the table."""
        killed = "yes" if self.verdict == "killed" else self.verdict
        return f"{self.name:46} {self.requirement:3} {killed:9} {self.seconds:5.1f} s  {self.killer}"


class Watch:
    """Notes how the tests of one run ended."""

    def __init__(self) -> None:
        self.passed, self.failed = 0, ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: Any, call: Any) -> Any:
        """Tell a failed assertion from a test that broke."""
        report = yield
        if call.excinfo is not None:
            on_assertion = call.when == "call" and call.excinfo.errisinstance(FAILED)
            self.failed = self.failed or ("killed" if on_assertion else f"broke: {call.excinfo.typename}")
        elif call.when == "call":
            self.passed += 1
        return report


def warm_up() -> None:
    """Import what all tests need, and compute the privacy losses that most of them ask for."""
    from tests.mutants import breaches  # noqa: F401
    from tests.statistical import test_replay
    from tests.statistical.neighbours import ROWS, SMALL, people_schema, people_table

    # once, so that children find loaded what pytest and torch load at first use
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main([DPSGD + "test_empty_batches_still_take_their_noisy_step", *QUIET])
    for config in SMALL:
        test_replay.first_run(config.name)
        config.fit(people_table(), people_schema(), rows=ROWS)


def run_one(breach: Breach, killers: list[str], answer: Path) -> None:
    """In the child: plant, forget what the tests had imported, run, write the verdict."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if file.startswith(f"{HERE.parent}{os.sep}") and not file.startswith(f"{HERE}{os.sep}"):
            del sys.modules[name]
    watch = Watch()
    breach.plant()
    with open(answer.with_suffix(".log"), "w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        pytest.main([*killers, "-x", *QUIET], plugins=[watch])
    verdict = watch.failed or ("survived" if watch.passed else "no test found")
    answer.write_text(json.dumps({"verdict": verdict, "passed": watch.passed}))


def start(breach: Breach, killers: list[str], answer: Path) -> int:
    """Fork a child for one breach and its tests; its process number."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            run_one(breach, killers, answer)
        os._exit(0)
    return child


def run_all(jobs: list[tuple[Breach, list[str]]], folder: Path) -> Iterator[Outcome]:
    """Every job in a child of its own, a few at a time, as they end."""
    waiting, running = list(enumerate(jobs)), {}
    while waiting or running:
        while waiting and len(running) < WORKERS:
            place, (breach, killers) = waiting.pop(0)
            answer = folder / f"{place}.json"
            running[start(breach, killers, answer)] = (breach, killers, answer, time.monotonic())
        for child, (breach, killers, answer, since) in list(running.items()):
            seconds = time.monotonic() - since
            if os.waitpid(child, os.WNOHANG)[0] != child:
                if seconds < LONGEST_S:
                    continue
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            del running[child]
            said = json.loads(answer.read_text()) if answer.exists() else NO_ANSWER
            test = killers[0].split("::")[1] if len(killers) == 1 else f"all {len(killers)} tests"
            yield Outcome(
                name=breach.name, requirement=breach.requirement, killer=test, seconds=seconds, **said
            )
        time.sleep(0.02)


def status(outcomes: list[Outcome]) -> int:
    """0 if every breach was killed and the control survived, else 1."""
    planted = [outcome.verdict for outcome in outcomes if outcome.name != CONTROL]
    control = [outcome.verdict for outcome in outcomes if outcome.name == CONTROL]
    return 0 if planted and set(planted) == {"killed"} and control == ["survived"] else 1


def main(words: list[str]) -> int:
    """Run the breaches whose name holds any of `words` (default: all) and the control; the exit status."""
    os.chdir(ROOT)
    began = time.monotonic()
    warm_up()
    from tests.mutants.breaches import BREACHES, NO_OP

    chosen = [breach for breach in BREACHES if not words or any(word in breach.name for word in words)]
    killers = sorted({breach.killer for breach in chosen})
    print(f"{'breach':46} req killed   seconds  test")
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        jobs = [(NO_OP, killers), *((breach, [breach.killer]) for breach in chosen)]
        for outcome in run_all(jobs, Path(folder)):
            print(outcome, flush=True)
            outcomes.append(outcome)
    killed = sum(outcome.verdict == "killed" for outcome in outcomes)
    print(f"{killed} of {len(chosen)} breaches killed in {time.monotonic() - began:.0f} s")
    return status(outcomes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
