"""Estimate: a figure with its interval, what to compare it with, and a plain sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Direction = Literal["lower", "higher", "half"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One figure of a scorecard.

    low, high: the 95% interval, made by `method` (e.g. "bootstrap", "Clopper-Pearson"). controls: what
    good and bad look like, by name (e.g. {"real holdout": 0.023, "independent columns": 0.087}).
    direction: which way is good ("half": 0.5 is best). sentence: what the figure means, for a steward.
    """

    value: float
    low: float
    high: float
    method: str
    direction: Direction
    sentence: str
    controls: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "controls": dict(self.controls)}
