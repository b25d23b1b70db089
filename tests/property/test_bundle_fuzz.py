"""A bundle is data from a stranger: what `verify_bundle` accepts holds to its files, whatever was edited.

The stranger knows how bundles are made: every edited file is hashed and sealed anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

import synthpriv as sp
from synthpriv.errors import BundleError
from synthpriv.release.bundle import MANIFEST, SEAL, verify_bundle, write_bundle
from synthpriv.release.policy import Decision
from tests.conftest import make_people
from tests.property.hostile import assert_one_sentence, bounded, dump, edit, edits, explore


@pytest.fixture(scope="module")
def bundle(people_schema: sp.Schema, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole bundle of 40 synthetic rows."""
    folder = tmp_path_factory.mktemp("bundles")
    budget = sp.Budget(epsilon=5.0, delta=1e-5)
    ledger = sp.Ledger.open(folder / "ledger.sqlite", dataset="people", budget=budget)
    private = sp.PrivateTable(make_people(400), people_schema, ledger, rows=400)
    fitted = sp.IndependentSynthesizer(epsilon=5.0).fit(private)
    decision = Decision(approved=True, checks=())
    return write_bundle(folder / "release", fitted.sample(40), fitted, ledger, decision)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def seal(folder: Path, manifest: str) -> Path:
    (folder / MANIFEST).write_text(manifest)
    (folder / SEAL).write_text(digest(folder / MANIFEST) + "\n")
    return folder


def outcome(folder: Path, original: dict[str, Any]) -> str:
    """'refused' by one sentence, or 'accepted' with the original's claim; anything else fails the test."""
    with bounded():
        try:
            found = verify_bundle(folder)
        except BundleError as error:
            assert_one_sentence(error, longest=8000)
            return "refused"
    checked = {"private", "mark", "unit", "adjacency", "epsilon", "delta", "epsilon_replace_one"}
    for name in checked:
        assert found["claim"][name] == original["claim"][name]
        assert type(found["claim"][name]) is type(original["claim"][name])
    assert found["synthetic_rows"] == original["synthetic_rows"]
    assert set(found["files"]) == set(original["files"])
    return "accepted"


def copy_of(bundle: Path, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path / "x"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(bundle, folder)
    return folder, json.loads((bundle / MANIFEST).read_text())


def test_the_bundle_itself_is_accepted(bundle: Path, tmp_path: Path) -> None:
    assert outcome(*copy_of(bundle, tmp_path)) == "accepted"


def test_any_manifest(bundle: Path, tmp_path: Path) -> None:
    folder, original = copy_of(bundle, tmp_path)

    def case(edits: list[Any]) -> str:
        changed = json.loads(json.dumps(original))
        for change in edits:
            edit(changed, *change)
        return outcome(seal(folder, dump(changed)), original)

    outcomes = explore(case, 300, edits=edits)
    assert outcomes["refused"] > 100
    assert outcomes["accepted"] > 0  # an edited version number is nobody's claim


@pytest.mark.parametrize("name", ["ledger.json", "synthesizer/synthesizer.json"])
def test_any_file_of_json(bundle: Path, tmp_path: Path, name: str) -> None:
    def case(edits: list[Any]) -> str:
        folder, original = copy_of(bundle, tmp_path)
        content = json.loads((folder / name).read_text())
        for change in edits:
            edit(content, *change)
        return reseal(folder, original, name, dump(content).encode())

    assert explore(case, 100, edits=edits)["refused"] > 10


def test_an_edited_charge_is_refused(bundle: Path, tmp_path: Path) -> None:
    folder, original = copy_of(bundle, tmp_path)
    content = json.loads((folder / "ledger.json").read_text())
    [charge] = [entry for entry in content["entries"] if entry["kind"] == "charge"][:1]
    charge["events"][0]["noise_scale"] *= 2
    assert reseal(folder, original, "ledger.json", json.dumps(content).encode()) == "refused"


@pytest.mark.parametrize("name", ["schema.toml", "synthetic.csv"])
def test_any_bytes(bundle: Path, tmp_path: Path, name: str) -> None:
    def case(flips: list[tuple[int, int]]) -> str:
        folder, original = copy_of(bundle, tmp_path)
        content = bytearray((folder / name).read_bytes())
        for position, mask in flips:
            content[position % len(content)] ^= mask
        return reseal(folder, original, name, bytes(content))

    flips = st.lists(st.tuples(st.integers(0, 10**5), st.integers(1, 255)), min_size=1, max_size=4)
    assert explore(case, 60, flips=flips).total() >= 60


def reseal(folder: Path, original: dict[str, Any], name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    original["files"][name] = {"sha256": digest(folder / name), "bytes": len(content)}
    return outcome(seal(folder, json.dumps(original)), original)


PLANTED: dict[str, Callable[[Path], Any]] = {
    "a file": lambda folder: (folder / "extra").touch(),
    "a hidden file": lambda folder: (folder / "synthesizer" / ".extra").touch(),
    "a link to a folder": lambda folder: (folder / "extra").symlink_to("/tmp"),
    "a pipe": lambda folder: os.mkfifo(folder / "extra"),
    "a link for the table": lambda folder: replace_by_link(folder / "synthetic.csv"),
    "a link for the synthesizer": lambda folder: replace_by_link(folder / "synthesizer"),
}


def replace_by_link(path: Path) -> None:
    elsewhere = path.parent.parent / f"elsewhere-{path.name}"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


@pytest.mark.parametrize("plant", PLANTED)
def test_what_is_not_in_the_manifest_is_refused(bundle: Path, tmp_path: Path, plant: str) -> None:
    folder, original = copy_of(bundle, tmp_path)
    PLANTED[plant](folder)
    assert outcome(folder, original) == "refused"


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/passwd", MANIFEST, SEAL, ".", "", "synthesizer", "a\0b"]
)
def test_a_path_out_of_the_bundle_is_refused(bundle: Path, tmp_path: Path, name: str) -> None:
    folder, original = copy_of(bundle, tmp_path)
    original["files"][name] = {"sha256": "0" * 64, "bytes": 0}
    assert outcome(seal(folder, json.dumps(original)), original) == "refused"
