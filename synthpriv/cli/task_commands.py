"""Commands on top of a fitted model: fill gaps, score rows; and test data from a schema alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthpriv.cli import options
from synthpriv.cli.words import counted, say, say_json
from synthpriv.errors import ConfigurationError

if TYPE_CHECKING:
    import pandas as pd

    from synthpriv.synthesizers.fitted import FittedSynthesizer

Table = Annotated[Path, typer.Argument(help="The table to work on.", metavar="TABLE")]
Out = Annotated[Path, typer.Option("--out", metavar="FILE", help="The new table to write.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (impute, score, mock):
        app.command()(command)


def impute(
    synthesizer: options.Model,
    table: Table,
    out: Out,
    likeliest: Annotated[
        bool, typer.Option("--likeliest", help="The likeliest category or median number, not a draw.")
    ] = False,
    seed: options.SampleSeed = None,
    format: options.Format = None,
    json: options.Json = False,
) -> None:
    """Fill the missing cells of a table from a saved synthesizer; the result is as private as the table is.

    Example: synthpriv impute people.synth people.csv --out filled.csv
    """
    from synthpriv.tables import write_table
    from synthpriv.tasks.gaps import impute as fill

    fitted, frame = _read(synthesizer, table, out, format)
    filled = fill(fitted, frame, method="likeliest" if likeliest else "draw", seed=seed)
    cells = int((frame.isna() & filled.notna()).to_numpy().sum())
    write_table(filled, out, fitted.schema)
    if json:
        say_json({"rows": len(filled), "filled": cells, "out": str(out)})
    else:
        say(f"Wrote {counted(len(filled), 'row')} to {out}; {counted(cells, 'cell')} filled.")


def score(
    synthesizer: options.Model,
    table: Table,
    out: Out,
    format: options.Format = None,
    json: options.Json = False,
) -> None:
    """Score how little each row of a table belongs, with the columns that say so (internal for real rows).

    Writes a CSV with a line per row of TABLE, in its order.

    Example: synthpriv score people.synth people.csv --out scores.csv
    """
    from synthpriv.tasks.anomalies import score_rows

    fitted, frame = _read(synthesizer, table, out, format)
    found = score_rows(fitted, frame)
    found.to_csv(out, index=False)
    if json:
        say_json({"rows": len(found), "out": str(out)})
    else:
        say(f"Wrote {counted(len(found), 'score')} to {out}, the strangest rows have the highest.")


def mock(
    schema: Annotated[Path, typer.Argument(help="A schema (TOML).", metavar="SCHEMA")],
    out: Out,
    n: Annotated[int, typer.Option("-n", metavar="COUNT", min=0, help="Rows.")] = 1000,
    seed: options.SampleSeed = None,
    edges: Annotated[
        bool, typer.Option("--edges", help="Begin with the ends of every number, and every category.")
    ] = False,
    provider: Annotated[
        list[str] | None,
        typer.Option(
            "--provider",
            metavar="COLUMN=NAME",
            help="A Faker provider for an identifier: name, address, email, ...; repeat for several.",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Make test data from a schema alone: no data is read, so there is no privacy cost and no likeness.

    Example: synthpriv mock people.toml -n 1000 --out test.csv
    """
    from synthpriv.tables import table_format, write_table
    from synthpriv.tasks.mock import mock as made

    table_format(out, None)
    options.require_new_file(out)
    facts = options.read_schema(schema)
    pairs = [text.partition("=") for text in provider or []]
    for name, found, value in pairs:
        if not (name and found and value):
            raise ConfigurationError(f"--provider takes COLUMN=NAME, found {name!r}; write id=name.")
    frame = made(facts, n, seed=seed, edges=edges, providers={name: value for name, _, value in pairs})
    write_table(frame, out, facts)
    if json:
        say_json({"rows": len(frame), "out": str(out)})
    else:
        say(f"Wrote {counted(len(frame), 'row')} to {out}, made from the schema alone.")


def _read(
    synthesizer: Path, table: Path, out: Path, format: str | None
) -> tuple[FittedSynthesizer, pd.DataFrame]:
    """The model and the table; raises before work if the output cannot be written."""
    import pandas as pd

    from synthpriv.release.reading import read_present

    options.require_new_file(out)
    fitted = options.load_fitted(synthesizer)
    chunks = list(read_present(table, fitted.schema, format=format))
    return fitted, pd.concat(chunks, ignore_index=True)
