"""Commands that spend a budget: release and fit; and plan, which shows what they would spend, before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthpriv.cli import options
from synthpriv.cli.verdicts import REFUSED, store_junit, verdict_line
from synthpriv.cli.words import counted, number, say, say_json, say_table
from synthpriv.evaluation.effort import Effort
from synthpriv.progress import bars

if TYPE_CHECKING:
    from synthpriv.privacy.ledger import Ledger
    from synthpriv.release.pipeline import ReleaseOutcome
    from synthpriv.synthesizers.fitted import Claim, FittedSynthesizer


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (release, fit, plan):
        app.command()(command)


def release(
    table: options.TableFile,
    epsilon: options.Epsilon,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="A new folder for the bundle.")],
    schema: options.SchemaFile = None,
    delta: options.Delta = None,
    target: options.Targets = None,
    effort: options.EffortLevel = Effort.standard,
    report_share: options.ReportShare = 0.0,
    synthesizer: options.Kind = options.SynthesizerName.auto,
    policy: options.PolicyFile = None,
    ledger: options.LedgerFile = None,
    budget_epsilon: options.BudgetEpsilon = None,
    rows: options.Rows = None,
    sample_rows: options.SampleRows = None,
    format: options.Format = None,
    output_format: options.OutputKind = options.OutputFormat.csv,
    accept_drafted_schema: options.AcceptDraft = False,
    seed: options.Seed = None,
    memory_limit: options.MemoryLimit = options.MEMORY_LIMIT,
    device: options.Device = options.DeviceName.auto,
    junit: options.JUnitFile = None,
    json: options.Json = False,
) -> None:
    """Fit, sample, judge and decide; write a bundle that can be shared, or refuse and say why.

    A quarter of the rows is held out for judging. The budget is charged to the table's ledger before anything
    is computed. Internal figures go to a page in OUT.internal, beside the bundle: do not publish them. A
    refusal (exit code 3) leaves no table behind, and what it cost stays spent.

    Example:

    synthpriv release people.csv --schema people.toml --epsilon 3 --delta 1e-6 --out shared
    """
    from synthpriv.privacy.processes import leads
    from synthpriv.release.pipeline import ReleaseRequest, run_release

    options.require_new_file(junit)
    loss = options.read_epsilon(epsilon)
    path = options.ledger_path(table, ledger)
    facts = options.read_schema(schema)
    config, why = options.make_synthesizer(
        synthesizer,
        facts,
        epsilon=loss,
        delta=options.check_delta(delta),
        random_state=seed,
        accept_drafted_schema=accept_drafted_schema,
        device=device.value,
    )
    request = ReleaseRequest(
        table=table,
        schema=facts,
        synthesizer=config,
        out=out,
        ledger=path,
        budget=options.new_budget(path, budget_epsilon, loss, delta),
        policy=options.read_policy(policy),
        targets=tuple(target or ()),
        effort=effort,
        report_share=report_share,
        rows=rows,
        sample_rows=sample_rows,
        input_format=format,
        output_format=output_format.value,
        seed=seed,
        memory_limit=options.read_memory_limit(memory_limit),
    )
    with bars(leads()) as progress:
        outcome = run_release(request, progress)
    if outcome is None:
        return
    store_junit(junit, outcome.decision, f"synthpriv release {table.name}")
    if json:
        say_json(outcome.to_dict())
    else:
        say(*_lines(outcome, why))
    if not outcome.decision.approved:
        raise typer.Exit(REFUSED)


def _lines(outcome: ReleaseOutcome, why: str | None) -> list[str]:
    """What was decided and why, the model if we chose it, how good, what it cost, where, and which page."""
    facts, estimates = outcome.facts, outcome.scorecard.estimates
    figures = []
    for name, words in (("fidelity.tvd2", "pairs of columns differ by"), ("utility.auc", "models reach AUC")):
        if name in estimates:
            control = number(estimates[name].controls.get("real rows"))
            figures.append(f"{words} {number(estimates[name].value)} (real rows: {control})")
    if outcome.outside:
        figures.append(f"{counted(outcome.outside, 'cell')} outside the declared domain mapped")
    if outcome.claim.domain_from_data:
        figures.append("domain read from the data, not covered by the claim")
    mark = "" if facts.private else " NOT_PRIVATE"
    return [
        verdict_line(outcome.decision, mark),
        *([] if why is None else [f"Model     {why}"]),
        f"Quality   {'; '.join(figures) or 'not measured, see the page'}",
        f"Cost      {_cost(outcome.claim, facts.budget_epsilon, outcome.epsilon_left)}",
        f"Bundle    {outcome.bundle or 'none: nothing may leave'}",
        f"Open      {outcome.page} (internal: computed on real rows, do not publish)",
    ]


def _cost(claim: Claim, budget: float, left: float) -> str:
    if not claim.private:
        return "NOT_PRIVATE: nothing is claimed"
    return (
        f"epsilon {number(claim.epsilon)} at delta {claim.delta:g}, all-in; {number(left)} of the table's "
        f"{number(budget)} is left"
    )


def fit(
    table: options.TableFile,
    epsilon: options.Epsilon,
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="A new folder for the saved synthesizer.")
    ],
    schema: options.SchemaFile = None,
    delta: options.Delta = None,
    synthesizer: options.Kind = options.SynthesizerName.auto,
    ledger: options.LedgerFile = None,
    budget_epsilon: options.BudgetEpsilon = None,
    rows: options.Rows = None,
    format: options.Format = None,
    accept_drafted_schema: options.AcceptDraft = False,
    seed: options.Seed = None,
    memory_limit: options.MemoryLimit = options.MEMORY_LIMIT,
    device: options.Device = options.DeviceName.auto,
    json: options.Json = False,
) -> None:
    """Fit a synthesizer on every row and save it; charged to the table's ledger. No gate: see 'release'.

    Nothing judges the result: no row is held out.

    Example:

    synthpriv fit people.csv --schema people.toml --epsilon 3 --delta 1e-6 --out people.synth
    """
    from synthpriv.privacy.processes import leads
    from synthpriv.release.folders import new_folder, require_free
    from synthpriv.release.preparation import open_private_table

    loss = options.read_epsilon(epsilon)
    facts = options.read_schema(schema)
    config, why = options.make_synthesizer(
        synthesizer,
        facts,
        epsilon=loss,
        delta=options.check_delta(delta),
        random_state=seed,
        accept_drafted_schema=accept_drafted_schema,
        device=device.value,
    )
    require_free(out)
    limit = options.read_memory_limit(memory_limit)
    path = options.ledger_path(table, ledger)
    budget = options.new_budget(path, budget_epsilon, loss, delta)
    with bars(leads()) as progress:
        private = open_private_table(
            table,
            facts,
            config,
            ledger=path,
            budget=budget,
            rows=rows,
            format=format,
            memory_limit=limit,
            progress=progress,
        )
        fitted = config.fit(private, progress=progress)
    if not leads():
        return
    with new_folder(out) as folder:
        fitted.save(folder)
    _say_fit(fitted, private.ledger, out, json)
    if why is not None and not json:
        say(f"Model: {why}")


def _say_fit(fitted: FittedSynthesizer, ledger: Ledger, out: Path, json: bool) -> None:
    claim, left = fitted.claim, ledger.left()[0]
    if json:
        said = {
            "saved": str(out),
            "private": claim.private,
            "mark": "DIFFERENTIALLY PRIVATE" if claim.private else "NOT_PRIVATE",
            "epsilon": claim.epsilon,
            "delta": claim.delta,
            "domain_from_data": claim.domain_from_data,
            "epsilon_left": left,
            "budget_epsilon": ledger.budget.epsilon,
        }
        say_json(said)
        return
    mark = "" if claim.private else " NOT_PRIVATE"
    say(
        f"Saved     {out}{mark}",
        f"Cost      {_cost(claim, ledger.budget.epsilon, left)}",
        f"Next      synthpriv sample {out} -n 1000 --out synthetic.csv",
    )


def plan(
    epsilon: options.Epsilon,
    rows: Annotated[
        int,
        typer.Option(
            "--rows", metavar="COUNT", min=1, help="About how many rows the fit sees (a public figure)."
        ),
    ],
    schema: options.SchemaFile = None,
    delta: options.Delta = None,
    synthesizer: options.Kind = options.SynthesizerName.auto,
    rows_are_public: Annotated[
        bool, typer.Option("--rows-are-public", help="The row count need not be counted with noise.")
    ] = False,
    report_share: options.ReportShare = 0.0,
    json: options.Json = False,
) -> None:
    """Show how a budget would be spent, before a row is read; refuse what cannot work.

    No table is opened and no ledger is charged.

    Example:

    synthpriv plan --schema people.toml --rows 40000 --epsilon 3 --delta 1e-6
    """
    from synthpriv.release.publishable_figures import counts_aside

    declared = options.read_schema(schema)
    config, why = options.make_synthesizer(
        synthesizer, declared, epsilon=options.read_epsilon(epsilon), delta=options.check_delta(delta)
    )
    aside = None
    if config.delta:  # without one the plan refuses, and says so
        aside = counts_aside(
            declared,
            declared.targets,
            epsilon=config.epsilon,
            delta=config.delta,
            rows_are_public=rows_are_public,
            share=report_share,
        )
    made = config.plan(declared, rows=rows, rows_are_public=rows_are_public, aside=aside)
    facts = {"synthesizer": config.name, **({"chosen": why} if why else {}), **made.to_dict()}
    if json:
        say_json(facts)
        return
    words = [[name.replace("_", " "), _cell(value)] for name, value in facts.items()]
    say_table(f"Plan of {config.name} on {rows:,} rows", ["constant", "value"], words)


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(item)}" for name, item in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
