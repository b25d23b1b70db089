"""TableEncoder: a table as one n x m matrix of cell codes, and codes back as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from synthpriv.encoding.codec import MAX_CELLS, ColumnCodec, build_codec, check_codec
from synthpriv.encoding.partition import (
    Countable,
    LeafHistogram,
    children,
    first_histogram,
    first_partition,
    heavy_leaves,
    refine,
    rounds_needed,
)
from synthpriv.encoding.roundness import classes_of, fit_roundness
from synthpriv.errors import BundleError
from synthpriv.schema import Identifier, Schema
from synthpriv.schema.identifiers import IdentifierMaker
from synthpriv.schema.regions import Region
from synthpriv.schema.values import MISSING, Positions, place, restore

Codes = npt.NDArray[np.int16]
Measure = Callable[[str, Mapping[str, Countable], Mapping[str, float]], Mapping[str, npt.NDArray[np.int64]]]

ROUND_SHARES = (0.6, 0.2, 0.15, 0.05)
ROUNDNESS_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class TableEncoder:
    """Codes <-> values of a whole table, built from the schema and released histograms, never from rows."""

    schema: Schema
    codecs: Mapping[str, ColumnCodec]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of cells of each modelled column, in order."""
        return tuple(codec.cells for codec in self.codecs.values())

    @property
    def shares(self) -> tuple[npt.NDArray[np.float64], ...]:
        """The released one-way distribution of each modelled column."""
        return tuple(codec.shares for codec in self.codecs.values())

    def encode(self, positions: Mapping[str, Positions]) -> Codes:
        """Codes (shape (n, m)) of columns given as positions."""
        return np.column_stack(
            [codec.encode(positions[name]).astype(np.int16) for name, codec in self.codecs.items()]
        )

    def encode_partial(self, positions: Positions) -> Codes:
        """Codes of rows of positions (shape (n, m)) in which MISSING means unknown, which is code -1."""
        codes = np.column_stack(
            [codec.encode(positions[:, at]) for at, codec in enumerate(self.codecs.values())]
        )
        return np.where(positions == MISSING, -1, codes).astype(np.int16)

    def encode_frame(self, frame: pd.DataFrame) -> Codes:
        """Codes (shape (n, m)) of a table, by the public rule for values outside the domain."""
        return self.encode(positions_of(frame, self.schema))

    def decode(
        self,
        codes: Codes,
        rng: np.random.Generator,
        regions: Mapping[str, Region] | None = None,
        known: Positions | None = None,
    ) -> Positions:
        """A position for every code (shape (n, m)), such that the schema's facts hold in every row.

        regions: by column, the positions that may be drawn. known: positions that stay, MISSING elsewhere.
        """
        regions = regions or {}
        drawn = {
            name: codec.decode(codes[:, at].astype(np.int64), rng, regions.get(name))
            for at, (name, codec) in enumerate(self.codecs.items())
        }
        if known is not None:
            for at, name in enumerate(self.codecs):
                drawn[name] = np.where(known[:, at] == MISSING, drawn[name], known[:, at])
        for name, fact in self.schema.facts.items():
            codec = self.codecs[name]
            drawn[name] = fact.impose(name, drawn, self.schema.columns, partial(codec.draw_present, rng=rng))
        return np.column_stack([drawn[name] for name in self.codecs])

    def frame(
        self,
        positions: Positions,
        rng: np.random.Generator,
        makers: dict[str, IdentifierMaker] | None = None,
    ) -> pd.DataFrame:
        """A table with the schema's columns, order and dtypes: one row per row of positions (shape (n, m)).

        makers: what made the identifiers of earlier chunks of the same table, by column; added to.
        """
        makers = {} if makers is None else makers
        at = {name: place for place, name in enumerate(self.codecs)}
        series = {}
        for name, column in self.schema.columns.items():
            if isinstance(column, Identifier):
                if name not in makers:
                    makers[name] = IdentifierMaker(column, name, int(rng.integers(2**63)))
                series[name] = makers[name].make(len(positions))
            else:
                series[name] = restore(positions[:, at[name]], column, name)
        return pd.DataFrame(series)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: the public schema and released statistics."""
        return {
            "schema": self.schema.to_dict(),
            "codecs": {name: codec.to_dict() for name, codec in self.codecs.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TableEncoder:
        """The inverse of `to_dict`; raises BundleError for codecs that do not fit the schema."""
        schema = Schema.from_dict(data["schema"])
        codecs = {}
        if set(data["codecs"]) != set(schema.modelled):
            raise BundleError("an encoder must hold one codec per modelled column, found others; fetch it.")
        for name, column in schema.modelled.items():
            codecs[name] = ColumnCodec.from_dict(data["codecs"][name])
            check_codec(name, column, codecs[name])
        return cls(schema=schema, codecs=codecs)


def positions_of(frame: pd.DataFrame, schema: Schema) -> dict[str, Positions]:
    """Every modelled column of `frame` as positions in its declared domain."""
    return {name: place(frame[name], column).positions for name, column in schema.modelled.items()}


def round_noise_scales(schema: Schema, mu: float) -> list[dict[str, float]]:
    """The noise scale of each column's histogram per round, and, last, of its classes of roundness, such that
    all together are mu-GDP.

    A column's share of mu^2 grows with the 2/3 power of its histogram's length, which minimises the total
    error over cells under a fixed budget; its rounds share it by ROUND_SHARES. Public: from the schema.
    """
    weights = {name: first_partition(column).cells ** (2 / 3) for name, column in schema.modelled.items()}
    total = sum(weights.values())
    scales: list[dict[str, float]] = [{} for _ in (*ROUND_SHARES, ROUNDNESS_SHARE)]
    for name, column in schema.modelled.items():
        shares = dict(enumerate(ROUND_SHARES[: rounds_needed(column)]))
        if classes_of(column) is not None:
            shares[len(ROUND_SHARES)] = ROUNDNESS_SHARE
        for level, share in shares.items():
            part = share / sum(shares.values()) * weights[name] / total
            scales[level][name] = 1.0 / (mu * part**0.5)
    return scales


def learn_encoder(
    schema: Schema,
    rows: int,
    noise: Sequence[Mapping[str, float]],
    measure: Measure,
    max_cells: int = MAX_CELLS,
) -> TableEncoder:
    """Build the encoder in rounds: count with noise, split what is heavy, count again (post-processing).

    rows: the public number of rows. noise: as `round_noise_scales` gives it. measure: counts with noise and
    charges for it; it is given what for, the partitions and the noise scales. max_cells: of each column of
    numbers or moments.
    """
    *rounds, last = noise
    partitions = {name: first_partition(column) for name, column in schema.modelled.items()}
    counts = measure("round 1", partitions, rounds[0])
    histograms: dict[str, LeafHistogram] = {
        name: first_histogram(partition, counts[name], float(rows), rounds[0][name])
        for name, partition in partitions.items()
    }
    for level, scales in enumerate(rounds[1:], start=2):
        heavy = {name: heavy_leaves(histograms[name], scale, float(rows)) for name, scale in scales.items()}
        finer = {name: children(histograms[name], split) for name, split in heavy.items() if split.any()}
        if not finer:
            break
        counts = measure(f"round {level}", finer, {name: scales[name] for name in finer})
        for name, partition in finer.items():
            histograms[name] = refine(histograms[name], heavy[name], partition, counts[name], scales[name])
    classes = {name: classes_of(schema.modelled[name]) for name in last}
    amounts = {name: one for name, one in classes.items() if one is not None}
    counts = measure("roundness", amounts, last) if amounts else {}
    roundness = {
        name: fit_roundness(one, histograms[name], counts[name], last[name]) for name, one in amounts.items()
    }
    codecs = {
        name: build_codec(column, histograms[name], max_cells, roundness.get(name))
        for name, column in schema.modelled.items()
    }
    return TableEncoder(schema=schema, codecs=codecs)
