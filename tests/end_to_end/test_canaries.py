"""Canaries planted in the private table appear in no byte of what is saved, bundled or written to the ledger.

Why a find cannot be chance. Text canaries lie outside every declared domain and pattern, so that no sampler
can make them. A number canary is one position of a wide domain, in a leaf without other rows, which is not
split: a synthetic row hits that very position with a chance of at most 1 / (width of the leaf), and the
fixture demands less than one in a million over all rows. Its decimal text is searched between non-digits, its
8-byte forms anywhere (2**-64 per position), its 4-byte form among weights only, whose exponents never come
near.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

import synthpriv as sp
from synthpriv.release.bundle import write_bundle
from synthpriv.release.policy import Decision

SYNTHETIC_ROWS = 30
TEXTS = {"identifier": "CANARY-7Q9ZK-31", "passport": "ZZ-Ünïque-7Q9ZK", "category": "Atlantis-7Q9ZK"}
START = pd.Timestamp("1900-01-01")
MOMENT = pd.Timestamp("1987-03-14 15:09:26")
WIDEST = 2**52
NUMBERS: dict[str, tuple[float, int]] = {  # the value, and its position in the declared domain
    "wide": (3_141_592_653_589_793, 3_141_592_653_589_793 + WIDEST),
    "ratio": (271_828_182.845905, 271_828_182_845_905),
    "moment": ((MOMENT - pd.Timestamp(0)).total_seconds(), int((MOMENT - START).total_seconds())),
}
SMALL = {"embedding_dim": 4, "epochs": 1}
SYNTHESIZERS = {
    "independent": sp.IndependentSynthesizer(epsilon=4.0),
    "mixture": sp.MixtureSynthesizer(epsilon=4.0, components=16, steps=20),
    "vae": sp.VAESynthesizer(epsilon=4.0, hidden_dim=8, components=8, steps=6, most_noise=1e9, **SMALL),
    "ctgan": sp.CTGANSynthesizer(
        epsilon=4.0, generator_dim=(8,), discriminator_dim=(8,), modes=16, pretraining_steps=20, **SMALL
    ),
}
FORMATS = {"independent": "csv.gz", "mixture": "csv", "vae": "csv", "ctgan": "parquet"}


@pytest.fixture(scope="module")
def schema() -> sp.Schema:
    return sp.Schema(
        columns={
            "identifier": sp.Identifier(pattern="P[0-9]{7}"),
            "passport": sp.Identifier(pattern="[A-Z]{2}[0-9]{6}", nullable=True),
            "category": sp.Categorical(categories=["Basel", "Bern"], nullable=True),
            "wide": sp.Integer(lower=-WIDEST, upper=WIDEST),
            "ratio": sp.Float(lower=0, upper=1e9, decimals=6),
            "moment": sp.DateTime(start=str(START.date()), end="2199-12-31", resolution="s"),
            "bought": sp.Boolean(),
        },
        targets=["bought"],
    )


def planted_table(rows: int = 3000) -> pd.DataFrame:
    """Plain rows, one of which holds every canary; the passport column is unusual throughout."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "identifier": [f"P{k:07d}" for k in range(rows)],
            "passport": [f"{TEXTS['passport']}{k}" for k in range(rows)],
            "category": rng.choice(["Basel", "Bern"], rows),
            "wide": rng.integers(-WIDEST, 0, rows),
            "ratio": rng.uniform(0, 1e8, rows).round(6),
            "moment": pd.Timestamp("2000-01-01") + pd.to_timedelta(rng.integers(0, 10**9, rows), unit="s"),
            "bought": rng.random(rows) < 0.4,
        }
    )
    frame.loc[7, ["identifier", "category"]] = [TEXTS["identifier"], TEXTS["category"]]
    frame.loc[7, "wide"], frame.loc[7, "ratio"] = NUMBERS["wide"][0], NUMBERS["ratio"][0]
    frame.loc[7, "moment"] = MOMENT
    return frame


def text_needles() -> Iterator[tuple[str, bytes]]:
    """Each text in plain encodings, and what an unkeyed hash would make of it."""
    for name, text in TEXTS.items():
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            yield name, text.encode(encoding)
        yield name, json.dumps(text)[1:-1].encode()
        for algorithm in ("md5", "sha1", "sha256"):
            yield name, hashlib.new(algorithm, text.encode()).digest()
            yield name, hashlib.new(algorithm, text.encode()).hexdigest().encode()
        yield name, pd.util.hash_pandas_object(pd.Series([text]), index=False).to_numpy().tobytes()


def number_needles(weights: bool) -> Iterator[tuple[str, bytes]]:
    """Each value and position as 8-byte numbers of either order; among weights also as 4-byte ones."""
    for name, values in NUMBERS.items():
        for value in values:
            for order in "<>":
                yield name, struct.pack(f"{order}d", value)
                yield name, struct.pack(f"{order}q", round(value))
            if weights:
                yield name, struct.pack("<f", value)
    stamps = MOMENT.as_unit("ms"), MOMENT.as_unit("us"), MOMENT.as_unit("ns")
    yield from (("moment", struct.pack("<q", stamp.value)) for stamp in stamps)


