"""PrivateTable: THE DOOR. The only file that reaches private rows; every method but `disclose` is charged.

What can be learnt about the rows is the whole list of methods: `count`, `histograms`, `train`, `disclose`.
There is no length, no indexing, and no row in the repr.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from synthpriv.encoding.partition import Partition
from synthpriv.encoding.table_encoder import TableEncoder
from synthpriv.errors import ConfigurationError, TableError, UnconfirmedSchema
from synthpriv.evaluation.disclosed import Disclosed
from synthpriv.privacy import mechanisms, randomness
from synthpriv.privacy.events import Laplace, NonPrivate, SampledGaussian, histogram_events
from synthpriv.privacy.ledger import Ledger, Release
from synthpriv.schema import Schema
from synthpriv.schema.values import place
from synthpriv.tables import check_shape, conform, read_table

if TYPE_CHECKING:
    from torch import nn

    from synthpriv.privacy.dpsgd import AfterStep, RowLoss
    from synthpriv.privacy.dpsgd_plan import DPSGDPlan, Optimization

Ints = npt.NDArray[np.int64]


class PrivateTable:
    """Private rows behind a door; public are the schema, the ledger and what was declared about the table.

    rows: the table's row count if it is public knowledge (None: it is counted with noise, charged). holdout:
    the share of units, drawn by independent trials, that is kept from every fit for evaluation.
    """

    __slots__ = (
        "__fit_units",
        "__frame",
        "__in_fit",
        "__outside",
        "__positions",
        "holdout",
        "ledger",
        "rows",
        "schema",
    )

    def __init__(
        self,
        frame: pd.DataFrame,
        schema: Schema,
        ledger: Ledger,
        *,
        holdout: float = 0.0,
        rows: int | None = None,
    ) -> None:
        """Check the table's shape, bound the rows of each unit, draw the holdout.

        Raises TableError if columns are missing, unknown or doubled, if a unit has more rows than declared
        as one, or if most cells of a column lie outside the declared domain (a schema of another table).
        """
        if not 0 <= holdout < 1:
            raise ConfigurationError(f"holdout must lie in [0, 1), found {holdout}.")
        if rows is not None and rows < 1:
            raise ConfigurationError(f"rows must be at least 1, found {rows}.")
        check_shape(frame, schema)
        source = randomness.system_source()
        frame = frame[list(schema.columns)]
        ledger.bind(_fingerprint(frame))
        frame, units = _bound_units(frame, schema, source)
        self.schema, self.ledger, self.holdout, self.rows = schema, ledger, holdout, rows
        placed = {name: place(frame[name], column) for name, column in schema.modelled.items()}
        self.__outside = {name: int(found.outside.sum()) for name, found in placed.items()}
        _refuse_foreign_table(self.__outside, len(frame))
        unit_count = int(units.max()) + 1
        held_out = np.zeros(unit_count, dtype=bool)
        if holdout > 0:
            held_out[source.bernoulli_rows(unit_count, holdout)] = True
        self.__in_fit = ~held_out[units]
        self.__fit_units = units[self.__in_fit]
        self.__positions = {name: found.positions[self.__in_fit] for name, found in placed.items()}
        self.__frame = frame

    @classmethod
    def read(
        cls,
        path: str | Path,
        schema: Schema,
        ledger: Ledger,
        *,
        holdout: float = 0.0,
        rows: int | None = None,
        format: str | None = None,
    ) -> PrivateTable:
        """Read a CSV, Parquet or Arrow file straight behind the door."""
        return cls(read_table(path, schema, format=format), schema, ledger, holdout=holdout, rows=rows)

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
    ) -> dict[str, Ints]:
        """Histograms of several columns, each with discrete Gaussian noise of its own scale (0: no noise).

        A row falls into at most one cell of each histogram, so one unit changes at most max_rows_per_unit
        counts of a column by one each: Counts(noise_scale, max_rows) per column. Charged before counting.
        """
        scales = (noise_scales[name] for name in partitions)
        release.charge(label, histogram_events(scales, self.schema.max_rows_per_unit))
        released = {}
        for name, partition in partitions.items():
            exact = partition.count(self.__positions[name])
            scale = noise_scales[name]
            released[name] = mechanisms.noisy_counts(exact, scale) if scale > 0 else exact
        return released

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
        train_private(
            module,
            row_loss,
            encoder.encode(self.__positions),
            self.__fit_units,
            self.schema.max_rows_per_unit,
            plan,
            optimization,
            randomness.system_source(),
            after_step,
        )

    def disclose(self, reason: str, *, epsilon: float | None = None, delta: float | None = None) -> Disclosed:
        """Hand the real rows to the judge, for internal use; recorded in the ledger with its reason.

        epsilon, delta: the claim that the attacks are held against (None: all that the ledger has reserved).
        Nothing computed from the result may be published: it is not covered by the claim.
        """
        reserved = self.ledger.reserved()
        epsilon = (reserved[0] or math.inf) if epsilon is None else epsilon
        delta = reserved[1] if delta is None else delta
        self.ledger.record("disclosure", reason=reason)
        frame, _ = conform(self.__frame, self.schema)
        return Disclosed(
            schema=self.schema,
            train=frame[self.__in_fit].reset_index(drop=True),
            holdout=frame[~self.__in_fit].reset_index(drop=True),
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


def _bound_units(
    frame: pd.DataFrame, schema: Schema, source: randomness.Randomness
) -> tuple[pd.DataFrame, Ints]:
    """At most max_rows_per_unit rows of each unit, kept by a random order that no value can influence."""
    if schema.privacy_unit is None:
        return frame.reset_index(drop=True), np.arange(len(frame), dtype=np.int64)
    units = pd.factorize(frame[schema.privacy_unit], use_na_sentinel=False)[0].astype(np.int64)
    if schema.max_rows_per_unit == 1 and len(np.unique(units)) < len(units):
        raise TableError(
            f"each {schema.privacy_unit!r} must own one row, found one that owns several; declare "
            "max_rows_per_unit in the schema."
        )
    order = np.argsort(source.gaussian(len(frame), 1.0), kind="stable")
    rank = pd.Series(units[order]).groupby(units[order]).cumcount().to_numpy()
    kept = np.sort(order[rank < schema.max_rows_per_unit])
    return frame.iloc[kept].reset_index(drop=True), units[kept]


def _refuse_foreign_table(outside: Mapping[str, int], rows: int) -> None:
    """A column mostly outside its declared domain is a mistake in the schema, not a property of one row."""
    wrong = [name for name, count in outside.items() if count > rows / 2]
    if wrong:
        raise TableError(
            "values must lie in the schema's declared domain, found most of "
            f"{', '.join(map(repr, wrong[:5]))} outside; 'synthpriv schema check' lists the mismatches."
        )


def _fingerprint(frame: pd.DataFrame) -> Iterator[bytes]:
    """The table's content in chunks, for the ledger's keyed fingerprint; internal."""
    for name in frame.columns:
        hashed = pd.util.hash_pandas_object(frame[name].astype(str), index=False)
        yield name.encode() + b"\0" + hashed.to_numpy().tobytes()
