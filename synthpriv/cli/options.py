"""Options that several commands share, and how their values become configurations."""

from __future__ import annotations

import math
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthpriv.errors import ConfigurationError
from synthpriv.evaluation.effort import Effort

MEMORY_LIMIT = "256MiB"

if TYPE_CHECKING:
    from synthpriv.privacy.ledger import Budget
    from synthpriv.release.policy import Policy
    from synthpriv.schema import Schema
    from synthpriv.synthesizers.base import Synthesizer
    from synthpriv.synthesizers.fitted import FittedSynthesizer


class SynthesizerName(StrEnum):
    """Which model is fitted."""

    auto = "auto"
    mixture = "mixture"
    vae = "vae"
    ctgan = "ctgan"
    autoregressive = "autoregressive"
    independent = "independent"


class DeviceName(StrEnum):
    """Where a model is trained."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class OutputFormat(StrEnum):
    """How a bundle's table is written."""

    csv = "csv"
    csv_gz = "csv.gz"
    parquet = "parquet"
    arrow = "arrow"


TableFile = Annotated[
    Path, typer.Argument(help="The private table: .csv, .csv.gz, .parquet or .arrow.", metavar="TABLE")
]
SchemaFile = Annotated[
    Path | None,
    typer.Option(
        "--schema",
        metavar="FILE",
        help="The table's public facts (TOML): columns, bounds, categories. See 'synthpriv schema draft'.",
    ),
]
Epsilon = Annotated[
    str,
    typer.Option(
        "--epsilon",
        metavar="NUMBER",
        help="The privacy loss of this fit, all-in: 1 is strong, 10 says little. 'inf' trains without "
        "noise and marks the result NOT_PRIVATE.",
    ),
]
Delta = Annotated[
    float | None,
    typer.Option(
        "--delta",
        metavar="NUMBER",
        help="The chance that the promise does not hold: well below 1 / rows, such as 1e-6. A new ledger's "
        "delta; each fit gets its epsilon's share of it.",
    ),
]
Kind = Annotated[
    SynthesizerName,
    typer.Option(
        "--synthesizer",
        metavar="NAME",
        help="The model: auto (a public rule that says why), mixture, vae, ctgan, or independent.",
    ),
]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="COLUMN",
        help="A column that analysts will predict; give it several times for several (default: the schema's "
        "targets).",
    ),
]
EffortLevel = Annotated[
    Effort,
    typer.Option("--effort", help="How much work the judge may spend: a look, a release, an audit."),
]
ReportShare = Annotated[
    float,
    typer.Option(
        "--report-share",
        metavar="SHARE",
        help="Share of the privacy loss for noisy figures of quality on the bundle's page, such as 0.05; "
        "with 0 it shows no figure of real rows.",
    ),
]
Model = Annotated[Path, typer.Argument(help="A saved synthesizer, or a bundle.", metavar="SYNTHESIZER")]
SampleSeed = Annotated[
    int | None, typer.Option("--seed", metavar="COUNT", min=0, help="Repeats what is drawn.")
]
Rows = Annotated[
    int | None,
    typer.Option(
        "--rows",
        metavar="COUNT",
        min=1,
        help="The table's row count, if it is public; otherwise it is counted with noise (2% of epsilon).",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        metavar="COUNT",
        min=0,
        help="Repeats first weights and samples; never reaches the noise, so two fits still differ.",
    ),
]
Device = Annotated[
    DeviceName,
    typer.Option("--device", metavar="NAME", help="Where it is trained: auto (a GPU if any), cpu or cuda."),
]
AcceptDraft = Annotated[
    bool,
    typer.Option(
        "--accept-drafted-schema",
        help="Use bounds and categories that were read from the data and not confirmed; the claim does not "
        "cover them, and ledger and page say so.",
    ),
]
LedgerFile = Annotated[
    Path | None,
    typer.Option(
        "--ledger",
        metavar="FILE",
        help="The table's budget ledger, one for all its releases (default: TABLE's name + .ledger.sqlite, "
        "beside the table; made when missing).",
    ),
]
BudgetEpsilon = Annotated[
    float | None,
    typer.Option(
        "--budget-epsilon",
        metavar="NUMBER",
        help="The budget of a new ledger, all releases of the table together (default: --epsilon, so that "
        "one release spends it).",
    ),
]
Format = Annotated[
    str | None,
    typer.Option("--format", metavar="NAME", help="csv, parquet or arrow, if the file's name does not tell."),
]
MemoryLimit = Annotated[
    str,
    typer.Option(
        "--memory-limit",
        metavar="SIZE",
        help="Memory for real rows, such as 256MiB or 2GiB; what is larger goes to a scratch file without a "
        "name in TMPDIR. Code and models need about 1 GiB beside it.",
    ),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option(
        "--policy", metavar="FILE", help="Thresholds of the gate (TOML; default: one ships with it)."
    ),
]
SampleRows = Annotated[
    int | None,
    typer.Option(
        "--sample-rows", metavar="COUNT", min=1, help="Synthetic rows (default: as many as were counted)."
    ),
]
OutputKind = Annotated[
    OutputFormat,
    typer.Option(
        "--output-format",
        metavar="NAME",
        help="How the synthetic table is written: csv, csv.gz, parquet or arrow.",
    ),
]
RealFile = Annotated[Path, typer.Argument(help="The real table.", metavar="REAL")]
SyntheticFile = Annotated[
    Path, typer.Argument(help="The synthetic table, from anywhere.", metavar="SYNTHETIC")
]
HoldoutFile = Annotated[
    Path | None,
    typer.Option(
        "--holdout",
        metavar="FILE",
        help="Real rows that were NOT used for fitting (default: a fixed quarter of REAL).",
    ),
]
ClaimedEpsilon = Annotated[
    str,
    typer.Option(
        "--epsilon",
        metavar="NUMBER",
        help="The claim that attacks are held against, taken at its word; with 'inf' nothing is claimed, "
        "and no claim is judged.",
    ),
]
ClaimedDelta = Annotated[float | None, typer.Option("--delta", metavar="NUMBER", help="The claim's delta.")]
PageFile = Annotated[
    Path | None, typer.Option("--page", metavar="FILE", help="Write the internal HTML page to this new file.")
]
JUnitFile = Annotated[
    Path | None,
    typer.Option(
        "--junit", metavar="FILE", help="Write every check to this new file, as JUnit XML (internal)."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else on stdout, for scripts.")]


def read_epsilon(text: str) -> float:
    """Epsilon from the command line; 'inf' is allowed."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value > 0:
        raise ConfigurationError(
            f"--epsilon must be a number above 0 or 'inf', found {text!r}; 1 is strong, 10 says little."
        )
    return value


def read_memory_limit(text: str) -> int:
    """Bytes from a size such as 256MiB; raises ConfigurationError.

    >>> read_memory_limit("256MiB"), read_memory_limit("1.5 GB"), read_memory_limit("4096")
    (268435456, 1500000000, 4096)
    """
    match = re.fullmatch(r"\s*(\d{1,12}(?:\.\d{1,6})?)\s*([KMGT]?)(i?)B?\s*", text, re.IGNORECASE)
    if match is None or (match[3] and not match[2]):
        raise ConfigurationError(
            f"--memory-limit must be a number of bytes, KiB, MiB or GiB, found {text!r}; write for example "
            "256MiB or 2GiB."
        )
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * base ** " KMGT".index(match[2].upper() or " "))


def check_delta(delta: float | None) -> float | None:
    """Delta from the command line, if one was given; raises ConfigurationError out of range."""
    if delta is not None and not 0 < delta < 0.5:
        raise ConfigurationError(
            f"--delta must be above 0 and well below one over the number of rows, found {delta:g}; try 1e-6."
        )
    return delta


def read_schema(path: Path | None) -> Schema:
    """The schema file, which every private command needs."""
    from synthpriv.schema import Schema

    if path is None:
        raise ConfigurationError(
            "a schema must be given, found none; propose one with 'synthpriv schema draft TABLE', confirm "
            "it, and pass --schema FILE."
        )
    if path.is_dir():
        raise ConfigurationError(
            f"--schema must name a TOML file, found the folder {str(path)!r}; name the file."
        )
    return Schema.read(path)


def read_policy(path: Path | None) -> Policy:
    """The policy file, or the one that ships with the package."""
    from synthpriv.release.policy import Policy

    return Policy.default() if path is None else Policy.read(path)


def load_fitted(path: Path) -> FittedSynthesizer:
    """The saved synthesizer in the folder, or in the bundle that the folder is."""
    from synthpriv.synthesizers.storage import load

    inside = path / "synthesizer"
    return load(inside if inside.is_dir() else path)


def require_new_file(path: Path | None) -> None:
    """Raise ConfigurationError if something lies at `path`: no table of real rows is overwritten."""
    if path is None:
        return
    if path.exists():
        raise ConfigurationError(
            f"the output must not overwrite anything, found {str(path)!r}; name another file."
        )
    if not path.parent.is_dir():
        raise ConfigurationError(
            f"the output's folder must exist, found none at {str(path.parent)!r}; create it first."
        )


def make_synthesizer(
    name: SynthesizerName, schema: Schema, *, epsilon: float, **arguments: Any
) -> tuple[Synthesizer, str | None]:
    """The synthesizer of that name with these arguments, and why it was chosen if the choice was ours."""
    from synthpriv.synthesizers.choosing import choose_synthesizer
    from synthpriv.synthesizers.storage import SYNTHESIZERS

    if name is SynthesizerName.auto:
        return choose_synthesizer(schema, epsilon=epsilon, **arguments)
    return SYNTHESIZERS[name.value](epsilon=epsilon, **arguments), None


def ledger_path(table: Path, given: Path | None) -> Path:
    """The ledger's file: beside the table, because a budget belongs to a table and not to an output."""
    from synthpriv.release.preparation import table_name

    return given or table.parent / f"{table_name(table)}.ledger.sqlite"


def new_budget(
    path: Path, budget_epsilon: float | None, epsilon: float, delta: float | None
) -> Budget | None:
    """The budget to open a ledger with: None where there is one, whose budget stays what it is.

    None too in a process that does not lead, and so opens no ledger.
    """
    from synthpriv.privacy.ledger import Budget, Ledger
    from synthpriv.privacy.processes import leads
    from synthpriv.release.preparation import is_new_ledger

    if not leads():
        return None
    if not is_new_ledger(path):
        if budget_epsilon is not None and budget_epsilon != (found := Ledger.open(path).budget.epsilon):
            raise ConfigurationError(
                f"the budget of a ledger is set once, found --budget-epsilon {budget_epsilon:g} for "
                f"{str(path)!r} with {found:g}; leave it out."
            )
        return None
    if delta is None and not math.isinf(epsilon):
        raise ConfigurationError(
            "a new ledger needs delta, found none; pass --delta, well below one over the number of rows."
        )
    chosen = epsilon if budget_epsilon is None else budget_epsilon
    if not chosen >= epsilon:
        raise ConfigurationError(
            f"--budget-epsilon must be at least --epsilon, found {chosen:g} below {epsilon:g}; raise it."
        )
    return Budget(epsilon=chosen, delta=delta or 0.0)
