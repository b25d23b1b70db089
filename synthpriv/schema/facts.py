"""Facts that hold in every row by public knowledge, and that no synthetic row breaks.

A fact belongs to the column that it shapes. It is imposed on positions after a model has drawn them, from
other columns of the same synthetic row: no real row is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from synthpriv.errors import SchemaError, nearest
from synthpriv.schema.columns import AnyColumn, Boolean, Categorical, Identifier
from synthpriv.schema.values import MISSING, Positions, place

Redraw = Callable[[int], Positions]


@dataclass(frozen=True, kw_only=True)
class Follows:
    """The column's value follows from another's: an education's number of years from the education.

    values: for every category of `by`, as text, the column's value. Where `by` is missing, so is the column
    if it may be.
    """

    kind: ClassVar[str] = "follows"
    by: str
    values: Mapping[str, Any]

    def check(self, name: str, columns: Mapping[str, AnyColumn]) -> None:
        """Raise SchemaError unless every category of `by` is given a value that the column can take."""
        known = category_texts(columns[self.by])
        lacking = [text for text in known if text not in self.values]
        if lacking or len(self.values) != len(known):
            odd = [*lacking, *(text for text in self.values if text not in known)][0]
            raise SchemaError(
                f"the fact on {name!r} must give one value for every category of {self.by!r}, found a "
                f"mismatch at {odd!r}."
            )
        if place(pd.Series([self.values[text] for text in known], dtype=object), columns[name]).outside.any():
            raise SchemaError(f"the fact on {name!r} must give values of that column, found another.")

    def impose(
        self, name: str, drawn: Mapping[str, Positions], columns: Mapping[str, AnyColumn], redraw: Redraw
    ) -> Positions:
        """The column's positions, as they follow."""
        values = pd.Series([self.values[text] for text in category_texts(columns[self.by])], dtype=object)
        follows = place(values, columns[name]).positions
        source = drawn[self.by]
        unknown = np.full_like(source, MISSING) if columns[name].nullable else drawn[name]
        return np.where(source == MISSING, unknown, follows[np.maximum(source, 0)])


@dataclass(frozen=True, kw_only=True)
class MissingWhen:
    """The column is missing exactly where another has one of these categories (as text)."""

    kind: ClassVar[str] = "missing_when"
    by: str
    values: Sequence[str]

    def check(self, name: str, columns: Mapping[str, AnyColumn]) -> None:
        """Raise SchemaError unless the column may be missing and the categories are declared."""
        known = category_texts(columns[self.by])
        for text in self.values:
            if text not in known:
                raise SchemaError(
                    f"the fact on {name!r} must name categories of {self.by!r}, found {text!r}. "
                    f"{nearest(str(text), known)}"
                )
        if not columns[name].nullable:
            raise SchemaError(f"the fact on {name!r} needs a nullable column, found none; declare it so.")

    def impose(
        self, name: str, drawn: Mapping[str, Positions], columns: Mapping[str, AnyColumn], redraw: Redraw
    ) -> Positions:
        """The column's positions, missing exactly where they must be; elsewhere a missing one is redrawn."""
        known = category_texts(columns[self.by])
        absent = np.isin(drawn[self.by], [known.index(text) for text in self.values])
        positions = np.where(absent, MISSING, drawn[name])
        gaps = ~absent & (positions == MISSING)
        if gaps.any():
            positions[gaps] = redraw(int(gaps.sum()))
        return positions


Fact = Follows | MissingWhen


def check_facts(facts: Mapping[str, Fact], columns: Mapping[str, AnyColumn]) -> None:
    """Raise SchemaError for facts that name no column, an identifier, or each other."""
    for name, fact in facts.items():
        if not isinstance(fact, Follows | MissingWhen):
            raise SchemaError(f"the fact on {name!r} must be Follows or MissingWhen, found {fact!r}.")
        for each in (name, fact.by):
            if each not in columns or isinstance(columns[each], Identifier):
                raise SchemaError(
                    f"a fact must be on columns that are modelled, found {each!r}. {nearest(each, columns)}"
                )
        if fact.by == name or fact.by in facts:
            raise SchemaError(
                f"the fact on {name!r} must rest on a column without a fact of its own, found {fact.by!r}."
            )
        if not isinstance(columns[fact.by], Categorical | Boolean):
            raise SchemaError(f"the fact on {name!r} must rest on categories, found the numbers {fact.by!r}.")
        fact.check(name, columns)


def broken(
    facts: Mapping[str, Fact], placed: Mapping[str, Positions], columns: Mapping[str, AnyColumn]
) -> dict[str, npt.NDArray[np.bool_]]:
    """Which rows of a table, as positions, break each fact; internal where the rows are real."""
    found = {}
    for name, fact in facts.items():
        imposed = fact.impose(name, placed, columns, lambda count: np.zeros(count, dtype=np.int64))
        found[name] = imposed != placed[name]
    return found


def facts_from_dict(data: Any) -> dict[str, Fact]:
    """The facts of a schema file: for a column, what it follows or when it is missing, and the values."""
    if not isinstance(data, Mapping):
        raise SchemaError(f"facts must be tables [facts.COLUMN], found {data!r}.")
    return {str(name): _fact_from_dict(str(name), table) for name, table in data.items()}


def _fact_from_dict(name: str, table: Any) -> Fact:
    for kind, holds in ((Follows, Mapping), (MissingWhen, list)):
        if isinstance(table, Mapping) and set(table) == {kind.kind, "values"}:
            by, values = table[kind.kind], table["values"]
            if isinstance(by, str) and isinstance(values, holds):
                return kind(by=by, values=values)  # type: ignore[arg-type]
    raise SchemaError(
        f"the fact on {name!r} must hold 'follows', a column, and a table of values, or 'missing_when', a "
        f"column, and a list of values, found {table!r}."
    )


def facts_to_dict(facts: Mapping[str, Fact]) -> dict[str, Any]:
    """The inverse of `facts_from_dict`."""
    return {
        name: {
            fact.kind: fact.by,
            "values": dict(fact.values) if isinstance(fact, Follows) else list(fact.values),
        }
        for name, fact in facts.items()
    }


def category_texts(column: AnyColumn) -> list[str]:
    """The column's categories in order, as text."""
    if isinstance(column, Boolean):
        return ["false", "true"]
    return [str(value) for value in column.categories] if isinstance(column, Categorical) else []
