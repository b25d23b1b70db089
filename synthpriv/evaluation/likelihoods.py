"""Densities of mixed rows, from which attackers take likelihood ratios.

Numbers are (rows, numbers) float32, standardised; lists are (rows, lists) codes 0..size-1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from synthpriv.evaluation.cells import Array

Floats = npt.NDArray[np.float64]
Single = npt.NDArray[np.float32]
CHUNK = 512
NARROWEST = 0.01  # of a copy's noise, in standard deviations; narrower ones lose precision in float32
LEAST_CHANGED = 1e-3
ROUNDS = 8
COPIED_AT_FIRST = 0.1
WIDTH_AT_FIRST = 0.2
CHANGED_AT_FIRST = 0.1
PAIR_PRIOR = 0.5
FAINT = 8.0  # minus the log of a normal kernel at four widths
MIXTURE_ROUNDS = 15
ROWS_PER_COMPONENT = 8  # few, so that a component can learn a few rows by heart
MOST_COMPONENTS = 256


@dataclass(frozen=True, kw_only=True, repr=False)
class Mixed:
    """A table for densities: numbers (rows, numbers), lists (rows, lists), sizes: categories per list."""

    numbers: Single
    lists: npt.NDArray[np.int64]
    sizes: tuple[int, ...]

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.numbers)

    def take(self, rows: Array) -> Mixed:
        """The rows at these indices."""
        return Mixed(numbers=self.numbers[rows], lists=self.lists[rows], sizes=self.sizes)

    def indicators(self) -> Single:
        """The lists as zeros and ones: (rows, categories of all lists)."""
        found = np.zeros((len(self), sum(self.sizes)), dtype=np.float32)
        starts = np.cumsum((0, *self.sizes))[:-1].astype(np.int64)
        np.put_along_axis(found, self.lists + starts, 1.0, axis=1)
        return found

    def shares(self) -> Floats:
        """The share of each category, all lists side by side, none of them 0."""
        counts = self.indicators().sum(axis=0, dtype=np.float64) + 0.5
        return np.asarray(counts / (len(self) + 0.5 * np.repeat(self.sizes, self.sizes)))


@dataclass(frozen=True, kw_only=True, repr=False)
class CopyKernel:
    """How a copy differs from its row: a number by normal noise, a list by a fresh draw from its shares.

    widths: (numbers,) standard deviations. changed: (lists,) chances of a fresh draw. shares: of all lists.
    """

    widths: Floats
    changed: Floats
    shares: Floats

    @classmethod
    def fitted(
        cls,
        rows: Mixed,
        table: Mixed,
        shares: Floats,
        rng: np.random.Generator,
        most: int,
        background: Floats | None = None,
    ) -> CopyKernel:
        """The likeliest kernel, if every row were a copy of one of the table or else came from elsewhere.

        background: (rows,) the log density elsewhere; None: every row is a copy. At most `most` rows are
        used. Expectation maximisation over which row is a copy of which.
        """
        chosen = rng.permutation(len(rows))[:most]
        rows, elsewhere = rows.take(chosen), None if background is None else background[chosen]
        kernel = cls(
            widths=np.full(rows.numbers.shape[1], WIDTH_AT_FIRST),
            changed=np.full(len(rows.sizes), CHANGED_AT_FIRST),
            shares=shares,
        )
        copied = COPIED_AT_FIRST
        for _ in range(ROUNDS):
            kernel, copied = kernel._improved(rows, table, elsewhere, copied)
        return kernel

    def log_density(self, rows: Mixed, table: Mixed) -> Floats:
        """(rows,) of a copy of one of the table's rows, each as likely."""
        return np.concatenate([found for _, found, _ in self._matches(rows, table, np.zeros(len(table)))])

    def log_gains(self, rows: Mixed, table: Mixed, elsewhere: Floats) -> Floats:
        """(rows,) the log of how much likelier the table's rows are as copies of the row than from elsewhere.

        elsewhere: (table,) their log density there. The likelihood ratios are averaged over the table.
        """
        anew = np.log(np.repeat(self.changed, rows.sizes) * self.shares)
        offsets = table.indicators() @ anew - elsewhere
        found = [found - chunk.indicators() @ anew for chunk, found, _ in self._matches(rows, table, offsets)]
        return np.concatenate(found)

    def _matches(self, rows: Mixed, table: Mixed, offsets: Floats) -> Iterator[tuple[Mixed, Floats, Single]]:
        """Chunks of rows: their log density, and how likely each is a copy of each row of the table.

        offsets: (table,) logarithms of weights.
        """
        lists = np.repeat(self.changed, rows.sizes)
        weights = np.log1p((1 - lists) / (lists * self.shares)).astype(np.float32)
        anew = np.log(lists * self.shares)
        near = (table.numbers / self.widths).astype(np.float32)
        among = np.hstack([near, table.indicators()]).T.copy()
        half = ((near**2).sum(axis=1) / 2 - offsets).astype(np.float32)
        scale = -np.log(self.widths).sum() - 0.5 * np.log(2 * np.pi) * len(self.widths) - np.log(len(table))
        for start in range(0, len(rows), CHUNK):
            chunk = rows.take(np.arange(start, min(start + CHUNK, len(rows))))
            near, ones = (chunk.numbers / self.widths).astype(np.float32), chunk.indicators()
            match = np.hstack([near, ones * weights]) @ among
            match -= half
            most = match.max(axis=1, keepdims=True)
            np.exp(np.subtract(match, most, out=match), out=match)
            total = match.sum(axis=1, keepdims=True)
            match /= total
            found = (most + np.log(total))[:, 0] - (near**2).sum(axis=1) / 2 + ones @ anew + scale
            yield chunk, found.astype(np.float64), match

    def _improved(
        self, rows: Mixed, table: Mixed, background: Floats | None, copied: float
    ) -> tuple[CopyKernel, float]:
        """One round: the kernel that fits the present matches best, and the share of rows that are copies."""
        lists = np.repeat(self.changed, rows.sizes)
        kept = (1 - lists) / (1 - lists + lists * self.shares)
        features = np.hstack([table.numbers, table.numbers**2, table.indicators()])
        columns = table.numbers.shape[1]
        moved, same, weight, at = np.zeros(columns), np.zeros(sum(rows.sizes)), 0.0, 0
        for chunk, found, match in self._matches(rows, table, np.zeros(len(table))):
            sure = np.ones(len(chunk))
            if background is not None:
                odds = np.log(1 - copied) - np.log(copied) + background[at : at + len(chunk)] - found
                sure = 1 / (1 + np.exp(np.clip(odds, -50, 50)))
            mean = match @ features
            first, second, ones = np.split(mean, [columns, 2 * columns], axis=1)
            moved += sure @ (chunk.numbers**2 - 2 * chunk.numbers * first + second)
            same += sure @ (chunk.indicators() * ones)
            weight, at = weight + float(sure.sum()), at + len(chunk)
        starts = np.cumsum((0, *rows.sizes))[:-1].astype(np.int64)
        held = np.add.reduceat(same * kept, starts) if rows.sizes else np.zeros(0)
        weight = max(weight, 1e-9)
        kernel = CopyKernel(
            widths=np.maximum(np.sqrt(np.maximum(moved / weight, 0.0)), NARROWEST),
            changed=np.clip(1 - held / weight, LEAST_CHANGED, 1 - LEAST_CHANGED),
            shares=self.shares,
        )
        return kernel, float(np.clip(weight / len(rows), 1e-3, 0.999))


