"""Random questions of a few columns at once, as an analyst asks them: how far off the answers are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthpriv.evaluation.bins import Bins, Codes
from synthpriv.evaluation.cells import Array
from synthpriv.evaluation.distances import Distance, bias_of_gaps, chance_gaps, standard_error
from synthpriv.evaluation.estimate import Estimate

COLUMNS = 3


@dataclass(frozen=True, kw_only=True)
class Query:
    """'How many rows have all of this?': the columns asked about and, of each, the bins that count."""

    columns: tuple[int, ...]
    accepted: tuple[npt.NDArray[np.bool_], ...]

    def answer(self, codes: Codes) -> npt.NDArray[np.bool_]:
        """(rows,), True for the rows that count."""
        found = self.accepted[0][codes[:, self.columns[0]]]
        for at, accepted in zip(self.columns[1:], self.accepted[1:], strict=True):
            found &= accepted[codes[:, at]]
        return found


def random_queries(bins: Sequence[Bins], count: int, rng: np.random.Generator) -> tuple[Query, ...]:
    """Queries of up to three columns: a range between two bins of a number, half of the values of a list.

    Every range of bins is as likely as any other, and so is every choice of values (at least one; a missing
    value is one of them); undeclared values never count.
    """
    queries = []
    for _ in range(count):
        columns = rng.choice(len(bins), size=min(COLUMNS, len(bins)), replace=False)
        accepted = []
        for at in columns:
            size = len(bins[at].labels)
            counts = np.zeros(size, dtype=np.bool_)
            if bins[at].edges is None:
                values = np.append(np.arange(size - 2), size - 1)
                counts[values] = rng.random(len(values)) < 0.5
                counts[rng.choice(values)] = True
            else:
                low, high = np.sort(rng.integers(0, size - 2, size=2))
                counts[low : high + 1] = True
            accepted.append(counts)
        queries.append(Query(columns=tuple(columns.tolist()), accepted=tuple(accepted)))
    return tuple(queries)


def judge_queries(contenders: Mapping[str, Codes], holdout: Codes, queries: Sequence[Query]) -> Estimate:
    """The figure "fidelity.queries": the mean absolute error of the answers, in shares of rows."""
    own = query_error(contenders["synthetic"], holdout, queries)
    controls = {
        name: query_error(codes, holdout, queries).value
        for name, codes in contenders.items()
        if name != "synthetic"
    }
    asked = len(queries[0].columns)
    words = (
        f"Mean absolute error of {len(queries)} random queries ('which share of rows has this range or these "
        f"values in {asked} columns at once?'), answered from {len(contenders['synthetic'])} synthetic rows "
        f"and from {len(holdout)} real holdout rows"
    )
    remark = "Ranges end at quantiles of the holdout; a value of a list is asked about with probability 1/2."
    return own.estimate(words, controls, remark)


def query_error(made: Codes, real: Codes, queries: Sequence[Query]) -> Distance:
    """The mean absolute difference between the shares that two tables answer."""
    rows = (len(made), len(real))
    influences: tuple[Array, Array] = (np.zeros(rows[0]), np.zeros(rows[1]))
    counts = np.zeros((2, len(queries)))
    for at, query in enumerate(queries):
        answers = query.answer(made), query.answer(real)
        counts[:, at] = [np.count_nonzero(answer) for answer in answers]
        sign = np.sign(counts[0, at] / rows[0] - counts[1, at] / rows[1])
        for influence, answer in zip(influences, answers, strict=True):
            influence += sign * answer
    gaps = counts[0] / rows[0] - counts[1] / rows[1]
    chance = chance_gaps(counts.sum(axis=0), rows)
    return Distance(
        value=float(np.abs(gaps).mean()),
        error=standard_error((influences[0] / len(queries), influences[1] / len(queries)), rows),
        noise=float(chance.mean()),
        bias=float(bias_of_gaps(gaps, chance).mean()),
    )
