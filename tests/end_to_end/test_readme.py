"""The README and the pages of docs/ say what works: their code blocks run, their links lead somewhere.

Blocks of one page run in order in one folder, with one Python namespace, on a sample of the public table
(1,500 rows), so that what a reader would type is what is tested.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from synthpriv.cli import main
from synthpriv.evaluation import shadows
from synthpriv.evaluation.effort import Effort
from synthpriv.release.policy import Policy
from synthpriv.schema import Schema

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CHANGELOG.md"]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
LANGUAGES = {"python", "console", "toml", "text"}
NOT_RUN = ("make", "pip", "git", "cd")


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text and the line it starts at."""

    language: str
    text: str
    line: int


def blocks(page: str) -> Iterator[Block]:
    for match in FENCE.finditer(page):
        yield Block(match[1], match[2], page[: match.start()].count("\n") + 1)


def commands(block: str) -> Iterator[tuple[list[str], int]]:
    """The commands of a console block, continued lines joined, and the '# exit code N' each ends with."""
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        code = re.search(r"# exit code (\d+)", line)
        if words:
            yield words, int(code[1]) if code else 0


def run_command(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of one synthpriv command, run in this process."""
    monkeypatch.setattr(sys, "argv", words)
    try:
        main()
    except SystemExit as exit:
        return int(exit.code or 0)
    return 0


def run_block(block: Block, namespace: dict[str, Any], where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if block.language == "python":
        exec(compile(block.text, where, "exec"), namespace)
    elif block.language == "toml":
        check_toml(block.text)
    elif block.language == "console":
        for words, code in commands(block.text):
            if words[0] == "torchrun":  # what it starts, in one process; two are tested in test_processes
                words = words[words.index("synthpriv") :]
            if words[0] == "synthpriv":
                assert run_command(words, monkeypatch) == code, f"{where}: {shlex.join(words)}"
            else:
                assert words[0] in NOT_RUN, f"{where}: a page may not ask for {words[0]!r}"
                check_command(words)


def check_toml(text: str) -> None:
    """A schema or a policy, by its tables; a first line '# NAME.toml' writes it for later blocks."""
    data = tomllib.loads(text)
    Policy.from_dict(data) if "privacy" in data else Schema.from_dict(data)
    name = re.match(r"# (\S+\.toml)\n", text)
    if name:
        Path(name[1]).write_text(text, encoding="utf-8")


def check_command(words: list[str]) -> None:
    """What is not run: make has the targets, pip's files exist."""
    if words[0] == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert set(words[1:]) <= set(targets)
    if words[0] == "pip":
        assert all((ROOT / word).exists() for word in words if word.endswith(".txt"))


@pytest.fixture(scope="module")
def sample_of_adult() -> pd.DataFrame:
    return pd.read_csv(ROOT / "datasets" / "adult.csv.gz", keep_default_na=False)[:1500]


@pytest.fixture
def workspace(tmp_path: Path, sample_of_adult: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with datasets/, as a clone has it, but small."""
    (tmp_path / "datasets").mkdir()
    shutil.copy(ROOT / "datasets" / "adult.toml", tmp_path / "datasets" / "adult.toml")
    sample_of_adult.to_csv(tmp_path / "datasets" / "adult.csv.gz", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_blocks_of_a_page_run(page: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    if page.name == "README.md":
        monkeypatch.setitem(shadows.FITS, Effort.standard, shadows.FEWEST_FITS)
    for block in blocks(page.read_text(encoding="utf-8")):
        assert block.language in LANGUAGES, f"{page.name}:{block.line} has no known language"
        run_block(block, namespace, f"{page.name}:{block.line}", monkeypatch)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_starts_with_the_job_the_two_commands_and_the_picture() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    places = [text.index(part) for part in ("synthetic table", "make demo", "make test", "docs/report.png")]
    first_python = text.index("```python")
    assert places == sorted(places)
    assert places[-1] < first_python < text.index("## What the claim covers")
    assert "synthpriv-release" in text


@pytest.mark.parametrize(
    "planted",
    [
        Block("python", "1 / 0", 1),
        Block("toml", "[privacy]\nmax_epsilom = 1", 1),
        Block("toml", "[columns.age]\nkind = 'integer'", 1),
        Block("console", "synthpriv plan --epsilon 3", 1),
        Block("console", "make demonstration", 1),
        Block("console", "curl something", 1),
    ],
    ids=lambda block: block.text[:20],
)
def test_a_block_that_does_not_work_is_noticed(
    planted: Block, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Exception):  # noqa: B017
        run_block(planted, {}, "planted", monkeypatch)
