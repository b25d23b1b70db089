"""How one fit spends its budget: every constant of it is public, so a plan exists before a row is read.

Shares. The row count, unless declared public, takes 2% of epsilon as a Laplace count, whose epsilon is added
plainly to the rest, so that everything after may depend on it. The rest is one joint privacy loss of events
whose parameters are fixed before they run: the encoder's histograms take ENCODING_SHARE of mu^2 (mu: of the
Gaussian mechanism with the same epsilon and delta), marginals the synthesizer's share of what is left, and
the noise of DP-SGD is calibrated on the rest. Where counts are to be published beside the
table (`set_aside`), their share of mu^2 comes off first: their noise and number are fixed before the fit,
though they are counted after it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from synthpriv.encoding.codec import MAX_CELLS
from synthpriv.encoding.table_encoder import round_noise_scales
from synthpriv.errors import InfeasiblePlan
from synthpriv.privacy.dpsgd_plan import DPSGDPlan
from synthpriv.privacy.events import Counts, Event, histogram_events
from synthpriv.schema import Schema
from synthpriv.synthesizers.workload import Workload, cells_per_column, workload_of

COUNT_SHARE = 0.02
ENCODING_SHARE = 0.2
SELECTION_SHARE = 0.1  # of what marginals take, where they are chosen
LARGEST_BATCH = 4096
LARGEST_RATE = 0.25


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """What a synthesizer asks of its private training, before the budget is known.

    largest_batch: of the default batch, a quarter of the table. most_noise: of a step (`step_noise`); where
    there would be more, nothing is trained, and marginals take the budget.
    """

    steps: int
    epochs: int | None
    batch_size: int | None
    max_grad_norm: float
    parameters: int
    activations: int
    largest_batch: int = LARGEST_BATCH
    most_noise: float = math.inf


@dataclass(frozen=True, kw_only=True)
class FitPlan:
    """The public constants of one fit.

    count_epsilon: what the row count costs (0 if declared). aside: counts that the same allowance pays for
    after the fit, to be published (None: nothing). encoding_scales: per round, and last for roundness, the
    noise scale of each column's histogram. cells: the most that a column of numbers is cut into. workload:
    the marginals that are measured, each count with noise of marginal_scale (None: none are).
    selection_scale: of the scores by which they are chosen (0: all are measured). training: None for a
    synthesizer that needs counts only. refused_noise: what a step of training would have had (`step_noise`),
    where that is why nothing is trained.
    """

    epsilon: float
    delta: float
    rows: int
    count_epsilon: float
    aside: Counts | None
    encoding_scales: tuple[Mapping[str, float], ...]
    cells: int
    workload: Workload | None
    marginal_scale: float
    selection_scale: float
    training: DPSGDPlan | None
    memory_bytes: int
    refused_noise: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for printing."""
        scales = [scale for level in self.encoding_scales for scale in level.values()]
        plain: dict[str, Any] = {
            "epsilon": self.epsilon,
            "delta": self.delta,
            "rows": self.rows,
            "row_count_epsilon": self.count_epsilon,
            "histograms": len(scales),
            "histogram_noise_scale": {"smallest": min(scales), "largest": max(scales)},
            "memory_mib": round(self.memory_bytes / 2**20),
        }
        if self.aside is not None:
            plain |= {
                "published_histograms": self.aside.coordinates,
                "published_noise_scale": self.aside.noise_scale,
            }
        if self.workload is not None:
            plain |= {
                "marginals": self.workload.size,
                "chosen_among": len(self.workload.groups),
                "marginal_noise_scale": self.marginal_scale,
                "most_cells_per_column": self.cells,
            }
        if self.training is not None:
            plain |= {
                "noise_multiplier": self.training.noise_multiplier,
                "max_grad_norm": self.training.max_grad_norm,
                "sample_rate": self.training.sample_rate,
                "steps": self.training.steps,
                "expected_batch": self.training.expected_batch,
            }
        if self.refused_noise is not None:
            plain["training_left_out_for_a_step_noise_of"] = self.refused_noise
        return plain


def count_epsilon(epsilon: float) -> float:
    """What a row count that is not public costs: a fixed share of epsilon."""
    return COUNT_SHARE * epsilon


