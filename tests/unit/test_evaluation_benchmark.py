"""The judge's benchmark: its tables are what they are said to be, and a wrong order is called wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.evaluation import run as benchmark
from benchmarks.evaluation.contenders import CONTENDERS, table_of
from benchmarks.evaluation.orders import ordered, orders, pairs_of
from benchmarks.evaluation.pages import fill, sections
from benchmarks.evaluation.tables import Rows, load


@pytest.fixture(scope="module")
def cancer() -> Rows:
    return load("cancer")


def rows_of(table: pd.DataFrame) -> set[tuple[Any, ...]]:
    return set(map(tuple, table.astype(str).to_numpy()))


def test_the_three_parts_share_no_row(cancer: Rows) -> None:
    parts = [cancer.train, cancer.holdout, cancer.fresh]
    assert [len(part) for part in parts] == [228, 113, 228]
    assert len(set.union(*map(rows_of, parts))) == 569


@pytest.mark.parametrize("name", [name for name in CONTENDERS if not name.startswith("dp")])
def test_contenders_are_what_they_are_said_to_be(name: str, cancer: Rows, tmp_path: Path) -> None:
    made = table_of(name, "cancer", cancer, tmp_path)
    assert list(made.columns) == list(cancer.train.columns)
    assert len(made) == len(cancer.train)
    copied = len(rows_of(made) & rows_of(cancer.train))
    assert copied == {"copied": 228, "subsample": 114}.get(name, 0)
    singles = all(
        np.array_equal(np.sort(made[column].to_numpy()), np.sort(cancer.fresh[column].to_numpy()))
        for column in made.columns
    )
    assert singles == (name in ("fresh", "independent", "shuffled target"))
    assert not list(tmp_path.iterdir()), "only what was fitted is kept"


def figure(value: float, direction: str = "lower", width: float = 0.01) -> dict[str, Any]:
    return {
        "value": value,
        "low": value - width,
        "high": value + width,
        "direction": direction,
        "controls": {},
    }


def test_an_order_is_clear_right_or_wrong() -> None:
    assert ordered(figure(0.1), figure(0.2)) == "clear"
    assert ordered(figure(0.1), figure(0.11)) == "right"
    assert ordered(figure(0.2), figure(0.1)) == "wrong"
    assert ordered(figure(0.1), figure(0.1)) == "wrong", "a figure that cannot tell them is no help"
    assert ordered(figure(0.9, "higher"), figure(0.5, "higher")) == "clear"
    assert ordered(figure(0.45, "half"), figure(0.8, "half")) == "clear"
    assert ordered(figure(0.45, "half"), figure(0.52, "half")) == "wrong"


def test_every_figure_has_its_pairs_by_the_longest_name() -> None:
    assert ("fresh", "independent") in pairs_of("fidelity.anything", 12_000)
    assert all(worse != "independent" for _, worse in pairs_of("fidelity.tvd1", 12_000))
    assert pairs_of("utility.auc[income].random_forest", 12_000) == pairs_of("utility.auc", 12_000)
    assert pairs_of("privacy.positive_control.auc", 12_000) == ()
    assert ("dp 10", "independent") not in pairs_of("fidelity.tvd2", 228)


def test_a_stored_cell_is_not_run_again_and_the_pages_tell_a_wrong_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def judged(dataset: str, name: str, rows: Rows, effort: str, keep: Path) -> dict[str, Any]:
        asked.append(name)
        value = {"fresh": 0.3, "independent": 0.2}[name]
        return {
            "dataset": dataset,
            "contender": name,
            "effort": "quick",
            "epsilon": 1.0,
            "rows": {"train": 228},
            "cpu_seconds": 0.1,
            "figures": {"fidelity.tvd2": figure(value)},
        }

    monkeypatch.setattr(benchmark, "judged", judged)
    words = ["--datasets", "cancer", "--contenders", "fresh", "independent", "--keep", str(tmp_path / "keep")]
    options = benchmark.read_options([*words, "--results", str(tmp_path / "r.json")])
    for _ in range(2):
        cells = benchmark.run(options)
    assert asked == ["fresh", "independent"]
    assert [order["verdict"] for order in orders(cells)] == ["wrong"]
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- orders -->\nold\n<!-- end of orders -->\n<!-- verdicts --><!-- end of verdicts -->\nend"
    )
    for _ in range(2):
        fill(page, sections(benchmark.read_cells(options.results)))
    text = page.read_text()
    assert text.endswith("end")
    assert "old" not in text
    assert "| `fidelity.tvd2` | fresh < independent | **wrong** |" in text
    assert "| fresh | approved; warn: privacy." in text, "what was not measured is told"
