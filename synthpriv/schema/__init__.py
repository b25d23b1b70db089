"""Floor 2, public facts: column kinds, the schema, and the positions of values in a declared domain."""

from synthpriv.schema.columns import (
    AnyColumn,
    Boolean,
    Categorical,
    Column,
    DateTime,
    Float,
    Identifier,
    Integer,
)
from synthpriv.schema.declaration import Schema
from synthpriv.schema.facts import Follows, MissingWhen

__all__ = [
    "AnyColumn",
    "Boolean",
    "Categorical",
    "Column",
    "DateTime",
    "Float",
    "Follows",
    "Identifier",
    "Integer",
    "MissingWhen",
    "Schema",
]
