"""A saved synthesizer is data from a stranger: one clear error or a sound load, whatever it holds.

No case may raise anything but BundleError, take more than two seconds of processor time, or raise the
process's peak memory by more than 200 MiB.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

import synthpriv as sp
from synthpriv.errors import BundleError, ConfigurationError
from synthpriv.tables import conform
from tests.conftest import make_people
from tests.property.hostile import assert_one_sentence, bounded, dump, edit, edits, explore, junk

KINDS = ("independent", "mixture", "vae", "ctgan")
Saved = dict[str, tuple[str, bytes]]


@pytest.fixture(scope="module")
def saved(people_schema: sp.Schema, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """The two files of one small synthesizer of each kind."""
    small = {"epsilon": 10.0, "delta": 1e-5}
    configurations = (
        sp.IndependentSynthesizer(**small),
        sp.MixtureSynthesizer(**small, components=8, steps=3),
        sp.VAESynthesizer(**small, hidden_dim=8, embedding_dim=4, components=8, steps=6),
        sp.CTGANSynthesizer(
            **small,
            generator_dim=(8,),
            discriminator_dim=(8,),
            embedding_dim=4,
            modes=8,
            pretraining_steps=3,
            epochs=1,
            batch_size=100,
        ),
    )
    files = {}
    for configuration in configurations:
        folder = tmp_path_factory.mktemp("saved") / configuration.name
        configuration.fit(make_people(400), people_schema, rows=400).save(folder)
        text = (folder / "synthesizer.json").read_text()
        files[configuration.name] = text, (folder / "weights.safetensors").read_bytes()
    return files


def outcome(folder: Path) -> str:
    """Load and sample: 'refused' by one sentence, or 'loaded' and sound; anything else fails the test."""
    with bounded():
        try:
            fitted = sp.load(folder)
        except BundleError as error:
            assert_one_sentence(error)
            return "refused"
        assert_samples(fitted)
        return "loaded"


def assert_samples(fitted: sp.FittedSynthesizer) -> None:
    try:
        frame = fitted.sample(5, seed=1)
    except ConfigurationError as error:
        # a pattern such as 'A' is a sound declaration that has no five distinct values
        assert "distinct values" in str(error)  # noqa: PT017
        return
    mapped = conform(frame, fitted.schema)[1]
    assert list(frame.columns) == list(fitted.schema.columns)
    assert len(frame) == 5
    assert not any(mapped.values())


def write(folder: Path, description: str, weights: bytes) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "synthesizer.json").write_text(description)
    (folder / "weights.safetensors").write_bytes(weights)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_what_save_writes_loads(saved: Saved, tmp_path: Path, kind: str) -> None:
    assert outcome(write(tmp_path / "x", *saved[kind])) == "loaded"


@pytest.mark.parametrize("kind", KINDS)
def test_any_description(saved: Saved, tmp_path: Path, kind: str) -> None:
    text, weights = saved[kind]

    def case(edits: list[Any]) -> str:
        description = json.loads(text)
        for change in edits:
            edit(description, *change)
        return outcome(write(tmp_path / "x", dump(description), weights))

    assert explore(case, 300, edits=edits)["refused"] > 150


@pytest.mark.parametrize("kind", KINDS)
def test_any_scalar_of_the_head(saved: Saved, tmp_path: Path, kind: str) -> None:
    """Configuration, claim and schema, where one value of another type or size does most harm."""
    text, weights = saved[kind]
    head = list(leaves(json.loads(text), ("config",))) + list(leaves(json.loads(text), ("claim",)))
    head += list(leaves(json.loads(text), ("encoder", "schema")))

    def case(path: tuple[Any, ...], value: Any) -> str:
        description = json.loads(text)
        put(description, path, value)
        return outcome(write(tmp_path / "x", dump(description), weights))

    assert explore(case, 150, path=st.sampled_from(head), value=junk)["refused"] > 50


def leaves(root: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    node = root
    for key in path:
        node = node[key]
    if isinstance(node, dict | list):
        for key in node if isinstance(node, dict) else range(len(node)):
            yield from leaves(root, (*path, key))
    else:
        yield path


def put(root: Any, path: tuple[Any, ...], value: Any) -> None:
    for key in path[:-1]:
        root = root[key]
    root[path[-1]] = value


AGE, AGE_COLUMN = ("encoder", "codecs", "age"), ("encoder", "schema", "columns", "age")
WIDE = {(*AGE_COLUMN, "lower"): -(2**53), (*AGE_COLUMN, "upper"): 2**53, (*AGE, "size"): 2**54 + 1}


def age_codec(starts: list[int], mass: float = 1.0, size: int = 2**54 + 1) -> dict[str, Any]:
    cells = list(range(len(starts)))
    masses = [mass] * len(starts)
    codec = {"starts": starts, "mass": masses, "cell": cells, "size": size, "nullable": False, "missing": 0.0}
    return {**codec, "lifts": None, "zero": None}


HOSTILE: dict[str, dict[tuple[Any, ...], Any]] = {
    "extreme widths": {("config", "hidden_dim"): 4096, ("config", "embedding_dim"): 4096},
    "deep network": {("config", "generator_dim"): [4096] * 100_000},
    "nested widths": {("config", "generator_dim"): [[8]]},
    "text for widths": {("config", "generator_dim"): "88"},
    "list for a rate": {("config", "learning_rate"): [0.01]},
    "epsilon of a thousand digits": {("config", "epsilon"): 10**1000},
    "flag as text": {("config", "verbose"): "no"},
    "starts that wrap around": {**WIDE, AGE: age_codec([0, 2**63 - 1, -(2**63)])},
    "starts beyond 64 bits": {**WIDE, AGE: age_codec([0, 2**64])},
    "lifts that are no numbers": {**WIDE, AGE: {**age_codec([0]), "lifts": [math.nan] * 31, "zero": 2**53}},
    "lifts of nothing": {**WIDE, AGE: {**age_codec([0]), "lifts": [0.0] * 31, "zero": 2**53}},
    "lifts of another column": {**WIDE, AGE: {**age_codec([0]), "lifts": [1.0] * 30, "zero": 2**53}},
    "a zero that is not the column's": {
        **WIDE,
        AGE: {**age_codec([0]), "lifts": [1.0] * 31, "zero": -(2**70)},
    },
    "a zero without lifts": {**WIDE, AGE: {**age_codec([0]), "zero": 2**53}},
    "masses that overflow": {**WIDE, AGE: age_codec([0, 1], 1e308)},
    "infinite mass": {**WIDE, AGE: age_codec([0, 1], math.inf)},
    "more cells than codes": {**WIDE, AGE: age_codec(list(range(40_000)))},
    "codec of a column that is not there": {("encoder", "codecs", "else"): age_codec([0])},
    "size that is not the column's": {(*AGE, "size"): 2**53},
    "fraction in starts": {(*AGE, "starts", 1): 0.5},
    "text in starts": {(*AGE, "starts", 1): "1"},
    "many categories, the last twice": {
        ("encoder", "schema", "columns", "city", "categories"): [str(k) for k in range(60_000)] + ["59999"]
    },
    "pattern without end": {("encoder", "schema", "columns", "id", "pattern"): "((.{100}){100}){100}"},
    "pattern of everything": {("encoder", "schema", "columns", "id", "pattern"): "[\\x00-\\U0010ffff]{100}"},
    "pattern that cannot be drawn": {("encoder", "schema", "columns", "id", "pattern"): "[^\\x00-\\xff]"},
    "private without noise": {("config", "epsilon"): "inf", ("claim", "epsilon"): "inf"},
    "claim below the configuration": {("claim", "epsilon"): 0.1},
    "delta above the configuration": {("claim", "delta"): 1e-4},
    "rows beyond count": {("claim", "rows"): 10**13},
    "half a row": {("claim", "rows"): 0.5},
    "private as a number": {("claim", "private"): 1},
    "five thousand columns": {
        ("encoder", "schema", "columns"): {f"c{k}": {"kind": "boolean"} for k in range(5000)}
    },
}
HARMLESS: dict[str, dict[tuple[Any, ...], Any]] = {
    "the widest column": {**WIDE, AGE: age_codec([0])},
    "the widest column of round amounts": {
        **WIDE,
        AGE: {**age_codec([0, 2**53, 2**54]), "lifts": [1e-6] * 30 + [1.0], "zero": 2**53},
    },
    "no mass at all": {**WIDE, AGE: age_codec([0, 1, 2**54], 0.0)},
    "the smallest mass": {**WIDE, AGE: age_codec([0, 1, 2**54], 5e-324)},
    "the largest mass": {**WIDE, AGE: age_codec([0, 1, 2**54], 1e12)},
    "thirty thousand cells": {**WIDE, AGE: age_codec(list(range(30_000)))},
    "all of time": {
        ("encoder", "schema", "columns", "since", "start"): "0001-01-01",
        ("encoder", "schema", "columns", "since", "end"): "9999-12-31",
        ("encoder", "codecs", "since"): age_codec([0], size=3_652_059),
    },
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("kind", KINDS)
def test_hostile_values_are_refused(saved: Saved, tmp_path: Path, kind: str, name: str) -> None:
    assert outcome_of(saved[kind], tmp_path, HOSTILE[name]) == "refused"


@pytest.mark.parametrize("name", HARMLESS)
def test_extreme_values_that_fit_are_sampled(saved: Saved, tmp_path: Path, name: str) -> None:
    assert outcome_of(saved["independent"], tmp_path, HARMLESS[name]) == "loaded"


def outcome_of(files: tuple[str, bytes], tmp_path: Path, values: dict[tuple[Any, ...], Any]) -> str:
    description = json.loads(files[0])
    for path, value in values.items():
        put(description, path, value)
    return outcome(write(tmp_path / "x", dump(description), files[1]))


def unpack(weights: bytes) -> tuple[dict[str, Any], bytes]:
    [length] = struct.unpack("<Q", weights[:8])
    return json.loads(weights[8 : 8 + length]), weights[8 + length :]


tensor_values = st.one_of(
    junk,
    st.sampled_from(["F32", "F64", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "C64", "F4", "E8M0"]),
    st.lists(st.integers(0, 2**63), max_size=4),
    st.just({"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}),
    st.just({"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}),
)
tensor_edits = st.lists(
    st.tuples(
        st.lists(st.integers(0, 40), min_size=1, max_size=4),
        st.sampled_from(["replace", "replace", "delete", "add", "wrap", "double", "swap"]),
        tensor_values,
        st.sampled_from(["__metadata__", "../../x", "", "n" * 2000, "first.weight", "a\nb", "heads"]),
    ),
    max_size=2,
)
payloads = st.sampled_from(["kept", "cut", "longer", "empty", math.nan, math.inf, 3e38, -3e38, 1e-45, 0.0])
lengths = st.none() | st.sampled_from([0, 1, 7, 2**31, 2**40, 2**63, 2**64 - 1])


@pytest.mark.parametrize("kind", KINDS)
def test_any_tensors(saved: Saved, tmp_path: Path, kind: str) -> None:
    text, weights = saved[kind]

    def case(edits: list[Any], payload: Any, length: int | None) -> str:
        header, data = unpack(weights)
        for change in edits:
            edit(header, *change)
        if isinstance(payload, float):
            data = struct.pack("<f", payload) * (len(data) // 4)
        else:
            data = {"kept": data, "cut": data[:-4], "longer": data + b"\0" * 64, "empty": b""}[payload]
        packed = dump(header).encode()
        count = struct.pack("<Q", len(packed) if length is None else length)
        return outcome(write(tmp_path / "x", text, count + packed + data))

    outcomes = explore(case, 250, edits=tensor_edits, payload=payloads, length=lengths)
    assert outcomes["refused"] > 50
    assert outcomes["loaded"] > 0


@pytest.mark.parametrize("payload", [3e38, -3e38])
@pytest.mark.parametrize("kind", ["vae", "ctgan"])
def test_weights_of_any_finite_size_are_sampled(
    saved: Saved, tmp_path: Path, kind: str, payload: float
) -> None:
    text, weights = saved[kind]
    size = len(unpack(weights)[1])
    data = struct.pack("<f", payload) * (size // 4)
    assert outcome(write(tmp_path / "x", text, weights[: len(weights) - size] + data)) == "loaded"


@pytest.mark.parametrize("kind", KINDS)
def test_any_bytes(saved: Saved, tmp_path: Path, kind: str) -> None:
    text, weights = saved[kind]

    def case(in_weights: bool, flips: list[tuple[int, int]], cut: int | None) -> str:
        files = [text.encode(), weights]
        changed = bytearray(files[in_weights])
        for position, mask in flips:
            changed[position % len(changed)] ^= mask
        files[in_weights] = bytes(changed[: None if cut is None else cut % len(changed)])
        folder = write(tmp_path / "x", "", files[1])
        (folder / "synthesizer.json").write_bytes(files[0])
        return outcome(folder)

    flips = st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), max_size=6)
    cuts = st.none() | st.none() | st.integers(0, 10**6)
    assert explore(case, 150, in_weights=st.booleans(), flips=flips, cut=cuts)["refused"] > 30


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


PLANTED: dict[str, Callable[[Path], Any]] = {
    "nothing": lambda path: None,
    "a folder": Path.mkdir,
    "an empty file": Path.touch,
    "a pipe": os.mkfifo,
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to nothing": link_to("nowhere"),
    "a link out": link_to("/etc/passwd"),
    "a link to an endless file": link_to("/dev/zero"),
    "a link to the real file": lambda path: path.symlink_to(path.rename(path.with_name("elsewhere"))),
    "a sparse file of eight gigabytes": lambda path: os.truncate(path, 8 * 2**30),
}


@pytest.mark.parametrize("file", ["synthesizer.json", "weights.safetensors"])
@pytest.mark.parametrize("plant", PLANTED)
def test_paths_are_refused(saved: Saved, tmp_path: Path, file: str, plant: str) -> None:
    path = write(tmp_path / "x", *saved["vae"]) / file
    if "real file" not in plant and "gigabytes" not in plant:
        path.unlink()
    PLANTED[plant](path)
    assert outcome(tmp_path / "x") == "refused"


def test_a_file_or_nothing_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert outcome(tmp_path / "file") == "refused"
    assert outcome(tmp_path / "none") == "refused"
