"""SmartNoise: MST and AIM over bins between the public bounds, and PATE-CTGAN.

An integer with at most 100 values has a bin for each, other numbers 20 bins of equal width that the package
answers with their middle; integers are rounded. Bins and labels come from the public domain alone, so that
the whole epsilon is the mechanism's. Not covered: the row count, which MST takes as it is. The claim of
PATE-CTGAN does not hold: its teachers and its student are one and the same network, which has seen every row,
and both training and sampling draw categories by their exact shares.
"""

import itertools
from typing import Any

import numpy as np
import pandas as pd
from exchange import NUMBERS, Request, Sample, answer
from snsynth import Synthesizer
from snsynth.transform import (
    BinTransformer,
    ChainTransformer,
    LabelTransformer,
    MinMaxTransformer,
    OneHotEncoder,
    TableTransformer,
)

BINS = 20
SINGLE = 100  # values at most for a bin each


def bins(column: dict[str, Any]) -> BinTransformer:
    """Bins that the bounds alone decide."""
    lower, upper = float(column["lower"]), float(column["upper"])
    values = round(upper - lower) + 1
    if column["kind"] == "integer" and values <= SINGLE:
        return BinTransformer(bins=values, lower=lower - 0.5, upper=upper + 0.5)
    return BinTransformer(bins=BINS, lower=lower, upper=upper)


def transformer(request: Request, gan: bool) -> TableTransformer:
    """Fitted on rows made of nothing but the public domain: every category, and both bounds."""
    steps, values = [], {}
    for name, column in request["columns"].items():
        if column["kind"] in NUMBERS:
            bounds = [float(column["lower"]), float(column["upper"])]
            steps.append(MinMaxTransformer(lower=bounds[0], upper=bounds[1]) if gan else bins(column))
            values[name] = bounds
        else:
            label = LabelTransformer(nullable=False)
            steps.append(ChainTransformer([label, OneHotEncoder()]) if gan else label)
            values[name] = column["categories"]
    rows = max(map(len, values.values()))
    table = TableTransformer(steps)
    table.fit(pd.DataFrame({n: list(itertools.islice(itertools.cycle(v), rows)) for n, v in values.items()}))
    return table


def fit(train: pd.DataFrame, request: Request) -> Sample:
    """Fit with the package's defaults, but for the claim."""
    np.random.seed(request["seed"])  # noqa: NPY002 - the generator that the package draws from
    name = request["system"].removeprefix("smartnoise-")
    synthesizer = Synthesizer.create(name, epsilon=request["epsilon"], delta=request["delta"])
    synthesizer.fit(train, transformer=transformer(request, gan=name == "patectgan"))

    def sample(rows: int) -> pd.DataFrame:
        drawn = pd.DataFrame(synthesizer.sample(rows))
        drawn.columns = train.columns
        integers = [name for name, column in request["columns"].items() if column["kind"] == "integer"]
        return drawn.round(dict.fromkeys(integers, 0))

    return sample


if __name__ == "__main__":
    answer(fit, ("smartnoise-synth", "mbi", "opacus", "torch", "numpy", "pandas"))
