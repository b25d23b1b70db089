"""Tables whose worth is known without a judge: good ones, useless ones, leaky ones, and private ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.evaluation.tables import Rows
from synthpriv.schema import Boolean, Categorical
from synthpriv.synthesizers.mixture import MixtureSynthesizer
from synthpriv.tables import conform

DELTA = 1e-5
AS_IF = 1.0  # the epsilon that is claimed, falsely or idly, of tables that no mechanism made
KEPT = 0.1
MOVED = 0.02
REPLACED = 0.05


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A table to be judged. make: from the rows and a generator. words: what is known about it."""

    make: Callable[[Rows, np.random.Generator], pd.DataFrame]
    words: str
    epsilon: float = AS_IF


def fresh(rows: Rows, rng: np.random.Generator) -> pd.DataFrame:
    """Real rows that nobody trained on."""
    return rows.fresh


def independent(rows: Rows, rng: np.random.Generator) -> pd.DataFrame:
    """Every column shuffled on its own."""
    return rows.fresh.apply(lambda column: shuffled(column, rng))


def shuffled(column: pd.Series, rng: np.random.Generator) -> pd.Series:
    """The same values in another order, under the same index."""
    return pd.Series(column.sample(frac=1, random_state=rng).array, index=column.index)


def shuffled_target(rows: Rows, rng: np.random.Generator) -> pd.DataFrame:
    """Fresh rows whose targets are shuffled."""
    moved = {name: shuffled(rows.fresh[name], rng) for name in rows.schema.targets}
    return rows.fresh.assign(**moved)


def collapsed(rows: Rows, rng: np.random.Generator) -> pd.DataFrame:
    """One kind of person: column by column the largest category or the middle half, until a tenth is left."""
    left = rows.fresh
    for name, column in rows.schema.modelled.items():
        if len(left) <= KEPT * len(rows.fresh):
            break
        if name in rows.schema.targets:
            continue
        if isinstance(column, Categorical | Boolean):
            left = left[left[name] == left[name].mode()[0]]
        else:
            left = left[left[name].between(*left[name].quantile([0.25, 0.75]))]
    return left.sample(len(rows.fresh), replace=True, random_state=rng).reset_index(drop=True)


def copied(rows: Rows, rng: np.random.Generator) -> pd.DataFrame:
    """The training rows themselves."""
    return rows.train


def subsample(rows: Rows, rng: np.random.Generator) -> pd.DataFrame:
    """A random half of the training rows, topped up with fresh ones."""
    half = len(rows.train) // 2
    return pd.concat([rows.train.sample(half, random_state=rng), rows.fresh.iloc[half:]], ignore_index=True)


def jittered(rows: Rows, rng: np.random.Generator) -> pd.DataFrame:
    """Training rows whose numbers move by up to two percent; one category in twenty is another person's."""
    moved = {}
    for name, column in rows.schema.modelled.items():
        values = rows.train[name]
        if isinstance(column, Categorical | Boolean):
            stay = pd.Series(rng.random(len(values)) > REPLACED)
            moved[name] = values.where(stay, shuffled(values, rng))
        else:
            values = values.astype("float64")
            moved[name] = values * rng.uniform(1 - MOVED, 1 + MOVED, len(values))
            if column.kind == "integer":
                moved[name] = moved[name].round()
    return conform(pd.DataFrame(moved), rows.schema)[0]


def private(epsilon: float) -> Contender:
    """The mixture at this epsilon, all-in; its row count is taken as public."""

    def make(rows: Rows, rng: np.random.Generator) -> pd.DataFrame:
        count = len(rows.train)
        config = MixtureSynthesizer(epsilon=epsilon, delta=DELTA, random_state=0)
        return config.fit(rows.train, rows.schema, rows=count).sample(count, seed=0)

    words = f"the package's mixture, trained under epsilon {epsilon:g} at delta {DELTA:g}"
    return Contender(make=make, words=words, epsilon=epsilon)


CONTENDERS = {
    "fresh": Contender(make=fresh, words="real rows that nobody trained on: as good and as safe as can be"),
    "dp 10": private(10.0),
    "dp 1": private(1.0),
    "dp 0.5": private(0.5),
    "independent": Contender(make=independent, words="fresh rows, every column shuffled on its own"),
    "shuffled target": Contender(make=shuffled_target, words="fresh rows, the target alone shuffled"),
    "collapsed": Contender(make=collapsed, words="one kind of person: a tenth of the fresh rows, repeated"),
    "subsample": Contender(make=subsample, words="half training rows, half fresh rows"),
    "jittered": Contender(
        make=jittered, words="training rows, numbers moved by 2%, one category in twenty replaced"
    ),
    "copied": Contender(make=copied, words="the training rows themselves"),
}


def table_of(name: str, dataset: str, rows: Rows, keep: Path) -> pd.DataFrame:
    """The contender's table; one that was fitted is kept as Parquet, so that each is fitted once."""
    contender = CONTENDERS[name]
    path = keep / f"{dataset}-{name.replace(' ', '-')}.parquet"
    if contender.epsilon != AS_IF or name == "dp 1":
        if not path.exists():
            contender.make(rows, np.random.default_rng(0)).to_parquet(path)
        return conform(pd.read_parquet(path), rows.schema)[0]
    return contender.make(rows, np.random.default_rng(0))
