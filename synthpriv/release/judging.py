"""Judging tables made elsewhere: files in, scorecard and decision out. Internal; charges nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from synthpriv.evaluation.disclosed import Disclosed
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.scorecard import Scorecard, evaluate
from synthpriv.privacy.column_store import (
    MEMORY_LIMIT,
    ColumnStore,
    placed_columns,
    store_types,
    stored_rows,
    typed_rows,
)
from synthpriv.privacy.private_table import MOST_DISCLOSED
from synthpriv.progress import Report, shares
from synthpriv.release.decision import Decision
from synthpriv.release.facts import ReleaseFacts
from synthpriv.release.policy import Policy
from synthpriv.release.reading import draft_schema, judging_progress, read_present
from synthpriv.release.report import internal_page
from synthpriv.schema import Schema
from synthpriv.tables import ShareDone, read_chunks

HOLDOUT = 0.25
DRAFTED = (
    "No schema was given: one was drafted from the real table, whose bounds and categories are those of the "
    "bins here."
)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A scorecard, the decision of a policy on it, and the facts it was told."""

    scorecard: Scorecard
    decision: Decision
    facts: ReleaseFacts


def judge_files(
    real: Path,
    synthetic: Path,
    schema: Schema | None,
    *,
    holdout: Path | None,
    targets: Sequence[str],
    effort: Effort,
    epsilon: float,
    delta: float,
    policy: Policy,
    progress: Report,
    memory_limit: int = MEMORY_LIMIT,
) -> Judged:
    """Judge `synthetic` against `real`; without a holdout file a fixed quarter of `real` serves as one.

    schema: None drafts one from `real`, and a note says so. `synthetic` may lack columns of the schema
    or have others: that is noted. The claim (epsilon, delta) is taken at its word: nobody can check it from
    tables alone. memory_limit: bytes of real rows held in memory; what is larger goes to a nameless scratch
    file.
    """
    drafted = schema is None
    schema = draft_schema(real) if schema is None else schema
    disclosed = _read_real(real, holdout, schema, epsilon, delta, memory_limit, progress)
    told = shares("reading the synthetic table", progress)
    scorecard = evaluate(
        lambda: read_present(synthetic, schema, progress=told),
        disclosed,
        target=targets,
        effort=effort,
        progress=judging_progress(progress),
    )
    if drafted:
        scorecard = replace(scorecard, notes=(DRAFTED, *scorecard.notes))
    facts = ReleaseFacts.of_tables(epsilon, delta, own_holdout=holdout is not None)
    return Judged(scorecard=scorecard, decision=policy.decide(scorecard, facts), facts=facts)


def _read_real(
    real: Path,
    holdout: Path | None,
    schema: Schema,
    epsilon: float,
    delta: float,
    memory_limit: int,
    progress: Report,
) -> Disclosed:
    """The real rows by the public rule: samples as frames, all of them as positions in a store."""
    stores = [Rows.read(real, schema, memory_limit, shares("reading real rows", progress))]
    if holdout is None:
        held_out = np.random.default_rng(0).random(stores[0].store.rows) < HOLDOUT
        parts = [(stores[0], ~held_out), (stores[0], held_out)]
    else:
        stores.append(Rows.read(holdout, schema, memory_limit, shares("reading held-out rows", progress)))
        parts = [(rows, np.ones(rows.store.rows, dtype=bool)) for rows in stores]
    rng = np.random.default_rng(1)
    share = MOST_DISCLOSED / sum(rows.store.rows for rows in stores)
    drawn = [wanted & (rng.random(len(wanted)) < share) if share < 1 else wanted for _, wanted in parts]
    (train, in_train), (rest, in_rest) = parts
    return Disclosed(
        schema=schema,
        train=typed_rows(train.store, schema, drawn[0]),
        holdout=typed_rows(rest.store, schema, drawn[1]),
        epsilon=epsilon,
        delta=delta,
        outside=stores[0].outside,
        every_train=stored_rows(train.store, schema, in_train),
        every_holdout=stored_rows(rest.store, schema, in_rest),
    )


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A table's rows as positions, and how many cells of each column were mapped into the domain."""

    store: ColumnStore
    outside: dict[str, int]

    @classmethod
    def read(cls, path: Path, schema: Schema, memory_limit: int, progress: ShareDone) -> Rows:
        """Read a file chunk by chunk."""
        store, outside = ColumnStore(store_types(schema), memory_limit), dict.fromkeys(schema.columns, 0)
        for chunk in read_chunks(path, schema, progress=progress):
            columns, mapped = placed_columns(chunk, schema)
            store.append(columns)
            for name, cells in mapped.items():
                outside[name] += cells
        return cls(store=store, outside=outside)


def write_page(path: Path, judged: Judged, *, title: str) -> None:
    """The internal page of a judged table."""
    page = internal_page(judged.scorecard, judged.decision, judged.facts, [], title)
    path.write_text(page, encoding="utf-8")
