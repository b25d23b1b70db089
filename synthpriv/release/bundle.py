"""What leaves: a folder of allow-listed files, each with its hash in a manifest, and how to verify it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from synthpriv.errors import BundleError, SynthprivError
from synthpriv.privacy.chain import verified
from synthpriv.privacy.ledger import Ledger
from synthpriv.release.decision import Decision
from synthpriv.release.folders import new_folder
from synthpriv.release.publishable import PAGE, publishable_page
from synthpriv.release.publishable_bins import read_public_table
from synthpriv.release.publishable_figures import PublishedFigures
from synthpriv.schema import Schema
from synthpriv.synthesizers.fitted import FittedSynthesizer
from synthpriv.synthesizers.storage import load
from synthpriv.tables import read_chunks, write_table

FORMAT = 1
MANIFEST = "manifest.json"
SEAL = "manifest.sha256"
SUFFIXES = ("csv", "csv.gz", "parquet", "arrow")
PACKAGES = ("numpy", "pandas", "torch", "opacus", "dp-accounting", "opendp", "randomgen", "safetensors")
COVERED = (
    "the synthetic table",
    "the saved synthesizer",
    "every count that either was made from",
    "every figure on the page in this bundle",
)
NOT_COVERED = (
    "the internal page and every figure on it",
    "the declared schema, which is public by declaration",
)


def write_bundle(
    folder: str | Path,
    synthetic: pd.DataFrame | Path,
    fitted: FittedSynthesizer,
    ledger: Ledger,
    decision: Decision,
    *,
    format: str = "csv",
    figures: PublishedFigures | None = None,
) -> Path:
    """Write the bundle of an approved release into a new folder, whole or not at all.

    synthetic: the table, or a file of `format` that holds it, which is copied. figures: what a share of the
    budget paid for, to be shown on the page.

    Holds the synthetic table, the public schema, the saved synthesizer, the ledger's charges, the publishable
    page and a manifest; nothing else. Raises BundleError if the decision refuses, or if the folder holds
    anything.
    """
    if not decision.approved:
        raise BundleError(f"a bundle is written for an approved release only, found {decision.reasons}.")
    if format not in SUFFIXES:
        raise BundleError(f"format must be one of {', '.join(SUFFIXES)}, found {format!r}.")
    with new_folder(folder) as partial:
        table = partial / f"synthetic.{format}"
        if isinstance(synthetic, Path):
            shutil.copyfile(synthetic, table)
        else:
            write_table(synthetic, table, fitted.schema)
        fitted.schema.write(partial / "schema.toml")
        fitted.save(partial / "synthesizer")
        _write_json(partial / "ledger.json", ledger.to_json())
        made = read_public_table(lambda: read_chunks(table, fitted.schema), fitted.schema)
        page = publishable_page(fitted, ledger, stated_claim(fitted), made, table.name, figures)
        (partial / PAGE).write_text(page, encoding="utf-8")
        _write_json(partial / MANIFEST, manifest(partial, fitted, ledger, made.rows))
        (partial / SEAL).write_text(_hash(partial / MANIFEST) + "\n", encoding="ascii")
        verify_bundle(partial)
    return Path(folder)


def manifest(folder: Path, fitted: FittedSynthesizer, ledger: Ledger, rows: int) -> dict[str, Any]:
    """The claim, what it covers, versions, and the hash of every file in `folder`."""
    return {
        "format": FORMAT,
        "claim": stated_claim(fitted),
        "synthesizer": fitted.config.name,
        "synthetic_rows": rows,
        "ledger": {"dataset": ledger.dataset, "digest": ledger.digest},
        "versions": {
            "synthpriv": _version("synthpriv-release"),
            **{name: _version(name) for name in PACKAGES},
        },
        "files": {
            path.relative_to(folder).as_posix(): {"sha256": _hash(path), "bytes": path.stat().st_size}
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
    }


def stated_claim(fitted: FittedSynthesizer) -> dict[str, Any]:
    """The claim, with what it covers and what it does not."""
    return {**_checked_claim(fitted), "covers": list(COVERED), "does_not_cover": list(NOT_COVERED)}


def _checked_claim(fitted: FittedSynthesizer) -> dict[str, Any]:
    """The part of the claim that a verifier computes anew from the saved synthesizer."""
    claim = fitted.claim
    return {
        "private": claim.private,
        "mark": "DIFFERENTIALLY PRIVATE" if claim.private else "NOT_PRIVATE",
        "unit": unit_of_privacy(fitted.schema),
        "adjacency": "add or remove one unit",
        "epsilon": _finite(claim.epsilon),
        "delta": claim.delta,
        "epsilon_replace_one": _finite(claim.epsilon_replace_one),
        "domain_from_data": claim.domain_from_data,
    }


def unit_of_privacy(schema: Schema) -> str:
    """The unit in words."""
    if schema.privacy_unit is None:
        return "one row"
    return f"all rows of one {schema.privacy_unit!r}, at most {schema.max_rows_per_unit}"


def verify_bundle(folder: str | Path) -> dict[str, Any]:
    """Check a bundle and return its manifest; raises BundleError naming the first thing that is wrong.

    Every file is listed with its hash, nothing else lies there, the manifest matches its seal, the
    synthesizer loads, and claim, schema, table and ledger agree with each other. The seal is a plain hash:
    it shows damage, and proves origin only where it was received by another way than the bundle.
    """
    root = Path(folder)
    found = _read_manifest(root)
    _check_files(root, found["files"])
    try:
        fitted = load(root / "synthesizer")
        schema = Schema.read(root / "schema.toml")
        [table] = [root / name for name in found["files"] if name.startswith("synthetic.")]
        rows = _rows(table, schema)
        digests = [entry.digest for entry in verified(json.loads((root / "ledger.json").read_bytes()))]
    except SynthprivError as error:
        raise BundleError(f"every file of a bundle must be readable, found otherwise: {error}") from None
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OSError, RecursionError):
        raise BundleError(
            "a bundle must hold one synthetic table and one ledger, found none or several; "
            "do not use this bundle."
        ) from None
    stated = {name: found["claim"].get(name) for name in _checked_claim(fitted)}
    agree = {
        "claim": stated == _checked_claim(fitted),
        "schema": schema == fitted.schema,
        "number of rows": found["synthetic_rows"] == rows,
        "ledger": fitted.claim.ledger_digest in digests and found["ledger"]["digest"] == digests[-1],
    }
    for name, holds in agree.items():
        if not holds:
            raise BundleError(
                f"manifest and files must agree, found another {name} in the files than in {MANIFEST}; "
                "do not use this bundle."
            )
    return found


def _read_manifest(root: Path) -> dict[str, Any]:
    path, seal = root / MANIFEST, root / SEAL
    if not path.is_file() or not seal.is_file():
        raise BundleError(
            f"a bundle must hold {MANIFEST} and {SEAL}, found none in {str(root)!r}; name the folder that "
            "'synthpriv release' wrote."
        )
    if path.stat().st_size > 2**20 or _hash(path) != seal.read_bytes().decode("ascii", "replace").strip():
        raise BundleError(f"{MANIFEST} must match {SEAL}, found a change; do not use this bundle.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        whole = found["format"] == FORMAT and isinstance(found["synthetic_rows"], int)
        whole = whole and all(isinstance(thing, str) for thing in found["claim"]["covers"])
        whole = whole and all(isinstance(facts["sha256"], str) for facts in found["files"].values())
        whole = whole and isinstance(found["ledger"]["digest"], str)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise BundleError(
            f"{MANIFEST} must be a manifest of format {FORMAT}, found another; update synthpriv."
        )
    return dict(found)


def _check_files(root: Path, listed: Mapping[str, Mapping[str, Any]]) -> None:
    present = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
    present -= {MANIFEST, SEAL}
    for name in sorted(present ^ set(listed)):
        state = "missing" if name in listed else "not in the manifest"
        raise BundleError(
            f"a bundle must hold exactly the manifest's files, found {name!r} {state}; do not use it."
        )
    for name, facts in listed.items():
        path = root / name
        if path.is_symlink() or not path.is_file() or _hash(path) != facts["sha256"]:
            raise BundleError(
                f"every file must match the manifest, found {name!r} changed; do not use this bundle."
            )


def _rows(table: Path, schema: Schema) -> int:
    return sum(map(len, read_chunks(table, schema)))


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_json(path: Path, value: Any) -> None:
    text = value if isinstance(value, str) else json.dumps(value, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
