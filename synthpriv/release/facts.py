"""What the gate has to know besides the figures: much of a release, by its ledger; little of mere tables."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synthpriv.errors import LedgerError

if TYPE_CHECKING:
    from synthpriv.evaluation.scorecard import Scorecard
    from synthpriv.privacy.ledger import Ledger

DRAFT_ACCEPTED = "drafted schema accepted"  # the record that a fit leaves in the ledger


@dataclass(frozen=True, kw_only=True)
class ReleaseFacts:
    """What the gate has to know about a release besides its scorecard.

    epsilon, delta: the all-in claim of this release. epsilon_spent_total: all that the ledger has charged
    for this table, this release included. budget_epsilon: what was promised for the table. private: False
    when trained with epsilon = inf or marked NOT_PRIVATE. schema_confirmed: False while a domain that was
    read from the data waits for a person. attempts: how often this gate was asked, this time included.
    tables_only: no ledger was seen, and the claim is only what somebody says (infinite: nobody claims one).
    own_holdout: False where rows that may have been trained on had to serve as held-out rows.
    """

    epsilon: float
    delta: float
    epsilon_spent_total: float
    budget_epsilon: float
    ledger_verified: bool
    private: bool
    schema_confirmed: bool
    attempts: int
    tables_only: bool = False
    own_holdout: bool = True

    @classmethod
    def of(cls, ledger: Ledger, scorecard: Scorecard) -> ReleaseFacts:
        """The facts of the release that `scorecard` judged; its claim is the one that attacks were held to.

        Nothing is believed of a ledger that does not verify.
        """
        try:
            ledger.verify()
        except LedgerError:
            return cls(
                epsilon=scorecard.epsilon,
                delta=scorecard.delta,
                epsilon_spent_total=math.nan,
                budget_epsilon=math.nan,
                ledger_verified=False,
                private=False,
                schema_confirmed=False,
                attempts=0,
            )
        return cls(
            epsilon=scorecard.epsilon,
            delta=scorecard.delta,
            epsilon_spent_total=ledger.spent(),
            budget_epsilon=ledger.budget.epsilon,
            ledger_verified=True,
            private=ledger.is_private and math.isfinite(scorecard.epsilon) and math.isfinite(ledger.spent()),
            schema_confirmed=all(record["record"] != DRAFT_ACCEPTED for record in ledger.records),
            attempts=ledger.attempts,
        )

    @classmethod
    def of_tables(cls, epsilon: float, delta: float, *, own_holdout: bool) -> ReleaseFacts:
        """The facts of tables made elsewhere: a claim that is taken at its word, or none (infinite)."""
        return cls(
            epsilon=epsilon,
            delta=delta,
            epsilon_spent_total=epsilon,
            budget_epsilon=epsilon,
            ledger_verified=False,
            private=math.isfinite(epsilon),
            schema_confirmed=True,
            attempts=0,
            tables_only=True,
            own_holdout=own_holdout,
        )

    @property
    def claimed(self) -> bool:
        """Whether anything is claimed at all."""
        return math.isfinite(self.epsilon)
