"""synthpriv ledger: what was promised for a table, what was spent, and whether the book is whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthpriv.cli import options
from synthpriv.cli.words import number, say, say_json, say_table
from synthpriv.errors import ConfigurationError

if TYPE_CHECKING:
    from synthpriv.privacy.ledger import Ledger

app = typer.Typer(no_args_is_help=True, help="Read and verify a budget ledger.")
LedgerArgument = Annotated[Path, typer.Argument(help="A ledger file (.sqlite).")]


@app.command()
def show(ledger: LedgerArgument, json: options.Json = False) -> None:
    """What was promised, every charge, and what is left."""
    book = _open(ledger)
    if json:
        say_json(book.to_json())
        return
    rows = [
        [entry["at"], entry["label"], entry["event"], number(entry["epsilon_after"])]
        for entry in book.describe()
    ]
    say_table(f"Ledger of {book.dataset}", ["at", "label", "event", "epsilon after"], rows)
    say(
        f"Spent epsilon {number(book.spent())} of {number(book.budget.epsilon)} at delta "
        f"{book.budget.delta:g}; {book.attempts} attempts at the gate."
    )


@app.command()
def verify(ledger: LedgerArgument, json: options.Json = False) -> None:
    """Check the hash chain from the first entry to the last."""
    book = _open(ledger)
    book.verify()
    if json:
        say_json({"verified": True, "digest": book.digest})
    else:
        say(f"Whole and unchanged; digest {book.digest}.")


@app.command()
def export(ledger: LedgerArgument) -> None:
    """The whole ledger as JSON on stdout: public facts only."""
    say_json(_open(ledger).to_json())


def _open(path: Path) -> Ledger:
    """A ledger that must exist already."""
    from synthpriv.privacy.ledger import Ledger

    if not path.is_file():
        raise ConfigurationError(f"a ledger file must exist, found none at {str(path)!r}.")
    return Ledger.open(path)
