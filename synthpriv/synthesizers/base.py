"""The one protocol of all synthesizers: a public configuration becomes a fitted model that makes tables."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch

from synthpriv.encoding.table_encoder import Codes, TableEncoder
from synthpriv.errors import ConfigurationError
from synthpriv.privacy import processes
from synthpriv.privacy.events import Counts
from synthpriv.privacy.ledger import Budget, Ledger, Release
from synthpriv.privacy.private_table import PrivateTable, require_confirmed
from synthpriv.privacy.randomness import is_private
from synthpriv.privacy.statement import joint_epsilon
from synthpriv.progress import SAMPLING, Report, bars, silent
from synthpriv.schema import Schema
from synthpriv.schema.identifiers import IdentifierMaker
from synthpriv.schema.values import Positions
from synthpriv.synthesizers import configuration, saving
from synthpriv.synthesizers.anchor import Anchor
from synthpriv.synthesizers.conditions import accepted_rows, allowed_cells
from synthpriv.synthesizers.measuring import measured_encoder, measured_marginals
from synthpriv.synthesizers.models import SampleModel
from synthpriv.synthesizers.planning import FitPlan, TrainingSettings, count_epsilon, make_plan

SAMPLING_CHUNK = 65_536
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a fitted synthesizer promises, for add/remove of one unit; `private` is False without noise."""

    epsilon: float
    delta: float
    epsilon_replace_one: float
    rows: int
    ledger_digest: str
    private: bool
    domain_from_data: bool = False


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


class FittedSynthesizer:
    """A fitted synthesizer: samples, saves, and cannot reach the private table. All post-processing."""

    def __init__(
        self, *, config: Synthesizer, encoder: TableEncoder, model: SampleModel, claim: Claim
    ) -> None:
        self.config = config
        self.encoder = encoder
        self.model = model
        self.claim = claim

    def __repr__(self) -> str:
        """Configuration and claim."""
        mark = "" if self.claim.private else ", NOT_PRIVATE"
        return f"Fitted({self.config!r}{mark})"

    @property
    def schema(self) -> Schema:
        """The public schema."""
        return self.encoder.schema

    def sample(
        self,
        n: int | None = None,
        seed: int | None = None,
        conditions: Mapping[str, Any] | None = None,
        progress: Report | None = None,
    ) -> pd.DataFrame:
        """`n` synthetic rows (default: the public row count) with the schema's columns, order and dtypes.

        seed: makes the sample repeatable. conditions: {column: value} that every row must have, found by
        redrawing. Raises ConfigurationError for conditions outside the schema or too rare to be found.
        """
        chunks = list(self.sample_chunks(n, seed, conditions, progress))
        return chunks[0] if len(chunks) == 1 else pd.concat(chunks, ignore_index=True)

    def sample_chunks(
        self,
        n: int | None = None,
        seed: int | None = None,
        conditions: Mapping[str, Any] | None = None,
        progress: Report | None = None,
    ) -> Iterator[pd.DataFrame]:
        """The rows that `sample` gives for the same arguments, SAMPLING_CHUNK at a time and at least once.

        Memory does not grow with `n`, but for unique identifiers of a pattern with alternatives.
        """
        count = self.claim.rows if n is None else n
        configuration.require("n", count, 0, 10**9, whole=True)
        entropy = np.random.SeedSequence(seed)
        rng = np.random.default_rng(entropy)
        generator = torch.Generator().manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> 1))
        fixed: dict[str, Positions] = {}
        allowed = None
        if conditions:
            fixed, allowed = allowed_cells(conditions, self.encoder)
        report = progress or silent
        report(SAMPLING, 0, count)
        made, makers = 0, dict[str, IdentifierMaker]()
        for codes in in_chunks(self._draw_codes(int(count), generator, allowed), SAMPLING_CHUNK):
            frame = self.encoder.decode(codes, rng, makers, fixed)
            made += len(frame)
            report(SAMPLING, made, count)
            yield frame

    def _draw_codes(
        self, count: int, generator: torch.Generator, allowed: dict[int, int] | None
    ) -> Iterator[Codes]:
        """`count` rows of codes in parts, the first of them empty."""
        yield np.zeros((0, len(self.encoder.codecs)), dtype=np.int16)
        made = tried = 0
        given = {at: cell for at, cell in (allowed or {}).items() if at in self.model.conditioned}
        while made < count:
            size = min(SAMPLING_CHUNK, count - made) if allowed is None else SAMPLING_CHUNK
            drawn = self.model.draw(size, generator, given)
            tried += size
            if allowed is not None:
                drawn = accepted_rows(drawn, allowed, made, tried)[: count - made]
            made += len(drawn)
            yield drawn

    def save(self, path: Any) -> None:
        """Write a folder with synthesizer.json and weights.safetensors; no pickle, no private row.

        Among several processes the lead writes, and nothing happens in the others.
        """
        if not processes.leads():
            return
        description = {
            "kind": self.config.name,
            "config": configuration.to_dict(self.config),
            "claim": saving.plain(asdict(self.claim)),
            "encoder": self.encoder.to_dict(),
        }
        saving.write(path, description, self.model.tensors())


def in_chunks(parts: Iterable[Codes], size: int) -> Iterator[Codes]:
    """The rows of `parts` in order, `size` at a time; the last chunk, perhaps empty, holds the rest."""
    held: list[Codes] = []
    for part in parts:
        held.append(part)
        while sum(map(len, held)) > size:
            rows = np.concatenate(held)
            yield rows[:size]
            held = [rows[size:]]
    yield np.concatenate(held)


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
