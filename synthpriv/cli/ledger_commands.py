"""synthpriv ledger: what was promised for a table, what was spent, and whether the book is whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthpriv.cli import options
from synthpriv.cli.words import counted, number, say, say_json, say_table
from synthpriv.errors import ConfigurationError

if TYPE_CHECKING:
    from synthpriv.privacy.ledger import Ledger

GATE = ("attempt", "verdict")  # the records of the gate

app = typer.Typer(
    no_args_is_help=True,
    help="Read a table's budget ledger: what was promised, what was spent, what is left.",
)
LedgerArgument = Annotated[
    Path, typer.Argument(help="A ledger file, by default beside its table: people.ledger.sqlite.")
]


@app.command()
def show(ledger: LedgerArgument, json: options.Json = False) -> None:
    """What was promised, every charge, what is left, and what else was recorded.

    Example: synthpriv ledger show people.ledger.sqlite
    """
    book = _open(ledger)
    if json:
        say_json(book.to_json())
        return
    rows = [
        [_moment(entry["at"]), entry["label"], entry["event"], number(entry["epsilon_after"])]
        for entry in book.describe()
    ]
    say_table(f"Ledger of {book.dataset}", ["when (UTC)", "charge", "mechanism", "epsilon after"], rows)
    records = [entry for entry in book.to_json()["entries"] if entry["kind"] == "record"]
    gate = [entry for entry in records if entry["record"] in GATE]
    if gate:
        say_table("At the gate", ["when (UTC)", "what"], [[_moment(e["at"]), _at_the_gate(e)] for e in gate])
    noted = [[_moment(e["at"]), e["record"], _facts(e["facts"])] for e in records if e["record"] not in GATE]
    if noted:
        say_table("Recorded, without a charge", ["when (UTC)", "record", "facts"], noted)
    (epsilon, delta), budget = book.left(), book.budget
    mark = "" if book.is_private else " NOT_PRIVATE: charged while noise was overridden for a test."
    say(
        f"Budget: epsilon {number(budget.epsilon)}, delta {budget.delta:g}. Spent: epsilon "
        f"{number(book.spent())}. Left for new releases: epsilon {number(epsilon)}, delta {delta:g}.{mark}",
        _attempts(
            book.attempts, [entry["facts"]["approved"] for entry in gate if entry["record"] == GATE[1]]
        ),
    )


@app.command()
def verify(ledger: LedgerArgument, json: options.Json = False) -> None:
    """Check the hash chain from the first entry to the last.

    Example: synthpriv ledger verify people.ledger.sqlite
    """
    book = _open(ledger)
    book.verify()
    if json:
        say_json({"verified": True, "digest": book.digest})
    else:
        say(f"Whole and unchanged; digest {book.digest}.")


@app.command()
def export(ledger: LedgerArgument, json: options.Json = True) -> None:
    """The whole ledger as JSON on stdout: public facts only.

    Example: synthpriv ledger export people.ledger.sqlite > ledger.json
    """
    del json  # there is no other form; the option is accepted as everywhere
    say_json(_open(ledger).to_json())


def _moment(at: str) -> str:
    """A time of the ledger to the second: 2026-01-31 12:00:00."""
    return at[:19].replace("T", " ")


def _at_the_gate(entry: dict[str, Any]) -> str:
    if entry["record"] == GATE[0]:
        return GATE[0]
    return "approved" if entry["facts"]["approved"] else "refused"


def _attempts(attempts: int, verdicts: list[bool]) -> str:
    """How often the gate was asked and what it said; a judge that was stopped says nothing.

    >>> _attempts(3, [True, False])
    '3 attempts at the gate: 1 approved, 1 refused, 1 without a verdict.'
    """
    said = {"approved": sum(verdicts), "refused": len(verdicts) - sum(verdicts)}
    said["without a verdict"] = max(attempts - len(verdicts), 0)
    told = ", ".join(f"{count} {word}" for word, count in said.items() if count)
    return f"{counted(attempts, 'attempt')} at the gate{': ' if told else ''}{told}."


def _facts(facts: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in facts.items()
    )


def _open(path: Path) -> Ledger:
    """A ledger that must exist already."""
    from synthpriv.privacy.ledger import Ledger

    if not path.is_file():
        found = "a folder" if path.is_dir() else "none"
        raise ConfigurationError(
            f"a ledger must be a file, found {found} at {str(path)!r}; 'synthpriv release' makes one "
            "beside its table."
        )
    return Ledger.open(path)
