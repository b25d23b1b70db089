"""Noise and sampling masks keyed by the operating system; there is no seed anywhere in this file.

A published or guessable seed lets anyone subtract the noise, so the noise has its own generator: AES-128 in
counter mode under a key from the operating system, or, where the processor has no AES, ChaCha with 20 rounds
under a 256-bit key (half as fast: benchmarks/speed/noise.py). The one way around it is `replay`, for tests,
which marks everything made under it as not private.
"""

from __future__ import annotations

import contextlib
import contextvars
import decimal
import functools
import math
import os
import secrets
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, NoReturn, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from synthpriv.errors import ConfigurationError

Shape = int | tuple[int, ...]

_BLOCK = 1 << 13  # pairs of normals made at once: they stay in the cache, and on one core
_SPARSE = 1 / 32  # up to this rate, blocks are faster than a byte per row


class Randomness(Protocol):
    """What a trainer asks for: Gaussian noise and Poisson samples."""

    def gaussian(
        self, shape: Shape, scale: float, dtype: Literal["float64", "float32"] = "float64"
    ) -> NDArray[np.floating[Any]]:
        """Independent normal values of mean 0 and standard deviation `scale`."""
        ...

    def bernoulli_rows(self, rows: int, rate: float) -> NDArray[np.int64]:
        """Positions in 0..rows-1, each present independently with probability `rate`, in ascending order."""
        ...


class ReplayRandomness(Randomness, Protocol):
    """What a test must bring to `replay`: the same, and the integer noise of counts."""

    def discrete_gaussian(self, shape: Shape, scale: float) -> NDArray[np.int64]:
        """Integer noise for histograms."""
        ...

    def discrete_laplace(self, scale: float) -> int:
        """Integer noise for a single count."""
        ...


class NoiseSource:
    """A stream of noise under a key from the operating system, renewed in every process.

    Internal: the key never leaves the object, cannot be chosen, and cannot be pickled or copied. A forked
    child takes a fresh key at its first draw. Threads may share one source.
    """

    __slots__ = ("_generator", "_process")

    def __init__(self) -> None:
        """Take a fresh key."""
        self._rekey()

    def _rekey(self) -> None:
        """A new key; the old stream is forgotten."""
        from randomgen import AESCounter, ChaCha

        cipher = AESCounter(key=secrets.randbits(128))
        if not cipher.use_aesni:
            cipher = ChaCha(key=secrets.randbits(256), rounds=20)
        self._generator = np.random.Generator(cast(Any, cipher))
        self._process = os.getpid()

    def _current(self) -> np.random.Generator:
        """The generator of this process; a forked child must not repeat its parent's stream."""
        if self._process != os.getpid():
            self._rekey()
        return self._generator

    def gaussian(
        self, shape: Shape, scale: float, dtype: Literal["float64", "float32"] = "float64"
    ) -> NDArray[np.floating[Any]]:
        """Independent normal values of mean 0 and standard deviation `scale` (>= 0), of any shape.

        Each is the sum of four draws in double precision, halved, so that the low bits of one value no longer
        determine the draw (Holohan and Braghin, Secure Random Sampling in Differential Privacy, 2021); single
        precision is rounded at the end.
        """
        if not 0 <= scale < float("inf"):
            raise ConfigurationError(
                f"the scale of noise must be finite and at least 0, found {scale!r}. "
                "Pass a standard deviation."
            )
        noise = _sums_of_four_normals(self._current(), int(np.prod(shape)), scale).reshape(shape)
        return noise if dtype == "float64" else noise.astype(np.float32)

    def bernoulli_rows(self, rows: int, rate: float) -> NDArray[np.int64]:
        """Positions in 0..rows-1, each present independently with probability `rate`, in ascending order.

        Poisson sampling, the law that the accountant assumes, decided by whole numbers: the probability is
        `rate` rounded up by less than 2**-58. Few rows are found by blocks in time that grows with their
        number (`_sparse_rows`); many by one random byte per row, and 53 more bits for the ties.
        """
        if not 0 <= rate <= 1:
            raise ConfigurationError(
                f"a sampling rate must lie in [0, 1], found {rate!r}. Lower the batch size."
            )
        generator = self._current()
        if 0 < rate <= _SPARSE:
            return _sparse_rows(generator, rows, rate)
        first = np.frombuffer(generator.bytes(rows), dtype=np.uint8)
        whole = int(rate * 256)
        chosen = first < whole
        ties = np.flatnonzero(first == whole)
        chosen[ties] = generator.random(ties.size) < rate * 256 - whole
        return np.flatnonzero(chosen)

    def permutation(self, rows: int) -> NDArray[np.int64]:
        """A uniformly random order of 0..rows-1, for instance to split off a holdout."""
        return self._current().permutation(rows)

    def __reduce__(self) -> NoReturn:
        """Refuse: a copy would repeat the stream."""
        raise TypeError("a NoiseSource cannot be pickled or copied; call system_source() where it is needed.")


