"""Tables larger than memory: chunked equals whole, scratch leaves nothing, units are bounded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import synthpriv as sp
from synthpriv.encoding.partition import first_partition
from synthpriv.encoding.table_encoder import TableEncoder
from synthpriv.errors import LedgerError, TableError
from synthpriv.privacy import column_store, private_table
from synthpriv.privacy.column_store import CodeMatrix, ColumnStore, smallest_type
from synthpriv.schema import Identifier, Integer, Schema
from synthpriv.synthesizers import fitted as fitting
from synthpriv.tables import read_chunks, read_table, reading, write_chunks, write_table


def ledger() -> sp.Ledger:
    return sp.Ledger.in_memory(sp.Budget(epsilon=float("inf"), delta=0.0))


def chunks_of(frame: pd.DataFrame, rows: int) -> Iterator[pd.DataFrame]:
    return (frame.iloc[start : start + rows] for start in range(0, len(frame), rows))


def exact_histograms(private: sp.PrivateTable, schema: Schema) -> dict[str, list[int]]:
    partitions = {name: first_partition(column) for name, column in schema.modelled.items()}
    release = private.ledger.open_release("test", epsilon=float("inf"), delta=0.0)
    counts = private.histograms(release, "exact", partitions, dict.fromkeys(partitions, 0.0))
    return {name: count.tolist() for name, count in counts.items()}


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize("memory_limit", [0, 2**28])
def test_a_table_in_chunks_is_the_whole_table(
    people: pd.DataFrame, people_schema: Schema, memory_limit: int, scratch: Path
) -> None:
    whole = sp.PrivateTable(people, people_schema, ledger())
    chunked = sp.PrivateTable(chunks_of(people, 77), people_schema, ledger(), memory_limit=memory_limit)
    assert exact_histograms(chunked, people_schema) == exact_histograms(whole, people_schema)
    pd.testing.assert_frame_equal(chunked.disclose("test").train, whole.disclose("test").train)
    store = chunked._PrivateTable__store  # type: ignore[attr-defined]
    assert store.on_disk == (memory_limit == 0)
    assert not list(scratch.iterdir()), "a scratch file has no name"


def test_the_fingerprint_knows_the_cells_and_not_the_chunks_or_the_file(
    people: pd.DataFrame, people_schema: Schema, tmp_path: Path
) -> None:
    book = ledger()
    sp.PrivateTable(people, people_schema, book)
    sp.PrivateTable(chunks_of(people, 501), people_schema, book, memory_limit=0)
    for name in ("people.csv", "people.parquet"):
        write_table(people, tmp_path / name, people_schema)
        sp.PrivateTable.read(tmp_path / name, people_schema, book)
    renamed = people.assign(id=["other", *people["id"].iloc[1:]])
    for changed in (people.iloc[1:], people.iloc[::-1], renamed):
        with pytest.raises(LedgerError, match="other rows"):
            sp.PrivateTable(changed, people_schema, book)


@pytest.mark.parametrize("name", ["people.csv", "people.csv.gz", "people.parquet", "people.arrow"])
def test_reading_in_chunks_is_reading_the_whole(
    name: str, people: pd.DataFrame, people_schema: Schema, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(people, tmp_path / name, people_schema)
    whole = read_table(tmp_path / name, people_schema)
    monkeypatch.setattr(reading, "CHUNK_ROWS", 300)
    shares: list[float] = []
    parts = list(read_chunks(tmp_path / name, people_schema, progress=shares.append))
    assert max(map(len, parts)) <= 300
    together = pd.concat([part.astype(object) for part in parts], ignore_index=True)
    expected = whole.astype(object)
    assert together.where(together.notna(), None).equals(expected.where(expected.notna(), None))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet", "arrow"])
def test_writing_in_chunks_is_writing_the_whole(
    suffix: str, people: pd.DataFrame, people_schema: Schema, tmp_path: Path
) -> None:
    whole, parts = tmp_path / f"whole.{suffix}", tmp_path / f"parts.{suffix}"
    write_table(people, whole, people_schema)
    assert write_chunks(chunks_of(people, 300), parts, people_schema) == len(people)
    pd.testing.assert_frame_equal(read_table(parts), read_table(whole))
    if suffix == "csv":
        assert parts.read_bytes() == whole.read_bytes()


def test_a_sample_that_fails_on_the_way_leaves_no_file(people: pd.DataFrame, tmp_path: Path) -> None:
    def failing() -> Iterator[pd.DataFrame]:
        yield people
        raise TableError("stop")

    with pytest.raises(TableError, match="stop"):
        write_chunks(failing(), tmp_path / "out.parquet")
    assert not list(tmp_path.iterdir())


def test_a_streamed_sample_is_the_sample(
    people: pd.DataFrame, people_schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = sp.IndependentSynthesizer(epsilon=5.0, delta=1e-5).fit(people, people_schema)
    monkeypatch.setattr(fitting, "SAMPLING_CHUNK", 64)
    for conditions in (None, {"city": people["city"].iloc[0]}):
        whole = fitted.sample(200, seed=3, conditions=conditions)
        parts = list(fitted.sample_chunks(200, seed=3, conditions=conditions))
        assert [len(part) for part in parts] == [64, 64, 64, 8]
        pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole)
        assert whole.dtypes.equals(parts[0].dtypes)
        assert whole["id"].is_unique, "across chunks too"
    assert [len(part) for part in fitted.sample_chunks(0)] == [0]


def test_codes_from_a_scratch_file_are_the_codes(people: pd.DataFrame, people_schema: Schema) -> None:
    fitted = sp.IndependentSynthesizer(epsilon=5.0, delta=1e-5).fit(people, people_schema)
    codes = fitted.encoder.encode_frame(people)
    rows = np.random.default_rng(0).permutation(len(people))[:100]
    for cells, kind in ((256, np.uint8), (257, np.int16)):
        for limit in (0, 2**28):
            matrix = CodeMatrix(*codes.shape, cells, memory_limit=limit)
            for start in range(0, len(codes), 333):
                matrix.append(codes[start : start + 333])
            assert matrix.dtype == kind
            for _ in range(3):
                assert np.array_equal(matrix[rows], codes[rows])


def test_training_reads_the_same_codes_from_disk(
    people: pd.DataFrame, people_schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    from synthpriv.privacy import dpsgd

    seen: list[np.ndarray] = []

    def keep(module: object, loss: object, codes: CodeMatrix, *rest: object) -> None:
        seen.append(np.asarray(codes[np.arange(codes.shape[0])]))

    monkeypatch.setattr(dpsgd, "train_private", keep)
    encoders: list[TableEncoder] = []
    for limit in (0, 2**28):
        private = sp.PrivateTable(chunks_of(people, 99), people_schema, ledger(), memory_limit=limit)
        fitted = sp.VAESynthesizer(epsilon=float("inf"), random_state=1, components=8, steps=6).fit(private)
        encoders.append(fitted.encoder)
    assert encoders[0].to_dict() == encoders[1].to_dict()
    assert len(seen) == 4, "two trainings each"
    for codes in seen[1:]:
        assert np.array_equal(seen[0], codes)
    own = encoders[0].encode_frame(people)
    assert np.array_equal(seen[0][:, : own.shape[1]], own)


def visits_schema(max_rows: int) -> Schema:
    return Schema(
        columns={"person": Identifier(nullable=True), "visits": Integer(lower=0, upper=99)},
        privacy_unit="person",
        max_rows_per_unit=max_rows,
    )


def test_a_units_rows_are_bounded_across_chunks() -> None:
    frame = pd.DataFrame({"person": [str(k % 10) for k in range(90)] + ["x"], "visits": [*range(90), 99]})
    shown = [
        sp.PrivateTable(chunks_of(frame, 7), visits_schema(3), ledger(), memory_limit=0)
        .disclose("test")
        .train
        for _ in range(4)
    ]
    for train in shown:
        assert len(train) == 31
        assert train["person"].value_counts().tolist() == [3] * 10 + [1]
        assert 99 in set(train["visits"])
    assert len({tuple(train["visits"]) for train in shown}) > 1, "the choice is random"
    with pytest.raises(TableError, match="max_rows_per_unit"):
        sp.PrivateTable(chunks_of(frame, 7), visits_schema(1), ledger())


def test_a_unit_is_held_out_whole_across_chunks() -> None:
    frame = pd.DataFrame({"person": [str(k % 40) for k in range(120)], "visits": range(120)})
    frame["visits"] %= 100
    split = sp.PrivateTable(chunks_of(frame, 11), visits_schema(3), ledger(), holdout=0.5).disclose("test")
    assert len(split.train) + len(split.holdout) == 120
    assert not set(split.train["person"]) & set(split.holdout["person"])


def test_identifiers_are_disclosed_as_hashes(people: pd.DataFrame, people_schema: Schema) -> None:
    shown = sp.PrivateTable(people, people_schema, ledger()).disclose("test").train["id"]
    assert not set(shown) & set(people["id"])
    assert shown.is_unique


def test_of_a_long_table_a_random_sample_is_disclosed(
    people: pd.DataFrame, people_schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private_table, "MOST_DISCLOSED", 500)
    shown = sp.PrivateTable(people, people_schema, ledger(), holdout=0.25).disclose("test")
    assert 350 < len(shown.train) + len(shown.holdout) <= 500
    assert 0.1 < len(shown.holdout) / (len(shown.train) + len(shown.holdout)) < 0.4


def test_the_store_spills_when_it_grows_and_returns_every_row(scratch: Path) -> None:
    store = ColumnStore({"a": np.dtype("i1"), "b": np.dtype("i8")}, memory_limit=100)
    columns = {"a": np.arange(-1, 39), "b": np.arange(40) * 10**12}
    for start in range(0, 40, 7):
        store.append({name: column[start : start + 7] for name, column in columns.items()})
    assert store.on_disk
    for name, column in columns.items():
        assert np.concatenate([part[name] for _, part in store.chunks([name])]).tolist() == column.tolist()
    assert [str(smallest_type(size)) for size in (1, 32768, 32769, 2**40)] == [
        "int8",
        "int16",
        "int32",
        "int64",
    ]
    assert not list(scratch.iterdir())


def test_a_full_disk_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(column_store.tempfile, "TemporaryFile", lambda **_: full())
    store = ColumnStore({"a": np.dtype("i8")}, memory_limit=0)
    with pytest.raises(TableError, match="TMPDIR"):
        store.append({"a": np.zeros(3)})


STOPPED = """
import sys, time
import pandas as pd, synthpriv as sp
frame = pd.DataFrame({"age": range(90)})
schema = sp.Schema(columns={"age": sp.Integer(lower=0, upper=90)})
ledger = sp.Ledger.in_memory(sp.Budget(epsilon=1.0, delta=0.0))
private = sp.PrivateTable(frame, schema, ledger, memory_limit=0)
assert private._PrivateTable__store.on_disk
print("ready", flush=True)
if sys.argv[1] == "raise":
    raise RuntimeError("stopped")
if sys.argv[1] == "wait":
    time.sleep(60)
"""


@pytest.mark.parametrize(("end", "sent"), [("succeed", 0), ("raise", 0), ("wait", 2), ("wait", 9)])
def test_scratch_is_gone_however_the_process_ends(end: str, sent: int, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED, end],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    if sent:
        process.send_signal(signal.Signals(sent))
    process.communicate(timeout=60)
    assert (process.returncode == 0) == (end == "succeed")
    assert not list(tmp_path.iterdir())
