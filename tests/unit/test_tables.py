"""Files of every format are read without damage, or refused with a sentence that holds no cell."""

from __future__ import annotations

import datetime as dt
import gzip
import os
import time
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from synthpriv.errors import TableError
from synthpriv.schema import Boolean, Categorical, DateTime, Float, Identifier, Integer, Schema
from synthpriv.schema.checking import check_table
from synthpriv.tables import check_shape, conform, read_table, reading, table_format, write_table

DATASETS = Path(__file__).parents[2] / "datasets"
CANARY = "canary-4711"
SCHEMA = Schema(
    columns={
        "id": Identifier(pattern="[0-9]{4}", nullable=True),
        "zip": Categorical(categories=["00501", "02134"], nullable=True),
        "status": Categorical(categories=["NA", "ok"]),
        "age": Integer(lower=0, upper=120, nullable=True),
    }
)
TEXT = "age,status,zip,id\n17,NA,00501,0042\n,ok,NA,NA\n nan,ok,,\n"


def written(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_csv_cells_are_read_without_damage(tmp_path):
    frame = read_table(written(tmp_path / "a.csv", TEXT), SCHEMA)
    assert list(frame.columns) == list(SCHEMA.columns)
    assert frame.astype(object).where(frame.notna(), None).to_dict("list") == {
        "id": ["0042", "NA", None],
        "zip": ["00501", None, None],
        "status": ["NA", "ok", "ok"],
        "age": ["17", None, None],
    }
    typed, mapped = conform(frame, SCHEMA)
    assert typed["age"].tolist() == [17, pd.NA, pd.NA]
    assert mapped == {"id": 0, "zip": 0, "status": 0, "age": 0}


def test_csv_without_a_schema_is_text_with_missing_marks(tmp_path):
    frame = read_table(written(tmp_path / "a.csv", TEXT))
    assert list(frame.columns) == ["age", "status", "zip", "id"]
    assert frame["status"].isna().tolist() == [True, False, False]
    assert frame["zip"].tolist()[0] == "00501"


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfa,b\n1,2\n",
        b"\n\na,b\r\n1,2\r\n\r\n",
        b'"a","b"\n"1","2"',
    ],
)
def test_marks_of_other_programs_are_understood(tmp_path, content):
    assert read_table(written(tmp_path / "a.csv", content)).to_dict("list") == {"a": ["1"], "b": ["2"]}


def test_cells_with_line_breaks_quotes_and_delimiters(tmp_path):
    frame = pd.DataFrame({"a": ["x\ny", 'say "hi"', "1,2", "ü\r\n"], "b": ["\n", "", "z", "\n"]})
    write_table(frame, tmp_path / "a.csv")
    assert read_table(tmp_path / "a.csv")["a"].tolist() == frame["a"].tolist()


def test_another_delimiter_is_named_and_accepted(tmp_path):
    path = written(tmp_path / "a.csv", f"a;b\n{CANARY};2\n")
    with pytest.raises(TableError, match="pass delimiter=';'"):
        read_table(path)
    assert read_table(path, delimiter=";").to_dict("list") == {"a": [CANARY], "b": ["2"]}
    odd = Schema(columns={"a;b": Categorical(categories=["x"])})
    assert len(read_table(written(path, "a;b\nx\n"), odd)) == 1
    with pytest.raises(TableError, match="one character"):
        read_table(path, delimiter="||")


DAMAGED = [
    ("a.csv", f"a,b\n1,2\n{CANARY}\n", "found 1 in row 3"),
    ("a.csv", f"a,b\n1,2\n1,2,{CANARY}\n", "found 3 in row 3"),
    ("a.csv", f"a,b\n1,{CANARY}".encode() + b"\xff\n", r"byte 17 \(line 2\)"),
    ("a.csv", b"a,\xff\n1,2\n", r"byte 2 \(line 1\)"),
    ("a.csv", "a,b\n1,2\n".encode("utf-16"), "save it as UTF-8"),
    ("a.csv", f'a,b\n1,2\n1,"{CANARY}\n3,4\n', "open at the end"),
    ("a.csv", "", "at least one column"),
    ("a.csv", "a,b\n", "at least one row"),
    ("a.csv", "a,b", "at least one row"),
    ("a.csv", "a,a\n1,2\n", "'a' twice"),
    ("a.csv", ",a\n0,1\n", "must have a name"),
    ("a.csv.gz", "a,b\n1,2\n", "damaged"),
    (
        "a.csv.gz",
        gzip.compress(b"a\n" + os.urandom(999).hex(",").encode().replace(b",", b"\n"))[:500],
        "damaged",
    ),
    ("a.parquet", "a,b\n1,2\n", "damaged"),
    ("a.arrow", "a,b\n1,2\n", "damaged"),
    ("a.feather", "", "damaged"),
    ("a.xlsx", "", r"must end in one of \.csv"),
]


