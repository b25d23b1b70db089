"""What leaves: a folder of allow-listed files, each with its hash in a manifest, and how to verify it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from synthpriv.errors import BundleError, SynthprivError
from synthpriv.privacy.ledger import Ledger
from synthpriv.release.policy import Decision
from synthpriv.schema import Schema
from synthpriv.synthesizers.base import FittedSynthesizer
from synthpriv.synthesizers.storage import load
from synthpriv.tables import read_table, write_table

FORMAT = 1
MANIFEST = "manifest.json"
SEAL = "manifest.sha256"
SUFFIXES = {"csv": "csv", "csv.gz": "csv.gz", "parquet": "parquet", "arrow": "arrow"}
PACKAGES = ("numpy", "pandas", "torch", "opacus", "dp-accounting", "opendp", "randomgen", "safetensors")
COVERED = ("the synthetic table", "the saved synthesizer", "every count that either was made from")
NOT_COVERED = (
    "the internal page and every figure on it",
    "the declared schema, which is public by declaration",
)


def write_bundle(
    folder: str | Path,
    synthetic: pd.DataFrame,
    fitted: FittedSynthesizer,
    ledger: Ledger,
    decision: Decision,
    *,
    format: str = "csv",
) -> Path:
    """Write the bundle of an approved release into a new folder, whole or not at all.

    Holds the synthetic table, the public schema, the saved synthesizer, the ledger's charges and a manifest;
    nothing else. Raises BundleError if the decision refuses, or if the folder holds anything.
    """
    if not decision.approved:
        raise BundleError(f"a bundle is written for an approved release only, found {decision.reasons}.")
    if format not in SUFFIXES:
        raise BundleError(f"format must be one of {', '.join(SUFFIXES)}, found {format!r}.")
    target = require_free(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.parent / f".{target.name}.{uuid.uuid4().hex}.partial"
    try:
        partial.mkdir()
        write_table(synthetic, partial / f"synthetic.{SUFFIXES[format]}", fitted.schema)
        fitted.schema.write(partial / "schema.toml")
        fitted.save(partial / "synthesizer")
        _write_json(partial / "ledger.json", ledger.to_json())
        _write_json(partial / MANIFEST, manifest(partial, fitted, ledger, len(synthetic)))
        (partial / SEAL).write_text(_hash(partial / MANIFEST) + "\n", encoding="ascii")
        if target.exists():
            target.rmdir()
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def require_free(folder: str | Path) -> Path:
    """The folder, if it is absent or empty; raises BundleError otherwise."""
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BundleError(
            f"the output folder must be new or empty, found {str(target)!r} in use; name another or move it."
        )
    return target


def manifest(folder: Path, fitted: FittedSynthesizer, ledger: Ledger, rows: int) -> dict[str, Any]:
    """The claim, what it covers, versions, and the hash of every file in `folder`."""
    claim = fitted.claim
    return {
        "format": FORMAT,
        "claim": {
            "private": claim.private,
            "mark": "DIFFERENTIALLY PRIVATE" if claim.private else "NOT_PRIVATE",
            "unit": unit_of_privacy(fitted.schema),
            "adjacency": "add or remove one unit",
            "epsilon": _finite(claim.epsilon),
            "delta": claim.delta,
            "epsilon_replace_one": _finite(claim.epsilon_replace_one),
            "covers": list(COVERED),
            "does_not_cover": list(NOT_COVERED),
            "domain_from_data": claim.domain_from_data,
        },
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


def unit_of_privacy(schema: Schema) -> str:
    """The unit in words."""
    if schema.privacy_unit is None:
        return "one row"
    return f"all rows of one {schema.privacy_unit!r}, at most {schema.max_rows_per_unit}"


def verify_bundle(folder: str | Path) -> dict[str, Any]:
    """Check a bundle and return its manifest; raises BundleError naming the first thing that is wrong.

    Every file is listed with its hash, nothing else lies there, the manifest matches its seal, the
    synthesizer loads, and claim, schema and table agree with each other.
    """
    root = Path(folder)
    found = _read_manifest(root)
    _check_files(root, found["files"])
    try:
        fitted = load(root / "synthesizer")
        schema = Schema.read(root / "schema.toml")
        [table] = [root / name for name in found["files"] if name.startswith("synthetic.")]
        rows = len(read_table(table, schema))
    except ValueError:
        raise BundleError("a bundle must hold one synthetic table, found none or several.") from None
    except SynthprivError as error:
        raise BundleError(f"a file of the bundle cannot be read: {error}") from None
    claim = found["claim"]
    stated = (claim["private"], claim["epsilon"], claim["delta"], found["synthetic_rows"])
    actual = (fitted.claim.private, _finite(fitted.claim.epsilon), fitted.claim.delta, rows)
    if stated != actual or schema != fitted.schema:
        raise BundleError(
            f"claim, schema and table must agree, found {stated} stated and {actual} in the files; "
            "do not use this bundle."
        )
    return found


def _read_manifest(root: Path) -> dict[str, Any]:
    path, seal = root / MANIFEST, root / SEAL
    if not path.is_file() or not seal.is_file():
        raise BundleError(f"a bundle must hold {MANIFEST} and {SEAL}, found none in {str(root)!r}.")
    if path.stat().st_size > 2**20 or _hash(path) != seal.read_bytes().decode("ascii", "replace").strip():
        raise BundleError(f"{MANIFEST} must match {SEAL}, found a change; do not use this bundle.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        whole = found["format"] == FORMAT and {"claim", "files", "synthetic_rows"} <= set(found)
        whole = whole and {"private", "epsilon", "delta"} <= set(found["claim"])
        whole = whole and all({"sha256", "bytes"} <= set(facts) for facts in found["files"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise BundleError(
            f"{MANIFEST} must be a manifest of format {FORMAT}, found another; update synthpriv."
        )
    return dict(found)


def _check_files(root: Path, listed: Mapping[str, Mapping[str, Any]]) -> None:
    present = {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}
    present -= {MANIFEST, SEAL}
    for name in sorted(present ^ set(listed)):
        state = "missing" if name in listed else "not in the manifest"
        raise BundleError(f"a bundle must hold exactly the manifest's files, found {name!r} {state}.")
    for name, facts in listed.items():
        path = root / name
        if path.is_symlink() or _hash(path) != facts["sha256"]:
            raise BundleError(
                f"every file must match the manifest, found {name!r} changed; do not use this bundle."
            )


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
