"""The command `synthpriv`: arguments in, one screen of words out, exit codes that scripts can trust."""

from __future__ import annotations

import importlib.metadata
import sys
from typing import Annotated

import typer

from synthpriv.cli import (
    evaluate_command,
    ledger_commands,
    private_commands,
    public_commands,
    schema_commands,
    task_commands,
)
from synthpriv.cli.words import complain
from synthpriv.errors import SynthprivError

ERROR, INTERRUPTED = 1, 130

app = typer.Typer(
    name="synthpriv",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help=(
        "Turn a table of people into a table that can be shared.\n\n"
        "The way, step by step:\n\n"
        "1. synthpriv schema draft people.csv --out people.toml\n\n"
        "2. open people.toml, replace what was read from the data, delete 'confirmed = false'\n\n"
        "3. synthpriv plan --schema people.toml --rows 40000 --epsilon 3 --delta 1e-6\n\n"
        "4. synthpriv release people.csv --schema people.toml --epsilon 3 --delta 1e-6 --out shared\n\n"
        "5. synthpriv verify shared\n\n"
        "Exit codes: 0 done, approved or passed, 1 error, 2 usage, 3 refused by the policy, 130 interrupted. "
        "Results go to stdout (--json for scripts), progress and errors to stderr."
    ),
)
app.add_typer(schema_commands.app, name="schema")
app.add_typer(ledger_commands.app, name="ledger")
private_commands.register(app)
evaluate_command.register(app)
public_commands.register(app)
task_commands.register(app)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"synthpriv {importlib.metadata.version('synthpriv-release')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Say which version this is.", callback=_say_version, is_eager=True),
    ] = False,
) -> None:
    """Options before the command."""
    del debug, version  # --debug is read from the arguments by `main`, which also covers earlier errors


def main() -> None:
    """Run the command line; errors are one sentence on stderr, with --debug a traceback."""
    debug = "--debug" in sys.argv[1:]
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(args=arguments, prog_name="synthpriv", standalone_mode=True)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            complain("Interrupted: what the ledger had charged stays charged; nothing was half-written.")
        raise
    except Exception as error:
        if debug:
            raise
        if not _said_by_the_lead(error):
            complain(_sentence(error))
        sys.exit(ERROR)


def _said_by_the_lead(error: Exception) -> bool:
    """Among several processes all raise what stops one; the lead alone says it."""
    from synthpriv.privacy.processes import leads

    return isinstance(error, SynthprivError) and not leads()


def _sentence(error: Exception) -> str:
    if isinstance(error, SynthprivError):
        return f"{type(error).__name__}: {error}"
    if isinstance(error, OSError) and error.strerror and error.filename:
        return (
            f"{type(error).__name__}: a path must be one that can be read or written, found "
            f"{str(error.filename)!r}: {error.strerror}; correct the path."
        )
    words = " ".join(str(error).split())[:300]
    return f"unexpected {type(error).__name__}: {words}; run again with --debug and report it."