@pytest.mark.parametrize(("name", "content", "words"), DAMAGED)
def test_a_damaged_file_is_refused_without_showing_a_cell(tmp_path, name, content, words):
    with pytest.raises(TableError, match=words) as caught:
        read_table(written(tmp_path / name, content))
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_ragged_row_far_down_is_named(tmp_path):
    content = "a,b\n" + "1,2\n" * 3_000_000 + "1\n"
    with pytest.raises(TableError, match="row 3000002"):
        read_table(written(tmp_path / "a.csv", content))


def test_a_cut_parquet_file_is_refused(tmp_path):
    write_table(pd.DataFrame({"a": range(9999)}), tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    for cut in (content[:-9], content[:4] + b"\0" * 2000 + content[2004:]):
        with pytest.raises(TableError, match="damaged"):
            read_table(written(tmp_path / "b.parquet", cut))


def test_a_path_without_a_file_is_refused(tmp_path):
    with pytest.raises(TableError, match="found none at"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(TableError, match="found a folder at"):
        read_table(tmp_path / "folder.csv")
    with pytest.raises(TableError, match="folder that exists"):
        write_table(pd.DataFrame({"a": [1]}), tmp_path / "none" / "a.csv")


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pd.DataFrame(), "at least one column"),
        (pd.DataFrame({"age": []}), "at least one row"),
        (pd.DataFrame({"agee": [1], "sex": [1]}), "Did you mean 'age'"),
        (pd.DataFrame([[1, 2]], columns=["age", "age"]), "'age' twice"),
        (pd.DataFrame({"age": [1], 7: [1]}), "must have a name"),
    ],
)
def test_a_wrong_shape_is_refused(frame, words):
    schema = Schema(columns={"age": Integer(lower=0, upper=9)})
    with pytest.raises(TableError, match=words):
        check_shape(frame, schema)


def test_lacking_columns_are_named(tmp_path):
    with pytest.raises(TableError, match="found none named 'zip', 'status', 'age'"):
        read_table(written(tmp_path / "a.csv", "id\n1\n"), SCHEMA)
    with pytest.raises(TableError, match="found 'extra'"):
        read_table(written(tmp_path / "a.csv", "id,extra\n1,2\n"), SCHEMA)


def test_formats_by_suffix_and_name():
    assert [table_format(f"x{s}") for s in (".csv", ".CSV.gz", ".pq", ".feather")] == [
        "csv",
        "csv",
        "parquet",
        "arrow",
    ]
    assert table_format("x.dat", "feather") == "arrow"
    with pytest.raises(TableError, match="csv, parquet or arrow"):
        table_format("x.csv", "xml")


TYPED = pa.table(
    {
        "whole": pa.array([2**60 + 1, None]),
        "flag": pa.array([True, None]),
        "word": pa.array(["x", None]).dictionary_encode(),
        "day": pa.array([dt.date(2020, 1, 2), None]),
        "moment": pa.array([dt.datetime(2020, 1, 2, 3), None], pa.timestamp("us", tz="Europe/Paris")),
        "price": pa.array([Decimal("1.10"), None], pa.decimal128(5, 2)),
    }
)


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "stream.arrow"])
def test_typed_cells_keep_their_types(tmp_path, name):
    path = tmp_path / name
    if name == "a.parquet":
        pa.parquet.write_table(TYPED, path)
    else:
        writer = pa.ipc.new_file if name == "a.arrow" else pa.ipc.new_stream
        with writer(str(path), TYPED.schema) as file:
            file.write_table(TYPED)
    schema = Schema(
        columns={
            "price": Float(lower=0, upper=2, decimals=2, nullable=True),
            "moment": DateTime(start="2020-01-01", end="2020-12-31", nullable=True),
            "day": DateTime(start="2020-01-01", end="2020-12-31", resolution="D", nullable=True),
            "word": Categorical(categories=["x"], nullable=True),
            "flag": Boolean(nullable=True),
            "whole": Identifier(nullable=True),
        }
    )
    frame = read_table(path, schema)
    assert [str(kind) for kind in frame.dtypes] == [
        "object",
        "datetime64[us, Europe/Paris]",
        "datetime64[ms]",
        "category",
        "boolean",
        "Int64",
    ]
    typed, mapped = conform(frame, schema)
    assert sum(mapped.values()) == 0
    assert typed.iloc[0].tolist() == [
        1.1,
        pd.Timestamp("2020-01-02 03:00"),
        pd.Timestamp("2020-01-02"),
        "x",
        True,
        str(2**60 + 1),
    ]
    assert typed.iloc[1].isna().all()


