"""PrivateTable: THE DOOR. The only file that reaches private rows; every method but `disclose` is charged.

What can be learnt about the rows is the whole list of methods: `count`, `histograms`, `marginals`, `train`,
`disclose`.
There is no length, no indexing, and no row in the repr. Rows come in chunks and are kept as positions in the
declared domain (`column_store`), so that a table may be larger than memory; of an identifier only a 64-bit
hash is kept. Progress is told in shares of a stage, which are no property of the rows, never in row counts.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from synthpriv.encoding.partition import Partition
from synthpriv.encoding.table_encoder import Codes, TableEncoder
from synthpriv.errors import ConfigurationError, TableError, UnconfirmedSchema
from synthpriv.evaluation.disclosed import Disclosed
from synthpriv.privacy import mechanisms, randomness
from synthpriv.privacy.column_store import MEMORY_LIMIT, CodeMatrix, ColumnStore, smallest_type
from synthpriv.privacy.events import Laplace, NonPrivate, SampledGaussian, histogram_events
from synthpriv.privacy.ledger import Ledger, Release
from synthpriv.progress import Report, shares
from synthpriv.schema import Identifier, Schema
from synthpriv.schema.cells import hashed_cells
from synthpriv.schema.values import place, restore
from synthpriv.tables import CHUNK_ROWS, check_shape, read_chunks

if TYPE_CHECKING:
    from torch import nn

    from synthpriv.privacy.dpsgd import AfterStep, RowLoss
    from synthpriv.privacy.dpsgd_plan import DPSGDPlan, Optimization

Ints = npt.NDArray[np.int64]
MOST_DISCLOSED = 200_000


class PrivateTable:
    """Private rows behind a door; public are the schema, the ledger and what was declared about the table.

    rows: the table's row count if it is public knowledge (None: it is counted with noise, charged). holdout:
    the share of units, drawn by independent trials, that is kept from every fit for evaluation.
    """

    __slots__ = (
        "__fit_units",
        "__in_fit",
        "__in_holdout",
        "__memory_limit",
        "__outside",
        "__store",
        "holdout",
        "ledger",
        "rows",
        "schema",
    )

    def __init__(
        self,
        frame: pd.DataFrame | Iterable[pd.DataFrame],
        schema: Schema,
        ledger: Ledger | Callable[[], Ledger],
        *,
        holdout: float = 0.0,
        rows: int | None = None,
        memory_limit: int = MEMORY_LIMIT,
    ) -> None:
        """Check the table's shape, bound the rows of each unit, draw the holdout.

        frame: a table, or its chunks. ledger: or what opens it, once the table has passed every check.
        memory_limit: bytes of rows held in memory; what is larger goes to a nameless scratch file. Raises
        TableError if columns are missing, unknown or doubled, if a unit has more rows than declared as one,
        or if most cells of a column lie outside the declared domain (a schema of another table).
        """
        if not 0 <= holdout < 1:
            raise ConfigurationError(f"holdout must lie in [0, 1), found {holdout}.")
        if rows is not None and rows < 1:
            raise ConfigurationError(f"rows must be at least 1, found {rows}.")
        source = randomness.system_source()
        store, hashes, outside = _take_in(frame, schema, memory_limit)
        _refuse_foreign_table(outside, store.rows)
        units, kept = _bound_units(hashes, store.rows, schema, source)
        self.ledger = ledger() if callable(ledger) else ledger
        self.ledger.bind(_fingerprint(store))
        self.schema, self.holdout, self.rows = schema, holdout, rows
        unit_count = store.rows if units is None else int(units.max()) + 1
        held_out = np.zeros(unit_count, dtype=bool)
        if holdout > 0:
            held_out[source.bernoulli_rows(unit_count, holdout)] = True
        self.__in_holdout = kept & (held_out if units is None else held_out[units])
        self.__in_fit = kept & ~self.__in_holdout
        self.__fit_units = None if units is None else units[self.__in_fit]
        self.__store, self.__outside, self.__memory_limit = store, outside, memory_limit

    @classmethod
    def read(
        cls,
        path: str | Path,
        schema: Schema,
        ledger: Ledger | Callable[[], Ledger],
        *,
        holdout: float = 0.0,
        rows: int | None = None,
        format: str | None = None,
        memory_limit: int = MEMORY_LIMIT,
        progress: Report | None = None,
    ) -> PrivateTable:
        """Read a CSV, Parquet or Arrow file straight behind the door, chunk by chunk."""
        report = shares("reading the table", progress)
        return cls(
            read_chunks(path, schema, format=format, progress=report),
            schema,
            ledger,
            holdout=holdout,
            rows=rows,
            memory_limit=memory_limit,
        )

    def __repr__(self) -> str:
        """Public facts only."""
        return f"PrivateTable(columns={len(self.schema.columns)}, holdout={self.holdout})"

    @property
    def public_rows(self) -> int | None:
        """The declared number of rows to fit on, if the table's row count is public."""
        return None if self.rows is None else max(1, round(self.rows * (1 - self.holdout)))

    def count(self, release: Release, epsilon: float) -> int:
        """The number of rows to fit on, with discrete Laplace noise; at least 1.

        One unit changes it by at most max_rows_per_unit = r, so that noise of scale r / epsilon is
        epsilon-DP. Charges Laplace(epsilon), or NonPrivate if epsilon is infinite.
        """
        exact = int(self.__in_fit.sum())
        if math.isinf(epsilon):
            release.charge("row count", NonPrivate())
            return max(1, exact)
        release.charge("row count", Laplace(epsilon=epsilon))
        noisy = mechanisms.noisy_count(exact, self.schema.max_rows_per_unit / epsilon)
        return max(1, noisy)

    def histograms(
        self,
        release: Release,
        label: str,
        partitions: Mapping[str, Partition],
        noise_scales: Mapping[str, float],
        progress: Report | None = None,
    ) -> dict[str, Ints]:
        """Histograms of several columns, each with discrete Gaussian noise of its own scale (0: no noise).

        A row falls into at most one cell of each histogram, so one unit changes at most max_rows_per_unit
        counts of a column by one each: Counts(noise_scale, max_rows) per column. Charged before counting.
        """
        scales = (noise_scales[name] for name in partitions)
        release.charge(label, histogram_events(scales, self.schema.max_rows_per_unit))
        report = shares("counting columns", progress)
        exact = {name: np.zeros(partition.cells, dtype=np.int64) for name, partition in partitions.items()}
        for chosen, columns in self.__store.chunks(partitions):
            for name, partition in partitions.items():
                exact[name] += partition.count(columns[name][self.__in_fit[chosen]])
            report(chosen.stop / self.__store.rows)
        return {
            name: mechanisms.noisy_counts(counts, noise_scales[name]) if noise_scales[name] > 0 else counts
            for name, counts in exact.items()
        }

    def marginals(
        self,
        release: Release,
        label: str,
        encoder: TableEncoder,
        groups: Sequence[tuple[int, ...]],
        noise_scale: float,
        progress: Report | None = None,
    ) -> list[Ints]:
        """Joint counts of groups of encoded columns, all with discrete Gaussian noise (scale 0: no noise).

        groups: positions of columns; a result has the shape of its group's cells. A row falls into one cell
        of each marginal, so one unit changes at most max_rows_per_unit counts of each by one in total:
        Counts(noise_scale, coordinates=len(groups), max_rows). Charged before counting.
        """
        release.charge(label, histogram_events([noise_scale] * len(groups), self.schema.max_rows_per_unit))
        report = shares("counting marginals", progress)
        shapes = [tuple(encoder.sizes[at] for at in group) for group in groups]
        exact = [np.zeros(math.prod(shape), dtype=np.int64) for shape in shapes]
        for codes, done in self.__encoded(encoder):
            for counts, group, shape in zip(exact, groups, shapes, strict=True):
                cells = np.ravel_multi_index(tuple(codes[:, at] for at in group), shape)
                counts += np.bincount(cells, minlength=len(counts))
            report(done)
        if noise_scale > 0:
            tell = shares("adding noise to marginals", progress)
            noisy = mechanisms.noisy_counts(
                np.concatenate(exact), noise_scale, lambda done, total: tell(done / total)
            )
            exact = np.split(noisy, np.cumsum([len(counts) for counts in exact])[:-1])
        return [counts.reshape(shape) for counts, shape in zip(exact, shapes, strict=True)]

    def train(
        self,
        release: Release,
        label: str,
        encoder: TableEncoder,
        module: nn.Module,
        row_loss: RowLoss,
        plan: DPSGDPlan,
        optimization: Optimization,
        after_step: AfterStep | None = None,
        progress: Report | None = None,
    ) -> None:
        """Train `module` in place by DP-SGD on the encoded rows; only noisy clipped sums leave the door.

        Units are drawn by independent trials and one unit's whole gradient is clipped to max_grad_norm.
        Charges SampledGaussian(noise_multiplier, sample_rate, steps) before the first step. row_loss sees
        codes: it is trusted to return one loss per row and keep nothing.
        """
        from synthpriv.privacy.dpsgd import train_private
        from synthpriv.privacy.layers import supported_layers

        supported_layers(module)
        noisy = plan.noise_multiplier > 0
        release.charge(
            label,
            SampledGaussian(
                noise_multiplier=plan.noise_multiplier, sample_rate=plan.sample_rate, steps=plan.steps
            )
            if noisy
            else NonPrivate(),
        )
        report = shares("encoding rows", progress)
        codes = CodeMatrix(
            int(self.__in_fit.sum()), len(encoder.sizes), max(encoder.sizes, default=0), self.__memory_limit
        )
        for part, done in self.__encoded(encoder):
            codes.append(part)
            report(done)
        train_private(
            module,
            row_loss,
            codes,
            self.__fit_units,
            self.schema.max_rows_per_unit,
            plan,
            optimization,
            randomness.system_source(),
            after_step,
        )

    def __encoded(self, encoder: TableEncoder) -> Iterator[tuple[Codes, float]]:
        """The codes of the rows to fit on, chunk by chunk, and the share of the table that is done."""
        for chosen, columns in self.__store.chunks(encoder.codecs):
            inside = self.__in_fit[chosen]
            codes = encoder.encode({name: column[inside] for name, column in columns.items()})
            yield codes, chosen.stop / self.__store.rows

    def disclose(self, reason: str, *, epsilon: float | None = None, delta: float | None = None) -> Disclosed:
        """Hand the real rows to the judge, for internal use; recorded in the ledger with its reason.

        epsilon, delta: the claim that the attacks are held against (None: all that the ledger has reserved).
        Cells are typed as the schema says; an identifier is its hash, which tells same from different and
        names nobody. Of more than MOST_DISCLOSED rows a random sample is handed out. Nothing computed from
        the result may be published: it is not covered by the claim.
        """
        reserved = self.ledger.reserved()
        epsilon = (reserved[0] or math.inf) if epsilon is None else epsilon
        delta = reserved[1] if delta is None else delta
        self.ledger.record("disclosure", reason=reason)
        sampled = _disclosed_rows(self.__store.rows)
        return Disclosed(
            schema=self.schema,
            train=_typed_rows(self.__store, self.schema, self.__in_fit & sampled),
            holdout=_typed_rows(self.__store, self.schema, self.__in_holdout & sampled),
            epsilon=epsilon,
            delta=delta,
            outside=dict(self.__outside),
        )


