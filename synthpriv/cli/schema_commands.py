"""synthpriv schema: propose the public facts of a table, and check a table against them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synthpriv.cli import options
from synthpriv.cli.words import counted, say, say_json, say_table

app = typer.Typer(
    no_args_is_help=True,
    help=(
        "Propose and check the public facts of a table: its columns, their bounds and categories. Whatever a "
        "schema declares is taken to be public knowledge; private training knows nothing else."
    ),
)


@app.command()
def draft(
    table: options.TableFile,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the draft to this new file (default: print it)."),
    ] = None,
    format: options.Format = None,
    json: options.Json = False,
) -> None:
    """Propose a schema; whatever was looked up in the table is marked 'confirmed = false'.

    The draft is private until a person has replaced what was read from the data by public knowledge. It reads
    the first 500,000 rows; 'schema check' then lists what lies outside it in all of them.

    Example: synthpriv schema draft people.csv --out people.toml
    """
    from synthpriv.release.reading import draft_schema
    from synthpriv.schema.drafting import draft_toml

    if out is not None:
        options.require_new_file(out)
    schema = draft_schema(table, format=format)
    if out is not None:
        out.write_text(draft_toml(schema), encoding="utf-8")
    if json:
        say_json(schema.to_dict())
    elif out is None:
        typer.echo(draft_toml(schema), nl=False)
    else:
        say(
            f"Wrote {out}: {counted(len(schema.columns), 'column')}, {len(schema.unconfirmed)} unconfirmed.",
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
    """List every mismatch between a table and a schema at once (internal: shows private values).

    Exits 1 if there is one. A release maps single values outside the domain by a public rule and counts them;
    it refuses a column that lies mostly outside. The table may be larger than memory.

    Example: synthpriv schema check people.csv --schema people.toml
    """
    from dataclasses import asdict

    from synthpriv.progress import bars, shares
    from synthpriv.release.reading import read_present
    from synthpriv.schema.checking import check_chunks

    facts = options.read_schema(schema)
    with bars() as progress:
        told = shares("checking the table", progress)
        found = check_chunks(lambda: read_present(table, facts, format=format, progress=told), facts)
    failing = [mismatch for mismatch in found if not mismatch.problem.startswith("remark:")]
    if json:
        say_json(
            {
                "matches": not failing,
                "unconfirmed": list(facts.unconfirmed),
                "mismatches": [asdict(mismatch) for mismatch in found],
            }
        )
    else:
        rows = [[m.column, m.problem, f"{m.rows:,}", m.example or "-"] for m in found]
        if rows:
            say_table("Internal: shows private values", ["column", "problem", "rows", "example"], rows)
        say(f"{counted(len(failing), 'problem')}." if failing else "The table matches the schema.")
        if facts.unconfirmed:
            say(f"Not confirmed by a person yet: {', '.join(facts.unconfirmed)}.")
    if failing:
        raise typer.Exit(1)
