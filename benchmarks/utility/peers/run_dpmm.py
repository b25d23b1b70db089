"""dpmm: AIM, MST and PrivBayes over PrivTree bins.

The claim covers the bins (a tenth of epsilon, added to the rest). Public bounds and categories are given.
Not covered: whether a column has missing values or one value only, which dpmm looks up in the rows.
"""

import pandas as pd
from dpmm.pipelines import AIMPipeline, MSTPipeline, PrivBayesPipeline
from exchange import Request, Sample, answer

PIPELINES = {
    "dpmm-aim": (AIMPipeline, 1),  # at most a megabyte of model: without a limit it does not end
    "dpmm-mst": (MSTPipeline, None),
    "dpmm-privbayes": (PrivBayesPipeline, None),
}
BINNING = 0.1  # of epsilon


def fit(train: pd.DataFrame, request: Request) -> Sample:
    """Fit the pipeline under the public domain."""
    pipeline, megabytes = PIPELINES[request["system"]]
    model = pipeline(
        epsilon=(1 - BINNING) * request["epsilon"],
        delta=request["delta"],
        proc_epsilon=BINNING * request["epsilon"],
        max_model_size=megabytes,
        n_jobs=1,
    )
    known = ("lower", "upper", "categories")
    domain = {
        name: {key: column[key] for key in known if key in column}
        for name, column in request["columns"].items()
    }
    model.fit(train, domain=domain, random_state=request["seed"])
    return lambda rows: model.generate(n_records=rows)


if __name__ == "__main__":
    answer(fit, ("dpmm", "numpy", "pandas"))
