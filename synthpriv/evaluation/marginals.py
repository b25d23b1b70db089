"""Total variation of many marginals between tables of any length: every row counted, chunk by chunk."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthpriv.evaluation.cells import Array
from synthpriv.evaluation.distances import Distance, bias_of_gaps, chance_gaps, standard_error

Floats = npt.NDArray[np.float64]
Group = tuple[int, ...]

MOST_COUNTERS = 1 << 22  # of one table at a time: 32 MiB
WORST = 5


@dataclass(frozen=True, kw_only=True, repr=False)
class Coded:
    """A table as bin codes: a random sample (rows, columns), and `chunks`, which reads every row.

    The standard error and the noise are found for tables whose sample has rows.
    """

    sample: Array
    chunks: Callable[[], Iterable[Array]]

    @classmethod
    def whole(cls, codes: Array) -> Coded:
        """A table that is held."""
        return cls(sample=codes, chunks=lambda: [codes])


@dataclass(frozen=True, kw_only=True, repr=False)
class Joint:
    """One marginal of two tables: the joint codes that are listed, and the share of rows with each.

    noise: the total variation of two samples of one population, on average.
    """

    group: Group
    total_variation: float
    noise: float
    codes: Array
    first: Floats
    second: Floats


@dataclass(frozen=True, kw_only=True)
class Marginals:
    """Total variation of many marginals: the mean as a distance, and each marginal's own.

    noises: what two samples of one population would show of each. singles: the marginals of one column, in
    order. worst: of the other ones, those that are the furthest beyond their noise, the worst first.
    """

    mean: float
    error: float
    noise: float
    bias: float
    each: tuple[float, ...]
    noises: tuple[float, ...] = ()
    singles: tuple[Joint, ...] = ()
    worst: tuple[Joint, ...] = ()

    @property
    def distance(self) -> Distance:
        """The mean as a distance."""
        return Distance(value=self.mean, error=self.error, noise=self.noise, bias=self.bias)


class Tally:
    """How often each code of 0..size-1 occurs; if not `dense`, only codes that occur are held."""

    def __init__(self, size: int, *, dense: bool) -> None:
        self.rows = 0
        self._codes: Array | None = None if dense else np.zeros(0, dtype=np.int64)
        self._counts = np.zeros(size if self._codes is None else 0, dtype=np.int64)

    def add(self, codes: Array) -> None:
        """Count the codes of some rows."""
        self.rows += len(codes)
        if self._codes is None:
            self._counts += np.bincount(codes, minlength=len(self._counts))
            return
        new, counts = np.unique(codes, return_counts=True)
        merged, place = np.unique(np.concatenate([self._codes, new]), return_inverse=True)
        weights = np.concatenate([self._counts, counts])
        self._codes, self._counts = merged, np.bincount(place, weights=weights).astype(np.int64)

    def beside(self, other: Tally) -> tuple[Array, Array, Array]:
        """The codes that are listed in both tables, in order, and how often each occurs in each of them."""
        own_codes, other_codes = self._codes, other._codes
        if own_codes is None or other_codes is None:
            return np.arange(len(self._counts)), self._counts, other._counts
        both = np.union1d(own_codes, other_codes)
        first, second = np.zeros(len(both), dtype=np.int64), np.zeros(len(both), dtype=np.int64)
        first[np.searchsorted(both, own_codes)] = self._counts
        second[np.searchsorted(both, other_codes)] = other._counts
        return both, first, second

    def places(self, codes: Array, listed: Array) -> Array:
        """Where the codes are in `listed`, which `beside` made."""
        return codes if self._codes is None else np.searchsorted(listed, codes)


def total_variations(
    contenders: Mapping[str, Coded],
    real: Coded,
    sizes: Sequence[int],
    families: Mapping[str, Sequence[Group]],
    progress: Callable[[int], None] = lambda rows: None,
) -> dict[str, dict[str, Marginals]]:
    """By family and contender, the total variation from `real` on each group of columns, and its mean.

    Codes of column j lie in 0..sizes[j]-1. All rows are counted. The standard error is the delta method's
    over rows: the mean is linear in the rows once the sign of every difference is fixed, so that a row's
    influence is half the mean sign of the bins it falls in; its spread is taken from the samples. Memory is
    bounded: groups that have too many bins together are counted in turn. progress: called with the rows of
    each chunk, as often as `passes` says for each table.
    """
    each = {(family, name): _Found(table, real) for family in families for name, table in contenders.items()}
    for batch in _batches(sizes, families):
        groups = [group for _, group in batch]
        theirs = _count(real, sizes, groups, progress)
        for name, table in contenders.items():
            ours = _count(table, sizes, groups, progress)
            for (family, group), own, other in zip(batch, ours, theirs, strict=True):
                each[family, name].add(group, sizes, own, other)
    return {family: {name: each[family, name].marginals() for name in contenders} for family in families}


def passes(sizes: Sequence[int], families: Mapping[str, Sequence[Group]]) -> int:
    """How often every table is read."""
    return len(list(_batches(sizes, families)))


def joint(codes: Array, sizes: Sequence[int], group: Group) -> Array:
    """One code per row (shape (rows,)) for its combination of the group's codes."""
    combined = codes[:, group[0]]
    if math.prod(sizes[at] for at in group) > np.iinfo(np.int32).max:
        combined = combined.astype(np.int64)
    for at in group[1:]:
        combined = combined * sizes[at] + codes[:, at]
    return combined