def test_nested_and_mixed_columns_are_refused(tmp_path):
    pa.parquet.write_table(pa.table({"a": [[1, 2]]}), tmp_path / "a.parquet")
    with pytest.raises(TableError, match="column 'a' must hold one plain value"):
        read_table(tmp_path / "a.parquet")
    with pytest.raises(TableError, match="column 'a' must hold values of one type") as caught:
        write_table(pd.DataFrame({"a": [1, CANARY]}), tmp_path / "b.parquet")
    assert CANARY not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["a.parquet"]


def test_values_are_written_as_the_schema_says(tmp_path):
    schema = Schema(
        columns={
            "x": Float(lower=0, upper=9, decimals=2, nullable=True),
            "n": Float(lower=0, upper=9, decimals=0),
            "day": DateTime(start="2020-01-01", end="2020-12-31", resolution="D"),
            "at": DateTime(start="2020-01-01", end="2020-12-31", resolution="min", nullable=True),
        }
    )
    moment = pd.Timestamp("2020-01-02 03:04:05")
    frame = pd.DataFrame({"at": [moment, None], "day": moment, "n": [3.0, 4.0], "x": [0.1 + 0.2, None]})
    write_table(frame, tmp_path / "a.csv", schema)
    assert (tmp_path / "a.csv").read_text() == (
        "x,n,day,at\n0.3,3,2020-01-02,2020-01-02T03:04\n,4,2020-01-02,\n"
    )


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = written(tmp_path / "a.csv", "old")

    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
    with pytest.raises(TableError, match="No space left"):
        write_table(pd.DataFrame({"a": [1]}), path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.csv"]


def test_the_same_table_gives_the_same_bytes(tmp_path):
    frame = pd.DataFrame({"a": range(5)})
    for name in ("a.csv.gz", "b.csv.gz"):
        write_table(frame, tmp_path / name)
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.arrow"])
def test_progress_counts_rows(tmp_path, name):
    write_table(pd.DataFrame({"a": range(300_000)}), tmp_path / name)
    seen: list[int] = []
    read_table(tmp_path / name, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 300_000


def test_conform_counts_what_the_public_rule_mapped():
    frame = pd.DataFrame({"age": ["200", "x", None, "5"], "id": [1.0, 2.0, None, 3.0]}, index=[5, 5, 6, 7])
    schema = Schema(columns={"id": Identifier(nullable=True), "age": Integer(lower=0, upper=9)})
    typed, mapped = conform(frame, schema)
    assert typed["age"].tolist() == [9, 0, 0, 5]
    assert typed["id"].tolist()[:2] == ["1", "2"]
    assert mapped == {"id": 0, "age": 3}


@pytest.mark.parametrize(
    ("name", "rows", "target"), [("adult", 48_842, "income"), ("credit", 30_000, "default")]
)
def test_every_value_of_the_datasets_lies_inside_its_schema(name, rows, target):
    schema = Schema.read(DATASETS / f"{name}.toml")
    frame = read_table(DATASETS / f"{name}.csv.gz", schema)
    assert check_table(frame, schema) == []
    typed, mapped = conform(frame, schema)
    assert len(typed) == rows
    assert sum(mapped.values()) == 0
    assert schema.targets == (target,)
    assert schema.unconfirmed == ()


@pytest.mark.slow
def test_a_million_rows_are_placed_in_seconds():
    generator = np.random.default_rng(0)
    count = 1_000_000
    columns = {f"x{k}": Float(lower=-5, upper=5) for k in range(5)}
    columns |= {f"n{k}": Integer(lower=0, upper=99) for k in range(5)}
    columns |= {f"c{k}": Categorical(categories=[str(c) for c in range(50)]) for k in range(5)}
    codes = generator.integers(0, 50, count)
    frame = pd.DataFrame({f"x{k}": generator.normal(size=count) for k in range(5)})
    frame = frame.assign(
        **{f"n{k}": codes for k in range(5)}, **{f"c{k}": codes.astype(str) for k in range(5)}
    )
    start = time.perf_counter()
    conform(frame, Schema(columns=columns))
    assert time.perf_counter() - start < 20  # about 2 s on two idle cores


def test_a_row_without_end_is_refused_before_it_fills_memory(tmp_path: Path) -> None:
    long = b"x" * (3 * reading._BLOCK_BYTES)
    for name, content in (
        ("header.csv.gz", long),
        ("row.csv.gz", b"a,b\n1,2\n3," + long + b"\n5,6\n"),
        ("quoted.csv.gz", b'a,b\n1,2\n3,"' + b"line\n" * reading._BLOCK_BYTES),
    ):
        (tmp_path / name).write_bytes(gzip.compress(content, 1))
        with pytest.raises(TableError, match=r"shorter than 8 MiB"):
            read_table(tmp_path / name)
