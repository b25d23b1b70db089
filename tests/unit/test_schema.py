"""Column kinds, the schema and its TOML; place and restore on every type of cell a reader may give."""

from __future__ import annotations

import datetime as dt
import json
import tomllib
from dataclasses import fields
from decimal import Decimal
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from synthpriv.errors import ConfigurationError, SchemaError
from synthpriv.schema import Boolean, Categorical, DateTime, Float, Identifier, Integer, Schema
from synthpriv.schema.columns import KINDS
from synthpriv.schema.identifiers import IdentifierMaker
from synthpriv.schema.json_schema import json_schema
from synthpriv.schema.patterns import layouts
from synthpriv.schema.values import place, restore

ROOT = Path(__file__).parents[2]
AGE = Integer(lower=0, upper=100, nullable=True)
SHARE = Float(lower=0, upper=1, decimals=2, nullable=True)
DAY = DateTime(start="2020-01-01", end="2020-12-31", resolution="D", nullable=True)
CODE = Categorical(categories=["01", "02", "x"], nullable=True)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Integer(lower=2, upper=1), "lower must not exceed upper"),
        (lambda: Integer(lower=0.5, upper=1), "whole number"),
        (lambda: Integer(lower=None, upper=1), "finite number"),
        (lambda: Integer(lower=0, upper=2**60), "2\\*\\*53"),
        (lambda: Float(lower=0, upper=float("inf")), "finite"),
        (lambda: Float(lower=0, upper=1, decimals=2.5), "whole number"),
        (lambda: Float(lower=0, upper=1, decimals=16), "0..15"),
        (lambda: Float(lower=0, upper=1e9, decimals=12), "lower the decimals"),
        (lambda: Categorical(categories=[]), "at least one"),
        (lambda: Categorical(categories="abc"), "list"),
        (lambda: Categorical(categories={"a", "b"}), "list"),
        (lambda: Categorical(categories=["a", 1]), "all strings or all numbers"),
        (lambda: Categorical(categories=["a", "a"]), "'a' twice"),
        (lambda: Categorical(categories=[1, 1.0]), "'1' twice"),
        (lambda: Categorical(categories=[1.0, float("nan")]), "NaN"),
        (lambda: Categorical(categories=["", "a"], nullable=True), "empty string"),
        (lambda: Categorical(categories=[None]), "strings or numbers"),
        (lambda: DateTime(start="soon", end="2020-01-01"), "start must be a date"),
        (lambda: DateTime(start="2020-01-01T00:00Z", end="2021-01-01"), "no time zone"),
        (lambda: DateTime(start="2020-01-01T08:00", end="2021-01-01", resolution="D"), "whole step"),
        (lambda: DateTime(start="2020-01-01", end="2021-01-01", resolution="week"), "resolution"),
        (lambda: Identifier(pattern="["), "regular expression"),
        (lambda: Identifier(unique="yes"), "unique must be true or false"),
        (lambda: Boolean(nullable="no"), "nullable must be true or false"),
        (lambda: Boolean(confirmed="no"), "confirmed must be true or false"),
    ],
)
def test_a_wrong_column_is_refused_with_a_sentence(make, words):
    with pytest.raises(SchemaError, match=words):
        make()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"columns": {}}, "at least one column"),
        ({"columns": {"a": AGE}, "targets": ["b"]}, "is no column"),
        ({"columns": {"a": AGE}, "targets": 5}, "list of column names"),
        ({"columns": {"a": AGE, "id": Identifier()}, "targets": ["id"]}, "identifier"),
        ({"columns": {"a": AGE}, "groups": ["b"]}, "is no column"),
        ({"columns": {"a": AGE}, "groups": ["a"]}, "categorical or boolean column, found integer"),
        ({"columns": {"a": AGE}, "groups": 5}, "groups must be a list of column names"),
        ({"columns": {"a": AGE}, "privacy_unit": "a"}, "must be an identifier"),
        ({"columns": {"a": AGE}, "max_rows_per_unit": 0}, "at least 1"),
        ({"columns": {"a": AGE}, "max_rows_per_unit": "3"}, "whole number"),
        ({"columns": {"id": Identifier()}}, "not an identifier"),
        ({"columns": {"a": "integer"}}, "must be one of"),
    ],
)
def test_a_wrong_schema_is_refused_with_a_sentence(arguments, words):
    with pytest.raises(SchemaError, match=words):
        Schema(**arguments)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colums = 1", "Did you mean 'columns'"),
        ("[columns]\na = 1", "must be a table"),
        ("[columns.a]\nkind = 'intger'", "Did you mean 'integer'"),
        ("[columns.a]\nkind = 'text'", "free text"),
        ("[columns.a]\nkind = 'integer'\nlower = 1", "must declare upper"),
        ("[columns.a]\nkind = 'integer'\nlower = 1\nuper = 2", "Did you mean 'upper'"),
        ("[columns.a]\nkind = 'integer'\nlower = 'x'\nupper = 2", "column 'a'"),
        ("[columns.a", "valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_the_column_and_the_field(tmp_path, text, words):
    path = tmp_path / "schema.toml"
    path.write_text(text)
    with pytest.raises(SchemaError, match=words):
        Schema.read(path)


def test_toml_reads_back_equal(tmp_path):
    schema = Schema(
        columns={
            "id": Identifier(pattern=r"[A-Z]{2}\d{6}", unique=False),
            'a "quoted" name.': Categorical(categories=["", "NA", "ünï", 'a"b']),
            "code": Categorical(categories=[3, 1, 2], nullable=True, confirmed=False),
            "share": SHARE,
            "day": DAY,
            "flag": Boolean(nullable=True),
        },
        privacy_unit="id",
        max_rows_per_unit=3,
        targets=["flag"],
        groups=["flag", "code"],
    )
    schema.write(tmp_path / "schema.toml")
    assert Schema.read(tmp_path / "schema.toml") == schema
    assert schema.unconfirmed == ("code",)
    assert "id" not in schema.modelled


def test_toml_dates_may_be_written_without_quotes():
    text = "kind = 'datetime'\nstart = 2020-01-01\nend = 2020-12-31\nresolution = 'D'\nnullable = true"
    assert Schema.from_dict(tomllib.loads(f"[columns.day]\n{text}")).columns["day"] == DAY


NAN = float("nan")
DICTIONARY = pa.array(["01", None, "02"]).dictionary_encode()
PLACED = [
    ("text with spaces", AGE, [" 17 ", "17.0", "1e1", "", "  "], [17, 17, 10, -1, -1], []),
    ("no numbers", AGE, ["1_0", "nan", "x", "1,0"], [-1, -1, -1, -1], [0, 1, 2, 3]),
    ("infinity", AGE, [np.inf, -np.inf, NAN, 200.0], [100, 0, -1, 100], [0, 1, 3]),
    ("fractions", AGE, [1.5, 2.0], [2, 2], [0]),
    ("bool as number", AGE, [True, False], [1, 0], []),
    ("large unsigned", AGE, pd.Series([2**64 - 1, 5], dtype="uint64"), [100, 5], [0]),
    ("nullable", AGE, pd.Series([1, None], dtype="Int64"), [1, -1], []),
    ("arrow", AGE, pd.Series([1, None], dtype="int64[pyarrow]"), [1, -1], []),
    ("category of ints", AGE, pd.Series([1, None, 2], dtype="category"), [1, -1, 2], []),
    ("sparse", AGE, pd.Series(pd.arrays.SparseArray([1, 0])), [1, 0], []),
    ("complex and spans", AGE, [1j, dt.timedelta(1)], [-1, -1], [0, 1]),
    ("decimal", SHARE, [Decimal("0.10"), Decimal("NaN"), Decimal("Infinity")], [10, -1, 100], [2]),
    ("many decimals", SHARE, [0.1234567890123, 0.1 + 0.2], [12, 30], []),
    ("arrow float32", SHARE, pd.Series([0.1, None], dtype="float[pyarrow]"), [10, -1], []),
    (
        "arrow decimal",
        SHARE,
        pd.Series([Decimal("0.10")], dtype=pd.ArrowDtype(pa.decimal128(5, 2))),
        [10],
        [],
    ),
    ("leading zeros", CODE, ["01", " 02 ", "2", 2, 2.0, "3"], [0, 1, 1, 1, 1, -1], [5]),
    ("dictionary", CODE, pd.Series(pd.arrays.ArrowExtensionArray(DICTIONARY)), [0, -1, 1], []),
    ("unhashable", CODE, [[1], {}, "x"], [-1, -1, 2], [0, 1]),
    ("float32 codes", Categorical(categories=[0.1, 2]), pd.Series([0.1, 2], dtype="float32"), [0, 1], []),
    ("bools as words", Categorical(categories=["True", "False"]), [True, False, "True"], [0, 1, 0], []),
    ("bools as 0/1", Categorical(categories=["True", "False"]), [1, 0], [0, 1], []),
    ("words", Boolean(nullable=True), ["Yes", " f ", 1.0, 0, "maybe", None], [1, 0, 1, 0, -1, -1], [4]),
    ("boolean", Boolean(), pd.Series([True, None], dtype="boolean"), [1, 0], [1]),
    ("dates", DAY, [dt.date(2020, 1, 2), "1/3/2020", "04.01.2020", "2020/1/5"], [1, 2, 3, 4], []),
    ("no dates", DAY, ["13/13/2020", "now", "today", "x"], [-1, -1, -1, -1], [0, 1, 2, 3]),
    ("numbers as dates", DAY, [20200102, 2020], [1, 0], []),
    ("time of day", DAY, ["2020-12-31T23:59:59", "2021-01-01", "2019-12-31 23:59:59"], [365, 365, 0], [1, 2]),
    (
        "half days",
        DateTime(start="2020-01-01", end="2020-01-02", resolution="h"),
        ["1/1/2020 1:05 PM"],
        [13],
        [],
    ),
    ("zones", DAY, pd.Series(pd.to_datetime(["2020-01-02 00:30"])).dt.tz_localize("Europe/Paris"), [0], []),
    ("mixed zones", DAY, [pd.Timestamp("2020-01-02", tz="UTC"), "2020-01-02T00:00+02:00"], [1, 0], []),
    ("date32", DAY, pd.Series([dt.date(2020, 1, 2), None], dtype="date32[pyarrow]"), [1, -1], []),
    ("nanoseconds", DAY, pd.Series(pd.to_datetime(["2020-01-02"])).astype("datetime64[ns]"), [1], []),
    ("dates as words", Categorical(categories=["2020-01-02"]), pd.to_datetime(["2020-01-02"]), [0], []),
]


@pytest.mark.parametrize(
    ("column", "cells", "positions", "outside"),
    [case[1:] for case in PLACED],
    ids=[case[0] for case in PLACED],
)
def test_cells_of_every_type_are_placed(column, cells, positions, outside):
    if isinstance(cells, list) and {type(cell) for cell in cells} - {float, bool}:
        cells = pd.Series(cells, dtype=object)
    placed = place(pd.Series(cells), column)
    assert placed.positions.tolist() == positions
    assert np.flatnonzero(placed.outside).tolist() == outside


def test_a_cell_is_placed_by_itself_whatever_stands_around_it():
    cells = [True, 1, "1", 1.0, Decimal(1), "18446744073709551615", "-1", "0001-01-01", None, b"1", "x"]
    for column in (AGE, SHARE, CODE, DAY, Boolean(), Categorical(categories=["1", "True"])):
        alone = [place(pd.Series([cell], dtype=object), column).positions[0] for cell in cells]
        for order in (cells, cells[::-1]):
            together = place(pd.Series(order, dtype=object), column).positions.tolist()
            assert together == (alone if order is cells else alone[::-1])


def test_the_largest_integers_stay_exact():
    column = Integer(lower=-(2**53), upper=2**53)
    positions = np.array([0, 1, 2**54 - 1, 2**54])
    assert place(restore(positions, column, "x"), column).positions.tolist() == positions.tolist()


@pytest.mark.parametrize(
    ("pattern", "space"),
    [
        ("[A-Z]{2}[0-9]{2}", 67_600),
        ("[0-9]", 10),
        ("a?[0-3]{2}", 32),
        ("[0-9]{1,3}", 1_110),
        (r"P\d{2}-[^\W\d_]", 5_200),
        ("(?:ab|cd)[0-4]", 10),
        ("x{0,2}y{0,3}", 12),
        ("[A-Za-z0-9]{40}", None),
    ],
)
def test_identifiers_are_unique_and_reach_the_whole_pattern(pattern, space):
    column = Identifier(pattern=pattern)
    count = min(space or 500, 500)
    maker, whole = (IdentifierMaker(column, "id", seed=1) for _ in range(2))
    made = pd.concat([maker.make(part) for part in (count // 3, 0, count - count // 3)], ignore_index=True)
    assert made.is_unique
    assert made.str.fullmatch(pattern).all()
    if layouts(pattern) is not None and space is not None:
        pd.testing.assert_series_equal(made, whole.make(count))
    if space is not None and space <= 500:
        with pytest.raises(ConfigurationError, match="widen the pattern"):
            maker.make(1)
    loose = IdentifierMaker(Identifier(pattern=pattern, unique=False), "id", seed=1).make(600)
    assert loose.str.fullmatch(pattern).all()
    assert loose.nunique() > min(space or 500, 500) / 2
    with pytest.raises(TypeError):
        place(made, Identifier())


def test_every_place_of_an_identifier_varies_alike():
    made = IdentifierMaker(Identifier(pattern="[0-9]{30}"), "id", seed=3).make(20_000)
    digits = np.array([list(map(int, text)) for text in made])
    for place_in_text in digits.T:
        assert np.abs(np.bincount(place_in_text, minlength=10) / 20_000 - 0.1).max() < 0.015
    assert np.abs(np.corrcoef(digits[:-1, -1], digits[1:, -1])[0, 1]) < 0.03


def test_the_checked_in_json_schema_is_the_generated_one():
    path = ROOT / "synthpriv" / "schema" / "schema.json"
    assert json.loads(path.read_text()) == json_schema()
    jsonschema.Draft202012Validator.check_schema(json_schema())
    for kind, cls in KINDS.items():
        assert set(json_schema()["$defs"][kind]["properties"]) == {f.name for f in fields(cls)}


@pytest.mark.parametrize("name", ["adult", "credit"])
def test_the_datasets_meet_the_json_schema(name):
    jsonschema.validate(tomllib.loads((ROOT / "datasets" / f"{name}.toml").read_text()), json_schema())


@pytest.mark.parametrize(
    "column",
    [
        {"kind": "intger", "lower": 1, "upper": 2},
        {"kind": "integer", "lower": 1, "upper": 2, "categories": ["a"]},
        {"kind": "integer", "lower": 1},
        {"kind": "integer", "lower": 1.5, "upper": 2},
        {"kind": "categorical", "categories": ["a", 1]},
        {"lower": 1, "upper": 2},
    ],
)
def test_a_wrong_column_fails_the_json_schema(column):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"columns": {"a": column}}, json_schema())
