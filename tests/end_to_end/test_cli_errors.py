"""Bad input at the command line: one clear sentence, nothing charged, nothing lost, nothing half-written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.end_to_end.conftest import FIT, Command, Ran, names

Edit = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--epsilon", "0"], 1, ["--epsilon", "above 0", "'0'"]),
        (["--epsilon", "-1"], 1, ["--epsilon", "'-1'"]),
        (["--epsilon", "nan"], 1, ["--epsilon"]),
        (["--epsilon", "much"], 1, ["--epsilon", "'much'"]),
        (["--delta", "0"], 1, ["--delta", "1e-6"]),
        (["--delta", "1"], 1, ["--delta", "found 1"]),
        (["--delta", "nan"], 1, ["--delta"]),
        (["--delta", "x"], 2, ["--delta"]),
        (["--rows", "0"], 2, ["--rows"]),
        (["--rows", "many"], 2, ["--rows"]),
        (["--rows", "2", "--epsilon", "0.1"], 1, ["InfeasiblePlan", "what would work"]),
        (["--sample-rows", "0"], 2, ["--sample-rows"]),
        (["--seed", "-1"], 2, ["--seed"]),
        (["--budget-epsilon", "1"], 1, ["--budget-epsilon", "raise it"]),
        (["--synthesizer", "van"], 2, ["--synthesizer", "'vae'"]),
        (["--format", "xls"], 1, ["format", "'xls'", "parquet"]),
        (["--output-format", "xls"], 2, ["--output-format", "parquet"]),
        (["--target", "nobody"], 1, ["target", "'nobody'"]),
        (["--policy", "nowhere.toml"], 1, ["policy", "nowhere.toml"]),
        (["--policy", "people.csv"], 1, ["policy", "TOML"]),
        (["--schema", "nowhere.toml"], 1, ["schema", "nowhere.toml"]),
        (["--schema", "."], 1, ["--schema", "folder"]),
        (["--schema", "people.csv"], 1, ["schema", "TOML"]),
        (["--ledger", "nowhere/l.sqlite"], 1, ["ledger", "nowhere", "--ledger"]),
        (["--ledger", "people.csv/l.sqlite"], 1, ["ledger", "--ledger"]),
        (["--ledger", "."], 1, ["ledger", "folder"]),
        (["--ledger", "people.csv"], 1, ["LedgerError", "people.csv"]),
        (["--out", "people.csv"], 1, ["new or empty", "people.csv"]),
        (["--out", "."], 1, ["folder"]),
        (["--out", "people.csv/deep/down"], 1, ["people.csv", "a file"]),
        (["--polcy", "x"], 2, ["--policy"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_wrong_options(
    folder: Path, synthpriv: Command, arguments: list[str], code: int, words: list[str]
) -> None:
    before = {name: (folder / name).read_bytes() for name in names(folder)}
    synthpriv("release", "people.csv", *FIT, "--out", "shared", *arguments).failed(*words, code=code)
    assert {name: (folder / name).read_bytes() for name in names(folder)} == before


def test_delta_must_be_given_for_a_new_ledger(folder: Path, synthpriv: Command) -> None:
    synthpriv("release", "people.csv", *FIT[:4], "--out", "shared").failed("needs delta", "--delta")
    assert names(folder) == {"people.csv", "people.toml"}


def test_unknown_commands_are_answered_with_the_nearest(synthpriv: Command) -> None:
    synthpriv("relase").failed("release", code=2)
    synthpriv("ledger", "shwo").failed("show", code=2)
    synthpriv("release").failed("TABLE", code=2)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("nowhere.csv", None, ["none", "nowhere.csv"]),
        (".", None, ["table"]),
        ("people.toml", None, ["file name must end"]),
        ("t.csv", b"", ["at least one column"]),
        ("t.csv", b"id,age,city,member,income,since,bought\n", ["at least one row"]),
        ("t.csv", b"id;age;city\nP1;3;Bern\n", ["separated by ','", "';'"]),
        ("t.csv", b"id,age,age\nP1,3,4\n", ["'age' twice"]),
        ("t.csv", b"id,age,city,member,income,since,bought\nP1,3\n", ["every row", "row 2"]),
        ("t.csv", b"id,city\nP1,Z\xfcrich\n", ["UTF-8"]),
        ("t.csv", b"id,age\nP1,3\n", ["every column of the schema", "'city'"]),
        ("t.parquet", b"PAR1 no", ["damaged"]),
        ("t.csv.gz", b"id,age\n", ["damaged"]),
    ],
)
def test_unreadable_tables(
    folder: Path, synthpriv: Command, name: str, content: bytes | None, words: list[str]
) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    before = names(folder)
    for command in ("release", "fit"):
        synthpriv(command, name, *FIT, "--out", "shared").failed("TableError", *words)
        assert names(folder) == before


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda table: table.assign(shoe=1), ["'shoe'", "declare or drop"]),
        (lambda table: table.drop(columns="city"), ["'city'"]),
        (lambda table: table.assign(age=1000), ["'age'", "most of", "schema check"]),
        (lambda table: table.assign(age=None), ["'age'", "most of"]),
    ],
    ids=["extra column", "missing column", "outside the domain", "all missing"],
)
def test_tables_of_another_shape(folder: Path, synthpriv: Command, edit: Edit, words: list[str]) -> None:
    edit(pd.read_csv("people.csv")).to_csv("other.csv", index=False)
    before = names(folder)
    for command in ("release", "fit"):
        synthpriv(command, "other.csv", *FIT, "--out", "shared").failed("TableError", *words)
        assert names(folder) == before
    checked = synthpriv("schema", "check", "other.csv", "--schema", "people.toml", "--json")
    assert checked.code == 1
    assert checked.json["matches"] is False


@pytest.mark.slow
def test_odd_columns_work_and_single_outliers_are_counted(folder: Path, synthpriv: Command) -> None:
    schema = Path("people.toml").read_text()
    schema += '\n[columns.land]\nkind = "categorical"\ncategories = ["CH"]\n'
    schema += '\n[columns.empty]\nkind = "integer"\nlower = 0\nupper = 9\nnullable = true\n'
    Path("odd.toml").write_text(schema)
    table = pd.read_csv("people.csv").assign(land="CH", empty=None, age=30)
    table.loc[[1, 5], "age"] = 500
    table.loc[7, "city"] = "Paris"
    table.to_csv("odd.csv", index=False)
    fit = ("--schema", "odd.toml", *FIT[2:], "--out", "shared")
    ran = synthpriv("release", "odd.csv", *fit)
    assert (ran.code, ran.err) == (0, "")
    assert "3 cells outside the declared domain mapped" in ran.out
    assert "3 cells lay outside" in Path("shared.internal/report.html").read_text()
    assert b"Paris" not in b"".join(p.read_bytes() for p in Path("shared").rglob("*") if p.is_file())
    made = pd.read_csv("shared/synthetic.csv")
    assert made["empty"].isna().mean() > 0.9
    assert set(made["land"]) == {"CH"}


def test_one_row_is_refused(folder: Path, synthpriv: Command) -> None:
    pd.read_csv("people.csv").head(1).to_csv("one.csv", index=False)
    ran = synthpriv("release", "one.csv", *FIT[:-2], "--epsilon", "0.5", "--out", "shared")
    ran.failed("InfeasiblePlan", "what would work")
    assert not Path("shared").exists()
    assert not Path("shared.internal").exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("lower = 0\nupper = 110", "lower = 110\nupper = 0", ["'age'", "lower"]),
        ('kind = "categorical"', 'kind = "text"', ["free text"]),
        ('["no", "yes"]', "[]", ["'bought'", "categories"]),
        ('kind = "integer"', 'kind = "intger"', ["'integer'"]),
        ("nullable", "nulable", ["'nullable'"]),
        ("[columns.age]", "[columns.age", ["TOML"]),
    ],
)
def test_wrong_schemas(folder: Path, synthpriv: Command, old: str, new: str, words: list[str]) -> None:
    text = Path("people.toml").read_text()
    assert old in text
    Path("wrong.toml").write_text(text.replace(old, new, 1))
    before = names(folder)
    synthpriv("schema", "check", "people.csv", "--schema", "wrong.toml").failed("SchemaError", *words)
    fit = ("--schema", "wrong.toml", *FIT[2:], "--out", "shared")
    synthpriv("release", "people.csv", *fit).failed("SchemaError", *words)
    assert names(folder) == before


def test_a_target_of_one_category_is_refused(folder: Path, synthpriv: Command) -> None:
    text = Path("people.toml").read_text().replace('categories = ["no", "yes"]', 'categories = ["no"]')
    Path("one.toml").write_text(text)
    fit = ("--schema", "one.toml", *FIT[2:], "--out", "shared")
    synthpriv("release", "people.csv", *fit).failed("at least two values", "'bought'")
    assert names(folder) == {"people.csv", "people.toml", "one.toml"}


def test_an_output_folder_in_use_is_kept(folder: Path, synthpriv: Command) -> None:
    Path("shared").mkdir()
    Path("shared/notes.txt").write_text("mine")
    for command in ("release", "fit"):
        synthpriv(command, "people.csv", *FIT, "--out", "shared").failed("new or empty", "'shared'")
    Path("other.internal").mkdir()
    Path("other.internal/report.html").write_text("older")
    synthpriv("release", "people.csv", *FIT, "--out", "other").failed("new or empty", "other.internal")
    assert Path("shared/notes.txt").read_text() == "mine"
    assert names(folder) == {"people.csv", "people.toml", "shared", "other.internal"}


def test_a_read_only_folder_names_the_ledger_option(
    folder: Path, synthpriv: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    can = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "data" and can(path, mode))
    Path("data").mkdir()
    Path("people.csv").rename("data/people.csv")
    synthpriv("release", "data/people.csv", *FIT, "--out", "o").failed("ledger", "read-only", "--ledger")
    synthpriv("release", "data/people.csv", *FIT, "--ledger", "l.sqlite", "--out", "data/o").failed(
        "read-only"
    )
    assert names(folder) == {"people.toml", "data"}


def test_an_interrupted_first_ledger_is_begun_again(folder: Path, synthpriv: Command) -> None:
    Path("people.ledger.sqlite").touch()
    assert synthpriv("fit", "people.csv", *FIT, "--out", "saved").code == 0
    assert synthpriv("ledger", "verify", "people.ledger.sqlite").code == 0


def test_a_ledger_keeps_its_budget_and_its_table(released: tuple[Path, Ran], synthpriv: Command) -> None:
    before = Path("people.ledger.sqlite").read_bytes()
    again = ("release", "people.csv", *FIT, "--out", "again")
    synthpriv(*again, "--budget-epsilon", "99").failed("set once", "16")
    pd.read_csv("people.csv").head(1999).to_csv("people.csv", index=False)
    synthpriv(*again).failed("LedgerError", "other rows")
    assert Path("people.ledger.sqlite").read_bytes() == before
    assert not Path("again").exists()


def test_a_changed_ledger_is_refused(released: tuple[Path, Ran], synthpriv: Command) -> None:
    path = Path("people.ledger.sqlite")
    path.write_bytes(path.read_bytes().replace(b"laplace", b"LAPLACE", 1))
    for command in ("show", "verify", "export"):
        synthpriv("ledger", command, path).failed("LedgerError")
    synthpriv("release", "people.csv", *FIT, "--out", "again").failed("LedgerError")
    synthpriv("ledger", "show", "nowhere.sqlite").failed("nowhere.sqlite")
    synthpriv("ledger", "show", "people.csv").failed("LedgerError", "people.csv")
    synthpriv("ledger", "show", "shared").failed("folder")


def test_damaged_synthesizers_are_refused(released: tuple[Path, Ran], synthpriv: Command) -> None:
    description = Path("shared/synthesizer/synthesizer.json")
    weights = Path("shared/synthesizer/weights.safetensors")
    whole = description.read_bytes()
    sample = ("sample", "shared", "-n", 5, "--out", "s.csv")
    for damaged in (
        b"",
        whole[: len(whole) // 2],
        b"\xff" + whole[1:],
        b"[]",
        whole.replace(b"2000", b"20x0"),
    ):
        description.write_bytes(damaged)
        synthpriv(*sample).failed("BundleError")
    changed = json.loads(whole)
    changed["config"]["epsilom"] = 1
    description.write_text(json.dumps(changed))
    synthpriv(*sample).failed("BundleError", "epsilom")
    description.write_bytes(whole)
    tensors = weights.read_bytes()
    for damaged in (b"", tensors[:9], b"\xff" * 64):
        weights.write_bytes(damaged)
        synthpriv(*sample).failed("BundleError", "safetensors")
    weights.unlink()
    synthpriv(*sample).failed("BundleError", "weights.safetensors")
    synthpriv("sample", "people.csv", "--out", "s.csv").failed("BundleError", "folder")
    synthpriv("sample", "shared", "-n", 0, "--out", "s.csv").failed("-n", code=2)
    assert not Path("s.csv").exists()


def test_outputs_have_a_place_to_go(released: tuple[Path, Ran], synthpriv: Command) -> None:
    synthpriv("sample", "shared", "--out", "nowhere/s.csv").failed("nowhere")
    synthpriv("sample", "shared", "--out", "people.csv/s.csv").failed("people.csv")
    synthpriv("sample", "shared", "--out", "s.xls").failed("s.xls", ".parquet")
    synthpriv("sample", "shared", "--out", "s.data", "--format", "xls").failed("'xls'")
    synthpriv("schema", "draft", "people.csv", "--out", "nowhere/d.toml").failed("nowhere")
    page = ("evaluate", "people.csv", "shared/synthetic.csv", "--page")
    synthpriv(*page, "people.csv").failed("overwrite")
    synthpriv(*page, "nowhere/page.html").failed("nowhere")


def test_evaluate_refuses_what_it_cannot_judge(released: tuple[Path, Ran], synthpriv: Command) -> None:
    schema = ("--schema", "people.toml")
    Path("other.csv").write_text("x,y\n1,2\n")
    synthpriv("evaluate", "people.csv", "other.csv", *schema).failed(
        "EvaluationError", "columns of the schema"
    )
    synthpriv("evaluate", "people.csv", "nowhere.csv").failed("TableError", "nowhere.csv")
    synthpriv("evaluate", "nowhere.csv", "people.csv").failed("TableError", "nowhere.csv")
    synthpriv("evaluate", "other.csv", "people.csv", *schema).failed("TableError", "'x'")
    target = ("evaluate", "people.csv", "shared/synthetic.csv", *schema, "--target")
    synthpriv(*target, "nobody").failed("'nobody'")


def test_debug_shows_the_traceback(synthpriv: Command) -> None:
    with pytest.raises(Exception, match="nowhere"):
        synthpriv("verify", "nowhere", "--debug")


@pytest.mark.parametrize("size", ["much", "2 iB", "-1MiB", "1e3", ""])
def test_a_memory_limit_is_a_size(folder: Path, synthpriv: Command, size: str) -> None:
    for command in (("fit", "people.csv", *FIT, "--out", "x"), ("evaluate", "people.csv", "people.csv")):
        words = (*command, "--memory-limit", size)
        words = words if command[0] == "fit" else (*words, "--schema", "people.toml")
        synthpriv(*words).failed("--memory-limit must be a number of bytes, KiB, MiB or GiB", "2GiB")
    assert not (folder / "people.ledger.sqlite").exists()