def kernel_log_density(points: Single, among: Single, width: float) -> Floats:
    """(points,) the log of the mean normal kernel of `width` around each of `among`, up to a constant.

    Far from all of them it is what one at four widths gives: ratios of two such distances mean nothing.
    """
    parts = []
    half = (among**2).sum(axis=1) / 2
    for start in range(0, len(points), CHUNK):
        chunk = points[start : start + CHUNK]
        match = (chunk @ among.T - half - (chunk**2).sum(axis=1, keepdims=True) / 2) / np.float32(width**2)
        most = match.max(axis=1, keepdims=True)
        parts.append((most[:, 0] + np.log(np.exp(match - most).mean(axis=1))).astype(np.float64))
    return np.asarray(np.logaddexp(np.concatenate(parts), -FAINT - np.log(len(among))))


def pair_log_ratio(rows: Array, made: Array, reference: Array, sizes: tuple[int, ...]) -> Floats:
    """(rows,) the log ratio of two tables' likelihoods of each row, by shares of single columns and of pairs.

    A likelihood is the product of the shares of all pairs over that of the single columns, each column
    counted once (Bethe's approximation), so that single columns do not drown what pairs tell. rows, made,
    reference: (rows, columns) codes; sizes: codes per column.
    """

    def ratio(columns: tuple[int, ...]) -> Floats:
        shape = tuple(sizes[one] for one in columns)
        at, here, there = (
            np.ravel_multi_index(tuple(table[:, one] for one in columns), shape)
            for table in (rows, made, reference)
        )
        cells = int(np.prod(shape))
        log_made, log_real = (
            np.log(np.bincount(found, minlength=cells) + PAIR_PRIOR) - np.log(len(found) + PAIR_PRIOR * cells)
            for found in (here, there)
        )
        return np.asarray((log_made - log_real)[at])

    total = np.zeros(len(rows))
    for pair in combinations(range(len(sizes)), 2):
        total += ratio(pair)
    for one in range(len(sizes)):
        total -= (len(sizes) - 2) * ratio((one,))
    return total


def mixture_log_density(rows: Single, table: Single, sizes: tuple[int, ...], seed: int) -> Floats:
    """(rows,) under a mixture of products of shares that was fitted to the table, both as zeros and ones.

    Expectation maximisation from rows of the table; more rows have more components.
    """
    rng = np.random.default_rng(seed)
    count = int(np.clip(len(table) // ROWS_PER_COMPONENT, 1, MOST_COMPONENTS))
    widths = np.repeat(sizes, sizes)
    prior = (table.mean(axis=0) + 0.5 / len(table)) / (1 + 0.5 * widths / len(table))
    shares = 0.5 * prior + 0.5 * table[rng.choice(len(table), size=count, replace=False)]
    weights = np.full(count, 1 / count)
    for _ in range(MIXTURE_ROUNDS):
        joint = table @ np.log(shares).T.astype(np.float32) + np.log(weights).astype(np.float32)
        joint = np.exp(joint - joint.max(axis=1, keepdims=True))
        joint /= joint.sum(axis=1, keepdims=True)
        held = joint.sum(axis=0, dtype=np.float64)
        weights = (held + 1) / (held.sum() + count)
        shares = (joint.T @ table + prior) / (held + 1)[:, None]
    joint = rows @ np.log(shares).T.astype(np.float32) + np.log(weights).astype(np.float32)
    most = joint.max(axis=1)
    return np.asarray(most + np.log(np.exp(joint - most[:, None]).sum(axis=1)), dtype=np.float64)
