"""Noise sources: no seed, no copy, no stream shared between processes, and a marked override for tests."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import threading
import warnings
from typing import Any

import numpy as np
import pytest
import randomgen
from randomgen import AESCounter

from synthpriv.errors import ConfigurationError
from synthpriv.privacy import randomness
from synthpriv.privacy.randomness import NoiseAhead, NoiseSource, is_private, override, replay, system_source


class Silence:
    """A replay source without any noise."""

    def gaussian(self, shape: randomness.Shape, scale: float, dtype: str = "float64") -> np.ndarray:
        return np.zeros(shape, dtype=dtype)

    def bernoulli_rows(self, rows: int, rate: float) -> np.ndarray:
        return np.arange(rows)

    def discrete_gaussian(self, shape: randomness.Shape, scale: float) -> np.ndarray:
        return np.zeros(shape, dtype=np.int64)

    def discrete_laplace(self, scale: float) -> int:
        return 0


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(), 0, 7, (3, 4)])
def test_gaussian_shape_and_type(shape: randomness.Shape, dtype: str) -> None:
    drawn = NoiseSource().gaussian(shape, 2.0, dtype)  # type: ignore[arg-type]
    assert drawn.shape == np.zeros(shape).shape
    assert drawn.dtype == dtype


def test_the_cipher_is_aes() -> None:
    """The example of FIPS 197, appendix C.1, and the next block of the counter by OpenSSL."""
    key, block = bytes(range(16)), bytes.fromhex("00112233445566778899aabbccddeeff")
    cipher = AESCounter(key=int.from_bytes(key, "little"), counter=int.from_bytes(block, "little"))
    drawn = np.asarray(cipher.random_raw(4)).astype("<u8").tobytes()
    assert drawn.hex() == "69c4e0d86a7b0430d8cdb78070b4c55a" + "a556156c72876577f67f95a9d9e640a7"


@pytest.mark.parametrize("hardware", [True, False])
def test_the_key_is_the_operating_systems(monkeypatch: pytest.MonkeyPatch, hardware: bool) -> None:
    class Counter(AESCounter):  # type: ignore[misc]
        use_aesni = hardware

    asked = []
    monkeypatch.setattr(randomgen, "AESCounter", Counter)
    monkeypatch.setattr(randomness.secrets, "randbits", lambda bits: asked.append(bits) or 7)
    first, second = NoiseSource().gaussian(5, 1.0), NoiseSource().gaussian(5, 1.0)
    assert asked == ([128, 128] if hardware else [128, 256, 128, 256])
    assert np.array_equal(first, second)  # all of a stream follows from what the system gave


def test_no_seed_anywhere() -> None:
    assert list(inspect.signature(NoiseSource).parameters) == []
    assert list(inspect.signature(system_source).parameters) == []


def test_two_runs_under_one_user_seed_differ() -> None:
    np.random.seed(1)  # noqa: NPY002
    first = system_source().gaussian(10, 1.0)
    np.random.seed(1)  # noqa: NPY002
    assert not np.any(first == system_source().gaussian(10, 1.0))


def test_cannot_be_copied_or_pickled() -> None:
    source = NoiseSource()
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="NoiseSource"):
            attempt(source)


def test_forked_child_has_its_own_stream() -> None:
    source = NoiseSource()
    source.gaussian(3, 1.0)
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.write(writing, source.gaussian(8, 1.0).tobytes())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = np.frombuffer(os.read(reading, 64))
    os.close(reading)
    os.close(writing)
    assert not np.any(theirs == source.gaussian(8, 1.0))


def test_rows_are_ascending_and_extreme_rates_hold() -> None:
    source = NoiseSource()
    rows = source.bernoulli_rows(10_000, 0.3)
    assert np.all(np.diff(rows) > 0)
    assert rows.min() >= 0
    assert rows.max() < 10_000
    assert source.bernoulli_rows(100, 0.0).size == 0
    assert source.bernoulli_rows(0, 0.5).size == 0
    assert np.array_equal(source.bernoulli_rows(100, 1.0), np.arange(100))


def test_permutation() -> None:
    assert np.array_equal(np.sort(NoiseSource().permutation(50)), np.arange(50))


@pytest.mark.parametrize("scale", [-1.0, float("nan"), float("inf")])
def test_bad_scale_raises(scale: float) -> None:
    with pytest.raises(ConfigurationError, match="scale"):
        NoiseSource().gaussian(3, scale)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_bad_rate_raises(rate: float) -> None:
    with pytest.raises(ConfigurationError, match="rate"):
        NoiseSource().bernoulli_rows(3, rate)


def test_replay_is_marked_and_ends() -> None:
    silence = Silence()
    assert is_private()
    assert override() is None
    with replay(silence):
        assert not is_private()
        assert override() is silence
        assert system_source() is silence
    assert is_private()
    assert isinstance(system_source(), NoiseSource)


def test_replay_does_not_reach_other_threads() -> None:
    found = []
    with replay(Silence()):
        thread = threading.Thread(target=lambda: found.append(is_private()))
        thread.start()
        thread.join()
    assert found == [True]


class Watched(NoiseSource):
    """Notes the thread of every draw."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[str] = []

    def gaussian(self, *arguments: Any, **options: Any) -> Any:
        self.threads.append(threading.current_thread().name)
        return super().gaussian(*arguments, **options)


