"""The benchmark's judge: right on tables whose figures are known; an interrupted run resumes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.utility import run as benchmark
from benchmarks.utility.judge import BINS, Judge, independent
from benchmarks.utility.systems import PEERS, SYSTEMS
from benchmarks.utility.table import CONTROLS, markdown

FIGURES = ("tvd1", "tvd2", "tvd3", "auc_logistic", "auc_forest", "auc_boosting", "auc", "c2st")


def people(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age, city = rng.integers(18, 90, rows), rng.choice(["x", "y", "z"], rows, p=[0.5, 0.3, 0.2])
    rich = age / 20 + 2.0 * (city == "x") + rng.normal(size=rows) > 4
    pay = np.round(1000 * age * (1 + rich) * rng.uniform(0.8, 1.2, rows))
    return pd.DataFrame({"age": age, "city": city, "pay": pay, "rich": np.where(rich, "yes", "no")})


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(people(3000, 0), people(1500, 1), numeric=["age", "pay"], target="rich")


def test_a_table_is_at_no_distance_from_itself(judge: Judge) -> None:
    """Row order does not matter, and no model tells the table from itself."""
    shuffled = people(1500, 1).sample(frac=1, random_state=0)
    found = judge.figures(shuffled)
    assert tuple(found) == FIGURES
    assert found["tvd1"] == found["tvd2"] == found["tvd3"] == 0
    assert found["c2st"] < 0.55  # a row learnt as synthetic may be asked as real: below a half


def test_real_rows_beat_independent_columns(judge: Judge) -> None:
    """In every figure that looks at more than one column, by far; single columns are the same."""
    real = judge.figures(people(3000, 0))
    floor = judge.figures(independent(people(3000, 0), 0))
    assert real["tvd1"] == pytest.approx(floor["tvd1"])
    for name in ("tvd2", "tvd3"):
        assert real[name] < 0.6 * floor[name]
    for name in ("auc", "auc_logistic", "auc_forest", "auc_boosting"):
        assert real[name] > 0.9
        assert floor[name] == pytest.approx(0.5, abs=0.15)
    assert real["c2st"] == pytest.approx(0.5, abs=0.06)
    assert floor["c2st"] > 0.8


def test_distances_are_those_of_the_shares() -> None:
    """Worked by hand: halves against quarters, and values that no real row has, or none at all."""
    test = pd.DataFrame(
        {"a": ["x", "x", "y", "y"] * 10, "n": [0.0, 1.0, 2.0, 3.0] * 10, "b": ["u", "v"] * 20}
    )
    judge = Judge(test, test, numeric=["n"], target="b")
    skewed = test.assign(a=["x", "x", "x", "y"] * 10)
    assert judge.figures(skewed)["tvd1"] == pytest.approx(0.25 / 3)
    for stranger in (test.assign(a="z"), test.assign(n=np.nan)):
        assert judge.figures(stranger)["tvd1"] == pytest.approx(1 / 3)


def test_numbers_fall_in_bins_of_equally_many_test_rows() -> None:
    """Twenty, all of the same size where values do not repeat."""
    rng = np.random.default_rng(0)
    test = pd.DataFrame({"n": rng.permutation(1000) ** 2.0, "b": rng.choice(["u", "v"], 1000)})
    judge = Judge(test, test, numeric=["n"], target="b")
    assert np.bincount(judge.test_codes[:, 0]).tolist() == [1000 // BINS] * BINS


def test_one_class_teaches_nothing(judge: Judge) -> None:
    assert judge.figures(people(500, 3).assign(rich="no"))["auc"] == 0.5


class Stub:
    """Stands for a contest: answers at once, except for the experiment that is interrupted."""

    ran: list[tuple[Any, ...]] = []  # noqa: RUF012
    breaks_at: tuple[Any, ...] = ()

    def __init__(self, dataset: str, seed: int, folder: Path) -> None:
        self.seed = seed

    def control(self, name: str) -> dict[str, Any]:
        return self._figures(name, None)

    def run(self, cell: dict[str, Any], options: object) -> dict[str, Any]:
        found = self._figures(cell["system"], cell["epsilon"])
        return {"fit_seconds": 1.0, "fit_cpu_seconds": 1.0, "peak_memory_mib": 1, **found}

    def _figures(self, *name: Any) -> dict[str, Any]:
        if (*name, self.seed) == Stub.breaks_at:
            raise KeyboardInterrupt
        Stub.ran.append((*name, self.seed))
        return {"figures": dict.fromkeys(FIGURES, 0.25)}


def test_an_interrupted_run_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is stored is not run again, and the file is whole after an interruption."""
    monkeypatch.setattr(benchmark, "Contest", Stub)
    monkeypatch.setattr(Stub, "ran", [])
    monkeypatch.setattr(Stub, "breaks_at", ("dpmm-mst", 1.0, 1))
    path = tmp_path / "utility.json"
    words = "--datasets adult --systems dpmm-mst ctgan-tvae --epsilons 1 inf --seeds 0 1"
    options = benchmark.read_options(words.split())
    with pytest.raises(KeyboardInterrupt):
        benchmark.run(options, benchmark.Results(path))
    before = list(Stub.ran)
    assert len(benchmark.Results(path).cells) == len(before) == 6
    monkeypatch.setattr(Stub, "breaks_at", ())
    benchmark.run(options, benchmark.Results(path))
    assert Stub.ran[len(before) :] == [("dpmm-mst", 1.0, 1), ("ctgan-tvae", "inf", 1)]
    assert len(set(Stub.ran)) == len(Stub.ran) == 8
    shown = markdown(benchmark.Results(path).cells).splitlines()
    assert [line.split(" | ")[2] for line in shown[2:]] == [*CONTROLS, "dpmm-mst", "ctgan-tvae"]
    assert all(line.split(" | ")[3] == "2" for line in shown[2:])


def test_every_peer_has_its_script_and_pins() -> None:
    """Each environment is a list of exact versions and one script; our own need none."""
    environments = {system.environment for system in SYSTEMS.values()} - {""}
    for name in environments:
        assert (PEERS / f"run_{name}.py").exists()
        lines = (PEERS / f"{name}.txt").read_text().splitlines()
        assert all("==" in line for line in lines if line and not line.startswith("#"))
    assert not SYSTEMS["ctgan-ctgan"].runs(1.0)
    assert not SYSTEMS["dpmm-aim"].runs(math.inf)
    assert SYSTEMS["synthpriv-mixture"].runs(1.0)
