"""MOSTLY AI's TabularARGN, with its defaults, without privacy and with DP-SGD.

Categories are declared as such; it takes no public domain beyond that: value ranges and lists are found with
a share of epsilon (a tenth), which its total includes. Not covered: the row count, the encoding that it
picks for each number after looking at the values, and the validation loss on real rows, which sets the
learning rate, ends the training and picks the best weights.
"""

import math

import pandas as pd
from exchange import Request, Sample, answer, numeric
from mostlyai.engine import TabularARGN
from mostlyai.engine.domain import DifferentialPrivacyConfig

RANGES = 0.1  # of epsilon


def fit(train: pd.DataFrame, request: Request) -> Sample:
    """Fit until epsilon is spent, or without privacy until the validation loss stays."""
    privacy = None
    if math.isfinite(request["epsilon"]):
        privacy = DifferentialPrivacyConfig(
            max_epsilon=request["epsilon"],
            delta=request["delta"],
            value_protection_epsilon=RANGES * request["epsilon"],
        )
    lists = {name: "TABULAR_CATEGORICAL" for name in request["columns"] if name not in numeric(request)}
    model = TabularARGN(
        differential_privacy=privacy, tgt_encoding_types=lists, device="cpu", random_state=request["seed"]
    )
    model.fit(train)
    return lambda rows: model.sample(n_samples=rows)


if __name__ == "__main__":
    answer(fit, ("mostlyai-engine", "opacus", "torch", "numpy", "pandas"))
