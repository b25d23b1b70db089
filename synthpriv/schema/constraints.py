"""Constraints: what people who know the field say of every row, as expressions that no synthetic row breaks.

A constraint is broken where its expression is false; a missing value breaks nothing. `education -> years`
says that one column determines another without saying how; a fact (facts.py) says how.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from synthpriv.errors import SchemaError
from synthpriv.schema.columns import AnyColumn, Boolean, Categorical
from synthpriv.schema.expressions import Expression
from synthpriv.schema.facts import Fact
from synthpriv.schema.grammar import column_named, read_expression
from synthpriv.schema.regions import Region

Positions = npt.NDArray[np.int64]
MOST_CONSTRAINTS = 1000
_ARROW = re.compile(r"^\s*(.+?)\s*->\s*(.+?)\s*$", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Determines:
    """Rows that are alike in `by`, a column of categories, are alike in `column`."""

    by: str
    column: str


Constraint = Expression | Determines


def read_constraints(
    texts: Any, columns: Mapping[str, AnyColumn], facts: Mapping[str, Fact]
) -> dict[str, Constraint]:
    """The constraints that the texts write, by text; raises SchemaError for one that cannot be."""
    if isinstance(texts, str) or not isinstance(texts, Sequence) or len(texts) > MOST_CONSTRAINTS:
        raise SchemaError(
            f"constraints must be a list of at most {MOST_CONSTRAINTS} expressions, found {texts!r:.60}."
        )
    constraints = {text: _read(text, columns, facts) for text in texts}
    allowed_regions(constraints, columns)
    return constraints


def allowed_regions(
    constraints: Mapping[str, Constraint], columns: Mapping[str, AnyColumn]
) -> dict[str, Region]:
    """What the constraints on single columns leave of them; raises SchemaError where it is nothing."""
    regions: dict[str, Region] = {}
    for text, constraint in constraints.items():
        if isinstance(constraint, Determines) or len(constraint.columns) > 1:
            continue
        [name] = constraint.columns
        column = columns[name]
        before = regions.get(name, Region.between(0, column.size, missing=column.nullable))
        regions[name] = before.without(constraint.regions(column)[1], column.size)
        if regions[name].empty:
            raise SchemaError(
                f"constraints must leave {name!r} something of its domain, found nothing under {text!r}."
            )
    return regions


def _read(text: Any, columns: Mapping[str, AnyColumn], facts: Mapping[str, Fact]) -> Constraint:
    arrow = _ARROW.match(text) if isinstance(text, str) and "'" not in text else None
    if arrow is None:
        return read_expression(text, columns)
    by, column = (column_named(part, columns) for part in arrow.groups())
    if not isinstance(columns[by], Categorical | Boolean):
        raise SchemaError(f"what determines a column must have categories, found {by!r} in {text!r}.")
    if by == column or column in facts:
        raise SchemaError(f"{text!r} must name two columns, the second without a fact of its own.")
    return Determines(by=by, column=column)


def columns_of(constraint: Constraint) -> list[str]:
    """The columns that a constraint ties, in order."""
    return sorted(
        {constraint.by, constraint.column} if isinstance(constraint, Determines) else constraint.columns
    )


@dataclass
class BrokenRows:
    """How many rows of a table break each constraint, counted chunk by chunk; internal for real rows."""

    constraints: Mapping[str, Constraint]
    columns: Mapping[str, AnyColumn]
    rows: Counter[str] = field(default_factory=Counter)
    _seen: dict[str, Counter[tuple[int, int]]] = field(default_factory=dict)

    def add(self, positions: Mapping[str, Positions]) -> None:
        """Count the next rows, given as positions; a constraint on an absent column is passed over."""
        for text, constraint in self.constraints.items():
            if isinstance(constraint, Determines):
                if {constraint.by, constraint.column} <= set(positions):
                    pairs = np.column_stack([positions[constraint.by], positions[constraint.column]])
                    found, counts = np.unique(pairs[pairs[:, 0] >= 0], axis=0, return_counts=True)
                    seen = self._seen.setdefault(text, Counter())
                    seen.update({(int(a), int(b)): int(n) for (a, b), n in zip(found, counts, strict=True)})
            elif constraint.columns <= set(positions):
                self.rows[text] += int(constraint.truth(positions, self.columns)[1].sum())

    def counts(self) -> dict[str, int]:
        """Rows that break each constraint; of one that determines, all but the commonest value's."""
        for text, seen in self._seen.items():
            most: dict[int, int] = {}
            for (by, _), count in seen.items():
                most[by] = max(most.get(by, 0), count)
            self.rows[text] = sum(seen.values()) - sum(most.values())
        return {text: self.rows[text] for text in self.constraints}
