"""An independent judge of synthetic tables: plain NumPy, pandas and scikit-learn on DataFrames.

It shares no code with the package's own evaluation, so that neither can hide a mistake of the other. Every
figure compares with real rows that no synthesizer saw (`test`):

tvd1, tvd2, tvd3: total variation of single columns, all pairs, and triples (all, or a sample fixed by the
seed), averaged; numbers in bins of equally many test rows. auc: of three models trained on the synthetic
rows and tested on `test`, one by one and averaged. c2st: AUC of gradient boosting that tells synthetic rows
from test rows (0.5: it cannot).
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

Array = npt.NDArray[Any]
BINS = 20
MOST_TRIPLES = 500
LARGEST = 10.0  # standard deviations that a number may lie from the mean, for the linear model
MODELS = ("logistic", "forest", "boosting")


def independent(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The same columns, each shuffled on its own: what a table without any dependence scores."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame({name: rng.permutation(frame[name].to_numpy()) for name in frame.columns})


class Judge:
    """Figures of synthetic tables against real rows that were held out.

    train: real rows, which fix the categories and the scale of features. test: real rows held out. numeric:
    the columns that are numbers; all others are categories, compared as text. target: the categorical column
    that models predict.
    """

    def __init__(
        self, train: pd.DataFrame, test: pd.DataFrame, *, numeric: Sequence[str], target: str, seed: int = 0
    ) -> None:
        real = pd.concat([train, test])
        self.names = tuple(test.columns)
        self.target = self.names.index(target)
        self.categories = {
            name: np.unique(real[name].astype(str)) for name in self.names if name not in set(numeric)
        }
        self.seed = seed
        self.test = self.values(test)
        self.edges = [self._edges(at) for at in range(len(self.names))]
        self.test_codes = self.codes(self.test)
        values = np.nan_to_num(self.values(train))
        self.middle, self.spread = (
            values.mean(axis=0),
            np.where(values.std(axis=0) > 0, values.std(axis=0), 1),
        )
        self.groups = {f"tvd{size}": self._groups(size) for size in (1, 2, 3)}

    def figures(self, synthetic: pd.DataFrame) -> dict[str, float]:
        """Every figure of a table that has the real table's columns."""
        values = self.values(synthetic)
        codes = self.codes(values)
        found = {name: self._distance(codes, groups) for name, groups in self.groups.items()}
        areas = {f"auc_{model}": self._area(model, values) for model in MODELS}
        return {
            **found,
            **areas,
            "auc": float(np.mean(list(areas.values()))),
            "c2st": self._told_apart(values),
        }

    def values(self, frame: pd.DataFrame) -> Array:
        """(rows, columns): numbers as they are (NaN: missing), categories by place (-1: not a real one)."""
        columns = []
        for name in self.names:
            if name not in self.categories:
                numbers = pd.to_numeric(frame[name], errors="coerce")
                columns.append(numbers.to_numpy(dtype=float, na_value=np.nan))
            else:
                index = pd.Index(self.categories[name])
                columns.append(index.get_indexer(pd.Index(frame[name].astype(str))).astype(float))
        return np.column_stack(columns)

    def codes(self, values: Array) -> Array:
        """(rows, columns): the bin of each value; the last bin of a column is for missing and unknown."""
        codes = np.empty(values.shape, dtype=np.int64)
        for at, edges in enumerate(self.edges):
            column = values[:, at]
            unknown = np.isnan(column) | (column < 0) & (self.names[at] in self.categories)
            codes[:, at] = np.where(unknown, len(edges) + 1, np.searchsorted(edges, column, side="right"))
        return codes

    def _edges(self, at: int) -> Array:
        """The first value of every bin but the first."""
        if self.names[at] in self.categories:
            return np.arange(1.0, len(self.categories[self.names[at]]))
        present = self.test[:, at][~np.isnan(self.test[:, at])]
        if not len(present):
            return np.empty(0)
        return np.unique(np.quantile(present, np.arange(1, BINS) / BINS, method="higher"))

    def _groups(self, size: int) -> list[tuple[int, ...]]:
        groups = list(itertools.combinations(range(len(self.names)), size))
        if len(groups) <= MOST_TRIPLES or size < 3:
            return groups
        chosen = np.random.default_rng(self.seed).choice(len(groups), MOST_TRIPLES, replace=False)
        return [groups[at] for at in np.sort(chosen)]

    def _distance(self, codes: Array, groups: Sequence[tuple[int, ...]]) -> float:
        sizes = [len(edges) + 2 for edges in self.edges]
        total = 0.0
        for group in groups:
            shape = tuple(sizes[at] for at in group)
            shares = []
            for rows in (codes, self.test_codes):
                cells = np.ravel_multi_index(tuple(rows[:, at] for at in group), shape)
                shares.append(np.bincount(cells, minlength=int(np.prod(shape))) / len(rows))
            total += float(np.abs(shares[0] - shares[1]).sum()) / 2
        return total / len(groups)

    def _area(self, model: str, values: Array) -> float:
        """One-vs-rest AUC on the test rows, averaged over classes; 0.5 where there is nothing to learn."""
        known = values[values[:, self.target] >= 0]
        labels, truth = known[:, self.target].astype(int), self.test[:, self.target].astype(int)
        if len(np.unique(labels)) < 2:
            return 0.5
        features = self._indicators if model == "logistic" else self._plain
        scores = np.zeros((len(truth), len(self.categories[self.names[self.target]])))
        learner = _learner(model, self.seed)
        with warnings.catch_warnings():
            # a synthetic table may be separable without end; the unfinished fit is then its score
            warnings.simplefilter("ignore", ConvergenceWarning)
            learner.fit(features(known), labels)
        scores[:, learner.classes_] = learner.predict_proba(features(self.test))
        return float(np.mean([roc_auc_score(truth == one, scores[:, one]) for one in np.unique(truth)]))

    def _plain(self, values: Array) -> Array:
        """Values as trees take them, without the target: missing is below everything."""
        return np.nan_to_num(np.delete(values, self.target, axis=1), nan=-1e9).astype(np.float32)

    def _indicators(self, values: Array) -> Array:
        """Standardised numbers with a flag for missing, and one-hot categories, without the target."""
        blocks = []
        for at, name in enumerate(self.names):
            column = values[:, at, None]
            if at == self.target:
                continue
            if name in self.categories:
                blocks.append(column == np.arange(len(self.categories[name])))
            else:
                standard = np.clip((column - self.middle[at]) / self.spread[at], -LARGEST, LARGEST)
                blocks += [np.nan_to_num(standard), np.isnan(column)]
        return np.hstack([block.astype(np.float32) for block in blocks])

    def _told_apart(self, values: Array) -> float:
        """AUC on half of the rows after learning on the other half, equally many of both kinds."""
        rng = np.random.default_rng(self.seed)
        rows = min(len(values), len(self.test))
        taken = [rng.permutation(len(table))[:rows] for table in (values, self.test)]
        both = np.vstack([values[taken[0]], self.test[taken[1]]]).astype(np.float32)
        real = np.repeat([0, 1], rows)
        order = rng.permutation(2 * rows)
        learn, ask = order[:rows], order[rows:]
        learner = _learner("boosting", self.seed).fit(both[learn], real[learn])
        return float(roc_auc_score(real[ask], learner.predict_proba(both[ask])[:, 1]))


def _learner(model: str, seed: int) -> Any:
    if model == "logistic":
        return LogisticRegression(max_iter=500)
    if model == "forest":
        return RandomForestClassifier(n_estimators=100, min_samples_leaf=5, random_state=seed)
    return HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=seed)
