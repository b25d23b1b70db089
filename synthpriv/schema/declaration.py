"""Schema: the public facts of a table, read and written as TOML.

A value that is not declared here is not known: no later stage reads bounds, categories, decimals or null
flags from private rows.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthpriv.errors import SchemaError, nearest
from synthpriv.schema.columns import KINDS, AnyColumn, Boolean, Categorical, Column, Identifier
from synthpriv.schema.constraints import Constraint, read_constraints
from synthpriv.schema.facts import Fact, check_facts, facts_from_dict, facts_to_dict

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Schema:
    """The public facts of a table: its columns in order, whom a row belongs to, what is predicted from it.

    privacy_unit: the column that names the person (None: one row is one person). max_rows_per_unit: the
    public bound on rows of one person. targets: columns that analysts predict. groups: columns with
    categories between whose values a model should serve people alike. facts: by column, what holds in every
    row by public knowledge, and in every synthetic row (`Follows`, `MissingWhen`). constraints: expressions
    that hold in every row, "discharged >= admitted" (see `constraints`).

    >>> from synthpriv.schema.columns import Integer
    >>> schema = Schema(columns={"age": Integer(lower=17, upper=90)})
    >>> list(schema.columns)
    ['age']
    """

    columns: Mapping[str, AnyColumn]
    privacy_unit: str | None = None
    max_rows_per_unit: int = 1
    targets: tuple[str, ...] = field(default=())
    facts: Mapping[str, Fact] = field(default_factory=dict)
    groups: tuple[str, ...] = field(default=())
    constraints: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        """Check names, unit, targets and groups."""
        object.__setattr__(self, "columns", dict(self.columns))
        for role in ("targets", "groups"):
            object.__setattr__(self, role, _names(getattr(self, role), role))
        if not self.columns:
            raise SchemaError("a schema must declare at least one column, found none.")
        for name, column in self.columns.items():
            if not isinstance(name, str) or not name:
                raise SchemaError(f"column names must be non-empty strings, found {name!r}.")
            if not isinstance(column, Column):
                raise SchemaError(
                    f"column {name!r} must be one of {', '.join(kind.__name__ for kind in KINDS.values())}, "
                    f"found {type(column).__name__}."
                )
        for name in (*self.targets, *self.groups, *([self.privacy_unit] if self.privacy_unit else [])):
            if name not in self.columns:
                raise SchemaError(
                    f"{name!r} is named as target, group or privacy_unit but is no column. "
                    f"{nearest(str(name), self.columns)}"
                )
        for name in self.targets:
            if isinstance(self.columns[name], Identifier):
                raise SchemaError(
                    f"target {name!r} must not be an identifier, which is never learnt; remove it."
                )
        for name in self.groups:
            if not isinstance(self.columns[name], Categorical | Boolean):
                raise SchemaError(
                    f"group {name!r} must be a categorical or boolean column, found "
                    f"{self.columns[name].kind}; declare its values as categories, or remove it."
                )
        if self.privacy_unit and not isinstance(self.columns[self.privacy_unit], Identifier):
            raise SchemaError(f"privacy_unit {self.privacy_unit!r} must be an identifier column.")
        rows = self.max_rows_per_unit
        if isinstance(rows, bool) or not isinstance(rows, int) or rows < 1:
            raise SchemaError(f"max_rows_per_unit must be a whole number of at least 1, found {rows!r}.")
        if all(isinstance(column, Identifier) for column in self.columns.values()):
            raise SchemaError(
                "a schema must declare at least one column that is not an identifier, found none."
            )
        object.__setattr__(self, "facts", dict(self.facts))
        check_facts(self.facts, self.columns)
        object.__setattr__(self, "_rules", read_constraints(self.constraints, self.columns, self.facts))
        object.__setattr__(self, "constraints", tuple(self.constraints))

    @property
    def modelled(self) -> dict[str, AnyColumn]:
        """The columns that a synthesizer learns: all but the identifiers."""
        return {name: column for name, column in self.columns.items() if not isinstance(column, Identifier)}

    @property
    def rules(self) -> Mapping[str, Constraint]:
        """The constraints as they are read, by their text."""
        rules: Mapping[str, Constraint] = self.__dict__["_rules"]
        return rules

    @property
    def unconfirmed(self) -> tuple[str, ...]:
        """The columns whose domain was read from data and not confirmed by a person."""
        return tuple(name for name, column in self.columns.items() if not column.confirmed)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for TOML and JSON; fields at their default are left out."""
        head: dict[str, Any] = {}
        for role in ("targets", "groups"):
            if names := getattr(self, role):
                head[role] = list(names)
        if self.privacy_unit:
            head["privacy_unit"] = self.privacy_unit
        if self.privacy_unit or self.max_rows_per_unit != 1:
            head["max_rows_per_unit"] = self.max_rows_per_unit
        if self.constraints:
            head["constraints"] = list(self.constraints)
        plain = {**head, "columns": {name: _column_to_dict(column) for name, column in self.columns.items()}}
        return {**plain, "facts": facts_to_dict(self.facts)} if self.facts else plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Schema:
        """The inverse of `to_dict`; raises SchemaError naming the column and the field."""
        known = {"columns", "privacy_unit", "max_rows_per_unit", "targets", "groups", "facts", "constraints"}
        _check_known(data, known, "the schema")
        declared = data.get("columns")
        if not isinstance(declared, Mapping):
            raise SchemaError("a schema must have a table [columns.NAME] per column, found none.")
        columns = {name: _column_from_dict(name, table) for name, table in declared.items()}
        return cls(**{**data, "columns": columns, "facts": facts_from_dict(data.get("facts", {}))})

    @classmethod
    def draft(cls, frame: pd.DataFrame) -> Schema:
        """Propose a schema by looking at the data: PRIVATE until a person confirms every column.

        Every column is marked confirmed=False; replace what was looked up by public knowledge. Raises
        SchemaError where the frame has no rows or unusable column names.
        """
        from synthpriv.schema.drafting import draft_columns

        columns, targets = draft_columns(frame)
        return cls(columns=columns, targets=targets)

    @classmethod
    def read(cls, path: str | Path) -> Schema:
        """Read a schema from a TOML file; raises SchemaError."""
        try:
            return cls.from_dict(tomllib.loads(Path(path).read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise SchemaError(
                f"the schema file {str(path)!r} does not exist; propose one with 'schema draft'."
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise SchemaError(f"the schema file {str(path)!r} must be valid TOML: {error}.") from None

    def write(self, path: str | Path) -> None:
        """Write the schema as TOML, one table per column."""
        Path(path).write_text(self.to_toml(), encoding="utf-8")

    def to_toml(self) -> str:
        """The schema as TOML text."""
        import tomlkit

        return tomlkit.dumps(self.to_dict())


def _names(value: Any, role: str) -> tuple[str, ...]:
    """A list of column names; one name may stand alone."""
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        raise SchemaError(f"{role} must be a list of column names, found {names!r}.")
    return tuple(names)


def _check_known(data: Mapping[str, Any], known: set[str], where: str) -> None:
    for key in data:
        if key not in known:
            raise SchemaError(f"{where} has no field {key!r}. {nearest(key, known)}")


def _column_from_dict(name: str, table: Any) -> AnyColumn:
    if not isinstance(table, Mapping):
        raise SchemaError(f"column {name!r} must be a table with a 'kind', found {table!r}.")
    kind = table.get("kind")
    if kind in ("text", "string", "str", "free-text"):
        raise SchemaError(
            f"column {name!r} is free text, which cannot be given a bounded domain and is not synthesized; "
            "declare it an identifier with a pattern, a categorical with its categories, or drop it."
        )
    if not isinstance(kind, str) or kind not in KINDS:
        raise SchemaError(
            f"column {name!r} must have a kind, found {kind!r}. {nearest(str(kind or ''), KINDS)}"
        )
    cls = KINDS[kind]
    _check_known(table, {f.name for f in fields(cls)}, f"column {name!r} ({kind})")
    lacking = [f.name for f in fields(cls) if f.name not in table and f.default is MISSING]
    if lacking:
        raise SchemaError(f"column {name!r} ({kind}) must declare {' and '.join(lacking)}.")
    try:
        return cls(**table)
    except (SchemaError, TypeError, ValueError, OverflowError) as error:
        raise SchemaError(f"column {name!r}: {error}") from None


def _column_to_dict(column: AnyColumn) -> dict[str, Any]:
    plain: dict[str, Any] = {"kind": column.kind}
    for f in fields(column):
        value = getattr(column, f.name)
        if f.name != "kind" and (f.default is MISSING or value != f.default):
            plain[f.name] = list(value) if isinstance(value, tuple) else value
    for moment in ("start", "end"):
        if moment in plain:
            plain[moment] = plain[moment].isoformat()
    return plain
