"""The breaches that the suite must notice, each with the test that notices it (PRIVACY.md 34)."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from synthpriv.privacy import accounting, dpsgd, layers, ledger, mechanisms, randomness
from synthpriv.privacy.private_table import PrivateTable
from synthpriv.synthesizers import base, ctgan, labels
from tests.mutants import tables  # noqa: F401  (registers its breaches)
from tests.mutants.planting import (
    BREACHES,
    DPSGD,
    EVERY_USE,
    ISOLATION,
    NEIGHBOUR,
    NOISE,
    REPLAY,
    TRAPS,
    Breach,
    breach,
    equal,
    rebind,
)

__all__ = ["BREACHES", "NO_OP"]

OPTIMIZER = dpsgd._KeyedNoiseOptimizer
OTHER_ROWS = ISOLATION + "test_what_the_discriminator_looked_at_does_not_reach_the_generator"


def train_with(change: Any) -> None:
    """Rebind the trainer: change(arguments by name) edits them before it runs."""
    names = ("module", "row_loss", "codes", "units", "rows_per_unit", "plan", "optimization", "source")

    def make(train: Any) -> Any:
        def changed(*given: Any) -> None:
            arguments = SimpleNamespace(**dict(zip((*names, "after_step"), (*given, None), strict=False)))
            change(arguments)
            train(**vars(arguments))

        return changed

    rebind(dpsgd, "train_private", make)


def clip_with(change: Any) -> None:
    """Rebind the clipping: change(original, layers, row_loss, batch, bound) runs in its place."""
    rebind(dpsgd, "clipped_sums", lambda clip: lambda *arguments: change(clip, *arguments))


# Noise


@breach(18, DPSGD + "test_noise_goes_on_the_sum_once_and_the_divisor_is_the_public_constant")
def half_the_noise_on_gradients() -> None:
    def make(add_noise: Any) -> Any:
        def quieter(self: Any) -> None:
            self.noise_multiplier /= 2
            add_noise(self)
            self.noise_multiplier *= 2

        return quieter

    rebind(OPTIMIZER, "add_noise", make)


@breach(18, NOISE + "test_gaussian_is_normal_of_that_scale_and_no_other[float64]")
def noise_two_percent_short() -> None:
    rebind(
        randomness.NoiseSource,
        "gaussian",
        lambda draw: lambda self, shape, scale, dtype="float64": draw(self, shape, scale * 0.98, dtype),
    )


@breach(18, TRAPS + "test_an_empty_batch_is_noise_over_the_public_divisor")
def noise_on_the_first_layer_only() -> None:
    def make(add_noise: Any) -> Any:
        def partly(self: Any) -> None:
            add_noise(self)
            for p in self.params[1:]:
                p.grad = p.summed_grad.view_as(p)

        return partly

    rebind(OPTIMIZER, "add_noise", make)


@breach(10, DPSGD + "test_empty_batches_still_take_their_noisy_step")
def no_noise_for_empty_batches() -> None:
    def make(add_noise: Any) -> Any:
        def lazy(self: Any) -> None:
            if any(bool(p.summed_grad.any()) for p in self.params):
                return add_noise(self)
            for p in self.params:
                p.grad = p.summed_grad.view_as(p)

        return lazy

    rebind(OPTIMIZER, "add_noise", make)


@breach(10, TRAPS + "test_an_empty_batch_is_noise_over_the_public_divisor")
def empty_batches_skipped() -> None:
    def make(step: Any) -> Any:
        def skipping(self: Any) -> None:
            if any(bool(p.grad.any()) for p in self.params):
                step(self)
            self.original_optimizer._opt_called = True  # the schedule warns if nothing ever stepped

        return skipping

    rebind(OPTIMIZER, "step", make)


@breach(18, TRAPS + "test_accumulation_adds_noise_once_per_logical_batch")
def no_noise_where_gradients_accumulate() -> None:
    parts: list[int] = []

    def counted(clip: Any, *arguments: Any) -> Any:
        parts.append(1)
        return clip(*arguments)

    def make(add_noise: Any) -> Any:
        def forgetful(self: Any) -> None:
            if len(parts) <= 1:
                add_noise(self)
            else:
                for p in self.params:
                    p.grad = p.summed_grad.view_as(p)
            parts.clear()

        return forgetful

    clip_with(counted)
    rebind(OPTIMIZER, "add_noise", make)


@breach(23, NOISE + "test_noisy_counts_are_discrete_gaussian_of_that_scale_and_no_other")
def half_the_noise_in_the_sampler_of_counts() -> None:
    rebind(mechanisms, "_discrete_gaussian", lambda made: lambda scale: made(scale / 2))


@breach(23, NOISE + "test_noisy_count_is_discrete_laplace_of_that_scale")
def half_the_noise_on_the_row_count() -> None:
    rebind(mechanisms, "_discrete_laplace", lambda made: lambda scale: made(scale / 2))


@breach(5, ISOLATION + "test_the_same_seeds_twice_give_different_noise[independent]")
def exact_histograms() -> None:
    rebind(mechanisms, "noisy_counts", lambda noisy: lambda exact, noise_scale, progress=None: exact)


@breach(20, NOISE + "test_two_sources_are_unrelated")
def the_key_is_fixed() -> None:
    randomness.secrets = SimpleNamespace(randbits=lambda bits: 42)  # type: ignore[assignment]


@breach(20, ISOLATION + "test_the_same_seeds_twice_give_different_noise[ctgan]")
def noise_from_the_global_generator() -> None:
    rebind(OPTIMIZER, "add_noise", lambda keyed: OPTIMIZER.__base__.add_noise)


@breach(22, NOISE + "test_forked_workers_draw_unrelated_noise")
def workers_share_a_stream() -> None:
    rebind(randomness.NoiseSource, "_current", lambda current: lambda self: self._generator)


@breach(21, REPLAY + "test_what_was_made_under_replay_is_marked_and_the_gate_refuses_it")
def replayed_noise_is_not_marked() -> None:
    rebind(randomness, "is_private", lambda found: lambda: True)


# Sampling


@breach(9, NOISE + "test_rows_are_drawn_by_independent_trials[0.3]")
def batches_of_fixed_size_from_the_source() -> None:
    def fixed(self: Any, rows: int, rate: float) -> Any:
        return np.sort(self.permutation(rows)[: round(rate * rows)])

    rebind(randomness.NoiseSource, "bernoulli_rows", lambda poisson: fixed)


@breach(9, TRAPS + "test_rate_steps_and_divisor_are_the_plans_whatever_the_table[40]")
def shuffling_instead_of_poisson_sampling() -> None:
    def shuffled(arguments: Any) -> None:
        order = np.random.default_rng()
        arguments.source = SimpleNamespace(
            gaussian=arguments.source.gaussian,
            bernoulli_rows=lambda rows, rate: order.permutation(rows)[: round(rate * rows)],
        )

    train_with(shuffled)


@breach(4, REPLAY + "test_one_row_fewer_leaves_every_constant_of_the_trainer[ctgan]")
def sample_rate_from_the_length_of_the_data() -> None:
    def measured(arguments: Any) -> None:
        rate = min(1.0, arguments.plan.expected_batch / len(arguments.codes))
        arguments.plan = replace(arguments.plan, sample_rate=rate)

    train_with(measured)


@breach(4, NEIGHBOUR + "[ctgan-removed]")
def divisor_from_the_length_of_the_data() -> None:
    def measured(arguments: Any) -> None:
        batch = arguments.plan.sample_rate * len(arguments.codes)
        arguments.plan = replace(arguments.plan, expected_batch=batch)

    train_with(measured)


@breach(2, DPSGD + "test_all_rows_of_a_unit_are_drawn_together")
def rows_of_a_unit_drawn_one_by_one() -> None:
    rebind(dpsgd, "_UnitIndex", lambda index: lambda rows, units: index(rows, None))


# Clipping


@breach(11, DPSGD + "test_no_row_moves_the_sum_by_more_than_the_bound")
def no_clipping() -> None:
    clip_with(lambda clip, used, row_loss, batch, bound: clip(used, row_loss, batch, 1e30))


@breach(11, ISOLATION + "test_no_row_of_the_table_moves_a_sum_beyond_the_bound[vae]")
def every_layer_clipped_by_itself() -> None:
    def apart(clip: Any, used: Any, row_loss: Any, batch: Any, bound: float) -> Any:
        return [total for layer in used for total in clip([layer], row_loss, batch, bound)]

    clip_with(apart)


@breach(11, REPLAY + "test_a_unit_with_several_rows_leaves_no_trace_but_in_what_was_released[ctgan]")
def rows_of_a_unit_clipped_one_by_one() -> None:
    train_with(lambda arguments: setattr(arguments, "rows_per_unit", 1))


@breach(7, DPSGD + "test_a_row_with_infinite_gradient_contributes_zero")
def one_bad_row_poisons_the_sum() -> None:
    rebind(dpsgd, "_finite_rows", lambda zeroed: lambda values, finite: values)


@breach(11, TRAPS + "test_a_loss_that_is_not_one_number_per_row_is_refused_without_the_batch_size[a column]")
def a_column_of_losses_accepted() -> None:
    def flattened(clip: Any, used: Any, row_loss: Any, batch: Any, bound: float) -> Any:
        return clip(used, lambda rows: row_loss(rows).flatten(), batch, bound)

    clip_with(flattened)


@breach(14, TRAPS + "test_a_layer_without_an_exact_rule_is_refused_before_a_row_is_read")
def batch_normalisation_accepted() -> None:
    def every(module: Any) -> list[Any]:
        return [layer for layer in module.modules() if list(layer.parameters(recurse=False))]

    rebind(layers, "supported_layers", lambda checked: every)


@breach(14, ISOLATION + "test_a_rows_gradient_does_not_change_when_another_row_does[vae]")
def losses_scaled_by_a_batch_statistic() -> None:
    def make(row_loss: Any) -> Any:
        def scaled(self: Any, *arguments: Any) -> Any:
            losses = row_loss(self, *arguments)
            return losses / losses.mean()

        return scaled

    rebind(labels.LabelDecoder, "head_loss", make)


@breach(14, ISOLATION + "test_what_is_derived_from_a_row_does_not_change_when_another_row_does")
def what_lies_beside_a_rows_codes_is_centred_over_rows() -> None:
    def make(as_codes: Any) -> Any:
        def centred(self: Any, codes: Any) -> Any:
            further = as_codes(self, codes)
            return further - np.rint(further.sum(0) / max(len(further), 1)).astype(further.dtype)

        return centred

    rebind(labels.Posterior, "as_codes", make)


@breach(12, ISOLATION + "test_a_rows_gradient_does_not_change_when_another_row_does[ctgan]")
def rows_packed_in_pairs() -> None:
    def make(pair_loss: Any) -> Any:
        def packed(self: Any, codes: Any) -> Any:
            losses = pair_loss(self, codes)
            return (losses + losses.roll(1)) / 2

        return packed

    rebind(ctgan._Game, "pair_loss", make)


# Training


@breach(19, OTHER_ROWS)
def the_generator_is_anchored_on_real_rows() -> None:
    def make(pair_loss: Any) -> Any:
        def leaking(self: Any, codes: Any) -> Any:
            hot = [torch.nn.functional.one_hot(c, s) for c, s in zip(codes.T, self.sizes, strict=True)]
            self.anchor._log_shares = torch.cat(hot, dim=1).float().mean(0).clamp_min(1e-3).log()
            return pair_loss(self, codes)

        return leaking

    rebind(ctgan._Game, "pair_loss", make)


@breach(19, OTHER_ROWS)
def a_loss_on_real_rows_advances_a_public_stream() -> None:
    def make(create: Any) -> Any:
        def shared(self: Any, *arguments: Any) -> None:
            create(self, *arguments)
            self.inside = self.outside

        return shared

    rebind(ctgan._Game, "__init__", make)


@breach(17, EVERY_USE + "[ctgan]")
def training_stops_early_on_the_private_loss() -> None:
    class Enough(Exception):
        pass

    def make(train: Any) -> Any:
        def stopping(module: Any, row_loss: Any, *rest: Any) -> None:
            seen: list[float] = []

            def watched(codes: Any) -> Any:
                losses = row_loss(codes)
                seen.append(float(losses.detach().mean()))
                if len(seen) > 2 and seen[-1] > 0.9 * seen[0]:
                    raise Enough
                return losses

            try:
                train(module, watched, *rest)
            except Enough:
                return

        return stopping

    rebind(dpsgd, "train_private", make)


def every_code(codes: Any) -> Any:
    return torch.from_numpy(codes[np.arange(codes.shape[0])].astype(np.int64))


@breach(15, EVERY_USE + "[vae]")
def a_validation_loss_after_every_step() -> None:
    def validated(arguments: Any) -> None:
        loss, codes = arguments.row_loss, every_code(arguments.codes)
        arguments.after_step = lambda step: loss(codes)

    train_with(validated)


@breach(8, NEIGHBOUR + "[vae-removed]")
def the_batch_size_is_printed() -> None:
    def told(arguments: Any) -> None:
        loss = arguments.row_loss
        arguments.row_loss = lambda codes: print(f"batch of {len(codes)}") or loss(codes)

    train_with(told)


def rebind_everything_to_its_equal() -> None:
    """What must survive: the same places as the breaches, rebound to functions that do the same."""
    for owner, name in (
        (OPTIMIZER, "add_noise"),
        (OPTIMIZER, "step"),
        (randomness.NoiseSource, "gaussian"),
        (randomness.NoiseSource, "bernoulli_rows"),
        (randomness.NoiseSource, "_current"),
        (randomness, "is_private"),
        (mechanisms, "noisy_counts"),
        (mechanisms, "_discrete_gaussian"),
        (mechanisms, "_discrete_laplace"),
        (dpsgd, "train_private"),
        (dpsgd, "clipped_sums"),
        (dpsgd, "_UnitIndex"),
        (dpsgd, "_finite_rows"),
        (layers, "supported_layers"),
        (labels.LabelDecoder, "head_loss"),
        (labels.Posterior, "as_codes"),
        (ctgan._Game, "pair_loss"),
        (ctgan._Game, "__init__"),
        (PrivateTable, "__init__"),
        (PrivateTable, "count"),
        (PrivateTable, "histograms"),
        (PrivateTable, "train"),
        (PrivateTable, "tallies"),
        (base.Synthesizer, "fit"),
        (base.FittedSynthesizer, "sample"),
        (base, "allowed_delta"),
        (accounting, "epsilon"),
        (ledger, "_require_fit"),
    ):
        rebind(owner, name, equal)


NO_OP = Breach(name="nothing", requirement=34, killer="", plant=rebind_everything_to_its_equal)
