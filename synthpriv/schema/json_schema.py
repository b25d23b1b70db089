"""The JSON Schema of a schema file, so that an editor completes and checks the TOML while it is written.

The checked-in `schema.json` is `json.dumps(json_schema(), indent=2)`; a test keeps the two equal.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from synthpriv.schema.columns import KINDS, SECONDS, AnyColumn
from synthpriv.schema.facts import Follows, MissingWhen

_NUMBER = {"type": "number"}
_MOMENT = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?)?$"}
_FIELDS: dict[str, dict[str, Any]] = {
    "nullable": {"type": "boolean", "description": "Whether the column may hold missing values."},
    "confirmed": {
        "type": "boolean",
        "description": "False while the domain was read from the data and no person confirmed it as public.",
    },
    "categories": {
        "description": "Every value the column can take, all strings or all numbers.",
        "type": "array",
        "minItems": 1,
        "uniqueItems": True,
        "anyOf": [{"items": {"type": "string"}}, {"items": _NUMBER}],
    },
    "lower": {**_NUMBER, "description": "The smallest value that the column can take: a public bound."},
    "upper": {**_NUMBER, "description": "The largest value that the column can take: a public bound."},
    "decimals": {
        "type": "integer",
        "minimum": 0,
        "maximum": 15,
        "description": "Digits after the point.",
    },
    "start": {**_MOMENT, "description": "The earliest moment, without time zone: a public bound."},
    "end": {**_MOMENT, "description": "The latest moment, without time zone: a public bound."},
    "resolution": {"enum": list(SECONDS), "description": "The step: second, minute, hour or day."},
    "pattern": {
        "type": "string",
        "format": "regex",
        "description": "A regular expression from which new identifiers are made.",
    },
    "unique": {"type": "boolean", "description": "Whether no two rows share an identifier."},
}


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) that every schema file meets."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "synthpriv schema",
        "description": "The public facts of a table. A value that is not declared here is not known.",
        "type": "object",
        "required": ["columns"],
        "additionalProperties": False,
        "properties": {
            "columns": {
                "description": "One table [columns.NAME] per column, in the table's order.",
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {"oneOf": [{"$ref": f"#/$defs/{kind}"} for kind in KINDS]},
            },
            "targets": _texts("The columns that analysts predict."),
            "groups": _texts("The columns with categories between whose values models are compared."),
            "constraints": _texts("Expressions that hold in every row, such as 'discharged >= admitted'."),
            "privacy_unit": {
                "description": "The identifier column that names the person; without it, a row is a person.",
                "type": "string",
            },
            "facts": {
                "description": "One table [facts.COLUMN] per column that other columns determine.",
                "type": "object",
                "additionalProperties": {
                    "oneOf": [
                        {
                            "type": "object",
                            "description": (kind.__doc__ or "").splitlines()[0],
                            "required": [kind.kind, "values"],
                            "additionalProperties": False,
                            "properties": {
                                kind.kind: {"type": "string"},
                                "values": {"type": "object"}
                                if kind is Follows
                                else {"type": "array", "items": {"type": "string"}},
                            },
                        }
                        for kind in (Follows, MissingWhen)
                    ]
                },
            },
            "max_rows_per_unit": {
                "description": "The public bound on the rows of one person.",
                "type": "integer",
                "minimum": 1,
            },
        },
        "$defs": {kind: _kind_schema(kind, cls) for kind, cls in KINDS.items()},
    }


def _texts(description: str) -> dict[str, Any]:
    return {"description": description, "type": "array", "items": {"type": "string"}}


def _kind_schema(kind: str, cls: type[AnyColumn]) -> dict[str, Any]:
    known = [f for f in fields(cls) if f.name != "kind"]
    properties = {f.name: dict(_FIELDS[f.name]) for f in known}
    if kind == "integer":
        properties = {
            name: {**rule, "type": "integer"} if name in ("lower", "upper") else rule
            for name, rule in properties.items()
        }
    for f in known:
        if f.default is not MISSING:
            properties[f.name]["default"] = f.default
    return {
        "type": "object",
        "description": (cls.__doc__ or "").splitlines()[0],
        "required": ["kind", *(f.name for f in known if f.default is MISSING)],
        "additionalProperties": False,
        "properties": {"kind": {"const": kind}, **properties},
    }
