"""A bundle: every byte of it is accounted for, and what a stranger changed is refused in one sentence."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthpriv.errors import BundleError
from synthpriv.privacy.ledger import Budget, Ledger
from synthpriv.release.bundle import verify_bundle, write_bundle
from synthpriv.release.folders import new_folder
from synthpriv.release.policy import Decision
from synthpriv.synthesizers.independent import IndependentSynthesizer
from tests.conftest import make_people
from tests.end_to_end.conftest import Command, Ran, names

FILES = (
    "synthetic.csv",
    "schema.toml",
    "page.html",
    "ledger.json",
    "manifest.json",
    "manifest.sha256",
    "synthesizer/synthesizer.json",
    "synthesizer/weights.safetensors",
)


def reseal(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest as a stranger would who knows its format: hashes and seal are made anew."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for name, facts in manifest["files"].items():
        if (folder / name).is_file():
            facts["sha256"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    change(manifest)
    path.write_text(json.dumps(manifest))
    (folder / "manifest.sha256").write_text(hashlib.sha256(path.read_bytes()).hexdigest() + "\n")


def nothing(manifest: dict[str, Any]) -> None:
    """Leave the manifest as it is, but for hashes."""


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_is_found(released: tuple[Path, Ran], synthpriv: Command, name: str) -> None:
    path = Path("shared", name)
    whole = path.read_bytes()
    for position in (0, len(whole) // 2, len(whole) - 1):
        changed = bytearray(whole)
        changed[position] ^= 1
        path.write_bytes(changed)
        if name == "manifest.sha256" and position == len(whole) - 1:
            continue  # the line's end carries nothing
        synthpriv("verify", "shared").failed("BundleError", "do not use this bundle")
    path.write_bytes(whole)
    assert synthpriv("verify", "shared").code == 0


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_found(released: tuple[Path, Ran], synthpriv: Command, name: str) -> None:
    Path("shared", name).unlink()
    synthpriv("verify", "shared").failed("BundleError", "manifest" if "manifest" in name else name)


def test_a_file_too_many_is_found(released: tuple[Path, Ran], synthpriv: Command) -> None:
    for extra in (Path("shared/.hidden"), Path("shared/synthesizer/more.txt")):
        extra.write_text("stowaway")
        synthpriv("verify", "shared").failed("BundleError", extra.name)
        extra.unlink()
    Path("shared/link").symlink_to("/etc")
    synthpriv("verify", "shared").failed("BundleError", "link")


def test_a_link_in_place_of_a_file_is_found(released: tuple[Path, Ran], synthpriv: Command) -> None:
    shutil.move("shared/synthetic.csv", "elsewhere.csv")
    Path("shared/synthetic.csv").symlink_to(Path("elsewhere.csv").absolute())
    synthpriv("verify", "shared").failed("BundleError", "synthetic.csv")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda manifest: manifest["claim"].update(epsilon=0.1), "claim"),
        (lambda manifest: manifest["claim"].update(epsilon_replace_one=0.1), "claim"),
        (lambda manifest: manifest["claim"].update(unit="one household"), "claim"),
        (lambda manifest: manifest["claim"].pop("delta"), "claim"),
        (lambda manifest: manifest["claim"].update(domain_from_data=True), "claim"),
        (lambda manifest: manifest.update(synthetic_rows=7), "number of rows"),
        (lambda manifest: manifest["ledger"].update(digest="0" * 64), "ledger"),
        (lambda manifest: manifest.update(format=2), "format"),
        (lambda manifest: manifest.pop("ledger"), "manifest of format"),
        (lambda manifest: manifest["claim"].pop("covers"), "manifest of format"),
        (lambda manifest: manifest.update(files=[]), "manifest of format"),
        (lambda manifest: manifest["files"].update({"../x": {"sha256": "0"}}), "'../x' missing"),
    ],
)
def test_a_resealed_manifest_must_still_agree(
    released: tuple[Path, Ran], synthpriv: Command, change: Callable[[dict[str, Any]], None], word: str
) -> None:
    reseal(Path("shared"), change)
    synthpriv("verify", "shared").failed("BundleError", word)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ledger.json", "[]"),
        ("ledger.json", '{"entries": []}'),
        ("ledger.json", "[" * 100_000),
        ("synthetic.csv", "id\nP0000001\n"),
        ("schema.toml", "x"),
        ("synthesizer/synthesizer.json", "{}"),
        ("synthesizer/synthesizer.json", "[" * 100_000),
    ],
)
def test_resealed_files_must_still_be_what_they_are(
    released: tuple[Path, Ran], synthpriv: Command, name: str, content: str
) -> None:
    Path("shared", name).write_text(content)
    reseal(Path("shared"), nothing)
    synthpriv("verify", "shared").failed("BundleError")


def test_a_manifest_that_is_no_json_is_refused(released: tuple[Path, Ran], synthpriv: Command) -> None:
    for content in ("[" * 100_000, "7", "{}"):
        Path("shared/manifest.json").write_text(content)
        digest = hashlib.sha256(content.encode()).hexdigest()
        Path("shared/manifest.sha256").write_text(digest)
        synthpriv("verify", "shared").failed("BundleError", "manifest of format")


def test_a_moved_bundle_stays_whole(released: tuple[Path, Ran], synthpriv: Command) -> None:
    shutil.copytree("shared", "elsewhere/far away [1]")
    assert synthpriv("verify", "elsewhere/far away [1]").code == 0
    modes = {oct(path.stat().st_mode & 0o777) for path in Path("shared").rglob("*") if path.is_file()}
    assert len(modes) == 1


def test_a_refused_or_failed_bundle_leaves_nothing(tmp_path: Path, people_schema: Any) -> None:
    synthesizer = IndependentSynthesizer(epsilon=math.inf)
    fitted = synthesizer.fit(make_people(100), people_schema)
    ledger = Ledger.in_memory(Budget(epsilon=1.0, delta=1e-6))
    refused, approved = (Decision(approved=verdict, checks=()) for verdict in (False, True))
    with pytest.raises(BundleError, match="approved release"):
        write_bundle(tmp_path / "out", fitted.sample(10), fitted, ledger, refused)
    with pytest.raises(BundleError, match="format must be"):
        write_bundle(tmp_path / "out", fitted.sample(10), fitted, ledger, approved, format="xls")
    with pytest.raises(BundleError, match="another ledger in the files"):  # not the ledger of this fit
        write_bundle(tmp_path / "out", fitted.sample(10), fitted, ledger, approved)
    assert names(tmp_path) == set()


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def interrupted() -> None:
        with new_folder(tmp_path / "deep" / "out") as partial:
            (partial / "half").write_text("written")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path / "deep") == set()
    (tmp_path / "out").mkdir()
    with new_folder(tmp_path / "out") as partial:
        (partial / "whole").write_text("written")
    assert names(tmp_path / "out") == {"whole"}


def test_verify_needs_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="manifest"):
        verify_bundle(tmp_path)