def set_aside(
    schema: Schema, *, epsilon: float, delta: float, rows_are_public: bool, share: float, histograms: int
) -> Counts:
    """Histograms to be counted after a fit and under its allowance, for `share` of its mu^2.

    Public: it follows from schema and budget. epsilon: finite; all-in, the fit included.
    """
    spent = 0.0 if rows_are_public else count_epsilon(epsilon)
    mu = _room(epsilon - spent, delta) * math.sqrt(share)
    rows = schema.max_rows_per_unit
    return Counts(noise_scale=rows * math.sqrt(histograms) / mu, coordinates=histograms, max_rows=rows)


def _room(epsilon: float, delta: float, aside: Counts | None = None) -> float:
    """The mu that a plan may spend, after what is set aside; infinite for an infinite epsilon."""
    from synthpriv.privacy.accounting import gaussian_mu

    # a hair of room: discrete noise and grids of the accountant make the joint loss a little larger
    mu = math.inf if math.isinf(epsilon) else 0.995 * gaussian_mu(epsilon, delta)
    if aside is None or math.isinf(mu):
        return mu
    taken = aside.coordinates * (aside.max_rows / aside.noise_scale) ** 2
    if taken >= mu**2:
        raise InfeasiblePlan(
            f"what is set aside must leave something to fit with, found {math.sqrt(taken):.3g} taken of a mu "
            f"of {mu:.3g}; lower its share."
        )
    return math.sqrt(mu**2 - taken)


def make_plan(
    schema: Schema,
    *,
    epsilon: float,
    delta: float,
    rows: int,
    rows_are_public: bool,
    marginal_share: float,
    training: TrainingSettings | None,
    within_classes: bool = True,
    aside: Counts | None = None,
) -> FitPlan:
    """Split (epsilon, delta) over the stages of a fit on `rows` rows (public: declared, or already counted).

    aside: counts that will be charged to the same allowance later, see `set_aside`.

    within_classes: of a label, as for `workload_of`. Marginals take all that no training needs, and count
    within classes then: none is planned where its noise would be too much. Raises InfeasiblePlan where the
    noise would drown the table, saying what would work.
    """

    def split(within: bool, share: float, asked: TrainingSettings | None) -> FitPlan:
        workload = workload_of(schema, within) if marginal_share > 0 else None
        if workload is not None and not workload.groups:
            workload = None
        return _split(schema, workload, share, asked, epsilon, delta, rows, rows_are_public, aside)

    plan = split(within_classes, marginal_share, training)
    if training is None or plan.training is None:
        return plan
    noise = step_noise(plan.training, schema.max_rows_per_unit)
    if noise <= training.most_noise:
        return plan
    return replace(split(True, 1.0, None), refused_noise=noise)


def step_noise(training: DPSGDPlan, rows_per_unit: int) -> float:
    """The noise of a step's mean gradient, in the largest norms that one row's gradient has."""
    spread = training.noise_multiplier * training.max_grad_norm * rows_per_unit
    return spread / training.expected_batch


def _split(
    schema: Schema,
    workload: Workload | None,
    marginal_share: float,
    training: TrainingSettings | None,
    epsilon: float,
    delta: float,
    rows: int,
    rows_are_public: bool,
    aside: Counts | None,
) -> FitPlan:
    """The plan of a given workload and training."""
    from synthpriv.privacy.accounting import calibrate_noise_multiplier

    spent = 0.0 if rows_are_public else count_epsilon(epsilon)
    joint = epsilon - spent if math.isfinite(epsilon) else epsilon
    constants = None if training is None else _training_constants(training, rows)
    share = 1.0 if workload is None and training is None else ENCODING_SHARE
    mu = _room(joint, delta, aside)
    scales = _encoding_scales(schema, mu * math.sqrt(share))
    marginal_scale = selection_scale = 0.0
    if workload is not None and math.isfinite(mu):
        left = (1.0 if training is None else marginal_share) * (1 - share)
        unit = schema.max_rows_per_unit / (mu * math.sqrt(left))
        chooses = 0.0 if workload.chosen is None else SELECTION_SHARE
        marginal_scale = unit * math.sqrt(workload.size / (1 - chooses))
        selection_scale = unit * math.sqrt(len(workload.groups) / chooses) if chooses else 0.0
    plan = None if constants is None else DPSGDPlan(noise_multiplier=0.0, **constants)
    if math.isfinite(epsilon):
        _require_signal(schema, epsilon, delta, rows, scales[0])
        if constants is not None:
            before = encoding_events(schema, scales) + ([] if aside is None else [aside])
            before += marginal_events(schema, workload, marginal_scale, selection_scale)
            sigma = calibrate_noise_multiplier(
                before, constants["sample_rate"], constants["steps"], joint, delta
            )
            plan = DPSGDPlan(noise_multiplier=sigma, **constants)
    return FitPlan(
        epsilon=epsilon,
        delta=delta,
        rows=rows,
        count_epsilon=spent,
        aside=aside,
        encoding_scales=tuple(scales),
        cells=MAX_CELLS if workload is None else cells_per_column(schema, workload, rows, marginal_scale),
        workload=workload,
        marginal_scale=marginal_scale,
        selection_scale=selection_scale,
        training=plan,
        memory_bytes=_memory(schema, rows, training, constants),
    )


