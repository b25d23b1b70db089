"""A decision as JUnit XML, which continuous integration systems show: one test case per check."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from synthpriv.release.decision import Check, Decision

# what XML 1.0 cannot hold, escaped or not
UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_junit(decision: Decision, name: str) -> str:
    """The decision as a test suite called `name`: a failure fails, a warning is skipped and says why.

    Internal, like the figures in it. A test case is named by figure and rule, which stay the same from run to
    run; its numbers are in its output.
    """
    verdicts = [check.verdict for check in decision.checks]
    totals = {"tests": str(len(verdicts)), "failures": str(verdicts.count("fail")), "errors": "0"}
    root = ElementTree.Element("testsuites", {"name": "synthpriv", **totals})
    suite = ElementTree.SubElement(
        root, "testsuite", {"name": _text(name), **totals, "skipped": str(verdicts.count("warn"))}
    )
    for check in decision.checks:
        _add(suite, check)
    ElementTree.SubElement(suite, "system-out").text = _text(decision.reasons)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _add(suite: ElementTree.Element, check: Check) -> None:
    group = check.figure.partition(".")[0]
    title = f"{check.figure}: {check.rule}" if check.rule else check.figure
    case = ElementTree.SubElement(
        suite, "testcase", {"classname": _text(f"synthpriv.{group}"), "name": _text(title), "time": "0"}
    )
    if check.verdict != "pass":
        kind = "failure" if check.verdict == "fail" else "skipped"
        found = ElementTree.SubElement(case, kind, {"message": _text(check.reason)})
        if kind == "failure":
            found.set("type", "policy")
    numbers = {"value": check.value, "low": check.low, "high": check.high, "threshold": check.threshold}
    lines = [f"{name} {number:.6g}" for name, number in numbers.items() if number is not None]
    ElementTree.SubElement(case, "system-out").text = _text("\n".join([*lines, check.reason]))


def _text(value: str) -> str:
    """The text with the characters that no XML may hold replaced; ElementTree escapes the rest."""
    return UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", value)
