"""Test data without real data: rows that satisfy a schema and its constraints. No data, no privacy cost."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from synthpriv.errors import ConfigurationError, nearest
from synthpriv.schema import Identifier, Schema
from synthpriv.schema.identifiers import IdentifierMaker
from synthpriv.schema.regions import Region
from synthpriv.schema.values import MISSING, Positions, place, restore
from synthpriv.synthesizers.conditions import Conditions
from synthpriv.synthesizers.configuration import require

MISSING_SHARE = 0.1
MOST_TRIES = 1_000

Shares = Mapping[str, Mapping[Any, float]]


def mock(
    schema: Schema,
    n: int,
    *,
    seed: int | None = None,
    shares: Shares | None = None,
    edges: bool = False,
    providers: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """`n` rows that the schema, its facts and its constraints allow; columns are independent beyond those.

    seed: the same seed gives the same rows. shares: by column, values and their weights, in place of equal
    chances (None as a value: missing; by default one cell in ten where it is allowed). edges: the first rows
    hold both ends of every number, every category, and missing. providers: by identifier column, the name of
    a Faker provider ('name', 'address', 'email', ...). Raises ConfigurationError.
    """
    require("n", n, 0, 10**8, whole=True)
    rng = np.random.default_rng(seed)
    wanted = Conditions.read(None, schema)
    pools = {name: _pool(name, values, schema) for name, values in (shares or {}).items()}
    positions = np.zeros((0, len(schema.modelled)), dtype=np.int64)
    if edges:
        positions = _allowed(_edges(schema, wanted, rng), wanted, schema, rng)[:n]
    tries = 0
    while len(positions) < n:
        drawn = _drawn(schema, wanted, pools, max(n - len(positions), 100), rng)
        positions = np.concatenate([positions, _allowed(drawn, wanted, schema, rng)])[:n]
        tries += 1
        if tries >= MOST_TRIES:
            raise ConfigurationError(
                f"mock needs rows that meet every constraint, found {len(positions)} of {n} in {tries:,} "
                f"tries; relax the constraints, or give 'shares' that meet them."
            )
    return _frame(positions, schema, rng, providers or {}, seed)


def _drawn(
    schema: Schema,
    wanted: Conditions,
    pools: Mapping[str, tuple[Positions, np.ndarray[Any, Any]]],
    n: int,
    rng: np.random.Generator,
) -> Positions:
    """Every column by itself, uniform over what is allowed or by its declared shares."""
    columns = []
    for name, column in schema.modelled.items():
        if name in pools:
            values, weights = pools[name]
            columns.append(rng.choice(values, size=n, p=weights))
            continue
        region = wanted.regions.get(name, Region.between(0, column.size, missing=column.nullable))
        cells = _uniform(region, n, rng)
        if region.missing and len(region.intervals):
            cells = np.where(rng.random(n) < MISSING_SHARE, MISSING, cells)
        columns.append(cells)
    return np.column_stack(columns)


def _uniform(region: Region, n: int, rng: np.random.Generator) -> Positions:
    if not len(region.intervals):
        return np.full(n, MISSING, dtype=np.int64)
    lengths = region.intervals[:, 1] - region.intervals[:, 0]
    upto = lengths.cumsum()
    at = rng.integers(0, upto[-1], size=n)
    run = np.searchsorted(upto, at, side="right")
    return np.asarray(region.intervals[run, 0] + at - (upto - lengths)[run])


def _edges(schema: Schema, wanted: Conditions, rng: np.random.Generator) -> Positions:
    """For every column, rows that hold its ends, its categories and missing; the rest of them is drawn."""
    rows = []
    for at, (name, column) in enumerate(schema.modelled.items()):
        region = wanted.regions.get(name, Region.between(0, column.size, missing=column.nullable))
        ends = np.unique(np.concatenate([region.intervals[:, 0], region.intervals[:, 1] - 1]))
        if column.kind in ("categorical", "boolean"):
            ends = np.flatnonzero(region.holds(np.arange(column.size)))
        ends = np.append(ends, MISSING) if region.missing else ends
        block = _drawn(schema, wanted, {}, len(ends), rng)
        block[:, at] = ends
        rows.append(block)
    return np.concatenate(rows)


def _allowed(positions: Positions, wanted: Conditions, schema: Schema, rng: np.random.Generator) -> Positions:
    """The rows that meet every constraint, once facts and determined columns are put in place."""
    names = list(schema.modelled)
    drawn = {name: positions[:, at] for at, name in enumerate(names)}
    for name, fact in schema.facts.items():
        region = Region.between(0, schema.columns[name].size)
        drawn[name] = fact.impose(name, drawn, schema.columns, partial(_uniform, region, rng=rng))
    for by, column in wanted.determined:
        follows = np.random.default_rng(0).integers(0, schema.columns[column].size, schema.columns[by].size)
        drawn[column] = np.where(drawn[by] < 0, drawn[column], follows[np.maximum(drawn[by], 0)])
    placed = np.column_stack([drawn[name] for name in names])
    return placed[wanted.met(placed, schema)]


def _pool(name: str, values: Mapping[Any, float], schema: Schema) -> tuple[Positions, np.ndarray[Any, Any]]:
    """The positions of declared values and their chances."""
    if name not in schema.modelled:
        raise ConfigurationError(
            f"shares must be of modelled columns, found {name!r}. {nearest(name, schema.modelled)}"
        )
    placed = place(pd.Series(list(values), dtype=object), schema.columns[name])
    weights = np.array(list(values.values()), dtype=np.float64)
    if placed.outside.any() or not np.isfinite(weights).all() or (weights < 0).any() or not weights.sum() > 0:
        raise ConfigurationError(
            f"shares of {name!r} must give declared values weights of at least 0, found {dict(values)!r:.80}."
        )
    return placed.positions, weights / weights.sum()


def _frame(
    positions: Positions,
    schema: Schema,
    rng: np.random.Generator,
    providers: Mapping[str, str],
    seed: int | None,
) -> pd.DataFrame:
    identifiers = [name for name, column in schema.columns.items() if isinstance(column, Identifier)]
    for name in providers:
        if name not in identifiers:
            raise ConfigurationError(
                f"a provider must be for an identifier column, found {name!r}. {nearest(name, identifiers)}"
            )
    at = {name: place for place, name in enumerate(schema.modelled)}
    series = {}
    for name, column in schema.columns.items():
        if name in providers:
            series[name] = _provided(name, providers[name], len(positions), seed)
        elif isinstance(column, Identifier):
            series[name] = IdentifierMaker(column, name, int(rng.integers(2**63))).make(len(positions))
        else:
            series[name] = restore(positions[:, at[name]], column, name)
    return pd.DataFrame(series)


def _provided(name: str, provider: str, count: int, seed: int | None) -> pd.Series:
    """Values of a Faker provider; raises ConfigurationError where there is none of that name."""
    try:
        from faker import Faker
    except ImportError:
        raise ConfigurationError(
            "providers need the package Faker, found none; pip install 'synthpriv-release[mock]'."
        ) from None
    faker = Faker()
    if seed is not None:
        faker.seed_instance(seed)
    make = (
        getattr(faker, provider, None) if provider.isidentifier() and not provider.startswith("_") else None
    )
    if not callable(make):
        raise ConfigurationError(
            f"the provider of {name!r} must be one of Faker's, such as 'name' or 'email', found {provider!r}."
        )
    return pd.Series([str(make()).replace("\n", ", ") for _ in range(count)], dtype="str", name=name)
