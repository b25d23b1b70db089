"""Neighbours under replay: with what was released held fixed, a run cannot tell one unit from another."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import synthpriv as sp
from synthpriv.evaluation.effort import Effort
from synthpriv.privacy.events import Counts, Laplace, SampledGaussian
from synthpriv.release.pipeline import ReleaseOutcome, ReleaseRequest, run_release
from synthpriv.release.publishable_bins import read_public_table
from synthpriv.release.publishable_figures import histograms_counted, publish_figures
from synthpriv.synthesizers.base import Synthesizer
from synthpriv.synthesizers.fitted import FittedSynthesizer
from synthpriv.synthesizers.planning import set_aside
from tests.statistical.neighbours import CHANGES, SMALL, TRAININGS, people_schema, people_table, visits_table
from tests.statistical.replaying import Progress, Trace, public_ledger, redacted, run

BUDGET = sp.Budget(epsilon=20.0, delta=1e-6)
UNITS = 3
KINDS = {config.name: config for config in SMALL}


@cache
def original(units: int | None) -> pd.DataFrame:
    return people_table() if units is None else visits_table()


def fit(config: Synthesizer, frame: pd.DataFrame, units: int | None, frozen: Trace | None = None) -> Trace:
    """A fit and a sample, with the ledger beside them."""

    def job(progress: Progress) -> Any:
        ledger = sp.Ledger.in_memory(BUDGET)
        fitted = config.fit(sp.PrivateTable(frame, people_schema(units), ledger), progress=progress)
        return fitted, ledger, fitted.sample(seed=4, progress=progress)

    return run(job, frozen)


@cache
def first_run(kind: str, units: int | None = None) -> Trace:
    trace = fit(KINDS[kind], original(units), units)
    assert trace.result is not None, trace.seen[-2:]
    return trace


def assert_same_seen_from_outside(one: Trace, other: Trace) -> None:
    """The same door calls in the same order with the same arguments, sampling rates, log and exceptions."""
    assert [call[0] for call in other.asked] == [call[0] for call in one.asked]
    for mine, theirs in zip(one.asked, other.asked, strict=True):
        assert mine == theirs
    assert other.rates == one.rates
    assert other.seen == one.seen
    shapes = [[(r.kind, r.scale, r.exact.shape) for r in trace.releases] for trace in (one, other)]
    assert shapes[0] == shapes[1]


def declared(trace: Trace) -> list[tuple[str, float, float]]:
    """What the ledger's events stand for, one per release: its kind, noise scale and sensitivity."""
    fitted, ledger, _ = trace.result
    rows, found = fitted.schema.max_rows_per_unit, []
    for event in ledger.events:
        if isinstance(event, Laplace):
            found.append(("count", rows / event.epsilon, rows))
        elif isinstance(event, Counts):
            found += [("histogram", event.noise_scale, event.max_rows)] * event.coordinates
        else:
            assert isinstance(event, SampledGaussian)
            bound = fitted.config.max_grad_norm
            found += [("sum", event.noise_multiplier * bound, bound * (1 + 1e-6))] * event.steps
    return sorted(found)


def assert_sensitivity_as_declared(one: Trace, other: Trace, replaced: bool) -> None:
    """Every released vector got its event's noise, and moved by at most what the event stands for."""
    factor = 2 if replaced else 1
    moved = sorted(one.distances(other), key=lambda pair: (pair[0].kind, pair[0].scale))
    for (kind, scale, bound), (release, distance) in zip(declared(one), moved, strict=True):
        assert (release.kind, release.scale) == (kind, scale)
        assert distance <= factor * bound, (kind, distance)
    felt = {release.kind for release, distance in moved if distance > 0.1}
    assert felt >= {release.kind for release, _ in moved} - {"count"}, felt


def assert_same_model(one: Trace, other: Trace) -> None:
    """Bit by bit: encoder, weights, claim, ledger and sample follow from what was released."""
    (mine, ledger, sample), (theirs, other_ledger, other_sample) = one.result, other.result
    assert theirs.encoder.to_dict() == mine.encoder.to_dict()
    for name, tensor in mine.model.tensors().items():
        assert theirs.model.tensors()[name].tolist() == tensor.tolist(), name
    for key in ("epsilon", "delta", "epsilon_replace_one", "rows", "private", "domain_from_data"):
        assert getattr(theirs.claim, key) == getattr(mine.claim, key)
    assert public_ledger(other_ledger) == public_ledger(ledger)
    pd.testing.assert_frame_equal(other_sample, sample)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_row_leaves_no_trace_but_in_what_was_released(kind: str, change: str) -> None:
    base = first_run(kind)
    other = fit(KINDS[kind], CHANGES[change](original(None)), None, base)
    assert_same_seen_from_outside(base, other)
    assert_same_model(base, other)
    assert_sensitivity_as_declared(base, other, replaced=change != "removed")