class NoiseAhead:
    """Noise drawn by one thread while a training step computes: at most one draw is under way.

    Numbers are drawn without Python's lock, so that they take a second core where there is one. A source
    other than NoiseSource is a test's: it is asked in the caller's own thread. Leaving the context ends the
    thread, however it is left. What was begun in a parent process is never used in a forked child.
    """

    def __init__(self, source: Randomness) -> None:
        self._source = source
        self._pool: ThreadPoolExecutor | None = None
        self._begun: tuple[int, float, Future[NDArray[np.floating[Any]]]] | None = None
        self._process = os.getpid()

    def __enter__(self) -> NoiseAhead:
        """Start."""
        if isinstance(self._source, NoiseSource):
            self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="synthpriv-noise")
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for what is under way, a fraction of a step, and drop it."""
        if self._pool is not None and self._process == os.getpid():
            self._pool.shutdown(cancel_futures=True)

    def begin(self, size: int, scale: float) -> None:
        """Begin to draw `size` normals of standard deviation `scale`."""
        if self._pool is not None and self._process == os.getpid():
            self._begun = size, scale, self._pool.submit(self._source.gaussian, size, scale)

    def take(self, size: int, scale: float) -> NDArray[np.floating[Any]]:
        """`size` normals of standard deviation `scale`: those that were begun as such, or new ones."""
        begun, self._begun = self._begun, None
        if begun is None or begun[:2] != (size, scale) or self._process != os.getpid():
            return self._source.gaussian(size, scale)
        return begun[2].result()


def _sums_of_four_normals(generator: np.random.Generator, size: int, scale: float) -> NDArray[np.float64]:
    """Normals of standard deviation `scale`, each half the sum of four (Box and Muller 1958), block by block.

    Four draws of a radius and an angle make two values, by cosines and by sines. From 53 random bits each,
    with torch's vectorised functions: 2.5 times as fast as one draw after the other by numpy.
    """
    import torch

    values = torch.empty(size + size % 2, dtype=torch.float64)
    pairs = values.view(2, -1)
    bits = torch.empty(12 * min(_BLOCK, pairs.shape[1]), dtype=torch.float64)
    for pair in pairs.split(_BLOCK, dim=1):
        radius, angle, part = bits[: 12 * pair.shape[1]].view(3, 4, -1)
        generator.random(out=bits[: 8 * pair.shape[1]].numpy())
        # half a unit of the last place: a logarithm of zero would be infinite
        radius.add_(2.0**-54).log_().mul_(-scale * scale / 2).sqrt_()
        angle.mul_(2 * math.pi)
        torch.sum(torch.cos(angle, out=part).mul_(radius), 0, out=pair[0])
        torch.sum(angle.sin_().mul_(radius), 0, out=pair[1])
    return cast(NDArray[np.float64], values[:size].numpy())


def _sparse_rows(generator: np.random.Generator, rows: int, rate: float) -> NDArray[np.int64]:
    """Independent trials in time proportional to the rows that are chosen: a count per block, then which.

    The number chosen of a block of b rows is binomial, and given the number every set of that size is
    equally likely. Counts come from 64 random bits each, compared with the law's cumulative table, which is
    worked out to 60 digits and rounded down to multiples of 2**-64, so that no floating-point logarithm
    shapes a tail. Sets come from random bits too (b is a power of two), a block's anew where two agree.
    """
    bits = min(int(-math.log2(rate)), 20)
    table = _binomial_table(1 << bits, rate)
    blocks = -(-rows >> bits)
    draws = np.frombuffer(generator.bytes(8 * blocks), dtype=np.uint64)
    counts = np.searchsorted(table, draws, side="right")
    block = np.repeat(np.arange(blocks, dtype=np.int64), counts) << bits
    chosen = np.empty_like(block)
    pending = np.arange(len(block))
    while pending.size:
        inside = np.frombuffer(generator.bytes(4 * pending.size), dtype=np.uint32)
        chosen[pending] = block[pending] + (inside & np.uint32((1 << bits) - 1))
        ordered = np.sort(chosen[pending])
        doubled = ordered[1:][ordered[1:] == ordered[:-1]] >> bits
        pending = pending[np.isin(block[pending] >> bits, doubled)]
    ordered = np.sort(chosen)
    return ordered[: np.searchsorted(ordered, rows)]


@functools.lru_cache(maxsize=16)
def _binomial_table(trials: int, rate: float) -> NDArray[np.uint64]:
    """floor(P(count <= k) * 2**64) for k = 0, 1, ... up to where only 2**-64 is left."""
    with decimal.localcontext(decimal.Context(prec=60)):
        p = decimal.Decimal(rate)  # exact: a float is a dyadic fraction
        mass = total = (1 - p) ** trials
        table, whole = [], 1 << 64
        for k in range(trials):
            table.append(min(int(total * whole), whole - 1))
            if table[-1] == whole - 1:
                break
            mass *= decimal.Decimal(trials - k) / (k + 1) * p / (1 - p)
            total += mass
    return np.array(table, dtype=np.uint64)


_override: contextvars.ContextVar[ReplayRandomness | None] = contextvars.ContextVar("replay", default=None)


def system_source() -> Randomness:
    """A fresh source under its own key; inside `replay`, the test's source instead."""
    replayed = _override.get()
    return NoiseSource() if replayed is None else replayed


def override() -> ReplayRandomness | None:
    """The source that a test put in place of real noise, normally None."""
    return _override.get()


def is_private() -> bool:
    """False while a test replays noise: whatever is made now must be marked NOT_PRIVATE."""
    return _override.get() is None


@contextlib.contextmanager
def replay(source: ReplayRandomness) -> Iterator[None]:
    """FOR TESTS ONLY: take noise from `source`; ledgers and bundles made meanwhile are marked NOT_PRIVATE."""
    token = _override.set(source)
    try:
        yield
    finally:
        _override.reset(token)
