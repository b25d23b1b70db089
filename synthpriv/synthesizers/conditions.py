"""Conditions on samples: what a column may be, or any expression. Post-processing, no row is looked at.

A condition on one column becomes a region of its domain, which the model meets as evidence; what ties columns
together is met by redrawing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from synthpriv.encoding.table_encoder import TableEncoder
from synthpriv.errors import ConfigurationError, SchemaError, nearest
from synthpriv.schema import Schema
from synthpriv.schema.columns import Boolean, Categorical
from synthpriv.schema.constraints import Determines, allowed_regions
from synthpriv.schema.expressions import Expression, conjuncts
from synthpriv.schema.facts import Follows, category_texts
from synthpriv.schema.grammar import read_expression
from synthpriv.schema.regions import Region
from synthpriv.schema.values import MISSING, Positions, place
from synthpriv.synthesizers.products import Evidence


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """regions: by column, the positions that are allowed. rest, rules: what only a whole row can tell.

    Expressions of `rest` must be true, the schema's rules must not be false. determined: pairs of columns of
    which the first determines the second.
    """

    regions: Mapping[str, Region]
    rest: tuple[Expression, ...] = ()
    rules: tuple[Expression, ...] = ()
    determined: tuple[tuple[str, str], ...] = ()

    @classmethod
    def read(cls, conditions: Mapping[str, Any] | str | None, schema: Schema) -> Conditions:
        """The schema's own constraints, and `conditions`: an expression, or by column a value, None for
        missing, a list or set of them, or a slice(low, high) with both ends.

        Raises ConfigurationError for what cannot be.
        """
        regions = allowed_regions(schema.rules, schema.columns)
        rules = tuple(schema.rules.values())
        parts: dict[str, Any] = {
            "rules": tuple(one for one in rules if isinstance(one, Expression) and len(one.columns) > 1),
            "determined": tuple((one.by, one.column) for one in rules if isinstance(one, Determines)),
        }
        if conditions is None:
            return cls(regions=_through_facts(regions, schema), **parts)
        rest: list[Expression] = []
        try:
            if isinstance(conditions, str):
                for part in conjuncts(read_expression(conditions, schema.columns)):
                    if len(part.columns) == 1:
                        [name] = part.columns
                        _narrow(regions, name, part.regions(schema.columns[name])[0], str(conditions))
                    else:
                        rest.append(part)
            else:
                for name, wanted in conditions.items():
                    _narrow(regions, name, _region(name, wanted, schema), f"{name}={wanted!r}")
        except SchemaError as error:
            raise ConfigurationError(f"the condition {conditions!r} is refused: {error}") from None
        return cls(regions=_through_facts(regions, schema), rest=tuple(rest), **parts)

    def evidence(self, encoder: TableEncoder) -> Evidence:
        """What the regions allow of each cell; raises ConfigurationError where it is nothing."""
        found = {}
        for at, (name, codec) in enumerate(encoder.codecs.items()):
            if name in self.regions:
                found[at] = codec.weights(self.regions[name])
                if not found[at].any():
                    raise ConfigurationError(
                        f"a condition must be possible under the model, found none of its rows on {name!r}; "
                        f"relax it."
                    )
        return found

    def met(self, positions: Positions, schema: Schema) -> npt.NDArray[np.bool_]:
        """Which rows of positions (shape (n, m)) meet the rest."""
        columns = {name: positions[:, at] for at, name in enumerate(schema.modelled)}
        kept = np.ones(len(positions), dtype=np.bool_)
        for expression in self.rest:
            kept &= expression.truth(columns, schema.columns)[0]
        for expression in self.rules:
            kept &= ~expression.truth(columns, schema.columns)[1]
        return kept


def partial_positions(table: pd.DataFrame, schema: Schema) -> Positions:
    """The cells of a table with gaps as positions (shape (n, m)), MISSING where there is none.

    Raises ConfigurationError for a column or a value that the schema does not declare.
    """
    columns = []
    for name in table.columns:
        if name not in schema.columns:
            raise ConfigurationError(
                f"a table to be filled in must have the schema's columns, found {name!r}. "
                f"{nearest(str(name), schema.columns)}"
            )
    for name, column in schema.modelled.items():
        if name not in table.columns:
            columns.append(np.full(len(table), MISSING, dtype=np.int64))
            continue
        placed = place(table[name].reset_index(drop=True), replace(column, nullable=True))
        if placed.outside.any():
            value = table[name].iloc[int(placed.outside.argmax())]
            raise ConfigurationError(
                f"cells to be kept must lie in the schema's domain, found {name}={value!r}; empty the cell."
            )
        columns.append(placed.positions)
    return np.column_stack(columns)


def _region(name: str, wanted: Any, schema: Schema) -> Region:
    """The positions that a value, a collection of values or a slice stands for."""
    if name not in schema.modelled:
        raise ConfigurationError(
            f"a condition must name a modelled column, found {name!r}. {nearest(str(name), schema.modelled)}"
        )
    column = schema.columns[name]
    if isinstance(wanted, slice):
        if isinstance(column, Categorical | Boolean) or wanted.step is not None:
            raise ConfigurationError(f"a slice must be of numbers or moments, found {name}={wanted!r}.")
        low = 0 if wanted.start is None else _position(name, wanted.start, schema)
        high = column.size - 1 if wanted.stop is None else _position(name, wanted.stop, schema)
        return Region.between(low, high + 1)
    values = list(wanted) if isinstance(wanted, Collection) and not isinstance(wanted, str) else [wanted]
    found = np.array([_position(name, value, schema) for value in values], dtype=np.int64)
    held = np.unique(found[found != MISSING])
    return Region(intervals=np.column_stack([held, held + 1]), missing=bool((found == MISSING).any()))


def _position(name: str, value: Any, schema: Schema) -> int:
    placed = place(pd.Series([value], dtype=object), schema.columns[name])
    if placed.outside[0]:
        raise ConfigurationError(
            f"a condition must lie in the schema's domain, found {name}={value!r}; see the schema."
        )
    return int(placed.positions[0])


def _narrow(regions: dict[str, Region], name: str, region: Region, words: str) -> None:
    both = regions[name].intersection(region) if name in regions else region
    if both.empty:
        raise ConfigurationError(
            f"a condition must leave {name!r} something of its declared domain, found nothing left by "
            f"{words}; relax it."
        )
    regions[name] = both


def _through_facts(regions: dict[str, Region], schema: Schema) -> dict[str, Region]:
    """Conditions on columns that follow from another, turned into conditions on the other as well."""
    for name, fact in schema.facts.items():
        if name not in regions:
            continue
        source, wanted = schema.columns[fact.by], regions[name]
        if isinstance(fact, Follows):
            every = np.arange(source.size)
            drawn = {fact.by: every, name: np.zeros_like(every)}
            follows = fact.impose(name, drawn, schema.columns, lambda count: np.zeros(count, dtype=np.int64))
            allowed = Region.of(wanted.holds(follows), missing=source.nullable and wanted.missing)
            del regions[name]
        else:
            absent = np.isin(category_texts(source), list(fact.values))
            present = len(wanted.intervals) > 0
            allowed = Region.of((absent & wanted.missing) | (~absent & present), source.nullable and present)
            del regions[name]
            if present:
                regions[name] = Region(intervals=wanted.intervals)
        _narrow(regions, fact.by, allowed, f"the condition on {name!r}")
    return regions
