"""The encoder: cells from released counts, atoms, folding, missing values, and the real Adult round trip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthpriv.encoding.codec import ColumnCodec, build_codec, check_codec
from synthpriv.encoding.partition import (
    Countable,
    children,
    denoise,
    first_histogram,
    first_partition,
    heavy_leaves,
    project,
    refine,
)
from synthpriv.encoding.roundness import Roundness, classes_of, fit_roundness, values_of_classes
from synthpriv.encoding.table_encoder import (
    Codes,
    TableEncoder,
    learn_encoder,
    positions_of,
    round_noise_scales,
)
from synthpriv.errors import BundleError
from synthpriv.privacy.accounting import gaussian_mu
from synthpriv.privacy.mechanisms import noisy_counts
from synthpriv.schema import Categorical, Float, Integer, Schema


def learn(frame: pd.DataFrame, schema: Schema, mu: float | None) -> TableEncoder:
    """An encoder at mu-GDP from real mechanisms; None: exact counts."""
    positions = positions_of(frame, schema)

    def measure(what: str, partitions: Mapping[str, Countable], scales: Mapping[str, float]) -> Any:
        exact = {name: partition.count(positions[name]) for name, partition in partitions.items()}
        if mu is None:
            return exact
        return {name: noisy_counts(counts, scales[name]) for name, counts in exact.items()}

    scales = round_noise_scales(schema, mu or 1.0)
    if mu is None:
        scales = [dict.fromkeys(level, 0.0) for level in scales]
    return learn_encoder(schema, len(frame), scales, measure)


def decoded(encoder: TableEncoder, codes: Codes, rng: np.random.Generator) -> pd.DataFrame:
    return encoder.frame(encoder.decode(codes, rng), rng)


def one_way_distances(real: pd.DataFrame, other: pd.DataFrame, schema: Schema) -> list[float]:
    """Total variation per column, at 20 quantile bins of `real` for numbers."""
    distances = []
    for name, column in schema.columns.items():
        a, b = real[name], other[name]
        if isinstance(column, Integer):
            edges = np.unique(np.quantile(a.astype(float), np.linspace(0, 1, 21)[1:-1]))
            a = pd.Series(np.searchsorted(edges, a.astype(float), side="right"))
            b = pd.Series(np.searchsorted(edges, b.astype(float), side="right"))
        shares = [part.astype(str).value_counts(normalize=True) for part in (a, b)]
        distances.append(float(shares[0].sub(shares[1], fill_value=0).abs().sum() / 2))
    return distances


def test_real_adult_survives_the_encoder_at_encoding_epsilon_a_fifth(
    adult: pd.DataFrame, adult_schema: Schema
) -> None:
    order = np.random.default_rng(0).permutation(len(adult))
    train, test = adult.iloc[order[:36_631]], adult.iloc[order[36_631:]]
    encoder = learn(train, adult_schema, gaussian_mu(0.2, 1e-6))
    codes = encoder.encode_frame(train)
    assert max(encoder.sizes) <= 42
    again = decoded(encoder, codes, np.random.default_rng(1))
    assert list(again.columns) == list(train.columns)
    assert np.mean(one_way_distances(test, again, adult_schema)) <= 0.025


def test_heavy_single_values_get_cells_of_their_own(adult: pd.DataFrame, adult_schema: Schema) -> None:
    encoder = learn(adult, adult_schema, gaussian_mu(1.0, 1e-6))
    for name, value in (("capital_gain", 0), ("capital_loss", 0), ("hours_per_week", 40)):
        codec = encoder.codecs[name]
        position = value - adult_schema.columns[name].lower  # type: ignore[union-attr]
        cell = codec.encode(np.array([position]))[0]
        drawn = codec.decode(np.full(1000, cell), np.random.default_rng(0))
        assert (drawn == position).mean() > 0.95, name


def test_numeric_columns_have_at_most_32_cells_and_rare_categories_are_folded() -> None:
    rng = np.random.default_rng(0)
    countries = [f"country {k:03d}" for k in range(300)]
    shares = np.r_[[0.3, 0.3, 0.3], np.full(297, 0.1 / 297)]
    frame = pd.DataFrame(
        {
            "amount": rng.lognormal(8, 2, 20_000).astype(int).clip(0, 2_000_000),
            "country": rng.choice(countries, 20_000, p=shares),
        }
    )
    schema = Schema(
        columns={"amount": Integer(lower=0, upper=2_000_000), "country": Categorical(categories=countries)}
    )
    encoder = learn(frame, schema, 0.2)
    amount, country = encoder.sizes
    assert amount <= 32
    assert country < 30
    again = decoded(encoder, encoder.encode_frame(frame), rng)
    common = again["country"].isin(countries[:3]).mean()
    assert common == pytest.approx(0.9, abs=0.01)
    assert again["country"].nunique() > 3, "folded categories unfold on decoding"


def test_missing_is_a_cell_and_comes_back_missing(people: pd.DataFrame, people_schema: Schema) -> None:
    encoder = learn(people, people_schema, None)
    codes = encoder.encode_frame(people)
    again = decoded(encoder, codes, np.random.default_rng(0))
    assert (again["income"].isna() == people["income"].isna()).all()
    assert again["id"].is_unique
    assert again["id"].str.fullmatch(r"P[0-9]{7}").all()
    for name in ("city", "member", "bought"):
        assert (again[name].astype(str) == people[name].astype(str)).all()


def test_the_encoder_does_not_see_what_the_schema_does_not_declare(
    people: pd.DataFrame, people_schema: Schema
) -> None:
    """An unseen category, an outlier and a missing value change counts by one, and nothing else."""
    strange = people.copy()
    strange.loc[0, ["city", "age"]] = ["Atlantis", 10**9]
    strange.loc[1, "income"] = np.nan
    one, other = learn(people, people_schema, None), learn(strange, people_schema, None)
    for name in people_schema.modelled:
        assert one.codecs[name].size == other.codecs[name].size
        assert one.codecs[name].starts[0] == other.codecs[name].starts[0]


def test_partition_counts_every_row_once_and_refinement_only_the_heavy() -> None:
    column = Integer(lower=0, upper=99_999, nullable=True)
    positions = np.array([-1, 0, 0, 0, 7, 50_000, 99_999])
    partition = first_partition(column)
    counts = partition.count(positions)
    assert counts.sum() == len(positions)
    assert counts[-1] == 1
    histogram = first_histogram(partition, counts * 1000, 7000.0, 1.0)
    heavy = heavy_leaves(histogram, 1.0, 7000.0)
    finer = children(histogram, heavy)
    assert finer.count(positions).sum() == 3, "the three zeros are a single value already"
    refined = refine(histogram, heavy, finer, finer.count(positions) * 1000, 1.0)
    assert (np.diff(refined.starts) > 0).all()
    assert refined.mass.sum() + refined.missing == pytest.approx(7000)


def test_projection_is_the_nearest_and_denoising_keeps_the_total() -> None:
    from scipy.optimize import minimize

    counts = np.array([4.0, -3.0, 9.0, 0.5])
    found = project(counts, 10.0)
    best = minimize(
        lambda x: ((x - counts) ** 2).sum(),
        np.full(4, 2.5),
        bounds=[(0, None)] * 4,
        constraints={"type": "eq", "fun": lambda x: x.sum() - 10.0},
    ).x
    assert found == pytest.approx(best, abs=1e-4)
    mass = denoise(np.array([500.0, 3.0, -2.0, 1.0]), np.ones(4), 510.0, 2.0)
    assert mass.sum() == pytest.approx(510.0)
    assert mass[0] > 450


def test_what_the_noise_hides_is_spread_evenly_and_what_it_does_not_is_kept() -> None:
    rng = np.random.default_rng(0)
    truth = np.r_[np.full(64, 9.0), np.full(64, 1.0)]
    for noise, runs in ((0.0, 128), (2.0, 89), (70.0, 1)):
        mass = denoise(truth + rng.normal(0, noise, 128), np.ones(128), 640.0, noise)
        assert mass.sum() == pytest.approx(640.0)
        assert len(np.unique(mass.round(9))) <= runs
    assert denoise(truth, np.ones(128), 640.0, 0.0) == pytest.approx(truth)
    halves = denoise(truth + rng.normal(0, 2.0, 128), np.ones(128), 640.0, 2.0)
    assert halves[:64].sum() == pytest.approx(576.0, abs=60)


def test_leaves_of_an_amount_grow_with_it_and_zero_stands_alone() -> None:
    for lower, upper in ((0, 2_000_000), (-400_000, 2_000_000), (10_000, 1_500_000), (-(10**6), -5)):
        column = Integer(lower=lower, upper=upper)
        partition = first_partition(column)
        values = partition.starts + lower
        widths = partition.ends - partition.starts
        assert partition.starts[0] == 0
        assert partition.ends[-1] == column.size
        assert (partition.ends[:-1] == partition.starts[1:]).all()
        assert len(widths) <= 128
        nearest = np.minimum(np.abs(values), np.abs(values + widths - 1))
        assert (widths <= 0.3 * nearest + column.size / 1000).all()
        if lower <= 0 <= upper:
            assert widths[values == 0].tolist() == [1]
    few = first_partition(Integer(lower=0, upper=16_383))
    assert set((few.ends - few.starts).tolist()) == {128}, "few values are counted evenly"


def amounts(kind: str, rows: int = 20_000) -> pd.DataFrame:
    """A column of amounts: limits in ten thousands, payments of which a third is round, or a measurement."""
    rng = np.random.default_rng(1)
    values = np.exp(rng.normal(11, 1, rows)).astype(int).clip(0, 1_000_000)
    if kind == "limits":
        values = values // 10_000 * 10_000
    if kind == "payments":
        values = np.where(rng.random(rows) < 1 / 3, values // 1000 * 1000, values)
    return pd.DataFrame({"amount": values})


@pytest.mark.parametrize("kind", ["limits", "payments", "measurement"])
def test_amounts_come_back_as_round_as_they_were(kind: str) -> None:
    frame = amounts(kind)
    schema = Schema(columns={"amount": Integer(lower=0, upper=1_000_000)})
    for mu in (None, 0.3):
        encoder = learn(frame, schema, mu)
        again = decoded(encoder, encoder.encode_frame(frame), np.random.default_rng(0))["amount"]
        for step in (10, 1000, 10_000):
            real = (frame["amount"] % step == 0).mean()
            assert (again % step == 0).mean() == pytest.approx(real, abs=0.03), (kind, mu, step)


def test_lifts_of_noise_alone_are_even() -> None:
    column = Integer(lower=0, upper=1_000_000)
    classes, partition = classes_of(column), first_partition(column)
    assert classes is not None
    histogram = first_histogram(partition, np.full(partition.cells, 100), 100.0 * partition.cells, 1.0)
    even = values_of_classes(histogram.starts, histogram.ends, classes.cells) / histogram.widths[:, None]
    counts = np.rint(100 * even[1:].sum(axis=0) + np.random.default_rng(0).normal(0, 5, classes.cells))
    assert fit_roundness(classes, histogram, counts.astype(np.int64), 8.0).lifts == pytest.approx(1.0)
    counts[-1] += 1000
    lifts = fit_roundness(classes, histogram, counts.astype(np.int64), 8.0).lifts
    assert lifts[-1] == 1
    assert lifts[:-1].max() < 0.1


def test_values_are_drawn_by_their_lifts() -> None:
    """Against every value's weight written out, below and above 0 and where a class has no value."""
    rng = np.random.default_rng(0)
    for zero, low, high in ((0, 1, 101), (50, 3, 200), (10**6, 999_990, 999_999), (-500, 0, 137), (0, 0, 1)):
        lifts = rng.random(5)
        values = np.arange(low, high)
        classes = sum(((values - zero) % step == 0).astype(int) for step in (5, 10, 50, 100))
        weights = lifts[classes]
        starts = np.full(100_000, low)
        drawn = Roundness(zero=zero, lifts=lifts).draw(starts, np.full(100_000, high), rng)
        shares = np.bincount(drawn - low, minlength=high - low) / len(drawn)
        assert len(shares) == high - low
        by_chance = rng.multinomial(len(drawn), weights / weights.sum()) / len(drawn)
        allowed = 1.5 * np.abs(by_chance - weights / weights.sum()).sum() + 0.002
        assert np.abs(shares - weights / weights.sum()).sum() < allowed


