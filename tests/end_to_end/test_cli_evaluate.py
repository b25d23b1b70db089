"""`synthpriv evaluate` alone, on tables from anywhere: its exit code follows the figures."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pandas as pd
import pytest

from synthpriv.release.json_schema import PUBLISHED
from tests.conftest import make_people
from tests.end_to_end.conftest import FIT, Command, Ran

QUICK = ("--schema", "people.toml", "--effort", "quick", "--holdout", "held_out.csv")


@pytest.fixture
def tables(folder: Path) -> Path:
    """people.csv, held_out.csv that it does not hold, fresh.csv of other people, and copied.csv."""
    make_people(1200, 11).to_csv("held_out.csv", index=False)
    make_people(1500, 12).to_csv("fresh.csv", index=False)
    pd.read_csv("people.csv").to_csv("copied.csv", index=False)
    return folder


def test_without_a_claim_the_figures_decide_and_nothing_is_approved(tables: Path, synthpriv: Command) -> None:
    good = synthpriv("evaluate", "people.csv", "fresh.csv", *QUICK, "--page", "page.html")
    assert (good.code, good.err) == (0, ""), good
    assert "PASSED  with" in good.out
    assert "no claim was judged" in good.out
    assert "APPROVED" not in good.out
    assert "NOT_PRIVATE" not in good.out
    page = Path("page.html").read_text(encoding="utf-8")
    assert "<h1>PASSED</h1>" in page
    assert "This approves no release" in page
    assert "NOT PRIVATE" not in page
    bad = synthpriv("evaluate", "people.csv", "copied.csv", *QUICK)
    assert bad.code == 3
    assert "FAILED  " in bad.out
    assert "training rows" in bad.out


def test_json_keeps_to_the_published_schema(tables: Path, synthpriv: Command) -> None:
    ran = synthpriv("evaluate", "people.csv", "fresh.csv", *QUICK, "--json")
    jsonschema.validate(ran.json, json.loads(PUBLISHED.read_text(encoding="utf-8")))
    decision = ran.json["decision"]
    assert (decision["judged"], decision["approved"], decision["passed"]) == ("tables", False, True)
    assert decision["reasons"].startswith("passed: warn release.claim: no claim was judged")


def test_a_claim_is_taken_at_its_word_and_held_against_the_attacks(tables: Path, synthpriv: Command) -> None:
    claim = ("--epsilon", "1", "--delta", "1e-6", "--json")
    decision = synthpriv("evaluate", "people.csv", "copied.csv", *QUICK, *claim).json["decision"]
    assert "ceiling of the claim" in {
        rule.partition("at most ")[2] for rule in (check["rule"] for check in decision["checks"])
    }
    assert "is taken at its word" in decision["reasons"]
    assert not decision["approved"]


def test_junit_tells_every_check(tables: Path, synthpriv: Command) -> None:
    ran = synthpriv("evaluate", "people.csv", "copied.csv", *QUICK, "--json", "--junit", "checks.xml")
    [suite] = ElementTree.parse("checks.xml").getroot()
    checks = ran.json["decision"]["checks"]
    verdicts = [check["verdict"] for check in checks]
    assert len(suite.findall("testcase")) == len(checks)
    assert len(suite.findall("testcase/failure")) == verdicts.count("fail") > 0
    assert len(suite.findall("testcase/skipped")) == verdicts.count("warn") > 0
    names = [case.attrib["name"] for case in suite.findall("testcase")]
    assert len(set(names)) == len(names)
    synthpriv("evaluate", "people.csv", "fresh.csv", "--junit", "people.csv").failed("overwrite")


@pytest.mark.slow
def test_held_out_rows_that_may_be_trained_on_are_told(tables: Path, synthpriv: Command) -> None:
    ran = synthpriv("evaluate", "people.csv", "copied.csv", "--effort", "quick", "--json")
    told = {check["figure"]: check["verdict"] for check in ran.json["decision"]["checks"]}
    assert told["release.holdout"] == "warn"
    assert "release.schema" not in told
    assert any("drafted from the real table" in note for note in ran.json["scorecard"]["notes"])


@pytest.mark.slow
def test_a_release_writes_the_same_two_forms(folder: Path, synthpriv: Command) -> None:
    ran = synthpriv(
        "release", "people.csv", *FIT, "--effort", "quick", "--out", "shared", "--junit", "c.xml", "--json"
    )
    assert ran.code == 0, ran
    assert ran.json["attempts"] == 1
    [suite] = ElementTree.parse("c.xml").getroot()
    assert suite.attrib["failures"] == "0"
    stored = json.loads(Path("shared.internal/scorecard.json").read_text())
    jsonschema.validate(stored, json.loads(PUBLISHED.read_text(encoding="utf-8")))
    assert (stored["decision"]["judged"], stored["decision"]["approved"]) == ("release", True)


def test_the_ledger_shows_attempts_and_verdicts(released: tuple[Path, Ran], synthpriv: Command) -> None:
    shown = synthpriv("ledger", "show", "people.ledger.sqlite").out
    assert "1 attempt at the gate: 1 approved." in shown
    table = shown.partition("At the gate")[2].partition("Recorded")[0]
    assert [line.split()[-1] for line in table.strip().splitlines()[1:]] == ["attempt", "approved"]
