"""Further codes of a row, made of its own codes and public weights: a model's score, cut into bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthpriv.errors import ConfigurationError

Weights = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class ScoreColumn:
    """The bin of a sum of one public weight per column and cell; post-processing, where no row is private.

    weights: one per cell of every column, in the encoder's order; () for a column that does not count.
    edges: ascending; a sum lies in the bin whose number is how many edges are at or below it. Sums are taken
    column by column, so that a row's bin follows from that row alone, to the last bit.
    """

    weights: Weights
    edges: tuple[float, ...]

    @property
    def cells(self) -> int:
        """The number of bins."""
        return len(self.edges) + 1

    def require_fit(self, sizes: tuple[int, ...]) -> None:
        """Raise ConfigurationError unless there is a weight for every cell of columns of these sizes."""
        found = tuple(len(weights) for weights in self.weights)
        if len(found) != len(sizes) or any(
            one not in (0, size) for one, size in zip(found, sizes, strict=True)
        ):
            raise ConfigurationError(
                f"a score needs one weight per cell of every column {sizes}, or none, found {found}."
            )

    def sums(self, codes: npt.NDArray[np.int16]) -> npt.NDArray[np.float64]:
        """The sum of every row of codes (shape (rows, columns))."""
        total = np.zeros(len(codes))
        for at, weights in enumerate(self.weights):
            if weights:
                total += np.asarray(weights)[codes[:, at]]
        return total

    def encode(self, codes: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
        """The bin of every row of codes, 0..cells-1.

        >>> score = ScoreColumn(weights=((0.0, 2.0), ()), edges=(1.0,))
        >>> score.encode(np.array([[0, 5], [1, 5]], dtype=np.int16)).tolist()
        [0, 1]
        """
        return np.searchsorted(self.edges, self.sums(codes), side="right").astype(np.int16)
