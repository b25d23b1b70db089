"""Two processes, started by torchrun, fit as one: the same law, one noise, one ledger, one refusal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import synthpriv as sp
from synthpriv.cli import main
from synthpriv.errors import ConfigurationError
from synthpriv.privacy.processes import team
from synthpriv.schema import Schema
from tests.conftest import ROOT
from tests.statistical.team_of_two import CELLS, NOISE, SAMPLED, exact_sums, sampled_sums, visits

Seen = tuple[list[dict[str, Any]], list[dict[str, Any]]]


def torchrun(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Two processes that run a module or a script, in `folder`."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("team")
    ran = torchrun(folder, "-m", "tests.statistical.team_of_two", str(folder))
    assert ran.returncode == 0, ran.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def seen(folder: Path) -> Seen:
    """Each process's words and numbers, by rank."""
    words = [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert [told["size"] for told in words] == [2, 2]
    return words, [dict(np.load(folder / f"{rank}.npz")) for rank in (0, 1)]


def rejects(draws: Any, scale: float) -> bool:
    """Whether a two-sided chi-square test at 1e-6 rejects that `scale` is the draws' standard deviation."""
    tail = stats.chi2.cdf((draws / scale).__pow__(2).sum(), draws.size)
    return bool(min(tail, 1 - tail) < 5e-7)


def test_noise_is_added_once(seen: Seen) -> None:
    noise = seen[1][0]["noise"].ravel()
    scale = NOISE.noise_multiplier * NOISE.max_grad_norm
    assert not rejects(noise, scale)
    for wrong in (2**0.5, 2**-0.5, 1.02, 0.98, 0.5, 2.0):
        assert rejects(noise, scale * wrong), wrong
    assert stats.kstest(noise / scale, "norm").pvalue > 1e-6


def test_clipped_sums_are_those_of_one_process(seen: Seen) -> None:
    alone, _ = exact_sums(0, 1)
    np.testing.assert_allclose(seen[1][0]["exact"], alone, rtol=2e-5, atol=2e-5)
    assert np.abs(alone).max() > 1


def test_weights_are_equal_to_the_bit_after_every_step(seen: Seen) -> None:
    first, second = (told["weights after"] for told in seen[0])
    assert first == second
    assert len(set(first)) == len(first) > 60
    assert seen[0][0]["weights"] == seen[0][1]["weights"]
    assert seen[0][0]["claim"] == seen[0][1]["claim"]


def test_the_law_of_a_step_is_that_of_one_process(seen: Seen) -> None:
    two, (one, _) = seen[1][0]["sampled"], sampled_sums(0, 1)
    cells = two[:, :CELLS]
    inside = cells > 0.25  # a row's part is 0.5, and noise a 25th of it
    assert abs(inside.mean() - SAMPLED.sample_rate) < 5 * (0.3 * 0.7 / inside.size) ** 0.5
    assert stats.ks_2samp(cells.ravel(), one[:, :CELLS].ravel()).pvalue > 1e-6
    assert stats.ks_2samp(two[:, CELLS], one[:, CELLS]).pvalue > 1e-6
    totals = two[:, CELLS] / 0.5 - CELLS * SAMPLED.sample_rate
    assert not rejects(totals, (CELLS * SAMPLED.sample_rate * (1 - SAMPLED.sample_rate)) ** 0.5)
    # even rows are the lead's, odd ones the other's: they are drawn independently
    together = np.corrcoef(inside[:, 0::2].ravel(), inside[:, 1::2].ravel())[0, 1]
    assert abs(together) < 5 / (inside.size / 2) ** 0.5


def test_streams_differ_between_processes(seen: Seen) -> None:
    assert not np.isin(seen[1][0]["own"], seen[1][1]["own"]).any()
    for mine, other in zip(seen[0][0]["draws"], seen[0][1]["draws"], strict=True):
        assert mine != other


def test_counts_are_those_of_the_whole_table_and_units_are_whole(seen: Seen) -> None:
    of_unit = visits().groupby("person").size().clip(upper=3)
    for told in seen[0]:
        assert told["rows"] == of_unit.sum()
        assert all(sum(counts) == of_unit.sum() for counts in told["counted"].values())
        assert told["lone"] == [1, 1, 1]  # one process has no row of it
    assert seen[0][0]["counted"] == seen[0][1]["counted"]
    first, second = (told["own"] for told in seen[0])
    assert len(first) + len(second) == of_unit.sum()
    assert not set(first) & set(second)
    assert len(set(first)) + len(set(second)) == len(of_unit)
    assert 0.3 < len(first) / of_unit.sum() < 0.7


def test_the_ledger_holds_each_charge_once(folder: Path) -> None:
    ledger = sp.Ledger.open(folder / "visits.sqlite")
    labels = [charge.label for charge in ledger.charges]
    assert labels[0] == "row count"
    assert labels[-2:] == ["training the label's head", "weighing the label's head"]
    assert len(set(labels)) == len(labels)
    assert ledger.reserved() == (3.0, pytest.approx(1e-5))
    assert [record["record"] for record in ledger.records] == ["disclosure"]
    assert sp.load(folder / "visits.synth").sample(20).shape == (20, 4)


@pytest.mark.parametrize(
    ("work", "kind", "words"),
    [
        ("too much", "BudgetExceeded", "'vae' needs epsilon 7"),
        ("foreign", "ConfigurationError", "same table"),
        ("lacking", "TableError", "found none named 'age'"),
        ("other", "ConfigurationError", "same configuration"),
    ],
)
def test_what_stops_one_process_is_raised_in_all(seen: Seen, work: str, kind: str, words: str) -> None:
    for told in seen[0]:
        assert told[work][0] == kind
        assert words in told[work][1]


def test_rows_are_disclosed_in_the_lead_alone(seen: Seen) -> None:
    assert [told["disclosed"][0] for told in seen[0]] == ["nothing", "ConfigurationError"]


def test_the_command_line_fits_with_two_processes(
    tmp_path: Path, people: pd.DataFrame, people_schema: Schema
) -> None:
    people[:500].to_csv(tmp_path / "people.csv", index=False)
    people_schema.write(tmp_path / "people.toml")
    arguments = ("-m", "synthpriv", "release", "people.csv", "--schema", "people.toml")
    budget = ("--epsilon", "5", "--delta", "1e-6", "--synthesizer", "independent", "--device", "cpu")
    ran = torchrun(tmp_path, *arguments, *budget, "--out", "shared")
    assert (ran.returncode, ran.stdout.count("APPROVED")) == (0, 1), ran.stderr[-3000:]
    sp.verify_bundle(tmp_path / "shared")
    ledger = sp.Ledger.open(tmp_path / "people.ledger.sqlite")
    assert len({charge.label for charge in ledger.charges}) == len(ledger.charges)


@pytest.mark.parametrize(("rank", "said"), [("0", 1), ("1", 0)])
def test_the_lead_alone_says_what_stopped_all(
    rank: str, said: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr(sys, "argv", ["synthpriv", "fit", "people.csv", "--epsilon", "1", "--out", "x"])
    with pytest.raises(SystemExit) as exit:
        main()
    assert exit.value.code == 1
    assert capsys.readouterr().err.count("a schema must be given") == said


def test_processes_that_torchrun_did_not_start_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match="WORLD_SIZE without RANK, MASTER_ADDR, MASTER_PORT"):
        team()
