"""The judge on tables larger than memory: any chunking counts the same, samples are bounded and uniform."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import synthpriv as sp
from synthpriv.evaluation import marginals, sampling
from synthpriv.evaluation.cells import read_cells
from synthpriv.evaluation.disclosed import Disclosed, StoredRows
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.fidelity import holdout_bins, judge_fidelity
from synthpriv.evaluation.marginals import Coded, Tally, total_variations
from synthpriv.evaluation.sampling import Reservoir, read_tables
from synthpriv.evaluation.scorecard import evaluate
from synthpriv.evaluation.smoke import copies
from synthpriv.privacy import private_table
from synthpriv.release import judging
from synthpriv.release.judging import judge_files
from synthpriv.release.policy import Policy
from synthpriv.schema import Schema
from synthpriv.schema.checking import check_chunks, check_table
from synthpriv.schema.values import place
from synthpriv.tables import write_table
from tests.conftest import make_people


def chunks_of(frame: pd.DataFrame, rows: int) -> Iterator[pd.DataFrame]:
    return (frame.iloc[start : start + rows] for start in range(0, len(frame), rows))


def stored(frame: pd.DataFrame, schema: Schema, rows: int) -> StoredRows:
    def chunks() -> Iterator[dict[str, np.ndarray]]:
        for part in chunks_of(frame, rows):
            yield {name: place(part[name], column).positions for name, column in schema.modelled.items()}

    return StoredRows(rows=len(frame), chunks=chunks)


def parts(codes: np.ndarray, cuts: list[int]) -> Coded:
    return Coded(sample=codes, chunks=lambda: np.split(codes, sorted(cuts)))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    cuts=st.lists(st.integers(0, 60), max_size=6),
    most=st.sampled_from([1, 20, marginals.MOST_COUNTERS]),
)
def test_any_chunking_gives_the_same_variations(seed: int, cuts: list[int], most: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = [3, 2, 5]
    first, second = (np.column_stack([rng.integers(0, n, 60) for n in sizes]) for _ in range(2))
    families = {"ones": [(0,), (1,), (2,)], "pairs": [(0, 1), (1, 2)], "none": []}
    whole = total_variations({"made": Coded.whole(first)}, Coded.whole(second), sizes, families)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(marginals, "MOST_COUNTERS", most)
        cut = total_variations({"made": parts(first, cuts)}, parts(second, cuts), sizes, families)
    for family, found in whole.items():
        assert cut[family]["made"].each == pytest.approx(found["made"].each)
        assert cut[family]["made"].error == pytest.approx(found["made"].error)


def test_few_counters_at_a_time_read_a_table_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    families = {"pairs": [(0, 1), (0, 2), (1, 2)]}
    assert marginals.passes([10, 10, 10], families) == 1
    monkeypatch.setattr(marginals, "MOST_COUNTERS", 200)
    assert marginals.passes([10, 10, 10], families) == 2
    tally = Tally(201, dense=False)
    for codes in ([5, 200, 5], [0, 200]):
        tally.add(np.array(codes))
    listed, counts, _ = tally.beside(tally)
    assert (listed.tolist(), counts.tolist()) == ([0, 5, 200], [1, 2, 2]), "only what occurs is held"


def test_the_reservoir_is_a_uniform_sample_in_order(people: pd.DataFrame, people_schema: Schema) -> None:
    cells = read_cells(people, people_schema)
    whole = Reservoir(len(cells), 0)
    for start in range(0, len(cells), 300):
        whole.add(cells.take(np.arange(start, min(start + 300, len(cells)))))
    assert np.array_equal(whole.sample().positions, cells.positions), "a table that fits is not sampled"
    drawn = np.zeros(len(cells))
    numbered = cells.columns_at(np.array([0]))
    for seed in range(200):
        reservoir = Reservoir(100, seed)
        for start in range(0, 2000, 90):
            rows = np.arange(start, min(start + 90, 2000))
            part = numbered.take(rows)
            part.positions[:, 0] = rows
            reservoir.add(part)
        sample = reservoir.sample().positions[:, 0]
        assert len(sample) == 100
        assert (np.diff(sample) > 0).all()
        drawn[sample] += 1
    expected = 200 * 100 / 2000
    assert np.abs(drawn.reshape(20, 100).mean(axis=1) - expected).max() < 1.5
    assert drawn.max() < 30


def test_a_long_table_is_counted_whole_and_its_sample_is_bounded(
    people: pd.DataFrame, people_schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, train, holdout = make_people(1500, 3), people.iloc[:1400], people.iloc[1400:]
    whole = read_tables(made, Disclosed(schema=people_schema, train=train, holdout=holdout), 0)[0]
    expected = judge_fidelity(whole, 0, Effort.quick)
    monkeypatch.setattr(sampling, "MOST_ROWS", 400)
    real = Disclosed(
        schema=people_schema,
        train=train.sample(300, random_state=1),
        holdout=holdout.sample(300, random_state=1),
        every_train=stored(train, people_schema, 250),
        every_holdout=stored(holdout, people_schema, 111),
    )
    tables, _ = read_tables(lambda: chunks_of(made, 200), real, 0)
    assert [len(tables.synthetic), len(tables.train), len(tables.holdout)] == [400, 300, 300]
    bins = holdout_bins(whole.holdout)
    monkeypatch.setattr("synthpriv.evaluation.fidelity.holdout_bins", lambda _: bins)
    found = judge_fidelity(tables, 0, Effort.quick)
    for figure in ("fidelity.tvd1", "fidelity.tvd2"):
        assert found.estimates[figure].value == pytest.approx(expected.estimates[figure].value)
        real_rows = expected.estimates[figure].controls["real rows"]
        assert found.estimates[figure].controls["real rows"] == pytest.approx(real_rows)
    for one, other in zip(found.columns, expected.columns, strict=True):
        assert one.synthetic == pytest.approx(other.synthetic)
        assert (one.missing_real, one.missing_synthetic) == (other.missing_real, other.missing_synthetic)
    card = evaluate(lambda: chunks_of(made, 200), real, effort="quick")
    assert card.rows == {"synthetic": 1500, "train": 1400, "holdout": 600}
    assert any("random sample of 400 of 1,500 synthetic" in note for note in card.notes)


def test_copies_are_looked_for_among_all_real_rows(people: pd.DataFrame, people_schema: Schema) -> None:
    train, holdout = people.iloc[:1000], people.iloc[1000:]
    real = Disclosed(
        schema=people_schema,
        train=train.iloc[:100],
        holdout=holdout.iloc[:100],
        every_train=stored(train, people_schema, 77),
        every_holdout=stored(holdout, people_schema, 77),
    )
    made = pd.concat([train.iloc[900:940], make_people(60, 9)])
    assert copies(read_tables(made, real, 0)[0]).value == 0.4


def test_the_door_hands_out_every_row_beside_the_sample(
    people: pd.DataFrame, people_schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private_table, "MOST_DISCLOSED", 500)
    ledger = sp.Ledger.in_memory(sp.Budget(epsilon=1.0, delta=0.0))
    chunks = chunks_of(people, 300)
    private = sp.PrivateTable(chunks, people_schema, ledger, holdout=0.25, memory_limit=0)
    shown = private.disclose("test")
    assert shown.every_train is not None
    assert shown.every_holdout is not None
    assert shown.every_train.rows + shown.every_holdout.rows == 2000
    assert len(shown.train) + len(shown.holdout) <= 500
    for _ in range(2):
        read = [
            pd.DataFrame(part)
            for every in (shown.every_train, shown.every_holdout)
            for part in every.chunks()
        ]
        together = pd.concat(read)
        for name, column in people_schema.modelled.items():
            expected = place(people[name], column).positions
            assert sorted(together[name]) == sorted(expected.tolist())


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_checking_in_chunks_is_checking_the_whole(rows: int, people_schema: Schema) -> None:
    bad = make_people(60, 4)
    bad["id"] = ["P0000001", *bad["id"].iloc[1:-1], "P0000001"]
    bad["city"] = bad["city"].where(bad.index % 7 > 0, None)
    bad["bought"] = bad["bought"].where(bad.index % 11 > 0, "maybe")
    bad["age"] = 200
    bad["income"] = None
    bad = bad.astype(object).where(bad.notna(), None)
    whole = [asdict(mismatch) for mismatch in check_table(bad, people_schema)]
    found = [asdict(one) for one in check_chunks(lambda: chunks_of(bad, rows), people_schema)]
    assert found == whole
    assert {"repeats another row's identifier, but is declared unique", "remark: every cell is missing"} <= {
        mismatch["problem"] for mismatch in whole
    }


def judged(folder: Path, people_schema: Schema, memory_limit: int) -> judging.Judged:
    return judge_files(
        folder / "real.parquet",
        folder / "made.csv",
        people_schema,
        holdout=None,
        targets=(),
        effort=Effort.quick,
        epsilon=1.0,
        delta=1e-6,
        policy=Policy.default(),
        progress=lambda stage, done, total: None,
        memory_limit=memory_limit,
    )


def test_files_are_judged_alike_under_any_memory_limit(
    people: pd.DataFrame, people_schema: Schema, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(people, tmp_path / "real.parquet", people_schema)
    write_table(make_people(900, 5), tmp_path / "made.csv", people_schema)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    assert judged(tmp_path, people_schema, 0).scorecard == judged(tmp_path, people_schema, 2**28).scorecard
    assert not list(scratch.iterdir()), "a scratch file has no name"


@pytest.mark.parametrize("end", ["raise", "interrupt"])
@pytest.mark.parametrize("command", ["release", "evaluate"])
def test_a_stopped_judge_leaves_no_row_behind(
    command: str, end: str, people: pd.DataFrame, people_schema: Schema, tmp_path: Path
) -> None:
    people.to_csv(tmp_path / "people.csv", index=False)
    people_schema.write(tmp_path / "people.toml")
    (tmp_path / "scratch").mkdir()
    fit = ["--epsilon", "8", "--delta", "1e-6", "--synthesizer", "independent", "--out", "shared"]
    words = {"release": ["people.csv", *fit], "evaluate": ["people.csv", "people.csv"]}[command]
    script = (
        "import sys, time\n"
        "import synthpriv.release.pipeline, synthpriv.release.judging\n"
        "from synthpriv.cli import main\n"
        "def stop(*_, **__):\n"
        "    print('ready', flush=True)\n"
        "    if END == 'raise':\n"
        "        raise RuntimeError('stopped')\n"
        "    time.sleep(60)\n"
        "synthpriv.release.pipeline.evaluate = synthpriv.release.judging.evaluate = stop\n"
        "main()\n"
    )
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"END = {end!r}\n{script}",
            command,
            *words,
            "--schema",
            "people.toml",
            "--memory-limit",
            "1KiB",
        ],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path / "scratch")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()
    if end == "interrupt":
        process.send_signal(2)
    process.communicate(timeout=60)
    assert process.returncode == (130 if end == "interrupt" else 1)
    ledger = {"people.ledger.sqlite", "people.ledger.sqlite.key"} if command == "release" else set()
    assert {path.name for path in tmp_path.iterdir()} == {"people.csv", "people.toml", "scratch"} | ledger
    assert not list((tmp_path / "scratch").iterdir())
    if command == "release":
        book = sp.Ledger.open(tmp_path / "people.ledger.sqlite")
        assert book.attempts == 1, "a judge that was stopped has been asked all the same"
        assert all(record["record"] != "verdict" for record in book.records)
