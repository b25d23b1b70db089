"""ColumnCodec: values <-> cell codes of one column, made from the schema and a released histogram only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from synthpriv.encoding.partition import Floats, Ints, LeafHistogram
from synthpriv.encoding.roundness import LEAST_LIFT, Roundness, classes_of
from synthpriv.errors import BundleError
from synthpriv.schema import AnyColumn, Boolean, Categorical
from synthpriv.schema.regions import Region
from synthpriv.schema.values import MISSING

MAX_CELLS = 32
SAVED_DECIMALS = 3
MOST_ROWS = 10**12  # the largest mass that a loaded codec may hold


@dataclass(frozen=True, kw_only=True)
class _Pieces:
    """Runs of positions, each uniform with its own mass and cell."""

    starts: Ints
    ends: Ints
    mass: Floats
    cell: Ints


@dataclass(frozen=True, kw_only=True)
class ColumnCodec:
    """The cells of one column.

    Leaf k covers positions starts[k]..starts[k+1]-1, holds `mass[k]` of the released distribution and
    belongs to cell `cell[k]`. If `nullable`, the last cell is 'missing', with mass `missing`.
    roundness: which values of a leaf are likelier (None: all are alike).
    """

    starts: Ints
    mass: Floats
    cell: Ints
    size: int
    nullable: bool
    missing: float
    roundness: Roundness | None = None

    @property
    def cells(self) -> int:
        """The number of codes."""
        return int(self.cell.max()) + 1 + int(self.nullable)

    @property
    def shares(self) -> Floats:
        """The released share of each cell (shape (cells,), sum 1)."""
        masses = np.bincount(self.cell, weights=self.mass, minlength=int(self.cell.max()) + 1)
        masses = np.append(masses, self.missing) if self.nullable else masses
        masses = np.maximum(masses, 1e-6 * max(float(masses.sum()), 1.0))
        return np.asarray(masses / masses.sum(), dtype=np.float64)

    def encode(self, positions: Ints) -> Ints:
        """The cell of every position (shape (n,)); missing is the last cell."""
        leaf = np.searchsorted(self.starts, np.maximum(positions, 0), side="right") - 1
        return np.where(positions == MISSING, self.cells - 1, self.cell[leaf])

    def decode(self, codes: Ints, rng: np.random.Generator, region: Region | None = None) -> Ints:
        """A position for every code: a leaf of the cell by its released mass, then a position in it.

        region: the positions that may be drawn; every code must have some (see `weights`).
        """
        positions = np.full(len(codes), MISSING, dtype=np.int64)
        pieces = self._pieces(region)
        draw = rng.integers if self.roundness is None else partial(self.roundness.draw, rng=rng)
        for code in np.unique(codes[codes <= self.cell.max()]):
            rows = np.flatnonzero(codes == code)
            own = np.flatnonzero(pieces.cell == code)
            mass = pieces.mass[own]
            weights = mass if mass.sum() > 0 else (pieces.ends - pieces.starts)[own].astype(np.float64)
            piece = own[rng.choice(len(own), size=len(rows), p=weights / weights.sum())]
            positions[rows] = draw(pieces.starts[piece], pieces.ends[piece])
        return positions

    def weights(self, region: Region) -> Floats:
        """The share of each cell's released mass that lies in the region: 0..1, shape (cells,)."""
        pieces, last = self._pieces(region), int(self.cell.max()) + 1
        ends = np.append(self.starts[1:], self.size)
        mass = np.bincount(self.cell, weights=self.mass, minlength=last)
        width = np.bincount(self.cell, weights=ends - self.starts, minlength=last)
        inside = np.bincount(pieces.cell, weights=pieces.mass, minlength=last)
        covered = np.bincount(pieces.cell, weights=pieces.ends - pieces.starts, minlength=last)
        shares = np.where(mass > 0, inside / np.where(mass > 0, mass, 1.0), covered / width)
        return np.append(shares, float(region.missing)) if self.nullable else shares

    def _pieces(self, region: Region | None) -> _Pieces:
        """The leaves, cut to the region."""
        ends = np.append(self.starts[1:], self.size)
        if region is None:
            return _Pieces(starts=self.starts, ends=ends, mass=self.mass, cell=self.cell)
        cuts = np.unique(np.concatenate([self.starts, [self.size], region.intervals.ravel()]))
        starts, stops = cuts[:-1], cuts[1:]
        kept = region.holds(starts)
        starts, stops = starts[kept], stops[kept]
        leaf = np.searchsorted(self.starts, starts, side="right") - 1
        mass = self.mass[leaf] * self._spread(starts, stops) / self._spread(self.starts, ends)[leaf]
        return _Pieces(starts=starts, ends=stops, mass=mass, cell=self.cell[leaf])

    def _spread(self, starts: Ints, ends: Ints) -> Floats:
        """How much of a leaf's mass runs of positions inside it take, in units of one least round value."""
        if self.roundness is None:
            return (ends - starts).astype(np.float64)
        return self.roundness.mass(starts, ends)

    def heaviest(self, codes: Ints) -> Ints:
        """For every code the first position of the cell's densest leaf: one value that stands for it."""
        density = self.mass / np.diff(np.append(self.starts, self.size))
        cells = range(int(self.cell.max()) + 1)
        values = self.starts[[np.argmax(np.where(self.cell == cell, density, -1.0)) for cell in cells]]
        return np.append(values, MISSING)[codes] if self.nullable else values[codes]

    def middle(self, codes: Ints) -> Ints:
        """For every code of a present value the position up to which half of the cell's mass lies."""
        ends = np.append(self.starts[1:], self.size)
        values = np.zeros(int(self.cell.max()) + 1, dtype=np.int64)
        for cell in range(len(values)):
            leaves = np.flatnonzero(self.cell == cell)
            mass = (
                self.mass[leaves] if self.mass[leaves].any() else (ends - self.starts)[leaves].astype(float)
            )
            upto = mass.cumsum()
            at = int(np.searchsorted(upto, upto[-1] / 2))
            inside = (upto[-1] / 2 - (upto[at] - mass[at])) / mass[at]
            width = int(ends[leaves[at]] - self.starts[leaves[at]])
            values[cell] = self.starts[leaves[at]] + min(int(inside * width), width - 1)
        return values[codes]

    def log_density_inside(self, positions: Ints) -> Floats:
        """The logarithm of each position's probability given its cell; 0 for a missing one.

        A leaf without released mass counts as one row spread over it.
        """
        widths = self._spread(self.starts, np.append(self.starts[1:], self.size))
        mass = np.maximum(self.mass, 1.0)
        cells = np.bincount(self.cell, weights=mass)
        present = np.maximum(positions, 0)
        leaf = np.searchsorted(self.starts, present, side="right") - 1
        own = self._spread(present, present + 1)
        inside = np.log(own * mass[leaf] / widths[leaf] / cells[self.cell[leaf]])
        return np.where(positions == MISSING, 0.0, inside)

    def draw_present(self, count: int, rng: np.random.Generator) -> Ints:
        """Positions (shape (count,)) from the released distribution of values that are not missing."""
        shares = self.shares[: int(self.cell.max()) + 1]
        codes = rng.choice(len(shares), size=count, p=shares / shares.sum())
        return self.decode(codes.astype(np.int64), rng)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: released statistics and public facts only."""
        return {
            "starts": self.starts.tolist(),
            "mass": [round(float(value), SAVED_DECIMALS) for value in self.mass],
            "cell": self.cell.tolist(),
            "size": self.size,
            "nullable": self.nullable,
            "missing": round(self.missing, SAVED_DECIMALS),
            "lifts": None if self.roundness is None else self.roundness.lifts.tolist(),
            "zero": None if self.roundness is None else self.roundness.zero,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ColumnCodec:
        """The inverse of `to_dict`; the caller validates untrusted input with `check_codec`.

        Raises TypeError, OverflowError or KeyError for fields of another type and for unknown ones.
        """
        if set(data) != {"starts", "mass", "cell", "size", "nullable", "missing", "lifts", "zero"}:
            raise KeyError("a codec has starts, mass, cell, size, nullable, missing, lifts and zero")
        if type(data["size"]) is not int or type(data["nullable"]) is not bool:
            raise TypeError("a codec's size is a whole number and nullable true or false")
        return cls(
            starts=np.array(_listed(data["starts"], int), dtype=np.int64),
            mass=np.array(_listed(data["mass"], int, float), dtype=np.float64),
            cell=np.array(_listed(data["cell"], int), dtype=np.int64),
            size=data["size"],
            nullable=data["nullable"],
            missing=float(*_listed([data["missing"]], int, float)),
            roundness=_listed_roundness(data["lifts"], data["zero"]),
        )


def _listed(values: Any, *kinds: type) -> list[Any]:
    """The list, once every item is known to be of one of `kinds` (a boolean is no number)."""
    if type(values) is not list or not {type(value) for value in values} <= set(kinds):
        raise TypeError("a codec holds lists of numbers")
    return values


def _listed_roundness(lifts: Any, zero: Any) -> Roundness | None:
    if lifts is None and zero is None:
        return None
    (zero,) = _listed([zero], int)
    return Roundness(zero=zero, lifts=np.array(_listed(lifts, int, float), dtype=np.float64))


def build_codec(
    column: AnyColumn,
    histogram: LeafHistogram,
    max_cells: int = MAX_CELLS,
    roundness: Roundness | None = None,
) -> ColumnCodec:
    """Group the leaves of a released histogram into at most `max_cells` cells (post-processing)."""
    if isinstance(column, Categorical | Boolean):
        cell = _fold_rare(histogram)
    else:
        cell = _group_neighbours(histogram, max_cells - int(column.nullable))
    return ColumnCodec(
        starts=histogram.starts,
        mass=histogram.mass.round(SAVED_DECIMALS),  # as it is saved, so that a loaded codec draws the same
        cell=cell,
        size=column.size,
        nullable=column.nullable,
        missing=round(histogram.missing, SAVED_DECIMALS),
        roundness=roundness,
    )


def _fold_rare(histogram: LeafHistogram) -> Ints:
    """One cell per category, but those that the noise hides share the last one."""
    rare = histogram.mass < 3.0 * histogram.noise
    if rare.sum() < 2:
        return np.arange(len(rare), dtype=np.int64)
    cell = np.cumsum(~rare) - 1
    return np.where(rare, int((~rare).sum()), cell).astype(np.int64)


def _group_neighbours(histogram: LeafHistogram, max_cells: int) -> Ints:
    """Cells of neighbouring leaves with nearly equal mass; heavy single values ('atoms') stand alone."""
    if len(histogram.mass) <= max_cells and bool((histogram.mass >= 3.0 * histogram.noise).all()):
        return np.arange(len(histogram.mass), dtype=np.int64)
    target = histogram.mass.sum() / max_cells
    while True:
        cell = _walk(histogram, target)
        if cell[-1] + 1 <= max_cells:
            return cell
        target *= 1.1


def _walk(histogram: LeafHistogram, target: float) -> Ints:
    """Cut the line of leaves where a cell reaches `target`, and around atoms that reach it alone."""
    atoms = (histogram.widths == 1) & (histogram.mass >= np.maximum(target / 2, 4.0 * histogram.noise))
    least = target / 4
    cell = np.zeros(len(histogram.mass), dtype=np.int64)
    current, held, holds_atom = 0, 0.0, False
    for k, mass in enumerate(histogram.mass):
        ahead = _mass_until_atom(histogram.mass, atoms, k) if holds_atom else 0.0
        cut = (
            (atoms[k] and held >= least)
            or (holds_atom and (atoms[k] or ahead >= least))
            or (not holds_atom and held >= target)
        )
        if cut and k > 0:
            current, held, holds_atom = current + 1, 0.0, False
        cell[k] = current
        held += float(mass)
        holds_atom = holds_atom or bool(atoms[k])
    return cell


def _mass_until_atom(mass: Floats, atoms: npt.NDArray[np.bool_], start: int) -> float:
    """The mass from leaf `start` up to the next atom."""
    following = np.flatnonzero(atoms[start:])
    end = start + int(following[0]) if len(following) else len(mass)
    return float(mass[start:end].sum())


def check_codec(name: str, column: AnyColumn, codec: ColumnCodec) -> None:
    """Refuse a loaded codec that does not fit its column; raises BundleError."""
    leaves, cells = len(codec.starts), codec.cell
    sound = (
        codec.starts.ndim == codec.mass.ndim == cells.ndim == 1
        and leaves == len(codec.mass) == len(cells) > 0
        and codec.size == column.size
        and codec.nullable == column.nullable
        and codec.starts[0] == 0
        # every start within the domain, or differences of extreme numbers wrap around
        and bool(((codec.starts >= 0) & (codec.starts < codec.size)).all())
        and bool((np.diff(codec.starts) > 0).all())
        and bool(((codec.mass >= 0) & (codec.mass <= MOST_ROWS)).all())
        and 0 <= codec.missing <= MOST_ROWS
        and bool((np.unique(cells) == np.arange(len(np.unique(cells)))).all())
        and len(np.unique(cells)) < np.iinfo(np.int16).max
        and _fits(column, codec.roundness)
    )
    if not sound:
        raise BundleError(
            f"the codec of column {name!r} must fit the schema, found other leaves or cells; fetch it again."
        )


def _fits(column: AnyColumn, roundness: Roundness | None) -> bool:
    """Whether a loaded roundness is one of this column's amounts."""
    if roundness is None:
        return True
    classes, lifts = classes_of(column), roundness.lifts
    shaped = classes is not None and (classes.zero, (classes.cells,)) == (roundness.zero, lifts.shape)
    return shaped and bool(((lifts >= LEAST_LIFT) & (lifts <= 1)).all())
