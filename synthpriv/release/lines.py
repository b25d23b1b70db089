"""A figure on a line: where its value, its interval and its controls stand, as percents of the line."""

from __future__ import annotations

import math
from dataclasses import dataclass

from synthpriv.evaluation.estimate import Estimate
from synthpriv.release.words import CONTROL_MARKS, FigureWords, figure_words, split_figure

PLANTED = "privacy.positive_control"


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A control on a figure's line: where it stands (percent of the line) and the class that draws it."""

    name: str
    value: float
    at: float
    drawn: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """One figure as a page draws it: its words, its numbers, and all positions as percents of one line.

    subject: what was judged, drawn with the class `drawn`: this table, or the leaky copy of the control.
    """

    name: str
    words: FigureWords
    estimate: Estimate
    subject: str
    drawn: str
    start: float
    end: float
    at: float
    low_at: float
    high_at: float
    marks: tuple[Mark, ...]


def line_of(name: str, estimate: Estimate, words: FigureWords | None = None) -> Line:
    """Lay a figure out: from 0, or from just below one half where that is chance, to above the largest."""
    numbers = [estimate.value, estimate.low, estimate.high, *estimate.controls.values()]
    finite = [number for number in numbers if math.isfinite(number)] or [0.0]
    bare, _ = split_figure(name)
    chance = estimate.direction == "half" or ".auc" in bare
    start = min(0.45 if chance else 0.0, *finite)
    largest = max(1.0 if chance else start + 1e-9, *finite)
    end = min(1.1 * largest, 1.0) if largest <= 1 else largest
    subject, drawn = ("leaky copy", "leaky") if bare.startswith(PLANTED) else ("this table", "synthetic")

    def place(number: float) -> float:
        if not math.isfinite(number):
            return 0.0
        return round(100 * (number - start) / (end - start), 2)

    marks = tuple(
        Mark(name=control, value=value, at=place(value), drawn=CONTROL_MARKS.get(control, "other"))
        for control, value in estimate.controls.items()
        if control != subject
    )
    return Line(
        name=name,
        words=words or figure_words(name),
        estimate=estimate,
        subject=subject,
        drawn=drawn,
        start=start,
        end=end,
        at=place(estimate.value),
        low_at=place(estimate.low),
        high_at=place(estimate.high),
        marks=marks,
    )
