"""The `ctgan` package's CTGAN and TVAE, with its defaults; no privacy at all.

They take no public domain: categories and scales are what the rows hold.
"""

import numpy as np
import pandas as pd
import torch
from ctgan import CTGAN, TVAE
from exchange import Request, Sample, answer, numeric

MODELS = {"ctgan-ctgan": CTGAN, "ctgan-tvae": TVAE}


def fit(train: pd.DataFrame, request: Request) -> Sample:
    """Fit with the given number of epochs (the package's default is 300)."""
    torch.manual_seed(request["seed"])
    np.random.seed(request["seed"])  # noqa: NPY002 - the generator that the package draws from
    model = MODELS[request["system"]](epochs=request["options"]["epochs"], enable_gpu=False)
    numbers = numeric(request)
    model.fit(train, [name for name in train.columns if name not in numbers])
    return model.sample


if __name__ == "__main__":
    answer(fit, ("ctgan", "rdt", "torch", "numpy", "pandas"))
