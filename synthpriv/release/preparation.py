"""Before a fit is charged: what can be refused is refused while there is no ledger, folder or charge yet."""

from __future__ import annotations

import math
import os
from pathlib import Path

from synthpriv.errors import ConfigurationError, LedgerError
from synthpriv.privacy import processes
from synthpriv.privacy.column_store import MEMORY_LIMIT
from synthpriv.privacy.ledger import Budget, Ledger
from synthpriv.privacy.private_table import PrivateTable, require_confirmed
from synthpriv.progress import Report
from synthpriv.schema import Schema
from synthpriv.synthesizers.base import Synthesizer, allowed_delta
from synthpriv.tables import table_format


def open_private_table(
    table: Path,
    schema: Schema,
    synthesizer: Synthesizer,
    *,
    ledger: Path,
    budget: Budget | None,
    holdout: float = 0.0,
    rows: int | None = None,
    format: str | None = None,
    memory_limit: int = MEMORY_LIMIT,
    progress: Report | None = None,
) -> PrivateTable:
    """The table behind the door, with room in its ledger for one fit; charges nothing.

    budget: of a new ledger; None where the ledger exists. A new ledger is made only after the table has
    passed every check of the door, so that a failed first attempt leaves nothing behind. Raises before a row
    is read if the schema is an unconfirmed draft, the budget does not suffice, or a declared row count makes
    the plan infeasible.
    """
    table_format(table, format)
    require_confirmed(schema, synthesizer.accept_drafted_schema)
    delta = processes.team().by_lead(lambda: _require_room(ledger, budget, synthesizer))
    if rows is not None:
        synthesizer.plan(schema, rows=max(1, round(rows * (1 - holdout))), delta=delta)

    def opened() -> Ledger:
        if not processes.leads():  # never charged, never asked
            return Ledger.in_memory(Budget(epsilon=synthesizer.epsilon, delta=delta))
        new = is_new_ledger(ledger)
        return Ledger.open(ledger, dataset=table_name(table) if new else None, budget=budget)

    return PrivateTable.read(
        table,
        schema,
        opened,
        holdout=holdout,
        rows=rows,
        format=format,
        memory_limit=memory_limit,
        progress=progress,
    )


def _require_room(path: Path, budget: Budget | None, synthesizer: Synthesizer) -> float:
    """The delta that the fit will have; raises BudgetExceeded or ConfigurationError if there is no room."""
    require_writable_ledger(path)
    new = is_new_ledger(path)
    if new and budget is None:
        raise ConfigurationError(f"a new ledger needs a budget, found none for {str(path)!r}; pass one.")
    ledger = Ledger.in_memory(budget) if new and budget is not None else Ledger.open(path, budget=budget)
    epsilon = synthesizer.epsilon
    delta = allowed_delta(ledger, epsilon, synthesizer.delta)
    ledger.require(synthesizer.name, epsilon, delta or synthesizer.delta or ledger.budget.delta)
    if math.isfinite(epsilon) and delta <= 0:
        raise ConfigurationError(
            f"a private fit needs a delta above 0, found {delta:g} of {ledger.budget.delta:g} left in its "
            "ledger; pass --delta, well below one over the number of rows, and name a ledger that has it "
            "(--ledger)."
        )
    return delta


def table_name(table: Path) -> str:
    """The name that a table's ledger and page carry: the file's, without its suffixes."""
    return table.name.split(".")[0] or "table"


def is_new_ledger(path: Path) -> bool:
    """Whether no ledger was begun at `path`; an empty file is what a kill at its creation leaves."""
    return not path.exists() or (path.is_file() and path.stat().st_size == 0)


def require_writable_ledger(path: Path) -> None:
    """Raise LedgerError unless the ledger, and the folder it lies in, can be written."""
    folder = path.parent
    if path.is_dir() or not folder.is_dir():
        found = "a folder" if path.is_dir() else "no such folder"
        raise LedgerError(
            f"a ledger must be a file in a folder that exists, found {found} at "
            f"{str(path if path.is_dir() else folder)!r}; name another file with --ledger."
        )
    for place in (folder, *([path] if path.exists() else [])):
        if not os.access(place, os.W_OK):
            raise LedgerError(
                f"the ledger {str(path)!r} must be writable, found {str(place)!r} read-only; name another "
                "with --ledger, and the same one for every release of this table."
            )
