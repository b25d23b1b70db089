"""Judging tables made elsewhere: files in, scorecard and decision out. Internal; charges nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthpriv.evaluation.disclosed import Disclosed
from synthpriv.evaluation.scorecard import Scorecard, evaluate
from synthpriv.progress import Report
from synthpriv.release.policy import Decision, Policy, ReleaseFacts
from synthpriv.release.reading import read_present
from synthpriv.release.report import internal_page
from synthpriv.schema import Schema
from synthpriv.tables import conform, read_table

HOLDOUT = 0.25


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A scorecard, the decision of a policy on it, and the facts it was told."""

    scorecard: Scorecard
    decision: Decision
    facts: ReleaseFacts


def judge_files(
    real: Path,
    synthetic: Path,
    schema: Schema | None,
    *,
    holdout: Path | None,
    target: str | None,
    epsilon: float,
    delta: float,
    policy: Policy,
    progress: Report,
) -> Judged:
    """Judge `synthetic` against `real`; without a holdout file a fixed quarter of `real` serves as one.

    schema: None drafts one from `real`, which is then unconfirmed. `synthetic` may lack columns of the schema
    or have others: that is noted. The claim (epsilon, delta) is taken at its word: nobody can check it from
    tables alone.
    """
    progress("reading tables", 0, 1)
    schema = Schema.draft(read_table(real)) if schema is None else schema
    frame, outside = conform(read_table(real, schema), schema)
    if holdout is None:
        held_out = np.random.default_rng(0).random(len(frame)) < HOLDOUT
        train, rest = frame[~held_out], frame[held_out]
    else:
        train, rest = frame, conform(read_table(holdout, schema), schema)[0]
    disclosed = Disclosed(
        schema=schema,
        train=train.reset_index(drop=True),
        holdout=rest.reset_index(drop=True),
        epsilon=epsilon,
        delta=delta,
        outside=outside,
    )
    scorecard = evaluate(
        read_present(synthetic, schema),
        disclosed,
        target=target,
        progress=lambda _, share: progress("judging", round(100 * share), 100),
    )
    facts = ReleaseFacts(
        epsilon=epsilon,
        delta=delta,
        epsilon_spent_total=epsilon,
        budget_epsilon=epsilon,
        ledger_verified=True,
        private=epsilon < float("inf"),
        schema_confirmed=not schema.unconfirmed,
        attempts=1,
    )
    return Judged(scorecard=scorecard, decision=policy.decide(scorecard, facts), facts=facts)


def write_page(path: Path, judged: Judged, *, title: str) -> None:
    """The internal page of a judged table."""
    page = internal_page(judged.scorecard, judged.decision, judged.facts, [], title)
    path.write_text(page, encoding="utf-8")
