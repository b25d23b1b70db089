"""The main job: a table, a schema and a budget become a judged release, or a refusal with its reasons."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthpriv.errors import ConfigurationError, EvaluationError
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.scorecard import Scorecard, evaluate
from synthpriv.evaluation.targets import check_target
from synthpriv.privacy import processes
from synthpriv.privacy.column_store import MEMORY_LIMIT
from synthpriv.privacy.events import Counts
from synthpriv.privacy.ledger import Budget, Ledger
from synthpriv.privacy.private_table import PrivateTable
from synthpriv.progress import Report, shares
from synthpriv.release.bundle import SUFFIXES, write_bundle
from synthpriv.release.decision import Decision, to_document
from synthpriv.release.facts import ReleaseFacts
from synthpriv.release.folders import new_folder, require_free, scratch_folder
from synthpriv.release.policy import Policy
from synthpriv.release.preparation import open_private_table, table_name
from synthpriv.release.publishable_bins import read_public_table
from synthpriv.release.publishable_figures import PublishedFigures, check_share, counts_aside, publish_figures
from synthpriv.release.reading import judging_progress
from synthpriv.release.report import internal_page
from synthpriv.release.shadow_fits import shadow_fit
from synthpriv.schema import Schema
from synthpriv.synthesizers.base import Synthesizer
from synthpriv.synthesizers.fitted import Claim, FittedSynthesizer
from synthpriv.tables import read_chunks, write_chunks

HOLDOUT = 0.25
PAGE = "report.html"


@dataclass(frozen=True, kw_only=True)
class ReleaseRequest:
    """Everything that is decided before a row is read.

    out: the bundle's folder; internal files go to the folder beside it named `out` + '.internal'. targets:
    what utility predicts (none: the schema's). report_share: of the privacy loss, kept for noisy figures on
    the bundle's page (0: it shows declared facts and the synthetic table alone). rows: the table's row count,
    if public. sample_rows: synthetic rows (default: as many as were counted, all in). seed: repeats the
    sample, never the noise. memory_limit: bytes of real rows held in memory.
    """

    table: Path
    schema: Schema
    synthesizer: Synthesizer
    out: Path
    ledger: Path
    budget: Budget | None
    policy: Policy
    targets: tuple[str, ...] = ()
    effort: Effort = Effort.standard
    report_share: float = 0.0
    rows: int | None = None
    sample_rows: int | None = None
    input_format: str | None = None
    output_format: str = "csv"
    seed: int | None = None
    memory_limit: int = MEMORY_LIMIT


@dataclass(frozen=True, kw_only=True)
class ReleaseOutcome:
    """What came of a release: bundle is None if it was refused; page and outside are internal.

    outside: how many cells lay outside the declared domain. epsilon_left: what no release has reserved.
    """

    decision: Decision
    claim: Claim
    scorecard: Scorecard
    facts: ReleaseFacts
    bundle: Path | None
    page: Path
    outside: int
    epsilon_left: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON (internal: holds figures computed on real rows)."""
        return {
            "approved": self.decision.approved,
            "decision": self.decision.to_dict(),
            "epsilon": self.facts.epsilon if self.facts.private else None,
            "delta": self.facts.delta,
            "epsilon_spent_total": self.facts.epsilon_spent_total if self.facts.private else None,
            "epsilon_left": self.epsilon_left if math.isfinite(self.epsilon_left) else None,
            "attempts": self.facts.attempts,
            "private": self.facts.private,
            "mark": "DIFFERENTIALLY PRIVATE" if self.facts.private else "NOT_PRIVATE",
            "domain_from_data": self.claim.domain_from_data,
            "bundle": None if self.bundle is None else str(self.bundle),
            "internal_page": str(self.page),
            "cells_outside_domain": self.outside,
            "scorecard": self.scorecard.to_dict(),
        }


def run_release(request: ReleaseRequest, progress: Report) -> ReleaseOutcome | None:
    """Fit, sample, judge, decide, and write the bundle if approved; charged to the ledger before it runs.

    Raises before any row is read if the folder is in use, the target is unfit, the schema is an unconfirmed
    draft, or the budget does not suffice. A refused release leaves no table behind. Of several processes all
    fit, and the lead alone goes on: None in the others.
    """
    for target in request.targets or request.schema.targets:
        _check_target(target, request.schema)
    if request.output_format not in SUFFIXES:
        raise ConfigurationError(
            f"the output format must be one of {', '.join(SUFFIXES)}, found {request.output_format!r}."
        )
    check_share(request.report_share, request.synthesizer.epsilon)
    out = require_free(request.out)
    require_free(internal_folder(out))
    private = open_private_table(
        request.table,
        request.schema,
        request.synthesizer,
        ledger=request.ledger,
        budget=request.budget,
        holdout=HOLDOUT,
        rows=request.rows,
        format=request.input_format,
        memory_limit=request.memory_limit,
        progress=progress,
    )
    release = request.synthesizer.open_release(private)
    aside = _aside(request, release.budget)
    fitted = request.synthesizer.fit(private, progress=progress, release=release, aside=aside)
    if not processes.leads():
        return None
    private.ledger.record("attempt")  # before anything can fail: no look at the figures goes uncounted
    with scratch_folder(out) as scratch:
        candidate = scratch / f"synthetic.{request.output_format}"
        count = request.sample_rows or max(1, round(fitted.claim.rows / (1 - HOLDOUT)))
        chunks = fitted.sample_chunks(count, seed=request.seed, progress=progress)
        write_chunks(chunks, candidate, fitted.schema)
        figures = None
        if aside is not None:
            table = read_public_table(lambda: read_chunks(candidate, fitted.schema), fitted.schema)
            figures = publish_figures(private, release, aside, table, _published_targets(request), progress)
        return _judge(request, private, fitted, candidate, figures, progress)


def _aside(request: ReleaseRequest, budget: Budget) -> Counts | None:
    """What the published figures will be counted with."""
    return counts_aside(
        request.schema,
        _published_targets(request),
        epsilon=budget.epsilon,
        delta=budget.delta,
        rows_are_public=request.rows is not None,
        share=request.report_share,
    )


def _published_targets(request: ReleaseRequest) -> tuple[str, ...]:
    return request.targets or request.schema.targets


def _judge(
    request: ReleaseRequest,
    private: PrivateTable,
    fitted: FittedSynthesizer,
    candidate: Path,
    figures: PublishedFigures | None,
    progress: Report,
) -> ReleaseOutcome:
    """Judge what the file `candidate` holds, and bundle it if it is approved."""
    claim, ledger = fitted.claim, private.ledger
    disclosed = private.disclose("release review", epsilon=claim.epsilon, delta=claim.delta)
    told = shares("reading the synthetic table", progress)
    scorecard = evaluate(
        lambda: read_chunks(candidate, fitted.schema, progress=told),
        disclosed,
        target=request.targets,
        effort=request.effort,
        refit=shadow_fit(fitted),
        progress=judging_progress(progress),
    )
    facts = ReleaseFacts.of(ledger, scorecard)
    decision = request.policy.decide(scorecard, facts)
    ledger.record("verdict", approved=decision.approved)
    outside = sum((disclosed.outside or {}).values())
    page = _write_page(
        internal_folder(request.out),
        scorecard,
        decision,
        facts,
        ledger,
        table_name(request.table),
        _notes(request, outside),
    )
    if decision.approved:
        progress("writing the bundle", 0, 1)
        form = request.output_format
        write_bundle(request.out, candidate, fitted, ledger, decision, format=form, figures=figures)
    return ReleaseOutcome(
        decision=decision,
        claim=claim,
        scorecard=scorecard,
        facts=facts,
        bundle=request.out if decision.approved else None,
        page=page,
        outside=outside,
        epsilon_left=ledger.left()[0],
    )


def internal_folder(out: Path) -> Path:
    """Where a release's internal files go: beside the bundle, never inside it."""
    return out.with_name(out.name + ".internal")


def _check_target(target: str, schema: Schema) -> None:
    """Raises ConfigurationError, before anything is charged, if the judge could not predict it."""
    try:
        check_target(schema, target)
    except EvaluationError as error:
        raise ConfigurationError(str(error)) from None


def _notes(request: ReleaseRequest, outside: int) -> list[str]:
    notes = []
    if outside:
        notes.append(
            f"{outside} cells lay outside the declared domain and were mapped by the public rule (clipped, "
            "missing, or first value); 'synthpriv schema check' lists them."
        )
    if request.schema.unconfirmed:
        notes.append(
            "The domain of " + ", ".join(request.schema.unconfirmed) + " was read from the data and accepted "
            "unconfirmed: the claim does not cover those bounds and categories."
        )
    return notes


def _write_page(
    folder: Path,
    scorecard: Scorecard,
    decision: Decision,
    facts: ReleaseFacts,
    ledger: Ledger,
    title: str,
    notes: Sequence[str],
) -> Path:
    charges = ledger.describe()
    with new_folder(folder) as partial:
        text = internal_page(scorecard, decision, facts, charges, title, notes)
        (partial / PAGE).write_text(text, encoding="utf-8")
        document = json.dumps(to_document(scorecard, decision), indent=1, allow_nan=False)
        (partial / "scorecard.json").write_text(document, encoding="utf-8")
    return folder / PAGE
