"""Singling out, linking and guessing: the three risks by which European regulators judge anonymity.

The attacks are those of anonymeter (Giomi et al. 2023), whose pins (numpy below 2) keep it from being
installed beside this package; docs/judge-privacy.md has both side by side. Each attack uses the synthetic
table against rows that it was made from and against holdout rows, and the risk is what it gains: (success on
trained rows - success on holdout rows) / (1 - success on holdout rows). What is true of everyone is no risk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthpriv.evaluation.ceilings import ceiling_curve
from synthpriv.evaluation.cells import FEWEST_ROWS, Array, Cells, Tables, is_numeric
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.estimate import Estimate
from synthpriv.evaluation.findings import Findings
from synthpriv.evaluation.neighbours import nearest_rows
from synthpriv.evaluation.predicates import guessed, multivariate, univariate
from synthpriv.evaluation.space import Space
from synthpriv.schema.values import MISSING

ATTACKS = {Effort.quick: 500, Effort.standard: 5_000, Effort.thorough: 20_000}
MOST_ROWS = {Effort.quick: 5_000, Effort.standard: 20_000, Effort.thorough: 50_000}
LINKS = 5  # nearest synthetic rows among which the two halves of a person must meet
NEAR = 0.025  # of the ranks of a number, to either side: a guess this close is right
CAUGHT = 0.1  # the risk of a leaky copy below which an attack is blind
Z = 1.959964  # of a 95% interval
WORDS = {
    "singling_out": "Singling out: of guesses that exactly one person has certain values, those are right",
    "linkability": "Linking: two halves of a person's columns are brought together by the synthetic table",
    "inference": "Inference: the secret is read from the synthetic row that is nearest in all other columns",
}


@dataclass(frozen=True, kw_only=True)
class Success:
    """How often an attack succeeds on trained and on holdout rows (hits, attempts), and a naive guess."""

    train: tuple[int, int]
    holdout: tuple[int, int]
    naive: float

    @property
    def rates(self) -> tuple[float, float]:
        """The shares of trained and of holdout rows."""
        return self.train[0] / self.train[1], self.holdout[0] / self.holdout[1]

    def risk(self) -> tuple[float, float, float]:
        """What the attack gains on trained rows: value, low, high, all within 0..1.

        Wilson's intervals of both rates, propagated (Giomi et al. 2023).

        >>> [round(one, 3) for one in Success(train=(90, 100), holdout=(50, 100), naive=0.5).risk()]
        [0.77, 0.643, 0.897]
        """
        (gain, gain_error), (control, control_error) = _wilson(*self.train), _wilson(*self.holdout)
        left = 1 - control
        value = (gain - control) / left
        error = math.hypot(gain_error / left, control_error * (1 - gain) / left**2)
        value, low, high = (min(max(one, 0.0), 1.0) for one in (value, value - error, value + error))
        return value, low, high

    def ceiling(self, epsilon: float, delta: float) -> float:
        """The highest risk that (epsilon, delta) allows.

        Success on one's own row is a test of membership: its rate on holdout rows is the false positive rate.
        """
        control = self.rates[1]
        allowed = float(ceiling_curve(np.array([control]), epsilon, delta)[0])
        return (allowed - control) / (1 - control) if control < 1 else 0.0


@dataclass(frozen=True, kw_only=True, repr=False)
class Contest:
    """A table under attack, and as many trained rows as holdout rows; all with the same columns."""

    table: Cells
    train: Cells
    holdout: Cells
    attacks: int
    seed: int

    def asked(self) -> tuple[Cells, Cells]:
        """The rows that are attacked, trained ones and holdout ones: the samples are in random order."""
        most = np.arange(min(self.attacks, len(self.train)))
        return self.train.take(most), self.holdout.take(most)


Attack = Callable[[Contest], dict[str, Success]]


def judge_risks(
    tables: Tables,
    secrets: Sequence[str],
    epsilon: float,
    delta: float,
    seed: int,
    effort: Effort = Effort.standard,
    progress: Callable[[float], None] = lambda done: None,
) -> Findings:
    """The estimates "privacy.singling_out", "privacy.linkability", "privacy.inference", and notes.

    secrets: the columns that are guessed from all others (none: the last column). Columns that the synthetic
    table lacks tell an attacker nothing and are left out.
    """
    fewest = min(len(tables.train), len(tables.holdout))
    if fewest < FEWEST_ROWS:
        needs = f"they need {FEWEST_ROWS} rows of train and of holdout, found {fewest}"
        return Findings(notes=(f"Singling out, linkability and inference are left out: {needs}.",))
    synthetic, leaky = contests(tables, seed, effort)
    names = synthetic.table.names
    attacks: dict[str, Attack] = {"singling_out": single_out}
    if len(names) > 1:
        guess = [name for name in secrets if name in names] or [names[-1]]
        attacks |= {"linkability": link, "inference": lambda contest: infer(contest, guess)}
    found, notes = dict[str, Estimate](), list[str]()
    for at, (kind, attack) in enumerate(attacks.items()):
        of_table, of_copy = attack(synthetic), attack(leaky)
        estimates = {
            f"privacy.{name}": _estimate(kind, success, of_copy.get(name), epsilon, delta)
            for name, success in of_table.items()
        }
        found |= ({"privacy.inference": _mean(estimates)} if kind == "inference" else {}) | estimates
        notes += _notes(kind, of_table, of_copy)
        progress((at + 1) / len(attacks))
    if len(attacks) == 1:
        notes.append("Linkability and inference are left out: they need two columns, found one.")
    return Findings(estimates=found, notes=tuple(notes))


def contests(tables: Tables, seed: int, effort: Effort) -> tuple[Contest, Contest]:
    """The attacks on the synthetic table, and on a leaky copy of the rows that are attacked."""
    rng = np.random.default_rng(seed)
    delivered = np.flatnonzero(tables.synthetic.delivered)
    most = MOST_ROWS[effort]
    rows = min(len(tables.train), len(tables.holdout), most)
    table, train, holdout = (
        cells.columns_at(delivered).take(rng.permutation(len(cells))[:count])
        for cells, count in ((tables.synthetic, most), (tables.train, rows), (tables.holdout, rows))
    )
    made, copy = (
        Contest(table=one, train=train, holdout=holdout, attacks=ATTACKS[effort], seed=seed)
        for one in (table, train)
    )
    return made, copy


def single_out(contest: Contest) -> dict[str, Success]:
    """Predicates that one synthetic row meets, and then exactly one person: on one column, and on several."""
    rng = np.random.default_rng(contest.seed)
    table, train, holdout = map(_distinct, (contest.table, contest.train, contest.holdout))
    found = {}
    for name, make in (("univariate", univariate), ("multivariate", multivariate)):
        predicates = make(table, contest.attacks, rng)
        if not len(predicates):
            continue
        naive = guessed(table, predicates, rng)
        hits, control, by_chance = (
            int((one.counts(rows) == 1).sum())
            for one, rows in ((predicates, train), (predicates, holdout), (naive, train))
        )
        found[f"singling_out.{name}"] = Success(
            train=(hits, len(predicates)), holdout=(control, len(predicates)), naive=by_chance / len(naive)
        )
    return ({"singling_out": _together(list(found.values()))} if found else {}) | found


def link(contest: Contest) -> dict[str, Success]:
    """Every other column, in schema order, against the rest: do both halves find one synthetic row?"""
    width = len(contest.table.names)
    hits = []
    for rows in contest.asked():
        first, second = (_nearest(contest, rows, np.arange(start, width, 2), LINKS) for start in range(2))
        hits.append(int((first[:, :, None] == second[:, None, :]).any(axis=(1, 2)).sum()))
    attempts, count = len(rows), first.shape[1]
    missed = math.prod((len(contest.table) - count - at) / (len(contest.table) - at) for at in range(count))
    naive = 1 - max(missed, 0.0)
    return {"linkability": Success(train=(hits[0], attempts), holdout=(hits[1], attempts), naive=naive)}


def infer(contest: Contest, secrets: Sequence[str]) -> dict[str, Success]:
    """Each secret of a person, read from the synthetic row that is nearest in all other columns."""
    rng = np.random.default_rng(contest.seed)
    found = {}
    for name in secrets:
        at = contest.table.names.index(name)
        known = np.delete(np.arange(len(contest.table.names)), at)
        values = contest.table.positions[:, at]
        right = closeness(contest, at)
        hits, attempts = [], len(contest.asked()[0])
        for rows in contest.asked():
            guesses = values[_nearest(contest, rows, known, 1)[:, 0]]
            hits.append(int(right(guesses, rows.positions[:, at]).sum()))
        by_chance = right(rng.choice(values, attempts), contest.asked()[0].positions[:, at])
        found[f"inference[{name}]"] = Success(
            train=(hits[0], attempts), holdout=(hits[1], attempts), naive=float(by_chance.mean())
        )
    return found


def closeness(contest: Contest, at: int) -> Callable[[Array, Array], npt.NDArray[np.bool_]]:
    """Whether guesses of a column are right: equal, or numbers with at most 5% of people between them."""
    real = contest.train.joined(contest.holdout).positions[:, at]
    known = np.sort(real[real != MISSING])

    def right(guesses: Array, truth: Array) -> npt.NDArray[np.bool_]:
        equal = np.asarray(guesses == truth)
        if not is_numeric(contest.table.columns[at]) or not len(known):
            return equal
        ranks = [
            (np.searchsorted(known, one, side="left") + np.searchsorted(known, one, side="right")) / 2
            for one in (guesses, truth)
        ]
        close = np.abs(ranks[0] - ranks[1]) <= NEAR * len(known)
        return np.asarray(equal | (close & (guesses != MISSING) & (truth != MISSING)))

    return right


def _nearest(contest: Contest, rows: Cells, columns: Array, count: int) -> Array:
    """The rows of the table under attack that are nearest in some columns: (rows, count)."""
    space = Space.of(contest.train.joined(contest.holdout).columns_at(columns))
    points, among = (space.points(cells.columns_at(columns)) for cells in (rows, contest.table))
    return nearest_rows(points, among, count)[1]


def _distinct(cells: Cells) -> Cells:
    return cells.take(np.sort(np.unique(cells.positions, axis=0, return_index=True)[1]))


def _together(found: Sequence[Success]) -> Success:
    """Several attacks as one: all attempts count alike."""
    attempts = sum(one.train[1] for one in found)
    hits, control = (
        sum(pair[0] for pair in pairs) for pairs in zip(*((o.train, o.holdout) for o in found), strict=True)
    )
    naive = sum(one.naive * one.train[1] for one in found) / attempts
    return Success(train=(hits, attempts), holdout=(control, attempts), naive=naive)


def _wilson(hits: int, attempts: int) -> tuple[float, float]:
    """The middle and the half width of Wilson's 95% interval of a share."""
    spread = hits * (attempts - hits) / attempts + Z * Z / 4
    return (hits + Z * Z / 2) / (attempts + Z * Z), Z * math.sqrt(spread) / (attempts + Z * Z)


