"""Commands that never see private rows: sample from a saved synthesizer, verify a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synthpriv.cli import options
from synthpriv.cli.words import bars, number, say, say_json
from synthpriv.errors import ConfigurationError


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (sample, verify):
        app.command()(command)


def sample(
    synthesizer: Annotated[
        Path, typer.Argument(help="A saved synthesizer, or a bundle's 'synthesizer' folder.")
    ],
    out: Annotated[
        Path, typer.Option("--out", help="The table to write: .csv, .csv.gz, .parquet or .arrow.")
    ],
    n: Annotated[int | None, typer.Option("-n", help="Rows (default: the public row count).")] = None,
    where: Annotated[
        list[str] | None, typer.Option("--where", help="A condition COLUMN=VALUE that every row must meet.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Repeats the sample.")] = None,
    format: options.Format = None,
    json: options.Json = False,
) -> None:
    """Draw synthetic rows from a saved synthesizer: post-processing, costs no further epsilon."""
    from synthpriv.synthesizers.storage import load
    from synthpriv.tables import table_format, write_table

    table_format(out, format)
    conditions = dict(_condition(text) for text in where or [])
    fitted = load(synthesizer)
    with bars() as progress:
        frame = fitted.sample(n, seed=seed, conditions=conditions or None, progress=progress)
    write_table(frame, out, fitted.schema, format=format)
    if json:
        say_json({"rows": len(frame), "out": str(out), "private": fitted.claim.private})
    else:
        mark = "" if fitted.claim.private else " [bold red]NOT_PRIVATE[/]"
        say(f"Wrote {len(frame):,} rows to {out}{mark}.")


def _condition(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found:
        raise ConfigurationError(f"--where takes COLUMN=VALUE, found {text!r}.")
    return name.strip(), value.strip().strip("'\"")


def verify(
    bundle: Annotated[Path, typer.Argument(help="A bundle written by 'synthpriv release'.")],
    json: options.Json = False,
) -> None:
    """Check that a bundle is whole and unchanged, and say what it claims."""
    from synthpriv.release.bundle import verify_bundle

    found = verify_bundle(bundle)
    if json:
        say_json({"verified": True, **found})
        return
    claim = found["claim"]
    if not claim["private"]:
        say(
            f"Whole and unchanged: {len(found['files'])} files. [bold red]NOT_PRIVATE[/]: nothing is claimed."
        )
        return
    say(
        f"Whole and unchanged: {len(found['files'])} files, {found['synthetic_rows']:,} synthetic rows.",
        f"Claim: epsilon {number(claim['epsilon'])}, delta {claim['delta']:g}, unit: {claim['unit']}, "
        f"{claim['adjacency']} (replace-one: epsilon {number(claim['epsilon_replace_one'])}).",
        f"Covers: {', '.join(claim['covers'])}.",
    )
