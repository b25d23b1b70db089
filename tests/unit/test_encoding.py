"""The encoder: cells from released counts, atoms, folding, missing values, and the real Adult round trip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthpriv.encoding.codec import ColumnCodec, build_codec, check_codec
from synthpriv.encoding.partition import (
    Partition,
    children,
    denoise,
    first_histogram,
    first_partition,
    heavy_leaves,
    project,
    refine,
)
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
from synthpriv.schema import Categorical, Integer, Schema


def learn(frame: pd.DataFrame, schema: Schema, mu: float | None) -> TableEncoder:
    """An encoder at mu-GDP from real mechanisms; None: exact counts."""
    positions = positions_of(frame, schema)

    def measure(level: int, partitions: Mapping[str, Partition], scales: Mapping[str, float]) -> Any:
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
    assert finer.count(positions).sum() == 6
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
