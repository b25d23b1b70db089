"""Commands that never see private rows: sample from a saved synthesizer, verify a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthpriv.cli import options
from synthpriv.cli.words import counted, number, say, say_json
from synthpriv.progress import bars

if TYPE_CHECKING:
    from synthpriv.synthesizers.models import Reach


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (sample, verify):
        app.command()(command)


def sample(
    synthesizer: options.Model,
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="FILE", help="The new table to write: .csv, .csv.gz, .parquet or .arrow."
        ),
    ],
    n: Annotated[
        int | None, typer.Option("-n", metavar="COUNT", min=1, help="Rows (default: the public row count).")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="CONDITION",
            help="What holds in every row: \"age >= 60 and sex = 'Female'\"; of several, all hold.",
        ),
    ] = None,
    seed: options.SampleSeed = None,
    format: options.Format = None,
    json: options.Json = False,
) -> None:
    """Draw synthetic rows from a saved synthesizer: post-processing, costs no further epsilon.

    Example:

    synthpriv sample people.synth -n 1000 --where "age >= 60 and sex = 'Female'" --out women.csv
    """
    from synthpriv.tables import table_format, write_chunks

    table_format(out, format)
    options.require_new_file(out)
    conditions = " and ".join(f"({one})" for one in where or []) or None
    fitted = options.load_fitted(synthesizer)
    with bars() as progress:
        chunks = fitted.sample_chunks(n, seed=seed, conditions=conditions, progress=progress)
        rows = write_chunks(chunks, out, fitted.schema, format=format)
    reach = None if conditions is None else fitted.reach(conditions)
    if json:
        met = {} if reach is None else {"probability": reach.probability, "effective": reach.effective}
        say_json({"rows": rows, "out": str(out), "private": fitted.claim.private, **met})
    else:
        mark = "" if fitted.claim.private else " NOT_PRIVATE"
        say(f"Wrote {counted(rows, 'row')} to {out}.{_how_met(reach)}{mark}")


def _how_met(reach: Reach | None) -> str:
    if reach is None:
        return ""
    share = "" if reach.effective == 1 else f", met with an effective sample size of {reach.effective:.0%}"
    return f" The conditions have probability {reach.probability:.2g} under the model{share}."


def verify(
    bundle: Annotated[
        Path, typer.Argument(help="A bundle written by 'synthpriv release'.", metavar="BUNDLE")
    ],
    json: options.Json = False,
) -> None:
    """Check that a bundle is whole and unchanged, and say what it claims. Needs nothing but the bundle.

    Example:

    synthpriv verify shared
    """
    from synthpriv.release.bundle import verify_bundle

    found = verify_bundle(bundle)
    if json:
        say_json({"verified": True, **found})
        return
    claim = found["claim"]
    say(
        f"Whole and unchanged: {counted(len(found['files']), 'file')}, "
        f"{counted(found['synthetic_rows'], 'synthetic row')}."
    )
    if not claim["private"]:
        say("NOT_PRIVATE: nothing is claimed; treat it like the real table.")
        return
    say(
        f"Claim: epsilon {number(claim['epsilon'])}, delta {claim['delta']:g}, unit: {claim['unit']}, "
        f"{claim['adjacency']} (replace-one: epsilon {number(claim['epsilon_replace_one'])}).",
        f"Covers: {', '.join(claim['covers'])}.",
    )
    if claim["domain_from_data"]:
        say("Does not cover: the schema's bounds and categories, some of which were read from the data.")
