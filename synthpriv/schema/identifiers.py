"""New identifiers from a column's pattern: they carry no information, and where declared none comes twice."""

from __future__ import annotations

import math
import random

import numpy as np
import numpy.typing as npt
import pandas as pd

from synthpriv.errors import ConfigurationError
from synthpriv.schema.columns import Identifier
from synthpriv.schema.patterns import layouts

Numbers = npt.NDArray[np.uint64]

_MOST_NUMBERED = 1 << 62
_ROUNDS = 6


class IdentifierMaker:
    """A column's values, part by part; the same seed and parts give the same values.

    Every value of the pattern has a number. A unique column takes the numbers 0, 1, 2 ... through a random
    permutation, so that nothing need be remembered; another draws them. Only a pattern in which one value can
    be made in two ways (alternatives, several open lengths) keeps the values of a unique column in memory.
    """

    def __init__(self, column: Identifier, name: str, seed: int | None = None) -> None:
        self._column, self._name = column, name
        self._rng = np.random.default_rng(seed)
        self._keys = self._rng.integers(1 << 63, size=_ROUNDS, dtype=np.uint64)
        self._layouts = layouts(column.pattern)
        self._made = 0
        self._taken: set[str] = set()
        self._random = random.Random(int(self._keys[0]))
        self._drawn = 0  # leading places that have no part in a value's number, where there are too many
        if self._layouts is not None and _space(self._layouts) > _MOST_NUMBERED:
            longest = max(self._layouts, key=_size)
            self._layouts = [longest]
            self._drawn = next(k for k in range(len(longest)) if _size(longest[k:]) <= _MOST_NUMBERED)

    def make(self, count: int) -> pd.Series:
        """The next `count` values; raises ConfigurationError where a unique column's pattern has no more."""
        if self._layouts is None:
            values = self._remembered(count) if self._column.unique else [self._any() for _ in range(count)]
            return pd.Series(values, dtype="str", name=self._name)
        space = _space([layout[self._drawn :] for layout in self._layouts])
        if not self._column.unique:
            numbers = self._rng.integers(space, size=count, dtype=np.uint64)
        elif self._made + count > space:
            raise self._exhausted(self._made + count, space)
        else:
            numbers = _permuted(np.arange(self._made, self._made + count, dtype=np.uint64), space, self._keys)
        self._made += count
        return pd.Series(self._texts(numbers), dtype="str", name=self._name)

    def _texts(self, numbers: Numbers) -> npt.NDArray[np.object_]:
        """The value of each number: lengths in turn, and in each the last place varies first."""
        assert self._layouts is not None
        texts = np.empty(len(numbers), dtype=object)
        first = 0
        for layout in self._layouts:
            size = _size(layout[self._drawn :])
            rows = np.flatnonzero((numbers >= first) & (numbers < first + size))
            rest = numbers[rows] - np.uint64(first)
            letters = np.empty((len(rows), len(layout)), dtype="U1")
            for place in range(len(layout) - 1, -1, -1):
                choices = np.array(list(layout[place]), dtype="U1")
                if place >= self._drawn:
                    rest, at = np.divmod(rest, np.uint64(len(choices)))
                else:
                    at = self._rng.integers(len(choices), size=len(rows), dtype=np.uint64)
                letters[:, place] = choices[at]
            texts[rows] = letters.view(f"U{len(layout)}")[:, 0] if layout else ""
            first += size
        return texts

    def _any(self) -> str:
        import rstr

        return str(rstr.Rstr(self._random).xeger(self._column.pattern))

    def _remembered(self, count: int) -> list[str]:
        made: list[str] = []
        for _ in range(20 * count + 1000):
            if len(made) == count:
                break
            value = self._any()
            if value not in self._taken:
                self._taken.add(value)
                made.append(value)
        if len(made) < count:
            raise self._exhausted(count + len(self._taken) - len(made), len(self._taken))
        return made

    def _exhausted(self, wanted: int, found: int) -> ConfigurationError:
        return ConfigurationError(
            f"identifier {self._name!r} must have at least {wanted} distinct values, found {found} from "
            f"pattern {self._column.pattern!r}; widen the pattern or declare unique = false."
        )


def _size(layout: tuple[str, ...]) -> int:
    return math.prod(map(len, layout))


def _space(found: list[tuple[str, ...]]) -> int:
    return sum(map(_size, found))


def _permuted(numbers: Numbers, space: int, keys: Numbers) -> Numbers:
    """A permutation of 0..space-1 at `numbers`: a keyed Feistel network, walked until it lands inside."""
    half = np.uint64(max((space - 1).bit_length() + 1, 2) // 2)
    mask = np.uint64((1 << int(half)) - 1)
    walked = numbers.copy()
    outside = np.arange(len(walked))
    while len(outside):
        left, right = walked[outside] >> half, walked[outside] & mask
        for key in keys:
            left, right = right, left ^ (_mixed(right ^ key) & mask)
        walked[outside] = (left << half) | right
        outside = outside[walked[outside] >= space]
    return walked


def _mixed(values: Numbers) -> Numbers:
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