def _encoding_scales(schema: Schema, mu: float) -> list[dict[str, float]]:
    """Per round, the noise scale of each column's histogram; 0 where mu is infinite."""
    if math.isinf(mu):
        return [dict.fromkeys(level, 0.0) for level in round_noise_scales(schema, 1.0)]
    scales = round_noise_scales(schema, mu)
    return [{name: scale * schema.max_rows_per_unit for name, scale in level.items()} for level in scales]


def encoding_events(schema: Schema, scales: list[dict[str, float]]) -> list[Event]:
    """The histograms of every round as events: all that may run, needed or not."""
    every = (scale for level in scales for scale in level.values())
    return histogram_events(every, schema.max_rows_per_unit)


def marginal_events(
    schema: Schema, workload: Workload | None, marginal_scale: float, selection_scale: float
) -> list[Event]:
    """The marginals of a workload as events, and the scores by which they were chosen."""
    if workload is None:
        return []
    scores = [] if workload.chosen is None else [selection_scale] * len(workload.groups)
    return histogram_events([*scores, *[marginal_scale] * workload.size], schema.max_rows_per_unit)


def _training_constants(training: TrainingSettings, rows: int) -> dict[str, Any]:
    """Sampling rate, steps and divisor, from the public row count."""
    batch = training.batch_size or min(training.largest_batch, LARGEST_RATE * rows)
    rate = min(1.0, batch / rows)
    steps = training.steps if training.epochs is None else math.ceil(training.epochs / rate)
    return {
        "max_grad_norm": training.max_grad_norm,
        "sample_rate": rate,
        "steps": max(1, steps),
        "expected_batch": rate * rows,
    }


def _memory(
    schema: Schema, rows: int, training: TrainingSettings | None, constants: dict[str, Any] | None
) -> int:
    """A rough peak: two copies of the positions, codes, and four copies of a physical batch's activations."""
    table = rows * len(schema.columns) * (8 + 8 + 2)
    if training is None or constants is None:
        return table
    batch = min(constants["expected_batch"], 4096)
    return int(table + 4 * 4 * batch * training.activations + 6 * 4 * training.parameters)


def _require_signal(
    schema: Schema, epsilon: float, delta: float, rows: int, scales: Mapping[str, float]
) -> None:
    """Refuse a plan whose typical histogram noise exceeds a quarter of the rows."""
    from synthpriv.privacy.accounting import gaussian_mu

    typical = sorted(scales.values())[len(scales) // 2]
    if typical <= rows / 4:
        return
    needed_rows = math.ceil(4 * typical / 10) * 10
    wanted = gaussian_mu(epsilon, delta) * 4 * typical / rows
    workable = epsilon
    while workable < 1000 and gaussian_mu(workable, delta) < wanted:
        workable *= 1.25
    remedy = f"epsilon {workable:.2g} or more" if workable < 100 else "no epsilon worth the name"
    raise InfeasiblePlan(
        f"the noise of a histogram must stay below a quarter of the {rows} rows, found a noise scale of "
        f"{typical:.0f} at epsilon {epsilon:g}; what would work: {remedy} at this size, or {needed_rows:,} "
        "rows or more at this epsilon."
    )
