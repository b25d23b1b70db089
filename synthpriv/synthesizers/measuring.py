"""What a fit counts before it trains: the encoder's histograms and the plan's marginals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from synthpriv.encoding.partition import Countable
from synthpriv.encoding.table_encoder import TableEncoder, learn_encoder
from synthpriv.privacy.ledger import Release
from synthpriv.privacy.private_table import PrivateTable
from synthpriv.progress import Report
from synthpriv.synthesizers.anchor import Anchor
from synthpriv.synthesizers.planning import FitPlan
from synthpriv.synthesizers.workload import choose_groups, label_column


def measured_encoder(private: PrivateTable, release: Release, plan: FitPlan, report: Report) -> TableEncoder:
    """The encoder, from the plan's rounds of noisy histograms."""

    def measure(
        what: str, partitions: Mapping[str, Countable], scales: Mapping[str, float]
    ) -> dict[str, npt.NDArray[np.int64]]:
        return private.histograms(
            release,
            f"histograms, {what}",
            partitions,
            scales,
            lambda _, done, total: report(f"counting columns, {what}", done, total),
        )

    return learn_encoder(private.schema, plan.rows, plan.encoding_scales, measure, plan.cells)


def measured_marginals(
    private: PrivateTable, release: Release, encoder: TableEncoder, plan: FitPlan, report: Report
) -> Anchor | None:
    """The plan's noisy marginals as a loss, pairs chosen first where there are too many; None for none."""
    if plan.workload is None:
        return None
    workload = plan.workload
    if workload.chosen is not None:
        scores = private.dependence(
            release, "choice of pairs", encoder, workload.groups, plan.rows, plan.selection_scale, report
        )
        label = label_column(private.schema)
        workload = choose_groups(workload, scores, encoder.shares, plan.rows, label)
    marginals = private.marginals(release, "marginals", encoder, workload.groups, plan.marginal_scale, report)
    return Anchor(workload, marginals, encoder.shares, plan.rows, plan.marginal_scale)