@pytest.mark.parametrize("kind", KINDS)
def test_a_unit_with_several_rows_leaves_no_trace_but_in_what_was_released(kind: str) -> None:
    base = first_run(kind, UNITS)
    frame = original(UNITS)
    other = fit(KINDS[kind], frame[frame["id"] != frame["id"].iloc[-1]].reset_index(drop=True), UNITS, base)
    assert_same_seen_from_outside(base, other)
    assert_same_model(base, other)
    assert_sensitivity_as_declared(base, other, replaced=False)
    farthest = max(distance for release, distance in base.distances(other) if release.kind == "histogram")
    assert farthest > 1, "the unit's rows were felt together"


@pytest.mark.parametrize("change", ["removed", "outlier"])
def test_a_choice_of_pairs_leaves_no_trace_but_in_what_was_released(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are too many pairs, a row is felt in the noisy scores and nowhere else."""
    monkeypatch.setattr("synthpriv.synthesizers.workload.MOST_GROUPS", 5)
    base = fit(KINDS["mixture"], original(None), None)
    assert "dependence" in [call[0] for call in base.asked]
    other = fit(KINDS["mixture"], CHANGES[change](original(None)), None, base)
    assert_same_seen_from_outside(base, other)
    assert_same_model(base, other)
    assert_sensitivity_as_declared(base, other, replaced=change != "removed")


@pytest.mark.parametrize("kind", ["vae", "ctgan"])
def test_one_row_fewer_leaves_every_constant_of_the_trainer(kind: str) -> None:
    """Requirement 4: with the count frozen, rate, steps, divisor and noise are those of n rows."""
    base = first_run(kind)
    other = fit(KINDS[kind], CHANGES["removed"](original(None)), None, base)
    plans = [[call[6] for call in trace.asked if call[0] == "train"] for trace in (base, other)]
    assert plans[0] == plans[1]
    assert [plan.steps for plan in plans[0]] == TRAININGS[kind]
    for plan in plans[0]:
        assert plan.sample_rate * base.result[0].claim.rows == pytest.approx(plan.expected_batch)
        assert set(base.rates) == set(other.rates) == {plan.sample_rate}
    assert len(base.rates) == len(other.rates) == sum(TRAININGS[kind])


def test_delta_comes_from_the_configuration() -> None:
    """Requirement 3: no number of rows moves it, whether the noisy count is frozen or not."""
    for rows in (200, 201, 397):
        fitted = fit(KINDS["independent"], original(None).iloc[:rows], None).result[0]
        assert fitted.claim.delta == BUDGET.delta


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_that_cannot_work_is_refused_in_the_same_words(kind: str) -> None:
    frame, config = original(None).iloc[-21:].reset_index(drop=True), replace(KINDS[kind], epsilon=1.0)
    base = fit(config, frame, None)
    assert base.result is None
    assert "what would work" in base.seen[-2][1]
    for change in CHANGES.values():
        assert fit(config, change(frame), None, base).seen == base.seen


def test_the_replay_feels_a_difference_where_releases_are_not_frozen() -> None:
    """The comparison can fail: without frozen releases a neighbour changes encoder and sample."""
    base = first_run("independent")
    other = fit(KINDS["independent"], CHANGES["removed"](original(None)), None)
    with pytest.raises(AssertionError):
        assert_same_model(base, other)


def publish(frame: pd.DataFrame, units: int | None, frozen: Trace | None = None) -> Trace:
    """Figures for publication, counted on a table of which most is held out: the unit in question too."""

    def job(progress: Progress) -> Any:
        schema, ledger = people_schema(units), sp.Ledger.in_memory(BUDGET)
        private = sp.PrivateTable(frame, schema, ledger, holdout=0.9)
        opened = ledger.open_release("figures", epsilon=BUDGET.epsilon, delta=BUDGET.delta)
        aside = set_aside(
            schema,
            epsilon=BUDGET.epsilon,
            delta=BUDGET.delta,
            rows_are_public=True,
            share=0.2,
            histograms=histograms_counted(schema, ("bought",)),
        )
        table = read_public_table(lambda: iter([original(units).iloc[::2]]), schema)
        figures = publish_figures(private, opened, aside, table, ("bought",), progress)
        return figures, ledger, aside

    return run(job, frozen)


@pytest.mark.parametrize(
    ("units", "change"), [*((None, change) for change in CHANGES), (UNITS, "unit removed")]
)
def test_published_figures_differ_by_what_was_released(units: int | None, change: str) -> None:
    """Held-out rows are felt in the noisy counts alone, each within its charge, and all together too."""
    frame = original(units)
    base = publish(frame, units)
    changed = frame[frame["id"] != frame["id"].iloc[-1]].reset_index(drop=True) if units else None
    other = publish(CHANGES[change](frame) if changed is None else changed, units, base)
    assert_same_seen_from_outside(base, other)
    (mine, ledger, aside), (theirs, other_ledger, _) = base.result, other.result
    assert repr(mine) == repr(theirs)
    assert list(ledger.events) == list(other_ledger.events) == [aside]
    moved = base.distances(other)
    assert [release.scale for release, _ in moved] == [aside.noise_scale] * aside.coordinates
    bound = aside.max_rows * (1 if units or change == "removed" else 2)
    assert all(distance <= bound for _, distance in moved)
    assert sum(distance**2 for _, distance in moved) <= aside.coordinates * bound**2
    assert sum(distance > 0 for _, distance in moved) >= aside.coordinates / 4, "the unit is held out"


def release(
    config: Synthesizer, frame: pd.DataFrame, folder: Path, frozen: Trace | None = None, share: float = 0.0
) -> Trace:
    """The whole path from a CSV file to a bundle, through a gate that asks for the claim alone."""
    folder.mkdir()
    frame.to_csv(folder / "people.csv", index=False)
    request = ReleaseRequest(
        table=folder / "people.csv",
        schema=people_schema(),
        synthesizer=config,
        out=folder / "out",
        ledger=folder / "ledger.sqlite",
        budget=BUDGET,
        policy=sp.Policy(max_epsilon=100.0, max_delta=1e-5, require_private=False),
        effort=Effort.quick,  # shadow fits are on rows of the judge, and would play the tape on
        report_share=share,
        seed=3,
    )
    return run(lambda progress: run_release(request, progress), frozen)


def bundle_files(outcome: ReleaseOutcome) -> dict[str, Any]:
    """Every file of the bundle, JSON without what is random by design."""
    assert outcome.bundle is not None
    files: dict[str, Any] = {}
    for path in sorted(path for path in outcome.bundle.rglob("*") if path.is_file()):
        name, content = path.relative_to(outcome.bundle).as_posix(), path.read_bytes()
        files[name] = redacted(json.loads(content)) if path.suffix == ".json" else content
    files["manifest.json"].pop("files")
    files.pop("manifest.sha256")
    return files


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Trace]:
    """Releases by synthesizer and change; the first of each synthesizer is taped, the others replay it."""

    @cache
    def made(kind: str, change: str | None = None, share: float = 0.0) -> Trace:
        folder = tmp_path_factory.mktemp(kind) / "release"
        frame = original(None) if change is None else CHANGES[change](original(None))
        return release(KINDS[kind], frame, folder, None if change is None else made(kind, share=share), share)

    return made


@pytest.mark.parametrize(
    ("kind", "change", "share"),
    [("independent", change, 0.0) for change in CHANGES]
    + [("vae", "removed", 0.0), ("vae", "outlier", 0.0), ("mixture", "replaced", 0.2)],
)
def test_a_release_of_neighbours_is_the_same_bundle(
    kind: str, change: str, share: float, releases: Callable[..., Trace]
) -> None:
    base, other = releases(kind, share=share), releases(kind, change, share)
    assert base.result is not None, base.seen[-2:]
    assert_same_seen_from_outside(base, other)
    mine, theirs = bundle_files(base.result), bundle_files(other.result)
    assert len(mine) >= 5
    for name, content in mine.items():
        assert theirs[name] == content, name
    assert theirs.keys() == mine.keys()


def test_the_number_of_synthetic_rows_is_public(releases: Callable[..., Trace]) -> None:
    """Requirement 32: it follows from the noisy count, so that n and n - 1 rows give the same."""
    base, other = releases("independent"), releases("independent", "removed")
    rows = [len(pd.read_csv(trace.result.bundle / "synthetic.csv")) for trace in (base, other)]
    assert rows[0] == rows[1] == round(base.result.claim.rows / 0.75)
    exact = [trace.releases[0].exact[0] for trace in (base, other)]
    assert exact[0] - exact[1] == 1, "the row in question was fitted on"


def test_what_was_made_under_replay_is_marked_and_the_gate_refuses_it(tmp_path: Path) -> None:
    """Requirement 21."""
    trace = first_run("independent")
    fitted: FittedSynthesizer = trace.result[0]
    assert not fitted.claim.private
    assert "NOT_PRIVATE" in repr(fitted)
    assert not trace.result[1].is_private
    assert math.isfinite(fitted.claim.epsilon)
    (tmp_path / "table.csv").write_text(original(None).to_csv(index=False))
    request = ReleaseRequest(
        table=tmp_path / "table.csv",
        schema=people_schema(),
        synthesizer=KINDS["independent"],
        out=tmp_path / "out",
        ledger=tmp_path / "ledger.sqlite",
        budget=BUDGET,
        policy=sp.Policy(max_epsilon=100.0, max_delta=1e-5),
        effort=Effort.quick,
    )
    outcome = run(lambda progress: run_release(request, progress)).result
    refused = [check.figure for check in outcome.decision.checks if check.verdict == "fail"]
    assert refused == ["release.private"]
    assert outcome.bundle is None
    assert not (tmp_path / "out").exists()