def _estimate(kind: str, success: Success, copy: Success | None, epsilon: float, delta: float) -> Estimate:
    value, low, high = success.risk()
    controls = {} if copy is None else {"leaky copy": copy.risk()[0]}
    if kind != "singling_out":
        controls = {"ceiling of the claim": success.ceiling(epsilon, delta)} | controls
    train, holdout = success.rates
    return Estimate(
        value=value,
        low=low,
        high=high,
        method="Wilson intervals of both rates, propagated",
        direction="lower",
        sentence=(
            f"{WORDS[kind]}: {train:.1%} of {success.train[1]:,} tries on rows that the table was made from, "
            f"{holdout:.1%} on holdout rows, {success.naive:.1%} by a naive guess. The gain on trained rows "
            f"is a risk of {value:.3f}" + (f"; a leaky copy gives {copy.risk()[0]:.3f}." if copy else ".")
        ),
        controls=controls,
    )


def _mean(estimates: dict[str, Estimate]) -> Estimate:
    """The mean over the secrets, its interval the mean of theirs: they are guessed of the same rows."""
    each = list(estimates.values())
    if len(each) == 1:
        return each[0]
    value, low, high = (
        float(np.mean([getattr(one, name) for one in each])) for name in ("value", "low", "high")
    )
    names = ("ceiling of the claim", "leaky copy")
    return Estimate(
        value=value,
        low=low,
        high=high,
        method="mean of the secrets' intervals",
        direction="lower",
        sentence=f"{WORDS['inference']}: a mean risk of {value:.3f} over {len(each)} secrets.",
        controls={name: float(np.mean([one.controls[name] for one in each])) for name in names},
    )


def _notes(kind: str, of_table: dict[str, Success], of_copy: dict[str, Success]) -> list[str]:
    label = {"singling_out": "singling-out", "linkability": "linkability", "inference": "inference"}[kind]
    weak = [
        f"{name} ({success.rates[0]:.1%} against {success.naive:.1%})"
        for name, success in of_table.items()
        if success.rates[0] <= success.naive
    ]
    notes = []
    if not of_table:
        notes.append("Singling out is left out: no predicate is met by exactly one synthetic row.")
    if weak:
        notes.append(
            f"The {label} attack succeeds no more often than a naive guess on {', '.join(weak)}: a low risk "
            f"then says little."
        )
    if of_copy and max(success.risk()[0] for success in of_copy.values()) < CAUGHT:
        notes.append(
            f"The {label} attack has little power on this table: even a leaky copy shows a risk below "
            f"{CAUGHT}."
        )
    return notes