def require_confirmed(schema: Schema, accept_drafted: bool) -> None:
    """Refuse a schema whose domain was read from the data, unless that is accepted (and then recorded)."""
    if schema.unconfirmed and not accept_drafted:
        raise UnconfirmedSchema(
            "private training needs a schema whose bounds and categories are public knowledge, found "
            f"confirmed = false on {', '.join(map(repr, schema.unconfirmed[:5]))}; confirm them, or accept "
            "the draft (--accept-drafted-schema), and the page will say that it was read from the data."
        )


def _take_in(
    frame: pd.DataFrame | Iterable[pd.DataFrame], schema: Schema, memory_limit: int
) -> tuple[ColumnStore, npt.NDArray[np.uint64] | None, dict[str, int]]:
    """Every row as positions, every row's unit as a hash (None: each row is one), and the cells mapped."""
    types = {
        name: np.dtype(np.int64) if isinstance(column, Identifier) else smallest_type(column.size)
        for name, column in schema.columns.items()
    }
    store, units = ColumnStore(types, memory_limit), [np.zeros(0, dtype=np.uint64)]
    outside = dict.fromkeys(schema.modelled, 0)
    unit_key = secrets.token_hex(8)  # of 16 characters, new for each table: nobody can prepare a collision
    for chunk in _sliced(frame) if isinstance(frame, pd.DataFrame) else frame:
        check_shape(chunk, schema)
        columns = {}
        for name, column in schema.columns.items():
            if isinstance(column, Identifier):
                columns[name] = hashed_cells(chunk[name]).view(np.int64)
                continue
            placed = place(chunk[name], column)
            columns[name] = placed.positions
            outside[name] += int(placed.outside.sum())
        store.append(columns)
        if schema.privacy_unit is not None:
            units.append(hashed_cells(chunk[schema.privacy_unit], unit_key))
    if store.rows == 0:
        check_shape(pd.DataFrame(columns=list(schema.columns)), schema)
    return store, None if schema.privacy_unit is None else np.concatenate(units), outside


