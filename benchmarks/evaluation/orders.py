"""The obvious: of which two tables every figure must find the first better, and whether it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synthpriv.release.words import split_figure

Figure = Mapping[str, Any]  # value, low, high, direction
Pair = tuple[str, str]

JOINT: tuple[Pair, ...] = (
    ("fresh", "independent"),
    ("fresh", "collapsed"),
    ("fresh", "dp 0.5"),
    ("dp 10", "independent"),
)
LEAKS: tuple[Pair, ...] = (
    ("fresh", "copied"),
    ("fresh", "jittered"),
    ("fresh", "subsample"),
    ("independent", "copied"),
    ("dp 1", "copied"),
)
EXACT = (("fresh", "copied"), ("fresh", "subsample"), ("dp 1", "copied"))  # a moved number is another value
SINGLE = (("fresh", "collapsed"), ("independent", "collapsed"))
BELONGS = (("fresh", "independent"), ("dp 10", "independent"))  # rows of a collapsed table are real ones
COVERS = (("fresh", "collapsed"), ("independent", "collapsed"))
LEARNT = (
    ("fresh", "shuffled target"),
    ("fresh", "independent"),
    ("fresh", "dp 0.5"),
    ("dp 10", "shuffled target"),
)
# by the beginning of the figure's name, the longest that fits; an empty list is a figure that ranks no tables
ORDERS: dict[str, tuple[Pair, ...]] = {
    "fidelity.": JOINT,
    "fidelity.tvd1": SINGLE,
    "fidelity.jensen_shannon": SINGLE,
    "fidelity.kolmogorov_smirnov": SINGLE,
    "fidelity.wasserstein": SINGLE,
    "fidelity.missing": (),  # none of these tables has a missing cell
    "fidelity.precision": BELONGS,
    "fidelity.density": BELONGS,
    "fidelity.recall": COVERS,
    "fidelity.coverage": (("fresh", "independent"), ("fresh", "collapsed")),
    "utility.": LEARNT,
    "privacy.": LEAKS,
    "privacy.copies": EXACT,
    "privacy.singling_out": EXACT,
    "privacy.positive_control": (),
}
FEW_ROWS = 1_000  # below so many training rows, noise may leave a private table no better than a bad one


def pairs_of(figure: str, rows: int) -> tuple[Pair, ...]:
    """The pairs that a figure must order on a table of `rows` training rows."""
    name = split_figure(figure)[0]
    begin = max((begin for begin in ORDERS if name.startswith(begin)), key=len, default="")
    found = ORDERS.get(begin, ())
    return tuple(
        pair for pair in found if rows >= FEW_ROWS or begin.startswith("privacy.") or not _private(pair)
    )


def _private(pair: Pair) -> bool:
    return any(name.startswith("dp") for name in pair)


def badness(figure: Figure, end: str = "value") -> float:
    """How bad the figure is, or an end of its interval; "half" is worse the further it lies from 0.5."""
    value = float(figure[end])
    return {"lower": value, "higher": -value, "half": abs(value - 0.5)}[figure["direction"]]


def ordered(better: Figure, worse: Figure) -> str:
    """Whether `better` is better: "clear" where the intervals do not meet, else "right" or "wrong"."""
    if badness(better) >= badness(worse):
        return "wrong"
    apart = better["high"] < worse["low"] or worse["high"] < better["low"]
    return "clear" if apart else "right"


def orders(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """One entry for each dataset, figure and pair of which both tables were judged."""
    found = []
    by_place = {(cell["dataset"], cell["contender"]): cell for cell in cells}
    for dataset in dict.fromkeys(cell["dataset"] for cell in cells):
        judged = {name: cell for (place, name), cell in by_place.items() if place == dataset}
        names = dict.fromkeys(name for cell in judged.values() for name in cell["figures"])
        rows = next(iter(judged.values()))["rows"]["train"]
        for figure in names:
            for better, worse in pairs_of(figure, rows):
                sides = [judged.get(name, {}).get("figures", {}).get(figure) for name in (better, worse)]
                if None not in sides:
                    pair = {"better": better, "worse": worse, "verdict": ordered(*sides)}
                    found.append({"dataset": dataset, "figure": figure, **pair})
    return found
