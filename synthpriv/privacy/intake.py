"""How a table comes in behind the door: cells as positions, units bounded, and each process's share of them.

The lead of several processes holds every row; each other process holds its share alone. Only the door
imports this file.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from synthpriv.errors import ConfigurationError, TableError
from synthpriv.privacy import randomness
from synthpriv.privacy.column_store import ColumnStore, placed_columns, store_types
from synthpriv.privacy.processes import Team
from synthpriv.schema import Schema
from synthpriv.schema.cells import hashed_cells
from synthpriv.tables import CHUNK_ROWS, check_shape

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True)
class Intake:
    """The rows that this process holds, as positions; internal.

    hashes: each held row's unit (None: each row is one). outside: cells that were mapped, by column; those
    of the whole table in the lead. ranks: of every row of the table, held or not, the process that owns it.
    """

    store: ColumnStore
    hashes: Hashes | None
    outside: Mapping[str, int]
    ranks: npt.NDArray[np.int16]

    def own_rows(self, in_fit: Mask, team: Team) -> Mask:
        """Which held rows this process counts and trains on: its share of what the LEAD drew for fitting."""
        own = self.ranks == team.rank
        drawn = team.from_lead(in_fit.copy() if team.leads else np.zeros(len(own), dtype=bool))
        chosen: Mask = drawn & own if team.leads else drawn[own]
        return chosen


def take_in(
    frame: pd.DataFrame | Iterable[pd.DataFrame], schema: Schema, memory_limit: int, team: Team
) -> Intake:
    """Read the whole table and hold this process's rows of it; a unit's rows all belong to one process.

    Raises, in every process, TableError for a table that is not the schema's, and ConfigurationError if one
    process was given other rows than the lead, whose ledger is bound to them.
    """
    # of 16 characters, new for each table: nobody can prepare a collision
    unit_key = team.by_lead(lambda: secrets.token_hex(8))
    with team.together():
        taken = _read(frame, schema, memory_limit, unit_key, team)
        _refuse_foreign_table(taken.outside, len(taken.ranks))
    _require_one_table(taken, team)
    return taken


def _read(
    frame: pd.DataFrame | Iterable[pd.DataFrame], schema: Schema, memory_limit: int, unit_key: str, team: Team
) -> Intake:
    store, units = ColumnStore(store_types(schema), memory_limit), [np.zeros(0, dtype=np.uint64)]
    outside, ranks, seen = dict.fromkeys(schema.modelled, 0), [np.zeros(0, dtype=np.int16)], 0
    for chunk in _sliced(frame) if isinstance(frame, pd.DataFrame) else frame:
        check_shape(chunk, schema)
        unit = np.arange(seen, seen + len(chunk), dtype=np.uint64)
        if schema.privacy_unit is not None:
            unit = hashed_cells(chunk[schema.privacy_unit], unit_key)
        seen += len(chunk)
        ranks.append((unit % np.uint64(team.size)).astype(np.int16))
        if not team.leads:
            held = ranks[-1] == team.rank
            chunk, unit = chunk[held], unit[held]
        if schema.privacy_unit is not None:
            units.append(unit)
        columns, mapped = placed_columns(chunk, schema)
        store.append(columns)
        for name in outside:
            outside[name] += mapped[name]
    if seen == 0:
        check_shape(pd.DataFrame(columns=list(schema.columns)), schema)
    hashes = None if schema.privacy_unit is None else np.concatenate(units)
    return Intake(store=store, hashes=hashes, outside=outside, ranks=np.concatenate(ranks))


def _sliced(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    return (frame.iloc[start : start + CHUNK_ROWS] for start in range(0, max(len(frame), 1), CHUNK_ROWS))


def bound_units(
    hashes: Hashes | None, rows: int, schema: Schema, source: randomness.Randomness
) -> tuple[Ints | None, Mask]:
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


def _require_one_table(taken: Intake, team: Team) -> None:
    """Raise ConfigurationError, in all, where a process was given other rows than the lead."""
    if team.size == 1:
        return
    of_share = [hashlib.sha256() for _ in range(team.size)]
    held = taken.ranks if team.leads else taken.ranks[taken.ranks == team.rank]
    for name in taken.store.types:
        for chosen, columns in taken.store.chunks([name]):
            for rank, share in enumerate(of_share):
                share.update(columns[name][held[chosen] == rank].tobytes())
    found = team.gather([len(taken.ranks), *(share.hexdigest() for share in of_share)])
    if any(
        told[0] != found[0][0] or told[rank] != found[0][rank] for rank, told in enumerate(found, start=1)
    ):
        raise ConfigurationError(
            "every process must be given the same table, found other rows in one; give each the whole table, "
            "of which it takes its share."
        )


def fingerprint(store: ColumnStore) -> Iterator[bytes]:
    """The table's content as it was placed, for the ledger's keyed fingerprint; internal."""
    for name in store.types:
        yield name.encode() + b"\0"
        yield from store.raw(name)