def _sliced(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    return (frame.iloc[start : start + CHUNK_ROWS] for start in range(0, max(len(frame), 1), CHUNK_ROWS))


def _bound_units(
    hashes: npt.NDArray[np.uint64] | None, rows: int, schema: Schema, source: randomness.Randomness
) -> tuple[Ints | None, npt.NDArray[np.bool_]]:
    """Each row's unit, and which rows to keep: at most max_rows_per_unit of each, whatever their values.

    A unit's rows may lie anywhere in the table. Two units share a keyed 64-bit hash, and so a bound, with
    probability n / 2**64.
    """
    kept = np.ones(rows, dtype=bool)
    if hashes is None:
        return None, kept
    units = pd.factorize(hashes)[0].astype(np.int64)
    crowded = np.flatnonzero(np.bincount(units)[units] > schema.max_rows_per_unit)
    if schema.max_rows_per_unit == 1 and len(crowded):
        raise TableError(
            f"each {schema.privacy_unit!r} must own one row, found one that owns several; declare "
            "max_rows_per_unit in the schema."
        )
    order = crowded[np.argsort(source.gaussian(len(crowded), 1.0), kind="stable")]
    rank = pd.Series(units[order]).groupby(units[order]).cumcount().to_numpy()
    kept[order[rank >= schema.max_rows_per_unit]] = False
    return units, kept


def _refuse_foreign_table(outside: Mapping[str, int], rows: int) -> None:
    """A column mostly outside its declared domain is a mistake in the schema, not a property of one row."""
    wrong = [name for name, count in outside.items() if count > rows / 2]
    if wrong:
        raise TableError(
            "values must lie in the schema's declared domain, found most of "
            f"{', '.join(map(repr, wrong[:5]))} outside; 'synthpriv schema check' lists the mismatches."
        )


def _fingerprint(store: ColumnStore) -> Iterator[bytes]:
    """The table's content as it was placed, for the ledger's keyed fingerprint; internal."""
    for name in store.types:
        yield name.encode() + b"\0"
        yield from store.raw(name)


def _disclosed_rows(rows: int) -> npt.NDArray[np.bool_]:
    """Which rows may be handed to the judge: all, or by independent trials just under MOST_DISCLOSED."""
    if rows <= MOST_DISCLOSED:
        return np.ones(rows, dtype=bool)
    sampled = np.zeros(rows, dtype=bool)
    drawn = randomness.system_source().bernoulli_rows(rows, 0.98 * MOST_DISCLOSED / rows)
    sampled[drawn[:MOST_DISCLOSED]] = True
    return sampled


def _typed_rows(store: ColumnStore, schema: Schema, wanted: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """The wanted rows with the schema's columns, order and dtypes."""
    parts: dict[str, list[Ints]] = {name: [np.zeros(0, dtype=np.int64)] for name in schema.columns}
    for chosen, columns in store.chunks():
        for name, column in columns.items():
            parts[name].append(column[wanted[chosen]])
    typed = {}
    for name, kind in schema.columns.items():
        cells = np.concatenate(parts.pop(name))
        if isinstance(kind, Identifier):
            typed[name] = pd.Series([f"{value:016x}" for value in cells.view(np.uint64)], dtype="str")
        else:
            typed[name] = restore(cells, kind, name)
    return pd.DataFrame(typed)
