"""PrivateTable: THE DOOR. The only file that reaches private rows; every method but `disclose` is charged.

What can be learnt about the rows is the whole list of methods: `count`, `histograms`, `marginals`,
`dependence`, `train`, `tallies`, `disclose`. There is no length, no indexing, and no row in the repr. Rows
come in chunks and are kept as positions in the declared domain (`column_store`), so that a table may be
larger than memory; of an identifier only a 64-bit hash is kept. Progress is told in shares of a stage,
which are no property of the rows, never in row counts. Among several processes (`processes`) each counts and
trains on its own share of the units, and the lead alone holds all rows, draws the holdout, charges the ledger
and adds the noise of counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from synthpriv.encoding.partition import Countable
from synthpriv.encoding.scores import ScoreColumn
from synthpriv.encoding.table_encoder import Codes, TableEncoder
from synthpriv.errors import ConfigurationError, UnconfirmedSchema
from synthpriv.evaluation.disclosed import Disclosed
from synthpriv.privacy import mechanisms, processes, randomness
from synthpriv.privacy.column_store import MEMORY_LIMIT, stored_rows, typed_rows
from synthpriv.privacy.counting import counted, counted_by_all, empty_codes, encoded
from synthpriv.privacy.events import Event, Laplace, NonPrivate, SampledGaussian, histogram_events
from synthpriv.privacy.intake import bound_units, fingerprint, take_in
from synthpriv.privacy.ledger import Ledger, Release
from synthpriv.progress import Report, shares
from synthpriv.schema import Schema
from synthpriv.tables import read_chunks

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
        "__own",
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
        source, team = randomness.system_source(), processes.team()
        facts = {"schema": schema.to_dict(), "rows": rows, "holdout": holdout}
        team.require_same(**facts, privacy=randomness.is_private())
        taken = take_in(frame, schema, memory_limit, team)
        store = taken.store
        with team.together():
            units, kept = bound_units(taken.hashes, store.rows, schema, source)
            self.ledger = ledger() if callable(ledger) else ledger
            if team.leads:
                self.ledger.bind(fingerprint(store))
        self.schema, self.holdout, self.rows = schema, holdout, rows
        unit_count = store.rows if units is None else int(units.max(initial=-1)) + 1
        held_out = np.zeros(unit_count, dtype=bool)
        if holdout > 0:
            held_out[source.bernoulli_rows(unit_count, holdout)] = True
        self.__in_holdout = kept & (held_out if units is None else held_out[units])
        self.__in_fit = kept & ~self.__in_holdout
        self.__own = taken.own_rows(self.__in_fit, team)
        self.__fit_units = None if units is None else units[self.__own]
        self.__store, self.__outside, self.__memory_limit = store, taken.outside, memory_limit

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
            _charge(release, "row count", NonPrivate())
            return max(1, processes.team().by_lead(lambda: exact))
        _charge(release, "row count", Laplace(epsilon=epsilon))
        scale = self.schema.max_rows_per_unit / epsilon
        return max(1, processes.team().by_lead(lambda: mechanisms.noisy_count(exact, scale)))

    def histograms(
        self,
        release: Release,
        label: str,
        partitions: Mapping[str, Countable],
        noise_scales: Mapping[str, float],
        progress: Report | None = None,
    ) -> dict[str, Ints]:
        """Histograms of several columns, each with discrete Gaussian noise of its own scale (0: no noise).

        A row falls into at most one cell of each histogram, so one unit changes at most max_rows_per_unit
        counts of a column by one each: Counts(noise_scale, max_rows) per column. Charged before counting.
        """
        scales = (noise_scales[name] for name in partitions)
        _charge(release, label, histogram_events(scales, self.schema.max_rows_per_unit))
        report = shares("counting columns", progress)
        exact = {name: np.zeros(partition.cells, dtype=np.int64) for name, partition in partitions.items()}
        for chosen, columns in self.__store.chunks(partitions):
            for name, partition in partitions.items():
                exact[name] += partition.count(columns[name][self.__own[chosen]])
            report(chosen.stop / max(1, self.__store.rows))
        team = processes.team()
        totals = {name: team.sum(counts) for name, counts in exact.items()}

        def released(name: str) -> Ints:
            scale = noise_scales[name]
            return mechanisms.noisy_counts(totals[name], scale) if scale > 0 else totals[name]

        told = team.by_lead(lambda: {name: released(name).tolist() for name in totals})
        return {name: np.array(counts, dtype=np.int64) for name, counts in told.items()}

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
        _charge(release, label, histogram_events([noise_scale] * len(groups), self.schema.max_rows_per_unit))
        exact = counted_by_all(
            self.__store, self.__own, encoder, groups, shares("counting marginals", progress)
        )
        report, released = shares("adding noise to marginals", progress), []
        for at, counts in enumerate(exact):
            if noise_scale > 0 and processes.leads():
                counts = mechanisms.noisy_counts(counts, noise_scale)
            released.append(processes.team().from_lead(counts))
            report((at + 1) / len(groups))
        return released

    def dependence(
        self,
        release: Release,
        label: str,
        encoder: TableEncoder,
        pairs: Sequence[tuple[int, ...]],
        rows: int,
        noise_scale: float,
        progress: Report | None = None,
    ) -> Ints:
        """How far pairs of columns are from independence, with discrete Gaussian noise (scale 0: no noise).

        A score is the sum over a pair's cells of |count - expected|, where what independence would give,
        rounded, follows from the released shares and `rows`, the public count. A row moves one cell by one,
        so one unit moves a score by at most max_rows_per_unit: Counts(noise_scale, coordinates=len(pairs),
        max_rows). Charged before counting.
        """
        _charge(release, label, histogram_events([noise_scale] * len(pairs), self.schema.max_rows_per_unit))
        exact = counted_by_all(
            self.__store, self.__own, encoder, pairs, shares("comparing columns", progress)
        )
        one_way = encoder.shares
        expected = (np.rint(rows * np.outer(one_way[a], one_way[b])) for a, b in pairs)
        apart = [np.abs(one - other).sum() for one, other in zip(exact, expected, strict=True)]
        scores = np.array(apart).astype(np.int64).reshape(-1, 1)
        if noise_scale > 0 and processes.leads():
            scores = np.array([mechanisms.noisy_counts(score, noise_scale) for score in scores])
        return processes.team().from_lead(scores).ravel()

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
        *,
        derived: Callable[[Codes], Codes] | None = None,
    ) -> None:
        """Train `module` in place by DP-SGD on the encoded rows; only noisy clipped sums leave the door.

        Units are drawn by independent trials and one unit's whole gradient is clipped to max_grad_norm.
        Charges SampledGaussian(noise_multiplier, sample_rate, steps) before the first step. row_loss sees
        codes: it is trusted to return one loss per row and keep nothing.

        derived: codes (rows, columns) -> further codes (rows, any), laid beside each row's own. It changes no
        sensitivity: all that it knows was released, and it is applied row by row, so that it is a part of the
        row's loss, evaluated once in advance. It is trusted as row_loss is.
        """
        from synthpriv.privacy.dpsgd import train_private
        from synthpriv.privacy.layers import supported_layers

        supported_layers(module)
        noisy = plan.noise_multiplier > 0
        _charge(
            release,
            label,
            SampledGaussian(
                noise_multiplier=plan.noise_multiplier, sample_rate=plan.sample_rate, steps=plan.steps
            )
            if noisy
            else NonPrivate(),
        )
        report = shares("encoding rows", progress)
        with processes.team().together():
            codes = empty_codes(int(self.__own.sum()), encoder, derived, self.__memory_limit)
            for part, done in encoded(self.__store, self.__own, encoder):
                codes.append(part if derived is None else np.hstack([part, derived(part)]))
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

    def tallies(
        self,
        release: Release,
        label: str,
        encoder: TableEncoder,
        groups: Sequence[tuple[int, ...]],
        noise_scale: float,
        scores: Sequence[ScoreColumn] = (),
        progress: Report | None = None,
    ) -> list[Ints]:
        """Joint counts of HELD-OUT rows, all with discrete Gaussian noise: figures that may be published.

        groups: positions of encoded columns, and beyond them of `scores`, which are public functions of one
        row's codes. Encoder, groups and scores follow from what was released and from the synthetic table,
        never from held-out rows. A row falls into one cell of each group, so one unit changes at most
        max_rows_per_unit counts of each by one in total: in the 2-norm by max_rows_per_unit x sqrt(groups),
        which is Counts(noise_scale, coordinates=len(groups), max_rows). Charged before counting, as if these
        rows had been fitted on too: they were not, so that the composition overstates each unit's loss.
        Raises ConfigurationError for a score of other columns, and where another process than the lead,
        which holds these rows, asks.
        """
        _require_lead("held-out rows are counted")
        for score in scores:
            score.require_fit(encoder.sizes)
        release.charge(label, histogram_events([noise_scale] * len(groups), self.schema.max_rows_per_unit))
        report = shares("counting held-out rows", progress)
        exact = counted(self.__store, self.__in_holdout, encoder, groups, report, scores)
        return [mechanisms.noisy_counts(counts, noise_scale) for counts in exact]

    def disclose(self, reason: str, *, epsilon: float | None = None, delta: float | None = None) -> Disclosed:
        """Hand the real rows to the judge, for internal use; recorded in the ledger with its reason.

        epsilon, delta: the claim that the attacks are held against (None: all that the ledger has reserved).
        Cells are typed as the schema says; an identifier is its hash, which tells same from different and
        names nobody. Of more than MOST_DISCLOSED rows a random sample is handed out, and beside it all rows
        as positions, to be counted chunk by chunk. Nothing computed from the result may be published: it is
        not covered by the claim. Among several processes the lead alone holds all rows; ConfigurationError
        in the others.
        """
        _require_lead("rows are disclosed")
        reserved = self.ledger.reserved()
        epsilon = (reserved[0] or math.inf) if epsilon is None else epsilon
        delta = reserved[1] if delta is None else delta
        self.ledger.record("disclosure", reason=reason)
        sampled = _disclosed_rows(self.__store.rows)
        return Disclosed(
            schema=self.schema,
            train=typed_rows(self.__store, self.schema, self.__in_fit & sampled),
            holdout=typed_rows(self.__store, self.schema, self.__in_holdout & sampled),
            every_train=stored_rows(self.__store, self.schema, self.__in_fit),
            every_holdout=stored_rows(self.__store, self.schema, self.__in_holdout),
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


def _require_lead(what: str) -> None:
    if not processes.leads():
        raise ConfigurationError(
            f"{what} in the lead process, which holds them all, found another; ask in rank 0."
        )


def _charge(release: Release, label: str, events: Event | Iterable[Event]) -> None:
    """Charge once, in the lead, before any process runs what it pays for; a refusal is raised in all."""
    processes.team().by_lead(lambda: (release.charge(label, events), None)[1])


def _disclosed_rows(rows: int) -> npt.NDArray[np.bool_]:
    """Which rows may be handed to the judge: all, or by independent trials just under MOST_DISCLOSED."""
    if rows <= MOST_DISCLOSED:
        return np.ones(rows, dtype=bool)
    sampled = np.zeros(rows, dtype=bool)
    drawn = randomness.system_source().bernoulli_rows(rows, 0.98 * MOST_DISCLOSED / rows)
    sampled[drawn[:MOST_DISCLOSED]] = True
    return sampled
