"""Commands that read private rows: release, fit, evaluate; and plan, which shows their cost before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthpriv.cli import options
from synthpriv.cli.words import bars, number, say, say_json, say_table

if TYPE_CHECKING:
    from synthpriv.release.pipeline import ReleaseOutcome

REFUSED = 3


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (release, fit, plan, evaluate):
        app.command()(command)


def release(
    table: options.TableFile,
    epsilon: options.Epsilon,
    out: Annotated[Path, typer.Option("--out", help="A new folder for the bundle.")],
    schema: options.SchemaFile = None,
    delta: options.Delta = None,
    target: options.Target = None,
    synthesizer: options.Kind = options.SynthesizerName.vae,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="Thresholds (TOML); one ships with it.")
    ] = None,
    ledger: options.LedgerFile = None,
    budget_epsilon: options.BudgetEpsilon = None,
    rows: options.Rows = None,
    sample_rows: Annotated[
        int | None, typer.Option("--sample-rows", help="Synthetic rows (default: as many as were counted).")
    ] = None,
    format: options.Format = None,
    output_format: Annotated[
        str, typer.Option("--output-format", help="csv, csv.gz, parquet or arrow.")
    ] = "csv",
    accept_drafted_schema: options.AcceptDraft = False,
    seed: options.Seed = None,
    json: options.Json = False,
) -> None:
    """Fit, sample, judge and decide; write a bundle that can be shared, or refuse and say why.

    Example: synthpriv release people.csv --schema people.toml --target income --epsilon 3 --delta 1e-6
    --out release/people
    """
    from synthpriv.release.pipeline import ReleaseRequest, run_release
    from synthpriv.release.policy import Policy

    loss = options.read_epsilon(epsilon)
    path = options.ledger_path(table, ledger)
    request = ReleaseRequest(
        table=table,
        schema=options.read_schema(schema),
        synthesizer=options.make_synthesizer(
            synthesizer,
            epsilon=loss,
            delta=delta,
            random_state=seed,
            accept_drafted_schema=accept_drafted_schema,
        ),
        out=out,
        ledger=path,
        budget=options.new_budget(path, budget_epsilon, loss, delta),
        policy=Policy.default() if policy is None else Policy.read(policy),
        target=target,
        rows=rows,
        sample_rows=sample_rows,
        input_format=format,
        output_format=output_format,
        seed=seed,
    )
    with bars() as progress:
        outcome = run_release(request, progress)
    if json:
        say_json(outcome.to_dict())
    else:
        say(*_five_lines(outcome))
    if not outcome.decision.approved:
        raise typer.Exit(REFUSED)


def _five_lines(outcome: ReleaseOutcome) -> list[str]:
    """What was decided, why, what it cost, where it lies, and which page to open."""
    facts, estimates = outcome.facts, outcome.scorecard.estimates
    verdict = "[bold green]APPROVED[/]" if outcome.decision.approved else "[bold red]REFUSED[/]"
    mark = "" if facts.private else " [bold red]NOT_PRIVATE[/]"
    figures = []
    for name, words in (("fidelity.tvd2", "pairs differ by"), ("utility.auc", "TSTR AUC")):
        if name in estimates:
            control = number(estimates[name].controls.get("real rows"))
            figures.append(f"{words} {number(estimates[name].value)} (real rows {control})")
    mapped = f"; {outcome.outside} cells outside the declared domain were mapped" if outcome.outside else ""
    return [
        f"{verdict}{mark}  {_shorten(outcome.decision.reasons)}",
        f"Quality   {', '.join(figures) or 'see the page'}{mapped}",
        f"Budget    epsilon {number(facts.epsilon)} at delta {facts.delta:g} for this release, all-in; "
        f"{number(facts.epsilon_spent_total)} of {number(facts.budget_epsilon)} spent",
        f"Bundle    {outcome.bundle or 'none was written'}",
        f"Open      {outcome.page}  (internal: figures on real rows, do not publish)",
    ]


def _shorten(reasons: str) -> str:
    return reasons if len(reasons) <= 300 else reasons[:297] + "..."


def fit(
    table: options.TableFile,
    epsilon: options.Epsilon,
    out: Annotated[Path, typer.Option("--out", help="A new folder for the saved synthesizer.")],
    schema: options.SchemaFile = None,
    delta: options.Delta = None,
    synthesizer: options.Kind = options.SynthesizerName.vae,
    ledger: options.LedgerFile = None,
    budget_epsilon: options.BudgetEpsilon = None,
    rows: options.Rows = None,
    format: options.Format = None,
    accept_drafted_schema: options.AcceptDraft = False,
    seed: options.Seed = None,
    json: options.Json = False,
) -> None:
    """Fit a synthesizer on every row and save it; charged to the table's ledger. No gate: see 'release'."""
    from synthpriv.privacy.ledger import Ledger
    from synthpriv.privacy.private_table import PrivateTable
    from synthpriv.release.bundle import require_free
    from synthpriv.synthesizers.base import allowed_delta

    loss = options.read_epsilon(epsilon)
    facts = options.read_schema(schema)
    config = options.make_synthesizer(
        synthesizer, epsilon=loss, delta=delta, random_state=seed, accept_drafted_schema=accept_drafted_schema
    )
    require_free(out)
    path = options.ledger_path(table, ledger)
    book = Ledger.open(
        path,
        dataset=None if path.exists() else table.name.split(".")[0],
        budget=options.new_budget(path, budget_epsilon, loss, delta),
    )
    book.require(config.name, loss, allowed_delta(book, loss, delta))
    with bars() as progress:
        progress("reading the table", 0, 1)
        private = PrivateTable.read(table, facts, book, rows=rows, format=format)
        fitted = config.fit(private, progress=progress)
    fitted.save(out)
    said = {
        "saved": str(out),
        "private": fitted.claim.private,
        "epsilon": loss,
        "delta": fitted.claim.delta,
        "epsilon_spent_total": book.spent(),
        "budget_epsilon": book.budget.epsilon,
    }
    if json:
        say_json(said)
        return
    mark = "" if fitted.claim.private else " [bold red]NOT_PRIVATE[/]"
    say(
        f"Saved {out}{mark}: epsilon {number(loss)} at delta {fitted.claim.delta:g}, all-in; "
        f"{number(book.spent())} of {number(book.budget.epsilon)} spent.",
        f"Next: synthpriv sample {out} -n 1000 --out synthetic.csv",
    )


