"""A decision for machines: the published JSON schema holds, and no name breaks the JUnit file."""

from __future__ import annotations

import json
import math
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pandas as pd
import pytest

from synthpriv.evaluation.disclosed import Disclosed
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.scorecard import Scorecard, evaluate
from synthpriv.release.decision import Check, Decision, to_document
from synthpriv.release.facts import ReleaseFacts
from synthpriv.release.json_schema import PUBLISHED, json_schema
from synthpriv.release.junit import to_junit
from synthpriv.release.policy import Policy
from synthpriv.schema import Categorical, Integer, Schema

SCHEMA = Schema(
    columns={"age": Integer(lower=0, upper=9, nullable=True), "rich": Categorical(categories=["no", "yes"])},
    targets=("rich",),
)
HOSTILE = (
    "]]><evil a='b'>&amp;",
    "\x00\x01\x1b[31m",
    "\ud800 lone",
    "\ufffe\uffff",
    "a\nb\t\r",
    '"quoted"',
    "<!--",
    "\U0001f600 ﷽",
)


def people(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.integers(0, 10, rows)
    table = pd.DataFrame({"age": pd.Series(age, dtype="Int64"), "rich": np.where(age > 5, "yes", "no")})
    return table.assign(age=table["age"].mask(pd.Series(rng.random(rows) < 0.1)))


def judged(rows: int) -> tuple[Scorecard, Decision]:
    real = Disclosed(schema=SCHEMA, train=people(100, 1), holdout=people(rows, 2))
    card = evaluate(people(60, 3), real, effort=Effort.quick)
    facts = ReleaseFacts.of_tables(math.inf, 0.0, own_holdout=True)
    return card, Policy.default().decide(card, facts)


def decision(*names: str) -> Decision:
    checks = tuple(
        Check(
            figure=f"utility.auc[{name}]", rule="at least 0.5", value=math.nan, verdict=verdict, reason=name
        )
        for name in names
        for verdict in ("pass", "warn", "fail")
    )
    return Decision.of(checks)


@pytest.mark.parametrize("rows", [60, 1])
def test_the_published_schema_describes_what_is_written(rows: int) -> None:
    document = json.loads(json.dumps(to_document(*judged(rows)), allow_nan=False))
    jsonschema.Draft202012Validator(json_schema()).validate(document)
    assert document["version"] == 1
    assert document["scorecard"]["epsilon"] is None


@pytest.mark.parametrize(
    "breach",
    [
        lambda document: document.pop("version"),
        lambda document: document.update(version=2),
        lambda document: document["decision"].update(judged="nothing"),
        lambda document: document["decision"]["checks"][0].pop("rule"),
        lambda document: document["scorecard"].update(more=1),
        lambda document: document["scorecard"]["estimates"]["privacy.copies"].update(value="inf"),
    ],
)
def test_the_published_schema_refuses_anything_else(breach) -> None:  # type: ignore[no-untyped-def]
    document = json.loads(json.dumps(to_document(*judged(1))))
    breach(document)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, json_schema())


def test_the_published_file_is_drawn_from_the_types() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == json_schema(), (
        "run python -m synthpriv.release.json_schema"
    )


def test_numbers_that_are_not_finite_are_null() -> None:
    card, _ = judged(1)
    found = decision("x").to_dict()
    assert [check["value"] for check in found["checks"]] == [None] * 3
    json.dumps(to_document(card, decision("x")), allow_nan=False)


@pytest.mark.parametrize("name", HOSTILE)
def test_junit_survives_hostile_names(name: str) -> None:
    made = decision(name, "plain")
    text = to_junit(made, name)
    root = ElementTree.fromstring(text.encode("utf-8"))
    [suite] = root
    cases = suite.findall("testcase")
    assert len(cases) == int(suite.attrib["tests"]) == int(root.attrib["tests"]) == 6
    assert [len(suite.findall(f"testcase/{kind}")) for kind in ("failure", "skipped")] == [2, 2]
    assert (suite.attrib["failures"], suite.attrib["skipped"]) == ("2", "2")
    assert not suite.findall(".//evil")
    assert all(case.attrib["name"].startswith("utility.auc[") for case in cases)
    if name.isprintable() and "\n" not in name:
        assert cases[0].attrib["name"] == f"utility.auc[{name}]: at least 0.5"


def test_junit_carries_figure_interval_and_threshold() -> None:
    check = Check(
        figure="fidelity.tvd1",
        rule="at most 0.1",
        value=0.2,
        low=0.1,
        high=0.3,
        threshold=0.1,
        verdict="fail",
        reason="r",
    )
    text = to_junit(Decision.of((check,)), "suite")
    assert "value 0.2\nlow 0.1\nhigh 0.3\nthreshold 0.1\nr" in text
    assert 'failure message="r" type="policy"' in text
