"""The way of a newcomer through the command line, on a table of 2,000 people."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from synthpriv.schema import Schema
from tests.end_to_end.conftest import FIT, Command, Ran, names

STRICT = """
[privacy]
max_epsilon = 0.5
max_delta = 1e-5
"""
LAX = """
[privacy]
max_epsilon = inf
max_delta = 1e-5
require_private = false
"""


def test_a_drafted_schema_is_confirmed_and_checked(folder: Path, synthpriv: Command) -> None:
    drafted = synthpriv("schema", "draft", "people.csv", "--out", "draft.toml")
    assert drafted.code == 0
    assert "7 columns, 7 unconfirmed" in drafted.out
    text = Path("draft.toml").read_text()
    assert "PRIVATE until a person has confirmed" in text
    synthpriv("schema", "draft", "people.csv", "--out", "draft.toml").failed("overwrite", "draft.toml")
    assert Path("draft.toml").read_text() == text
    confirmed = text.replace("confirmed = false\n", "").replace("upper = 90\n", "upper = 110\n")
    Path("mine.toml").write_text(confirmed)
    assert Schema.read("mine.toml").unconfirmed == ()
    checked = synthpriv("schema", "check", "people.csv", "--schema", "mine.toml")
    assert (checked.code, checked.out, checked.err) == (0, "The table matches the schema.\n", "")
    unconfirmed = synthpriv("schema", "check", "people.csv", "--schema", "draft.toml")
    assert "Not confirmed by a person yet: id, age" in unconfirmed.out


def test_every_mismatch_is_listed_at_once(folder: Path, synthpriv: Command) -> None:
    table = pd.read_csv("people.csv").rename(columns={"city": "town"}).drop(columns="member")
    table.loc[3, "age"] = 200
    table.to_csv("odd.csv", index=False)
    checked = synthpriv("schema", "check", "odd.csv", "--schema", "people.toml", "--json")
    assert checked.code == 1
    found = {(m["column"], m["rows"]) for m in checked.json["mismatches"]}
    assert found == {("town", 2000), ("city", 2000), ("member", 2000), ("age", 1)}
    words = synthpriv("schema", "check", "odd.csv", "--schema", "people.toml")
    assert "4 problems." in words.out
    table[["town"]].to_csv("foreign.csv", index=False)
    foreign = synthpriv("schema", "check", "foreign.csv", "--schema", "people.toml", "--json")
    assert len(foreign.json["mismatches"]) == 8


def test_categories_that_look_missing_stay_categories_in_a_check(folder: Path, synthpriv: Command) -> None:
    Path("t.csv").write_text("code,x\nNA,1\nDE,2\n")
    Path("t.toml").write_text('[columns.code]\nkind = "categorical"\ncategories = ["NA", "DE"]\n')
    checked = synthpriv("schema", "check", "t.csv", "--schema", "t.toml", "--json")
    assert [m["column"] for m in checked.json["mismatches"]] == ["x"]


def test_a_plan_reads_no_table(folder: Path, synthpriv: Command) -> None:
    arguments = ("plan", "--schema", "people.toml", "--rows", 40000, "--epsilon", "3", "--delta", "1e-6")
    assert "mixture, because" in synthpriv(*arguments).out
    chosen = synthpriv(*arguments, "--json").json
    assert (chosen["synthesizer"], chosen["rows"]) == ("mixture", 40000)
    assert chosen["marginal_noise_scale"] > 0
    arguments = (*arguments, "--synthesizer", "vae")
    assert "noise multiplier" in synthpriv(*arguments).out
    facts = synthpriv(*arguments, "--json").json
    assert "chosen" not in facts
    assert facts["rows"] == 40000
    assert facts["noise_multiplier"] > 0
    without = ("plan", "--schema", "people.toml", "--rows", 40000, "--epsilon")
    assert synthpriv(*without, "inf", "--synthesizer", "vae", "--json").json["noise_multiplier"] == 0
    synthpriv(*without, "3").failed("delta above 0")
    small = ("plan", "--schema", "people.toml", "--rows", 40, "--epsilon", "0.1", "--delta", "1e-6")
    synthpriv(*small).failed("InfeasiblePlan", "40 rows", "what would work")


def test_a_release_says_five_lines(released: tuple[Path, Ran]) -> None:
    folder, ran = released
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert [line.split()[0] for line in lines] == ["APPROVED", "Quality", "Cost", "Bundle", "Open"]
    assert "8 of the table's 16 is left" in lines[2]
    assert "shared.internal/report.html (internal" in lines[4]
    assert (folder / "shared.internal" / "report.html").is_file()
    expected = {
        "synthetic.csv",
        "page.html",
        "schema.toml",
        "synthesizer",
        "ledger.json",
        "manifest.json",
        "manifest.sha256",
    }
    assert names(folder / "shared") == expected
    assert names(folder) == {
        "people.csv",
        "people.toml",
        "people.ledger.sqlite",
        "people.ledger.sqlite.key",
        "shared",
        "shared.internal",
    }


def test_a_share_of_the_budget_pays_for_figures_on_the_page(folder: Path, synthpriv: Command) -> None:
    facts = ("--schema", "people.toml", "--synthesizer", "independent", "--delta", "1e-6")
    synthpriv("plan", *facts, "--epsilon", 8, "--rows", 1500, "--report-share", 0.9).failed("in 0..0.5")
    planned = synthpriv("plan", *facts, "--epsilon", 8, "--rows", 1500, "--report-share", 0.1, "--json").json
    assert planned["published_histograms"] == 6 + 10 + 4
    bare = ("release", "people.csv", *facts, "--effort", "quick")
    synthpriv(*bare, "--epsilon", "inf", "--report-share", 0.1, "--out", "a").failed("finite epsilon")
    assert names(folder) == {"people.csv", "people.toml"}
    ran = synthpriv(*bare, "--epsilon", 8, "--report-share", 0.1, "--out", "shared")
    assert ran.code == 0, ran.err
    assert "Claim: epsilon 8, delta 1e-06" in synthpriv("verify", "shared").out
    page = (folder / "shared" / "page.html").read_text(encoding="utf-8")
    ledger = json.loads((folder / "shared" / "ledger.json").read_bytes())
    [paid] = [entry for entry in ledger["entries"] if entry.get("label") == "published figures"]
    assert f'href="#entry-{paid["sequence"]}"' in page
    assert "A model of bought" in page
    assert synthpriv("ledger", "show", "people.ledger.sqlite", "--json").code == 0


def test_a_bundle_is_verified_and_sampled(released: tuple[Path, Ran], synthpriv: Command) -> None:
    assert "Claim: epsilon 8, delta 5e-07, unit: one row" in synthpriv("verify", "shared").out
    verified = synthpriv("verify", "shared", "--json").json
    assert verified["verified"] is True
    assert verified["claim"]["mark"] == "DIFFERENTIALLY PRIVATE"
    schema = Schema.read("shared/schema.toml")
    made = synthpriv("sample", "shared", "-n", 50, "--seed", 1, "--out", "a.parquet", "--json")
    assert made.json == {"rows": 50, "out": "a.parquet", "private": True}
    assert list(pd.read_parquet("a.parquet").columns) == list(schema.columns)
    synthpriv("sample", "shared/synthesizer", "-n", 50, "--seed", 1, "--out", "b.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet("a.parquet"), pd.read_parquet("b.parquet"))
    synthpriv("sample", "shared", "--out", "people.csv").failed("overwrite", "people.csv")


def test_samples_meet_several_conditions(released: tuple[Path, Ran], synthpriv: Command) -> None:
    conditions = ("--where", "age=40 and member", "--where", "income is missing")
    said = synthpriv("sample", "shared", "-n", 20, *conditions, "--out", "a.csv").out
    assert said.startswith("Wrote 20 rows to a.csv. The conditions have probability 0.0")
    told = synthpriv("sample", "shared", "-n", 5, *conditions, "--out", "c.csv", "--json").json
    assert 0 < told["probability"] < 0.1
    assert told["effective"] == 1.0
    found = pd.read_csv("a.csv")
    assert (found.age == 40).all()
    assert found.member.all()
    assert found.income.isna().all()
    sample = ("sample", "shared", "--out", "b.csv", "--where")
    synthpriv(*sample, "income=-1").failed("domain", "income")
    synthpriv(*sample, "agee=4").failed("'age'")
    synthpriv(*sample, "age").failed("compare something", "age >= 60")
    synthpriv(*sample, "age=4", "--where", "age=5").failed("age", "nothing left")


def test_the_ledger_is_shown_verified_and_exported(released: tuple[Path, Ran], synthpriv: Command) -> None:
    shown = synthpriv("ledger", "show", "people.ledger.sqlite")
    assert "Left for new releases: epsilon 8, delta 5e-07" in shown.out
    assert "release review" in shown.out
    assert max(map(len, shown.out.splitlines()[:-2])) <= 80
    assert "+00:00" not in shown.out
    entries = synthpriv("ledger", "show", "people.ledger.sqlite", "--json").json["entries"]
    assert synthpriv("ledger", "export", "people.ledger.sqlite").json["entries"] == entries
    verified = synthpriv("ledger", "verify", "people.ledger.sqlite", "--json").json
    assert verified == {"verified": True, "digest": entries[-1]["digest"]}
    assert verified["digest"] in synthpriv("ledger", "verify", "people.ledger.sqlite").out


@pytest.mark.slow
def test_a_second_release_adds_and_a_third_is_refused(released: tuple[Path, Ran], synthpriv: Command) -> None:
    folder, _ = released
    second = synthpriv("release", "people.csv", *FIT, "--budget-epsilon", "16", "--out", "again", "--json")
    assert second.code == 0
    assert second.json["epsilon_left"] == 0
    assert 8 < second.json["epsilon_spent_total"] <= 16
    assert second.json["bundle"] == "again"
    before = Path("people.ledger.sqlite").read_bytes()
    synthpriv("release", "people.csv", *FIT, "--out", "third").failed("BudgetExceeded", "epsilon 0")
    synthpriv("fit", "people.csv", *FIT, "--out", "third").failed("BudgetExceeded", "epsilon 0")
    assert Path("people.ledger.sqlite").read_bytes() == before
    assert not {name for name in names(folder) if "third" in name}


@pytest.mark.slow
def test_a_refused_release_leaves_its_page_only(folder: Path, synthpriv: Command) -> None:
    Path("strict.toml").write_text(STRICT)
    ran = synthpriv("release", "people.csv", *FIT, "--policy", "strict.toml", "--out", "shared")
    assert (ran.code, ran.err) == (3, "")
    assert ran.out.startswith("REFUSED  the claimed epsilon 8 must be at most 0.5\n")
    assert "nothing may leave" in ran.out
    assert names(folder / "shared.internal") == {"report.html", "scorecard.json"}
    assert not (folder / "shared").exists()
    assert not {name for name in names(folder) if name.startswith(".")}


@pytest.mark.slow
def test_an_infinite_epsilon_is_marked_everywhere(folder: Path, synthpriv: Command) -> None:
    fit = ("--schema", "people.toml", "--epsilon", "inf", "--synthesizer", "independent")
    ran = synthpriv("release", "people.csv", *fit, "--out", "refused")
    assert ran.code == 3
    assert ran.out.startswith("REFUSED NOT_PRIVATE")
    assert "NOT PRIVATE" in Path("refused.internal/report.html").read_text().replace(
        "NOT_PRIVATE", "NOT PRIVATE"
    )
    assert not Path("refused").exists()
    Path("lax.toml").write_text(LAX)
    lax = ("--policy", "lax.toml", "--ledger", "lax.sqlite", "--out", "lax", "--json")
    said = synthpriv("release", "people.csv", *fit, *lax).json
    assert (said["approved"], said["mark"], said["epsilon"]) == (True, "NOT_PRIVATE", None)
    claim = json.loads(Path("lax/manifest.json").read_text())["claim"]
    assert (claim["private"], claim["mark"], claim["epsilon"]) == (False, "NOT_PRIVATE", None)
    assert "NOT_PRIVATE" in synthpriv("verify", "lax").out
    assert "NOT_PRIVATE" in synthpriv("sample", "lax", "-n", 5, "--out", "s.csv").out
    private = ("--schema", "people.toml", "--epsilon", "1", "--delta", "1e-6", "--out", "after")
    synthpriv("release", "people.csv", *private).failed("delta above 0", "--ledger")


@pytest.mark.slow
def test_a_drafted_schema_needs_consent_which_is_recorded(folder: Path, synthpriv: Command) -> None:
    synthpriv("schema", "draft", "people.csv", "--out", "draft.toml")
    fit = ("--schema", "draft.toml", *FIT[2:], "--out", "shared")
    for command in ("release", "fit"):
        synthpriv(command, "people.csv", *fit).failed("UnconfirmedSchema", "--accept-drafted-schema")
    assert names(folder) == {"people.csv", "people.toml", "draft.toml"}
    ran = synthpriv("release", "people.csv", *fit, "--accept-drafted-schema")
    assert ran.code == 0
    assert "domain read from the data" in ran.out
    assert "was read from the data" in Path("shared.internal/report.html").read_text()
    assert "drafted schema accepted" in synthpriv("ledger", "show", "people.ledger.sqlite").out
    assert "some of which were read from the data" in synthpriv("verify", "shared").out


@pytest.mark.slow
def test_a_vae_is_fitted_saved_sampled_and_judged(folder: Path, synthpriv: Command) -> None:
    fit = (*FIT[:-1], "vae")
    said = synthpriv("fit", "people.csv", *fit, "--out", "people.synth", "--json").json
    assert (said["private"], said["epsilon"], said["epsilon_left"]) == (True, 8.0, 0.0)
    assert synthpriv("sample", "people.synth", "-n", 1500, "--out", "synthetic.csv").code == 0
    claim = ("--epsilon", "8", "--delta", "1e-6", "--schema", "people.toml", "--page", "page.html")
    judged = synthpriv("evaluate", "people.csv", "synthetic.csv", *claim)
    assert judged.code == 0, judged
    assert "Internal: computed on real rows" in judged.out
    assert Path("page.html").stat().st_size > 10_000


@pytest.mark.slow
def test_any_table_can_be_judged_without_a_schema(folder: Path, synthpriv: Command) -> None:
    table = pd.read_csv("people.csv").sample(frac=1, random_state=0).drop(columns=["city", "id"])
    table.assign(shoe_size=40).to_csv("synthetic.csv", index=False)
    judged = synthpriv("evaluate", "people.csv", "synthetic.csv", "--json")
    assert judged.err == ""
    assert judged.json["decision"]["approved"] is False
    notes = " ".join(judged.json["scorecard"]["notes"])
    assert "city" in notes
    assert "shoe_size" in notes


def test_help_teaches_every_command_with_an_example(synthpriv: Command) -> None:
    commands = [
        ("release",),
        ("fit",),
        ("plan",),
        ("evaluate",),
        ("sample",),
        ("verify",),
        *(("schema", name) for name in ("draft", "check")),
        *(("ledger", name) for name in ("show", "verify", "export")),
    ]
    for command in commands:
        text = " ".join(synthpriv(*command, "--help").out.split())
        assert f"synthpriv {' '.join(command)}" in text.split("Example:")[1]
    top = synthpriv("--help").out
    assert all(command[0] in top for command in commands)
    assert "Exit codes" in top


@pytest.mark.slow
def test_the_installed_command_is_silent_in_a_pipe(folder: Path) -> None:
    command = [sys.executable, "-c", "from synthpriv.cli import main; main()"]
    version = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("synthpriv ")
    fit = [*command, "fit", "people.csv", *FIT, "--out", "saved", "--json"]
    ran = subprocess.run(fit, capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    assert json.loads(ran.stdout)["saved"] == "saved"


def test_a_release_under_a_tiny_memory_limit_is_a_release(folder: Path, synthpriv: Command) -> None:
    ran = synthpriv("release", "people.csv", *FIT, "--out", "shared", "--memory-limit", "1KiB", "--json")
    assert ran.code == 0, ran
    assert ran.json["approved"]
    assert ran.json["scorecard"]["rows"]["synthetic"] == len(pd.read_csv(folder / "shared/synthetic.csv"))
    assert synthpriv("verify", "shared").code == 0
    judged = synthpriv(
        "evaluate",
        "people.csv",
        "shared/synthetic.csv",
        "--schema",
        "people.toml",
        "--memory-limit",
        "1KiB",
        "--json",
    )
    assert judged.json["scorecard"]["rows"]["train"] + judged.json["scorecard"]["rows"]["holdout"] == 2000
    assert not [path for path in folder.iterdir() if path.name.endswith(".partial")]
