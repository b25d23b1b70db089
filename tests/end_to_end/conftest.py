"""The real command line inside this process, and folders with a small table for it to work on."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from synthpriv.cli import main
from synthpriv.evaluation import shadows
from synthpriv.evaluation.effort import Effort
from synthpriv.schema import Schema
from tests.conftest import make_people


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def failed(self, *words: str, code: int = 1) -> None:
        """Assert one sentence on stderr that holds `words`, nothing on stdout, and no traceback."""
        assert (self.code, self.out) == (code, ""), self
        assert "Traceback" not in self.err
        assert "unexpected" not in self.err, self.err
        for word in words:
            assert word in self.err, self.err
        if code == 1:
            assert self.err.count("\n") == 1, self.err


def run(*arguments: object) -> Ran:
    """Run `synthpriv` with these arguments as the installed command does."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["synthpriv", *map(str, arguments)]
    code = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.argv = before
    return Ran(code=code, out=out.getvalue(), err=err.getvalue())


Command = Callable[..., Ran]


@pytest.fixture(scope="session", autouse=True)
def no_fits() -> Iterator[None]:
    """A release here makes no shadow fits, each of which takes a second, but where a test asks for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(shadows.FITS, Effort.standard, 0)
        yield


@pytest.fixture(scope="session")
def synthpriv() -> Command:
    return run


@pytest.fixture(scope="session")
def _people_files(tmp_path_factory: pytest.TempPathFactory, people_schema: Schema) -> Path:
    folder = tmp_path_factory.mktemp("people")
    make_people(2000).to_csv(folder / "people.csv", index=False)
    people_schema.write(folder / "people.toml")
    return folder


@pytest.fixture
def folder(_people_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with people.csv (2,000 rows) and its confirmed schema people.toml."""
    shutil.copytree(_people_files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


FIT = ("--schema", "people.toml", "--epsilon", "8", "--delta", "1e-6", "--synthesizer", "independent")


@pytest.fixture(scope="session")
def _released(_people_files: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    folder = tmp_path_factory.mktemp("released")
    shutil.copytree(_people_files, folder, dirs_exist_ok=True)
    with contextlib.chdir(folder):
        return folder, run("release", "people.csv", *FIT, "--budget-epsilon", "16", "--out", "shared")


@pytest.fixture
def released(
    _released: tuple[Path, Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Ran]:
    """A copy of a folder in which one release at epsilon 8 of 16 was approved, and what it said."""
    shutil.copytree(_released[0], tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path, _released[1]


def names(folder: Path) -> set[str]:
    """What lies in a folder, hidden or not."""
    return {path.name for path in folder.iterdir()}