def test_a_row_is_counted_in_one_class_at_most_and_zero_in_none() -> None:
    classes = classes_of(Float(lower=-100.0, upper=900.0, decimals=2))
    assert classes is not None
    assert classes.zero == 10_000
    cents = [0, 1, 5, -50, 1000, 30_000, 2_500]
    counts = classes.count(np.array([-1, *(classes.zero + cent for cent in cents)]))
    assert counts.tolist() == [1, 1, 0, 1, 0, 1, 1, 0, 1]
    assert classes_of(Integer(lower=0, upper=99)) is None
    assert classes_of(Categorical(categories=["a"])) is None


def test_noise_shares_add_up_to_the_declared_mu(adult_schema: Schema) -> None:
    scales = round_noise_scales(adult_schema, 0.3)
    total = sum(1 / scale**2 for level in scales for scale in level.values())
    assert total == pytest.approx(0.3**2)


def test_codecs_survive_json_and_hostile_ones_are_refused(
    people: pd.DataFrame, people_schema: Schema
) -> None:
    encoder = learn(people, people_schema, 1.0)
    again = TableEncoder.from_dict(encoder.to_dict())
    codes = encoder.encode_frame(people)
    assert (again.encode_frame(people) == codes).all()
    round_again = again.codecs["income"].roundness
    assert round_again is not None
    assert (round_again.lifts == encoder.codecs["income"].roundness.lifts).all()  # type: ignore[union-attr]
    income = encoder.to_dict()["codecs"]["income"]
    few, zero = income["lifts"][1:], income["zero"]
    for lifts, place in ((few, zero), ([2.0, *few], zero), ([0, *few], zero), (income["lifts"], zero + 1)):
        hostile = ColumnCodec.from_dict({**income, "lifts": lifts, "zero": place})
        with pytest.raises(BundleError, match="income"):
            check_codec("income", people_schema.columns["income"], hostile)
    good = encoder.to_dict()["codecs"]["age"]
    column = people_schema.columns["age"]
    for field, bad in (
        ("starts", [0, 0]),
        ("starts", []),
        ("starts", [5]),
        ("mass", [-1.0] * len(good["mass"])),
        ("mass", [float("nan")] * len(good["mass"])),
        ("cell", [7] * len(good["cell"])),
        ("size", 10**9),
        ("nullable", True),
        ("missing", float("inf")),
    ):
        with pytest.raises(BundleError, match="age"):
            check_codec("age", column, ColumnCodec.from_dict({**good, field: bad}))


def test_a_column_of_one_value_and_a_constant_column_work() -> None:
    for column, values in ((Categorical(categories=["only"]), ["only"]), (Integer(lower=3, upper=3), [3])):
        schema = Schema(columns={"x": column})
        frame = pd.DataFrame({"x": values * 100})
        encoder = learn(frame, schema, 0.5)
        assert encoder.sizes == (1,)
        assert (decoded(encoder, encoder.encode_frame(frame), np.random.default_rng(0)) == frame).all().all()


def test_build_codec_keeps_every_position_in_exactly_one_cell() -> None:
    column = Integer(lower=0, upper=999)
    partition = first_partition(column)
    rng = np.random.default_rng(3)
    for scale in (1.0, 50.0, 1000.0):
        counts = rng.poisson(5, len(partition.starts)) + np.rint(rng.normal(0, scale, len(partition.starts)))
        codec = build_codec(column, first_histogram(partition, counts.astype(np.int64), 640.0, scale))
        codes = codec.encode(np.arange(1000))
        assert codec.cells <= 32
        assert set(codes) == set(range(codec.cells))
        back = codec.decode(codes, rng)
        assert (codec.encode(back) == codes).all()
        assert codec.shares.sum() == pytest.approx(1.0)
