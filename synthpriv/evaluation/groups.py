"""Groups: whether models that learnt from the synthetic table serve some people worse than others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from synthpriv.evaluation.comparisons import GroupComparison
from synthpriv.evaluation.intervals import Floats
from synthpriv.evaluation.targets import Target
from synthpriv.schema import AnyColumn
from synthpriv.schema.values import restore

FEWEST_GROUP_ROWS = 50


@dataclass(frozen=True, kw_only=True, repr=False)
class GroupScores:
    """The scores of one target within each group of one column, by contender: (groups, 1 + resamples)."""

    target: Target
    column: str
    groups: tuple[str, ...]
    rows: tuple[int, ...]
    scores: Mapping[str, Floats]

    def gap_change(self, contender: str, reference: str) -> tuple[Floats, tuple[str, str]]:
        """The largest change of a gap between two groups, as models learn from `contender`: (1 + resamples,).

        And the two groups: the one that gains, and the one that loses. The resamples keep to that pair.
        """
        change = self.scores[contender] - self.scores[reference]
        gains, loses = int(change[:, 0].argmax()), int(change[:, 0].argmin())
        return change[gains] - change[loses], (self.groups[gains], self.groups[loses])

    def compared(self) -> tuple[GroupComparison, ...]:
        """Each group's score by models trained on real and on synthetic rows."""
        return tuple(
            GroupComparison(
                target=self.target.name,
                column=self.column,
                group=group,
                rows=rows,
                score=self.target.score_name,
                real=float(self.scores["real rows"][at, 0]),
                synthetic=float(self.scores["synthetic"][at, 0]),
            )
            for at, (group, rows) in enumerate(zip(self.groups, self.rows, strict=True))
        )


def score_groups(
    target: Target, name: str, column: AnyColumn, at: int, predictions: Mapping[str, Mapping[str, Floats]]
) -> tuple[GroupScores | None, tuple[str, ...]]:
    """The families' mean scores within every group that has test rows enough; None, and a note, below two.

    at: the column's place in the test rows. predictions: by contender and model.
    """
    positions = target.test.positions[:, at]
    labels = restore(np.arange(column.size), column, "").astype(str).tolist()
    parts, small = {}, []
    for code in np.unique(positions[positions >= 0]).tolist():
        rows = np.flatnonzero(positions == code)
        part = target.on(rows) if len(rows) >= FEWEST_GROUP_ROWS else None
        if part is None:
            small.append(labels[code])
        else:
            parts[labels[code]] = rows, part
    notes: tuple[str, ...] = ()
    if small:
        notes = (
            f"Groups of {name!r} with too few holdout rows to score {target.name!r} are left out of the gaps "
            f"({FEWEST_GROUP_ROWS} rows and enough of each class are needed): {', '.join(small)}.",
        )
    if len(parts) < 2:
        return None, (
            *notes,
            f"The gap between groups of {name!r} is left out: fewer than two can be scored.",
        )
    scores = {
        contender: np.stack(
            [
                np.mean([part.score(one[rows]) for one in made.values()], axis=0)
                for rows, part in parts.values()
            ]
        )
        for contender, made in predictions.items()
    }
    sizes = tuple(len(rows) for rows, _ in parts.values())
    return GroupScores(target=target, column=name, groups=tuple(parts), rows=sizes, scores=scores), notes
