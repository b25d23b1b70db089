"""How many rows break what the schema says holds in every row: its constraints and its facts."""

from __future__ import annotations

import numpy as np

from synthpriv.evaluation.cells import EveryRow, Tables
from synthpriv.evaluation.estimate import Estimate
from synthpriv.evaluation.findings import Findings
from synthpriv.evaluation.intervals import clopper_pearson
from synthpriv.schema import Schema
from synthpriv.schema.constraints import BrokenRows, Determines
from synthpriv.schema.facts import broken


def judge_constraints(tables: Tables, schema: Schema) -> Findings:
    """The figure "fidelity.constraints", the share of synthetic rows that break any; nothing to judge: none.

    Every row is counted, and a note names what is broken. `a -> b` is counted in its note only, as no row
    breaks it by itself.
    """
    if not schema.rules and not schema.facts:
        return Findings()
    rows, made, by_rule = _broken(tables.all_rows("synthetic"), schema)
    real_rows, real, _ = _broken(tables.all_rows("holdout"), schema)
    low, high = clopper_pearson(made, rows)
    count = len(schema.rules) + len(schema.facts)
    share, real_share = made / rows, real / max(real_rows, 1)
    estimate = Estimate(
        value=share,
        low=low,
        high=high,
        method="Clopper-Pearson",
        direction="lower",
        sentence=(
            f"{made:,} of {rows:,} synthetic rows ({share:.2%}) break one of {count} constraints and "
            f"facts of the schema, where {real_share:.2%} of the real holdout rows do."
        ),
        controls={"real rows": real_share},
    )
    notes = tuple(
        f"{number:,} synthetic rows break {text!r}." for text, number in by_rule.items() if number > 0
    )
    return Findings(estimates={"fidelity.constraints": estimate}, notes=notes)


def _broken(every: EveryRow, schema: Schema) -> tuple[int, int, dict[str, int]]:
    """Rows, rows that break anything, and rows that break each constraint or fact."""
    counted = BrokenRows(constraints=schema.rules, columns=schema.columns)
    facts = dict.fromkeys(schema.facts, 0)
    rows = total = 0
    for cells in every.chunks():
        placed = {name: cells.positions[:, at] for at, name in enumerate(cells.names)}
        counted.add(placed)
        hits = np.zeros(len(cells), dtype=np.bool_)
        for name, found in broken(schema.facts, placed, schema.columns).items():
            facts[name] += int(found.sum())
            hits |= found
        for rule in schema.rules.values():
            if not isinstance(rule, Determines):
                hits |= rule.truth(placed, schema.columns)[1]
        rows, total = rows + len(cells), total + int(hits.sum())
    named = {f"the fact on {name}": number for name, number in facts.items()}
    return rows, total, {**counted.counts(), **named}
