"""Options that several commands share, and how their values become configurations."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthpriv.errors import ConfigurationError

if TYPE_CHECKING:
    from synthpriv.privacy.ledger import Budget
    from synthpriv.schema import Schema
    from synthpriv.synthesizers.base import Synthesizer


class SynthesizerName(StrEnum):
    """Which model is fitted."""

    vae = "vae"
    ctgan = "ctgan"
    independent = "independent"


TableFile = Annotated[Path, typer.Argument(help="The private table: .csv, .csv.gz, .parquet or .arrow.")]
SchemaFile = Annotated[
    Path | None,
    typer.Option("--schema", help="The table's public facts (TOML); see 'synthpriv schema draft'."),
]
Epsilon = Annotated[
    str, typer.Option("--epsilon", help="All-in privacy loss of this fit; 'inf' trains without noise.")
]
Delta = Annotated[
    float | None,
    typer.Option("--delta", help="All-in delta, well below 1 / rows; from configuration, never data."),
]
Kind = Annotated[SynthesizerName, typer.Option("--synthesizer", help="The model to fit.")]
Target = Annotated[str | None, typer.Option("--target", help="The column that analysts will predict.")]
Rows = Annotated[
    int | None,
    typer.Option(
        "--rows", help="The table's row count, if it is public; otherwise it is counted with noise."
    ),
]
Seed = Annotated[
    int | None, typer.Option("--seed", help="Repeats weights and samples; never reaches the noise.")
]
AcceptDraft = Annotated[
    bool,
    typer.Option(
        "--accept-drafted-schema",
        help="Use bounds and categories that were read from the data; ledger and page will say so.",
    ),
]
LedgerFile = Annotated[
    Path | None,
    typer.Option("--ledger", help="The budget ledger of this table (default: beside the table)."),
]
BudgetEpsilon = Annotated[
    float | None,
    typer.Option(
        "--budget-epsilon", help="Budget of a new ledger, all releases together (default: --epsilon)."
    ),
]
Format = Annotated[
    str | None, typer.Option("--format", help="The table's format, if its name does not tell.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of words.")]


def read_epsilon(text: str) -> float:
    """Epsilon from the command line; 'inf' is allowed."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise ConfigurationError(f"--epsilon must be a number or 'inf', found {text!r}.")
    return value


def read_schema(path: Path | None) -> Schema:
    """The schema file, which every private command needs."""
    from synthpriv.schema import Schema

    if path is None:
        raise ConfigurationError(
            "a schema must be given, found none; propose one with 'synthpriv schema draft TABLE', confirm "
            "it, and pass --schema FILE."
        )
    return Schema.read(path)


def make_synthesizer(name: SynthesizerName, **arguments: Any) -> Synthesizer:
    """The synthesizer of that name with these arguments."""
    from synthpriv.synthesizers.storage import SYNTHESIZERS

    return SYNTHESIZERS[name.value](**arguments)


def ledger_path(table: Path, given: Path | None) -> Path:
    """The ledger's file: beside the table, because a budget belongs to a table and not to an output."""
    stem = table.name.split(".")[0]
    return given or table.with_name(f"{stem}.ledger.sqlite")


def new_budget(
    path: Path, budget_epsilon: float | None, epsilon: float, delta: float | None
) -> Budget | None:
    """The budget to open a ledger with: None where a ledger exists and none is asked for."""
    from synthpriv.privacy.ledger import Budget

    if path.exists() and budget_epsilon is None:
        return None
    if delta is None and not math.isinf(epsilon):
        raise ConfigurationError(
            "a new ledger needs delta, found none; pass --delta, well below one over the number of rows."
        )
    return Budget(epsilon=budget_epsilon or epsilon, delta=delta or 0.0)
