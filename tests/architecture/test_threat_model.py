"""The threat model's table names all 35 requirements, and only files and tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (\d+) \| ([^|]+) \| `([^`|]+)` \| ((?:`[^`|]+`(?:, )?)+) \|$", re.MULTILINE)


def rows(text: str) -> dict[int, tuple[str, list[str]]]:
    """Requirement -> the file that meets it, the tests that would catch its breach."""
    return {
        int(number): (file, re.findall(r"`([^`]+)`", tests)) for number, _, file, tests in ROW.findall(text)
    }


def missing(found: dict[int, tuple[str, list[str]]]) -> list[str]:
    """What the table names and the tree does not hold."""
    lost = [f"requirement {number}" for number in range(1, 36) if number not in found]
    for file, tests in found.values():
        lost += [] if (ROOT / file).is_file() else [file]
        for test in tests:
            path, _, name = test.partition("::")
            source = ROOT / path
            functions = (
                {
                    node.name
                    for node in ast.walk(ast.parse(source.read_text()))
                    if isinstance(node, ast.FunctionDef)
                }
                if source.is_file()
                else set()
            )
            lost += [] if name in functions else [test]
    return lost


def test_the_table_names_real_files_and_real_tests() -> None:
    found = rows((ROOT / "docs" / "threat-model.md").read_text())
    assert missing(found) == []


def test_an_invented_test_a_lost_file_and_a_gap_are_noticed() -> None:
    found = rows((ROOT / "docs" / "threat-model.md").read_text())
    found[3] = ("synthpriv/nowhere.py", ["tests/unit/test_planning.py::test_that_is_not_there"])
    del found[7]
    assert missing(found) == [
        "requirement 7",
        "synthpriv/nowhere.py",
        "tests/unit/test_planning.py::test_that_is_not_there",
    ]
