"""The JSON Schema of what `synthpriv evaluate --json` prints and a release stores, drawn from the types.

The checked-in `scorecard.schema.json` is what `python -m synthpriv.release.json_schema` writes; a test keeps
the two equal, so that a field added to a scorecard is published with it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from synthpriv.evaluation.scorecard import Scorecard
from synthpriv.release.decision import VERSION, Decision

PUBLISHED = Path(__file__).with_name("scorecard.schema.json")


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) that every such document meets."""
    definitions: dict[str, Any] = {}
    for kind in (Scorecard, Decision):
        found = TypeAdapter(kind).json_schema(mode="serialization")
        definitions |= found.pop("$defs", {})
        definitions[kind.__name__] = found
    said = definitions["Decision"]["properties"]
    said["passed"] = {"type": "boolean", "description": "Whether no check failed."}
    said["reasons"] = {"type": "string", "description": "The outcome in one line, what failed first."}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "synthpriv evaluation",
        "description": "Internal: computed on real rows. A number that is not finite is null.",
        "type": "object",
        "required": ["version", "decision", "scorecard"],
        "additionalProperties": False,
        "properties": {
            "version": {"const": VERSION},
            "decision": {"$ref": "#/$defs/Decision"},
            "scorecard": {"$ref": "#/$defs/Scorecard"},
        },
        "$defs": {name: _closed(found) for name, found in sorted(definitions.items())},
    }


def _closed(part: Any) -> Any:
    """A part as it is written: every field is there, no other is, and a number may be null."""
    if isinstance(part, list):
        return [_closed(item) for item in part]
    if not isinstance(part, dict):
        return part
    kept = {name: _closed(item) for name, item in part.items() if name not in ("title", "default")}
    if isinstance(part.get("properties"), dict):
        kept["properties"] = {name: _closed(item) for name, item in part["properties"].items()}
        kept |= {"required": list(part["properties"]), "additionalProperties": False}
    if isinstance(part.get("description"), str):
        kept["description"] = " ".join(part["description"].split())
    if part.get("type") == "number" or {"type": "number"} in part.get("anyOf", ()):
        kept.pop("anyOf", None)
        kept["type"] = ["number", "null"]
    return kept


if __name__ == "__main__":
    PUBLISHED.write_text(json.dumps(json_schema(), indent=1) + "\n", encoding="utf-8")
