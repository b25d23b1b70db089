"""synthpriv schema: propose the public facts of a table, and check a table against them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synthpriv.cli import options
from synthpriv.cli.words import say, say_json, say_table
from synthpriv.errors import ConfigurationError

app = typer.Typer(no_args_is_help=True, help="Propose and check the public facts of a table.")


@app.command()
def draft(
    table: options.TableFile,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the draft here (default: print it).")
    ] = None,
    format: options.Format = None,
    json: options.Json = False,
) -> None:
    """Propose a schema; whatever was looked up in the table is marked 'confirmed = false'."""
    from synthpriv.schema import Schema
    from synthpriv.schema.drafting import draft_toml
    from synthpriv.tables import read_table

    if out is not None and out.exists():
        raise ConfigurationError(f"the draft must not overwrite a file, found {str(out)!r}; name another.")
    schema = Schema.draft(read_table(table, format=format))
    if json:
        say_json(schema.to_dict())
    elif out is None:
        typer.echo(draft_toml(schema), nl=False)
    else:
        out.write_text(draft_toml(schema), encoding="utf-8")
        say(
            f"Wrote {out}: {len(schema.columns)} columns, {len(schema.unconfirmed)} of them unconfirmed.",
            "Next: replace what was read from the data by public knowledge, delete 'confirmed = false', then "
            f"'synthpriv schema check {table} --schema {out}'.",
        )


@app.command()
def check(
    table: options.TableFile,
    schema: options.SchemaFile = None,
    format: options.Format = None,
    json: options.Json = False,
) -> None:
    """List every mismatch between a table and a schema at once (internal: shows private values)."""
    from dataclasses import asdict

    from synthpriv.schema.checking import check_table
    from synthpriv.tables import read_table

    facts = options.read_schema(schema)
    found = check_table(read_table(table, facts, format=format), facts)
    failing = [mismatch for mismatch in found if not mismatch.problem.startswith("remark:")]
    if json:
        say_json({"matches": not failing, "mismatches": [asdict(mismatch) for mismatch in found]})
    else:
        rows = [[m.column, m.problem, f"{m.rows:,}", str(m.example)] for m in found]
        if rows:
            say_table("Internal: shows private values", ["column", "problem", "rows", "example"], rows)
        say("The table matches the schema." if not failing else f"{len(failing)} mismatches.")
    if failing:
        raise typer.Exit(1)
