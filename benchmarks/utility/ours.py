"""One fit of one of the package's own synthesizers, asked like every peer (peers/exchange.py)."""

from __future__ import annotations

import pandas as pd

from benchmarks.utility.peers.exchange import Request, Sample, answer
from synthpriv.schema import Schema
from synthpriv.synthesizers.storage import SYNTHESIZERS


def fit(train: pd.DataFrame, request: Request) -> Sample:
    """Fit as a user would: nothing but the claim is configured, the row count is paid for."""
    synthesizer = SYNTHESIZERS[request["system"]](
        epsilon=request["epsilon"], delta=request["delta"], random_state=request["seed"]
    )
    fitted = synthesizer.fit(train, Schema.read(request["schema"]))
    return lambda rows: fitted.sample(rows)


if __name__ == "__main__":
    answer(fit, ("torch", "numpy", "pandas"))
