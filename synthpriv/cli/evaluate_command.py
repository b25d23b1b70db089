"""synthpriv evaluate: judge a synthetic table from anywhere against the real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from synthpriv.cli import options
from synthpriv.cli.verdicts import REFUSED, store_junit, verdict_line
from synthpriv.cli.words import number, say, say_json, say_table
from synthpriv.evaluation.effort import Effort
from synthpriv.progress import bars

if TYPE_CHECKING:
    from synthpriv.release.judging import Judged


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(evaluate)


def evaluate(
    real: options.RealFile,
    synthetic: options.SyntheticFile,
    schema: options.SchemaFile = None,
    target: options.Targets = None,
    effort: options.EffortLevel = Effort.standard,
    epsilon: options.ClaimedEpsilon = "inf",
    delta: options.ClaimedDelta = None,
    holdout: options.HoldoutFile = None,
    policy: options.PolicyFile = None,
    page: options.PageFile = None,
    junit: options.JUnitFile = None,
    memory_limit: options.MemoryLimit = options.MEMORY_LIMIT,
    json: options.Json = False,
) -> None:
    """Judge a synthetic table from anywhere (internal: nothing printed here may be published).

    Without a schema one is drafted from REAL. Exits 0 if no figure breaks the policy (PASSED), 3 if one does
    (FAILED). It approves nothing: tables cannot show that a claim holds, only `release` with its ledger can.
    Hold out some rows before synthesizing and pass them with --holdout, or no attack can see a leak.

    Example:

    synthpriv evaluate train.csv synthetic.csv --holdout held_out.csv --schema people.toml --page page.html
    """
    from synthpriv.release.decision import to_document
    from synthpriv.release.judging import judge_files, write_page

    for new in (page, junit):
        options.require_new_file(new)
    with bars() as progress:
        judged = judge_files(
            real,
            synthetic,
            None if schema is None else options.read_schema(schema),
            holdout=holdout,
            targets=tuple(target or ()),
            effort=effort,
            epsilon=options.read_epsilon(epsilon),
            delta=options.check_delta(delta) or 0.0,
            policy=options.read_policy(policy),
            progress=progress,
            memory_limit=options.read_memory_limit(memory_limit),
        )
    if page is not None:
        write_page(page, judged, title=synthetic.name)
    store_junit(junit, judged.decision, f"synthpriv evaluate {synthetic.name}")
    if json:
        say_json(to_document(judged.scorecard, judged.decision))
    else:
        _say_judged(judged)
    if not judged.decision.passed:
        raise typer.Exit(REFUSED)


def _say_judged(judged: Judged) -> None:
    figures = [
        [
            name,
            number(estimate.value),
            f"{number(estimate.low)} to {number(estimate.high)}",
            ", ".join(f"{control} {number(value)}" for control, value in estimate.controls.items()),
        ]
        for name, estimate in judged.scorecard.estimates.items()
    ]
    say_table("Internal: computed on real rows", ["figure", "value", "95% interval", "controls"], figures)
    checks = [
        [
            check.verdict,
            check.figure,
            number(check.value),
            "-" if check.low is None else f"{number(check.low)} to {number(check.high)}",
            number(check.threshold),
            check.reason,
        ]
        for check in judged.decision.checks
    ]
    head = ["check", "figure", "value", "95% interval", "threshold", "in words"]
    say_table("What the policy says", head, checks)
    say(*(f"Note: {note}" for note in judged.scorecard.notes), verdict_line(judged.decision))