def plan(
    epsilon: options.Epsilon,
    rows: Annotated[int, typer.Option("--rows", help="About how many rows the table has (a public figure).")],
    schema: options.SchemaFile = None,
    delta: options.Delta = None,
    synthesizer: options.Kind = options.SynthesizerName.vae,
    rows_are_public: Annotated[
        bool, typer.Option("--rows-are-public", help="The row count need not be counted with noise.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Show how a budget would be spent, before a row is read; refuse what cannot work."""
    config = options.make_synthesizer(synthesizer, epsilon=options.read_epsilon(epsilon), delta=delta)
    made = config.plan(options.read_schema(schema), rows=rows, rows_are_public=rows_are_public)
    facts = made.to_dict()
    if json:
        say_json(facts)
        return
    words = [[name.replace("_", " "), _cell(value)] for name, value in facts.items()]
    say_table(f"Plan of {synthesizer.value} on {rows:,} rows", ["constant", "value"], words)


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(item)}" for name, item in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def evaluate(
    real: Annotated[Path, typer.Argument(help="The real table.")],
    synthetic: Annotated[Path, typer.Argument(help="The synthetic table, from anywhere.")],
    schema: options.SchemaFile = None,
    target: options.Target = None,
    epsilon: Annotated[
        str, typer.Option("--epsilon", help="The claim that attacks are held against.")
    ] = "inf",
    delta: options.Delta = None,
    holdout: Annotated[
        Path | None,
        typer.Option(
            "--holdout", help="Real rows that were NOT used for fitting (default: a quarter of REAL)."
        ),
    ] = None,
    policy: Annotated[Path | None, typer.Option("--policy", help="Thresholds (TOML).")] = None,
    page: Annotated[Path | None, typer.Option("--page", help="Write the internal HTML page here.")] = None,
    json: options.Json = False,
) -> None:
    """Judge a synthetic table against the real one (internal: nothing printed here may be published)."""
    from synthpriv.release.judging import judge_files, write_page

    facts = options.read_schema(schema)
    with bars() as progress:
        judged = judge_files(
            real,
            synthetic,
            facts,
            holdout=holdout,
            target=target,
            epsilon=options.read_epsilon(epsilon),
            delta=delta or 0.0,
            policy=policy,
            progress=progress,
        )
    if page is not None:
        write_page(page, judged, title=synthetic.name)
    if json:
        say_json({"scorecard": judged.scorecard.to_dict(), "decision": judged.decision.to_dict()})
    else:
        rows = [
            [
                name,
                number(estimate.value),
                f"{number(estimate.low)} to {number(estimate.high)}",
                ", ".join(f"{control} {number(value)}" for control, value in estimate.controls.items()),
            ]
            for name, estimate in judged.scorecard.estimates.items()
        ]
        say_table("Internal: computed on real rows", ["figure", "value", "95% interval", "controls"], rows)
        say(*(f"note: {note}" for note in judged.scorecard.notes), judged.decision.reasons)
    if not judged.decision.approved:
        raise typer.Exit(REFUSED)
