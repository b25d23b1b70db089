"""Shadow fits: the synthesizer of a release, fitted again on small tables, for the judge alone."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from synthpriv.evaluation.shadows import Refit
from synthpriv.privacy import processes
from synthpriv.synthesizers.fitted import FittedSynthesizer


def shadow_fit(fitted: FittedSynthesizer) -> Refit | None:
    """What fits the same configuration, at the same epsilon and delta, on rows that the judge hands it.

    None among several processes: the others have ended, and a fit would wait for them.

    Privacy. These fits read rows that were disclosed to the judge, which is recorded in the ledger, and are
    internal like every figure on real rows (docs/threat-model.md, requirement 30): neither their tables nor
    their weights nor their scores leave this process; one number and one curve come of them, on the internal
    page. Charging them would be wrong in both directions: nothing that is published depends on them but the
    verdict, so that there is nothing to pay for, and noise in them would not make the verdict private, which
    depends on exact figures in any case. That bit is recorded and counted as before. Each fit's own ledger
    lives in memory and goes with it, so that the table's ledger shows what was released, and no more.
    """
    if processes.team().size > 1:
        return None
    config = replace(fitted.config, delta=fitted.claim.delta, verbose=False)

    def refit(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
        """A synthetic table of as many rows as were counted with noise: the length tells nothing either."""
        return replace(config, random_state=seed).fit(rows, fitted.schema).sample(seed=seed)

    return refit
