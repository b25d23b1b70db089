"""The command `synthpriv`: arguments in, one screen of words out, exit codes that scripts can trust."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from synthpriv.cli import ledger_commands, private_commands, public_commands, schema_commands
from synthpriv.cli.words import complain
from synthpriv.errors import SynthprivError

APPROVED, ERROR, REFUSED, INTERRUPTED = 0, 1, 3, 130

app = typer.Typer(
    name="synthpriv",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help=(
        "Turn a table of people into a table that can be shared.\n\n"
        "Start here: 'synthpriv schema draft TABLE' proposes the table's public facts; confirm them; "
        "'synthpriv plan' shows how a budget would be spent before a row is read; 'synthpriv release' fits, "
        "judges and writes a verified bundle, or refuses and says why.\n\n"
        "Exit codes: 0 done or approved, 1 error, 2 usage, 3 refused by the policy, 130 interrupted."
    ),
)
app.add_typer(schema_commands.app, name="schema")
app.add_typer(ledger_commands.app, name="ledger")
private_commands.register(app)
public_commands.register(app)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options before the command."""
    del debug  # read from the arguments by `main`, which also covers errors before this runs


def main() -> None:
    """Run the command line; errors are one sentence on stderr, with --debug a traceback."""
    debug = "--debug" in sys.argv[1:]
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(args=arguments, prog_name="synthpriv", standalone_mode=True)
    except SynthprivError as error:
        if debug:
            raise
        complain(f"{type(error).__name__}: {error}")
        sys.exit(ERROR)
    except KeyboardInterrupt:
        complain("interrupted: what the ledger had charged stays charged; nothing was half-written.")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.exit(ERROR)
    except Exception as error:  # the last resort: one screen for a person, --debug for an engineer
        if debug:
            raise
        complain(f"unexpected {type(error).__name__}: {error}; run again with --debug and report it.")
        sys.exit(ERROR)