class _Found:
    """What is gathered of one contender's marginals, group by group."""

    def __init__(self, first: Coded, second: Coded) -> None:
        self._rows = (1, 1)
        self._each: list[float] = []
        self._singles: list[Joint] = []
        self._worst: list[Joint] = []
        self._noises: list[float] = []
        self._bias = 0.0
        self._samples = (first.sample, second.sample) if len(first.sample) else ()
        self._influence = [np.zeros(len(sample)) for sample in self._samples]

    def add(self, group: Group, sizes: Sequence[int], own: Tally, other: Tally) -> None:
        """One marginal: its columns and both tallies."""
        self._rows = (own.rows, other.rows)
        listed, first, second = own.beside(other)
        shares = first / own.rows, second / other.rows
        difference = shares[0] - shares[1]
        chance = chance_gaps(first + second, self._rows) if self._samples else np.zeros(len(listed))
        found = Joint(
            group=group,
            total_variation=float(np.abs(difference).sum() / 2),
            noise=float(chance.sum() / 2),
            codes=listed,
            first=shares[0],
            second=shares[1],
        )
        self._each.append(found.total_variation)
        self._noises.append(found.noise)
        if len(group) == 1:
            self._singles.append(found)
        if not self._samples:
            return
        if len(group) > 1:
            self._worst.append(found)
            self._worst.sort(key=lambda one: (one.total_variation - one.noise, one.group), reverse=True)
            del self._worst[WORST:]
        self._bias += float(bias_of_gaps(difference, chance).sum() / 2)
        sign = np.sign(difference)
        for influence, sample in zip(self._influence, self._samples, strict=True):
            influence += sign[own.places(joint(sample, sizes, group), listed)]

    def marginals(self) -> Marginals:
        if not self._each:
            return Marginals(mean=0.0, error=0.0, noise=0.0, bias=0.0, each=())
        scale = 2 * len(self._each)
        influences = tuple(influence / scale for influence in self._influence)
        return Marginals(
            mean=float(np.mean(self._each)),
            error=standard_error((influences[0], influences[1]), self._rows) if influences else 0.0,
            noise=float(np.mean(self._noises)),
            bias=self._bias / len(self._each),
            each=tuple(self._each),
            noises=tuple(self._noises),
            singles=tuple(self._singles),
            worst=tuple(self._worst),
        )


def _count(
    table: Coded, sizes: Sequence[int], groups: Sequence[Group], progress: Callable[[int], None]
) -> list[Tally]:
    tallies = []
    for group in groups:
        size = math.prod(sizes[at] for at in group)
        tallies.append(Tally(size, dense=len(group) == 1 or size <= MOST_COUNTERS))
    for codes in table.chunks():
        for tally, group in zip(tallies, groups, strict=True):
            tally.add(joint(codes, sizes, group))
        progress(len(codes))
    return tallies


def _batches(
    sizes: Sequence[int], families: Mapping[str, Sequence[Group]]
) -> Iterator[list[tuple[str, Group]]]:
    """The groups of all families, in order, in batches of at most MOST_COUNTERS bins or one group."""
    batch: list[tuple[str, Group]] = []
    held = 0
    for family, groups in families.items():
        for group in groups:
            size = math.prod(sizes[at] for at in group)
            if batch and held + size > MOST_COUNTERS:
                yield batch
                batch, held = [], 0
            batch.append((family, group))
            held += size
    if batch:
        yield batch