def noise_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("synthpriv-noise")]


def test_noise_ahead_is_drawn_by_one_thread_once_for_each_step() -> None:
    source = Watched()
    drawn = []
    with NoiseAhead(source) as ahead:
        for _ in range(5):
            ahead.begin(1000, 2.0)
            drawn.append(ahead.take(1000, 2.0))
    assert source.threads == ["synthpriv-noise_0"] * 5
    assert len({tuple(noise) for noise in drawn}) == 5
    assert not noise_threads()


@pytest.mark.parametrize("asked", [(10, 1.0), (5, 2.0)])
def test_noise_of_another_size_or_scale_is_drawn_anew(asked: tuple[int, float]) -> None:
    with NoiseAhead(NoiseSource()) as ahead:
        ahead.begin(5, 1.0)
        begun = ahead._begun
        noise = ahead.take(*asked)
    assert begun is not None
    assert len(noise) == asked[0]
    assert not set(noise) & set(begun[2].result())


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_thread_ends_however_training_ends(error: type[BaseException]) -> None:
    def training() -> None:
        with NoiseAhead(NoiseSource()) as ahead:
            ahead.begin(10**6, 1.0)
            assert noise_threads()
            raise error

    with pytest.raises(error):
        training()
    assert not noise_threads()


def test_a_failed_draw_is_raised_where_the_noise_is_taken() -> None:
    with NoiseAhead(NoiseSource()) as ahead:
        ahead.begin(10, -1.0)
        with pytest.raises(ConfigurationError, match="scale"):
            ahead.take(10, -1.0)


def test_a_replayed_source_is_asked_in_the_callers_thread() -> None:
    asked: list[str] = []

    class Replayed(Silence):
        def gaussian(self, shape: randomness.Shape, scale: float, dtype: str = "float64") -> np.ndarray:
            asked.append(threading.current_thread().name)
            return super().gaussian(shape, scale, dtype)

    with NoiseAhead(Replayed()) as ahead:
        ahead.begin(3, 1.0)
        assert not asked
        ahead.take(3, 1.0)
    assert asked == [threading.current_thread().name]


def test_what_a_parent_began_is_not_used_in_a_forked_child() -> None:
    reading, writing = os.pipe()
    with NoiseAhead(NoiseSource()) as ahead:
        ahead.begin(8, 1.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            os.write(writing, ahead.take(8, 1.0).tobytes())
            ahead.begin(8, 1.0)
            os.write(writing, ahead.take(8, 1.0).tobytes())
            os._exit(0)
        os.waitpid(child, 0)
        mine = ahead.take(8, 1.0)
    theirs = np.frombuffer(os.read(reading, 128))
    os.close(reading)
    os.close(writing)
    assert len(theirs) == 16
    assert not set(mine) & set(theirs)
