"""Features: a table's cells as the matrices that models learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from synthpriv.evaluation.cells import Array, Cells, is_numeric
from synthpriv.schema.values import MISSING

Form = Literal["linear", "ordinal"]
FORMS: tuple[Form, ...] = ("linear", "ordinal")
MOST_INDICATORS = 50


@dataclass(frozen=True, kw_only=True)
class FeatureEncoder:
    """Cells -> features, fixed by the schema and the real training rows, the same for every table.

    features: the feature columns' indices. kept: per feature, the categories with an indicator (the most
    common, where there are many), or None for a number. middle, spread: per feature, for numbers.
    """

    features: tuple[int, ...]
    kept: tuple[Array | None, ...]
    middle: tuple[float, ...]
    spread: tuple[float, ...]

    @classmethod
    def fit(cls, train: Cells, target: str) -> FeatureEncoder:
        """The encoder of every column but the target."""
        features = tuple(at for at, name in enumerate(train.names) if name != target)
        kept: list[Array | None] = []
        middle, spread = [], []
        for at in features:
            positions = train.positions[:, at]
            present = positions[positions != MISSING]
            if is_numeric(train.columns[at]):
                kept.append(None)
                middle.append(float(present.mean()) if len(present) else 0.0)
                spread.append(float(present.std()) if len(present) else 0.0)
            else:
                common = np.argsort(-np.bincount(present, minlength=train.columns[at].size), kind="stable")
                kept.append(np.sort(common[:MOST_INDICATORS]))
                middle.append(0.0)
                spread.append(0.0)
        return cls(features=features, kept=tuple(kept), middle=tuple(middle), spread=tuple(spread))

    def encode(self, cells: Cells, form: Form) -> Array:
        """The features in the form that a model needs."""
        return self.linear(cells) if form == "linear" else self.ordinal(cells)

    def linear(self, cells: Cells) -> Array:
        """(rows, indicators and numbers): one-hot lists, standardised numbers within +-10, missing flags.

        An unknown category has no indicator; a missing number is the mean, with its flag set.
        """
        blocks = []
        for at, kept, middle, spread in zip(self.features, self.kept, self.middle, self.spread, strict=True):
            positions = cells.positions[:, at, None]
            missing = (positions == MISSING) & ~cells.outside[:, at, None]
            if kept is None:
                standard = np.clip((positions - middle) / (spread or 1.0), -10.0, 10.0)
                block = np.where(positions == MISSING, 0.0, standard)
            else:
                block = positions == kept
            blocks += [block.astype(np.float32), missing.astype(np.float32)]
        return np.hstack(blocks)

    def ordinal(self, cells: Cells) -> Array:
        """(rows, features): positions as they are, for trees; missing is -1, an unknown category -2."""
        features = list(self.features)
        unknown = cells.outside[:, features] & (cells.positions[:, features] == MISSING)
        return np.where(unknown, -2, cells.positions[:, features]).astype(np.float32)

    def blocks(self, form: Form) -> list[slice]:
        """Which columns of the encoded form each feature fills."""
        widths = [1 if form == "ordinal" else 1 + (1 if kept is None else len(kept)) for kept in self.kept]
        ends = np.cumsum(widths).tolist()
        return [slice(end - width, end) for end, width in zip(ends, widths, strict=True)]
