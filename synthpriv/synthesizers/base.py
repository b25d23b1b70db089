"""The one protocol of all synthesizers: a public configuration becomes a fitted model that makes tables."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from synthpriv.encoding.table_encoder import TableEncoder
from synthpriv.errors import ConfigurationError
from synthpriv.privacy import processes
from synthpriv.privacy.events import Counts
from synthpriv.privacy.ledger import Budget, Ledger, Release
from synthpriv.privacy.private_table import PrivateTable, require_confirmed
from synthpriv.privacy.randomness import is_private
from synthpriv.privacy.statement import joint_epsilon
from synthpriv.progress import Report, bars, silent
from synthpriv.schema import Schema
from synthpriv.synthesizers import configuration
from synthpriv.synthesizers.anchor import Anchor
from synthpriv.synthesizers.fitted import Claim, FittedSynthesizer
from synthpriv.synthesizers.measuring import measured_encoder, measured_marginals
from synthpriv.synthesizers.models import SampleModel
from synthpriv.synthesizers.planning import FitPlan, TrainingSettings, count_epsilon, make_plan

DEVICES = ("auto", "cpu", "cuda")


@configuration.configuration
class Synthesizer(ABC):
    """What every synthesizer is configured with; `fit` returns the fitted model.

    epsilon: the all-in privacy loss of one fit, encoding and row count included (math.inf: no noise, marked
    NOT_PRIVATE). delta: None takes the ledger's. random_state: drives initial weights, never the noise.
    verbose: progress bars on a terminal. device: 'auto' (a GPU when there is one), 'cpu' or 'cuda'.

    Started by torchrun, several processes fit together, each with the same arguments; all return the same
    fitted model.
    """

    name: ClassVar[str] = ""
    within_classes: ClassVar[bool] = True  # whether marginals are counted in each class of a label

    epsilon: float
    delta: float | None = None
    random_state: int | None = None
    verbose: bool = False
    accept_drafted_schema: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        """Check the ranges."""
        configuration.require("epsilon", self.epsilon, 1e-6)
        if self.delta is not None:
            configuration.require("delta", self.delta, 0.0, 0.5)
        if self.random_state is not None:
            configuration.require("random_state", self.random_state, 0, 2**63 - 1, whole=True)
        configuration.require_flag("verbose", self.verbose)
        configuration.require_flag("accept_drafted_schema", self.accept_drafted_schema)
        configuration.require_choice("device", self.device, DEVICES)

    def fit(
        self,
        table: pd.DataFrame | PrivateTable,
        schema: Schema | None = None,
        *,
        rows: int | None = None,
        progress: Report | None = None,
        release: Release | None = None,
        aside: Counts | None = None,
    ) -> FittedSynthesizer:
        """Fit on a DataFrame (every row is used) or on a PrivateTable (its ledger is charged first).

        rows: the row count, where it is public knowledge; otherwise it is counted with noise. release: what
        `open_release` opened, and aside: counts that the caller will charge to it after the fit, which leaves
        room for them and claims them too (`planning.set_aside`). Charges at most `epsilon` in all. Raises
        BudgetExceeded before anything is read, InfeasiblePlan if the noise would drown the table,
        UnconfirmedSchema for a drafted one.
        """
        if self.verbose and progress is None:
            with bars(processes.leads()) as shown:
                return self.fit(table, schema, rows=rows, progress=shown, release=release, aside=aside)
        private = self._behind_the_door(table, schema, rows)
        require_confirmed(private.schema, self.accept_drafted_schema)
        team = processes.team()
        team.require_same(configuration=configuration.to_dict(self))
        release = release or self.open_release(private)
        delta = release.budget.delta
        report = progress or silent
        public_rows = private.public_rows
        if public_rows is None:
            report("counting rows", 0, 1)
            public_rows = private.count(release, count_epsilon(self.epsilon))
        plan = self.plan(
            private.schema,
            rows=public_rows,
            delta=delta,
            rows_are_public=private.public_rows is not None,
            aside=aside,
        )
        encoder = self._learn_encoder(private, release, plan, report)
        generator = torch.Generator()
        generator.manual_seed(
            team.by_lead(lambda: generator.seed() if self.random_state is None else self.random_state)
        )
        fitting = Fitting(
            private=private,
            release=release,
            encoder=encoder,
            anchor=self._measure_marginals(private, release, encoder, plan, report),
            plan=plan,
            generator=generator,
            report=report,
        )
        model = self._train(fitting)
        return FittedSynthesizer(
            config=self, encoder=encoder, model=model, claim=_claim(fitting, self.epsilon, aside)
        )

    def plan(
        self,
        schema: Schema,
        *,
        rows: int,
        delta: float | None = None,
        rows_are_public: bool = True,
        aside: Counts | None = None,
    ) -> FitPlan:
        """How this fit would spend its budget on a table of `rows` rows, before any row is read."""
        chosen = self.delta if delta is None else delta
        self._require_delta(chosen)
        return make_plan(
            schema,
            epsilon=self.epsilon,
            delta=chosen or 0.0,
            rows=rows,
            rows_are_public=rows_are_public,
            marginal_share=self._marginal_share(),
            training=self._training_settings(schema),
            within_classes=self.within_classes,
            aside=aside,
        )

    def open_release(self, private: PrivateTable) -> Release:
        """The allowance of this fit in the lead's ledger; other processes only hold its name."""
        ledger = private.ledger

        def opened() -> tuple[str, float]:
            delta = allowed_delta(ledger, self.epsilon, self.delta)
            release = ledger.open_release(self.name, epsilon=self.epsilon, delta=delta)
            self._require_delta(delta)
            if private.schema.unconfirmed:
                ledger.record("drafted schema accepted", columns=list(private.schema.unconfirmed))
            return release.identity, delta

        identity, delta = processes.team().by_lead(opened)
        budget = Budget(epsilon=self.epsilon, delta=delta)
        return Release(ledger=ledger, identity=identity, label=self.name, budget=budget)

    def _require_delta(self, delta: float | None) -> None:
        if math.isfinite(self.epsilon) and not delta:
            raise ConfigurationError(
                f"{type(self).__name__} needs a delta above 0, found {delta}; give one well below one over "
                "the number of rows, such as 1e-6, and a ledger that has it left."
            )

    def _behind_the_door(
        self, table: pd.DataFrame | PrivateTable, schema: Schema | None, rows: int | None
    ) -> PrivateTable:
        if isinstance(table, PrivateTable):
            if schema is not None and schema != table.schema:
                raise ConfigurationError("a PrivateTable brings its own schema, found another; leave it out.")
            if rows is not None and rows != table.rows:
                raise ConfigurationError(
                    f"a PrivateTable brings its own row count, found rows={rows}; declare it there."
                )
            return table
        if not isinstance(table, pd.DataFrame):
            raise ConfigurationError(
                f"fit takes a DataFrame or a PrivateTable, found {type(table).__name__}."
            )
        if schema is None:
            raise ConfigurationError(
                "fit on a DataFrame needs its schema, found none; propose one with Schema.draft(frame)."
            )
        if self.delta is None and math.isfinite(self.epsilon):
            raise ConfigurationError(
                "fit on a DataFrame needs delta, found none; write delta=1e-6, or less than one over the "
                "number of rows."
            )
        budget = Budget(epsilon=self.epsilon, delta=self.delta or 0.0)
        return PrivateTable(table, schema, Ledger.in_memory(budget), rows=rows)

    def _learn_encoder(
        self, private: PrivateTable, release: Release, plan: FitPlan, report: Report
    ) -> TableEncoder:
        return measured_encoder(private, release, plan, report)

    def _measure_marginals(
        self, private: PrivateTable, release: Release, encoder: TableEncoder, plan: FitPlan, report: Report
    ) -> Anchor | None:
        return measured_marginals(private, release, encoder, plan, report)

    def _marginal_share(self) -> float:
        """The share of mu^2, of what encoding leaves, that measures marginals."""
        return 0.0

    def _training_settings(self, schema: Schema) -> TrainingSettings | None:
        """What the private training needs, or None if counts are all."""
        return None

    @abstractmethod
    def empty_model(self, encoder: TableEncoder) -> SampleModel:
        """A model of the right shape for saved weights to fill."""

    @abstractmethod
    def _train(self, fitting: Fitting) -> SampleModel:
        """Train, on real rows behind the door only, and return what samples."""


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """What one fit has at hand once its table is counted.

    anchor: the released marginals as a loss, where any were measured. generator: for everything public.
    """

    private: PrivateTable
    release: Release
    encoder: TableEncoder
    anchor: Anchor | None
    plan: FitPlan
    generator: torch.Generator
    report: Report


def _claim(fitting: Fitting, epsilon: float, aside: Counts | None) -> Claim:
    """What was charged and what is set aside, as a promise."""
    team, private, release = processes.team(), fitting.private, fitting.release
    delta = release.budget.delta

    def replace_one() -> float:
        events = (*release.events, *([] if aside is None else [aside]))
        return joint_epsilon(events, delta, "replace_one")

    return Claim(
        epsilon=epsilon,
        delta=delta,
        epsilon_replace_one=team.by_lead(replace_one),
        rows=fitting.plan.rows,
        ledger_digest=team.by_lead(lambda: private.ledger.digest),
        private=math.isfinite(epsilon) and is_private(),
        domain_from_data=bool(private.schema.unconfirmed),
    )


def allowed_delta(ledger: Ledger, epsilon: float, delta: float | None) -> float:
    """The delta of one fit: what it asks for, but no more than its share of what the ledger has left.

    The share is that of its epsilon, so that several fits can follow each other under one budget; a claim at
    a smaller delta implies the one that was asked for.
    """
    share = ledger.delta_share(epsilon)
    return share if delta is None else min(delta, share)