def decimal_texts() -> Iterator[tuple[str, str]]:
    for name, values in NUMBERS.items():
        yield from ((name, repr(value)) for value in values)
        yield from ((name, f"{value:.0f}") for value in values)
    for form in ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y%m%d%H%M%S", "%d.%m.%Y %H:%M:%S"):
        yield "moment", MOMENT.strftime(form)


def contents(path: Path) -> Iterator[bytes]:
    """The file's bytes, and what a reader would make of them."""
    raw = path.read_bytes()
    yield raw
    if path.name.endswith(".gz"):
        yield gzip.decompress(raw)
    elif path.suffix == ".parquet":
        frame = pd.read_parquet(path)
        yield frame.to_csv(index=False).encode()
        yield from (frame[name].to_numpy().tobytes() for name in frame.select_dtypes("number"))


def canaries_in(folder: Path) -> set[str]:
    """The names of the canaries that some byte of some file below `folder` gives away."""
    found = set()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        needles = [*text_needles(), *number_needles(weights=path.suffix == ".safetensors")]
        for content in contents(path):
            found |= {name for name, needle in needles if needle in content}
            text = content.decode("latin-1")
            pattern = r"(?<![0-9]){}(?![0-9])"
            found |= {n for n, t in decimal_texts() if re.search(pattern.format(re.escape(t)), text)}
    return found


def chance_of_a_hit(fitted: sp.FittedSynthesizer) -> float:
    """At most: that some synthetic row lands on the position of some number canary."""
    total = 0.0
    for name, (_, position) in NUMBERS.items():
        codec = fitted.encoder.codecs[name]
        leaf = int(np.searchsorted(codec.starts, position, side="right")) - 1
        total += SYNTHETIC_ROWS / float(np.append(codec.starts, codec.size)[leaf + 1] - codec.starts[leaf])
    return total


@pytest.fixture(scope="module", params=SYNTHESIZERS)
def released(
    request: pytest.FixtureRequest, schema: sp.Schema, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The whole way: table, ledger on disk, fit, saved synthesizer, bundle: all in one folder."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    budget = sp.Budget(epsilon=4.0, delta=1e-6)
    ledger = sp.Ledger.open(folder / "ledger.sqlite", dataset="planted", budget=budget)
    private = sp.PrivateTable(planted_table(), schema, ledger, holdout=0.1)
    fitted = SYNTHESIZERS[request.param].fit(private)
    assert chance_of_a_hit(fitted) < 1e-6
    fitted.save(folder / "saved")
    decision = Decision(approved=True, checks=())
    synthetic = fitted.sample(SYNTHETIC_ROWS)
    write_bundle(folder / "bundle", synthetic, fitted, ledger, decision, format=FORMATS[request.param])
    private.disclose("to be recorded")
    ledger.record("release", folder="bundle")
    return folder


def test_no_canary_leaves(released: Path) -> None:
    files = {path.name for path in released.rglob("*") if path.is_file()}
    assert {"ledger.sqlite", "ledger.sqlite.key", "weights.safetensors", "ledger.json"} <= files
    assert any(name.startswith("synthetic.") for name in files)
    assert canaries_in(released) == set()


def test_the_scan_finds_every_canary_in_the_table_itself(tmp_path: Path) -> None:
    every = set(TEXTS) | set(NUMBERS)
    writers = {
        "table.csv": lambda frame, path: frame.to_csv(path),
        "table.csv.gz": lambda frame, path: frame.to_csv(path),
        "table.json": lambda frame, path: path.write_text(json.dumps(frame.astype(str).to_dict("records"))),
        "table.parquet": lambda frame, path: frame.to_parquet(path),
    }
    for name, write in writers.items():
        folder = tmp_path / name.replace(".", "-")
        folder.mkdir()
        write(planted_table(50), folder / name)
        assert canaries_in(folder) == every, name


@pytest.mark.parametrize("name", ["wide", "ratio", "moment"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
@pytest.mark.parametrize("which", [0, 1])
def test_the_scan_finds_a_number_among_weights(
    released: Path, tmp_path: Path, name: str, dtype: torch.dtype, which: int
) -> None:
    tensors = load_file(released / "saved" / "weights.safetensors")
    planted = torch.tensor([0.1, NUMBERS[name][which], 0.2], dtype=torch.float64)
    tensors["bias"] = planted.round().to(dtype) if dtype == torch.int64 else planted.to(dtype)
    save_file(tensors, tmp_path / "weights.safetensors")
    assert canaries_in(tmp_path) == {name}


def test_the_scan_finds_a_hash_in_the_ledger(released: Path, tmp_path: Path) -> None:
    shutil.copy(released / "ledger.sqlite", tmp_path)
    assert canaries_in(tmp_path) == set()
    leak = hashlib.sha256(TEXTS["identifier"].encode()).hexdigest()
    connection = sqlite3.connect(tmp_path / "ledger.sqlite")
    connection.execute("INSERT INTO entries VALUES (9999, ?, '')", (f'{{"who": "{leak}"}}',))
    connection.commit()
    connection.close()
    assert canaries_in(tmp_path) == {"identifier"}
