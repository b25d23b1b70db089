"""Breaches around the table: what is read of the rows beside what was paid for, and what is kept."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from synthpriv.errors import TableError
from synthpriv.privacy import accounting, intake, ledger
from synthpriv.privacy.events import Counts
from synthpriv.privacy.private_table import PrivateTable
from synthpriv.schema import Categorical, Integer
from synthpriv.synthesizers import base
from tests.mutants.planting import EVERY_USE, ISOLATION, NEIGHBOUR, REPLAY, breach, rebind


def open_with(change: Any) -> None:
    """Rebind the door: change(frame, schema) looks at the rows and returns the schema to use."""

    def make(create: Any) -> Any:
        def looking(self: Any, frame: Any, schema: Any, *rest: Any, **named: Any) -> None:
            frame = frame if isinstance(frame, pd.DataFrame) else pd.concat(list(frame))
            create(self, frame, change(frame, schema) or schema, *rest, **named)

        return looking

    rebind(PrivateTable, "__init__", make)


def redeclare(schema: Any, kind: type, change: Any) -> Any:
    """The schema with change(name, column) in place of every column of one kind."""
    columns = {n: change(n, c) if isinstance(c, kind) else c for n, c in schema.columns.items()}
    return replace(schema, columns=columns)


@breach(5, NEIGHBOUR + "[independent-outlier]")
def bounds_from_the_data() -> None:
    def observed(frame: Any, schema: Any) -> Any:
        def bounds(name: str, column: Any) -> Any:
            return replace(column, lower=int(frame[name].min()), upper=int(frame[name].max()))

        return redeclare(schema, Integer, bounds)

    open_with(observed)


@breach(5, NEIGHBOUR + "[independent-unseen category]")
def categories_from_the_data() -> None:
    def observed(frame: Any, schema: Any) -> Any:
        def categories(name: str, column: Any) -> Any:
            return replace(column, categories=sorted(frame[name].dropna().unique()))

        return redeclare(schema, Categorical, categories)

    open_with(observed)


@breach(5, NEIGHBOUR + "[independent-not a number]")
def null_flags_from_the_data() -> None:
    def observed(frame: Any, schema: Any) -> Any:
        return redeclare(schema, Integer, lambda n, c: replace(c, nullable=bool(frame[n].isna().any())))

    open_with(observed)


@breach(8, NEIGHBOUR + "[independent-outlier]")
def a_warning_about_values_outside() -> None:
    def warned(frame: Any, schema: Any) -> None:
        if (frame["age"] > 110).any():
            warnings.warn("a value lies outside its bounds", stacklevel=2)

    open_with(warned)


@breach(6, NEIGHBOUR + "[independent-all missing]")
def an_error_about_one_row() -> None:
    def strict(frame: Any, schema: Any) -> None:
        if frame.drop(columns="id").isna().all(axis=1).any():
            raise TableError("every row must hold a value, found one that does not; drop it.")

    open_with(strict)


@breach(4, NEIGHBOUR + "[independent-removed]")
def an_exact_row_count() -> None:
    def make(count: Any) -> Any:
        def exact(self: Any, release: Any, epsilon: float) -> int:
            count(self, release, epsilon)
            return int(self._PrivateTable__in_fit.sum())

        return exact

    rebind(PrivateTable, "count", make)


@breach(23, NEIGHBOUR + "[independent-removed]")
def half_the_noise_on_histograms() -> None:
    class Flattering:
        def __init__(self, release: Any) -> None:
            self.release = release

        def charge(self, label: str, events: Any) -> None:
            told = [replace(e, noise_scale=2 * e.noise_scale) if isinstance(e, Counts) else e for e in events]
            self.release.charge(label, told)

    def make(histograms: Any) -> Any:
        def quieter(self: Any, release: Any, label: str, partitions: Any, scales: Any, *rest: Any) -> Any:
            halved = {name: scale / 2 for name, scale in scales.items()}
            return histograms(self, Flattering(release), label, partitions, halved, *rest)

        return quieter

    rebind(PrivateTable, "histograms", make)


@breach(2, REPLAY + "test_a_unit_with_several_rows_leaves_no_trace_but_in_what_was_released[independent]")
def every_row_of_a_unit_kept() -> None:
    def every(hashes: Any, rows: int, schema: Any, source: Any) -> Any:
        units = np.unique(hashes, return_inverse=True)[1].astype(np.int64)
        return units, np.ones(rows, dtype=bool)

    rebind(intake, "bound_units", lambda bounded: every)


def fit_with(change: Any) -> None:
    """Rebind `fit`: change(fitted, table) runs before it returns."""

    def make(fit: Any) -> Any:
        def changed(self: Any, table: Any, *rest: Any, **named: Any) -> Any:
            fitted = fit(self, table, *rest, **named)
            change(fitted, table)
            return fitted

        return changed

    rebind(base.Synthesizer, "fit", make)


@breach(31, ISOLATION + "test_a_fitted_synthesizer_reaches_no_row[independent]")
def the_fitted_model_keeps_the_table() -> None:
    fit_with(lambda fitted, table: setattr(fitted.model, "table", table))


@breach(32, REPLAY + "test_the_number_of_synthetic_rows_is_public")
def as_many_synthetic_rows_as_real_ones() -> None:
    real: list[int] = []
    open_with(lambda frame, schema: real.append(len(frame)))
    rebind(
        base.FittedSynthesizer,
        "sample_chunks",
        lambda draw: lambda self, n=None, *rest, **named: draw(self, real[-1], *rest, **named),
    )


@breach(3, NEIGHBOUR + "[independent-removed]")
def delta_from_the_number_of_rows() -> None:
    real: list[int] = []
    open_with(lambda frame, schema: real.append(len(frame)))
    rebind(base, "allowed_delta", lambda allowed: lambda book, epsilon, delta: delta * real[-1] / 397)


# Charges


class Later:
    """A release whose charges wait until `settle`, or for ever."""

    def __init__(self, release: Any) -> None:
        self.release, self.waiting = release, []

    def charge(self, *arguments: Any) -> None:
        self.waiting.append(arguments)

    def settle(self) -> None:
        for arguments in self.waiting:
            self.release.charge(*arguments)


def charge_later(method: str, settle: bool = True) -> None:
    def make(access: Any) -> Any:
        def changed(self: Any, release: Any, *rest: Any) -> Any:
            later = Later(release)
            found = access(self, later, *rest)
            if settle:
                later.settle()
            return found

        return changed

    rebind(PrivateTable, method, make)


@breach(16, ISOLATION + "test_a_run_that_dies_in_training_has_paid_for_all_of_it[ctgan]")
def training_charged_after_it_ran() -> None:
    charge_later("train")


@breach(16, EVERY_USE + "[independent]")
def histograms_charged_after_counting() -> None:
    charge_later("histograms")


@breach(15, EVERY_USE + "[ctgan]")
def training_not_charged() -> None:
    charge_later("train", settle=False)


@breach(15, EVERY_USE + "[independent]")
def histograms_not_charged() -> None:
    charge_later("histograms", settle=False)


@breach(15, ISOLATION + "test_held_out_rows_are_counted_once_and_after_their_charge")
def held_out_rows_not_charged() -> None:
    charge_later("tallies", settle=False)


@breach(16, ISOLATION + "test_held_out_rows_are_counted_once_and_after_their_charge")
def held_out_rows_charged_after_counting() -> None:
    charge_later("tallies")


@breach(30, REPLAY + "test_published_figures_differ_by_what_was_released[None-removed]")
def half_the_noise_on_published_figures() -> None:
    def make(tallies: Any) -> Any:
        def quieter(
            self: Any, release: Any, label: str, encoder: Any, groups: Any, scale: Any, *rest: Any
        ) -> Any:
            return tallies(self, release, label, encoder, groups, scale / 2, *rest)

        return quieter

    rebind(PrivateTable, "tallies", make)


@breach(24, "tests/unit/test_accounting.py::test_golden_values[1.0-1920-4.157-6.854]")
def a_tenth_of_epsilon_unreported() -> None:
    rebind(accounting, "epsilon", lambda told: lambda *rest, **named: 0.9 * told(*rest, **named))


@breach(26, "tests/unit/test_ledger.py::test_what_does_not_fit_is_refused_with_figures_and_not_charged")
def the_ledger_refuses_nothing() -> None:
    rebind(ledger, "_require_fit", lambda check: lambda *arguments: None)
