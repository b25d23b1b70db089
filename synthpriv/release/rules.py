"""The rules of a policy: a figure, its limit, and the verdict when the limit is broken; read from TOML."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from synthpriv.errors import ConfigurationError, nearest
from synthpriv.release.decision import Check, Level
from synthpriv.release.words import CONTROL_MARKS, FIGURE_WORDS, split_figure

if TYPE_CHECKING:
    from synthpriv.evaluation.estimate import Estimate

FIGURES = tuple(name for name in FIGURE_WORDS if not name.startswith("release."))
CONTROLS = tuple(CONTROL_MARKS)
CLAIM = "ceiling of the claim"
LIMITS = (
    "at_most",
    "at_least",
    "at_most_control",
    "at_least_control",
    "at_most_between",
    "at_least_between",
)
CHECK_KEYS = ("figure", *LIMITS, "factor", "margin", "share", "bound", "level", "optional", "because")
BOUNDS = {"value": "", "low": "lower bound ", "high": "upper bound "}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One [[check]] of a policy: a figure and its limit.

    figure: one of FIGURES, or the same for one target or group ("utility.auc[income]"). side: whether the
    figure must be "at most" or "at least" the limit. limit: a number, or one control (times `factor`, and
    `margin` to the lenient side), or two controls (`share` of the way from the first to the second). bound:
    the end of the interval that is compared. level: the verdict of a breach. optional: left out where the
    figure was not measured. because: what a breach means.
    """

    figure: str
    side: Literal["at most", "at least"]
    limit: float | tuple[str, ...]
    factor: float = 1.0
    margin: float = 0.0
    share: float = 0.5
    bound: Literal["value", "low", "high"] = "value"
    level: Level = "fail"
    optional: bool = False
    because: str = ""

    @property
    def _needs_claim(self) -> bool:
        """Whether the limit follows from the claim, so that it says nothing where there is none."""
        return isinstance(self.limit, tuple) and CLAIM in self.limit

    @property
    def words(self) -> str:
        """The rule without the figure: "lower bound at most 0.7", "at least 2 x real rows"."""
        limit = self._source if isinstance(self.limit, tuple) else f"{self.limit:g}"
        return f"{BOUNDS[self.bound]}{self.side} {limit}"

    def applies(self, estimates: Mapping[str, Estimate], claimed: bool) -> bool:
        """Whether there is anything to check: a claim to hold it to, and for what is optional, a figure."""
        return (claimed or not self._needs_claim) and (not self.optional or self.figure in estimates)

    def check(self, estimates: Mapping[str, Estimate]) -> Check:
        """The verdict on the figure; "warn" where the figure or its control was not measured."""
        estimate = estimates.get(self.figure)
        if estimate is None:
            return Check(figure=self.figure, rule=self.words, verdict="warn", reason="not measured")
        threshold = self._threshold(estimate)
        holds = False
        if threshold is None:
            reason = f"not measured: the figure has no control {self._source}"
        else:
            found: float = getattr(estimate, self.bound)
            holds = found <= threshold if self.side == "at most" else found >= threshold
            limit = f"{self.side} {threshold:.4g}" + (f" ({self._source})" if self._source else "")
            reason = f"{BOUNDS[self.bound]}{found:.4g} {'is' if holds else 'must be'} {limit}"
            reason += f"; {self.because}" if self.because and not holds else ""
        return Check(
            figure=self.figure,
            rule=self.words,
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            threshold=threshold,
            verdict="pass" if holds else "warn" if threshold is None else self.level,
            reason=reason,
        )

    @property
    def _source(self) -> str:
        """The control that the limit is taken from, in words; "" for a number."""
        if not isinstance(self.limit, tuple):
            return ""
        if len(self.limit) == 2:
            return f"{self.share:.0%} of the way from {self.limit[0]} to {self.limit[1]}"
        factor = "" if self.factor == 1 else f"{self.factor:g} x "
        sign = "+" if self.side == "at most" else "-"
        return f"{factor}{self.limit[0]}{f' {sign} {self.margin:g}' if self.margin else ''}"

    def _threshold(self, estimate: Estimate) -> float | None:
        if not isinstance(self.limit, tuple):
            return self.limit
        if any(control not in estimate.controls for control in self.limit):
            return None
        first, *rest = (estimate.controls[control] for control in self.limit)
        if rest:
            return first + self.share * (rest[0] - first)
        return first * self.factor + (self.margin if self.side == "at most" else -self.margin)


def read_rule(table: Mapping[str, Any]) -> Rule:
    """One [[check]] table as a rule; raises ConfigurationError."""
    check_keys(table, CHECK_KEYS, "a [[check]]")
    figure = table.get("figure", "")
    if not isinstance(figure, str) or split_figure(figure)[0] not in FIGURES:
        raise ConfigurationError(
            f"a [[check]] must name a known figure, found {figure!r}. {nearest(str(figure), FIGURES)}"
        )
    limits = [key for key in LIMITS if key in table]
    if len(limits) != 1:
        raise ConfigurationError(
            f"the [[check]] on {figure!r} must have exactly one limit, found {len(limits)}; "
            f"keep one of {', '.join(LIMITS)}."
        )
    key = limits[0]
    return Rule(
        figure=figure,
        side="at most" if key.startswith("at_most") else "at least",
        limit=read_number(table, key) if key in ("at_most", "at_least") else _controls(table[key], key),
        factor=read_number(table, "factor", 1.0, "_control", key),
        margin=read_number(table, "margin", 0.0, "_control", key),
        share=read_number(table, "share", 0.5, "_between", key),
        bound=read_word(table, "bound", ("value", "low", "high")),
        level=read_word(table, "level", ("fail", "warn")),
        optional=read_word(table, "optional", (False, True)),
        because=str(table.get("because", "")),
    )


def _controls(value: Any, key: str) -> tuple[str, ...]:
    """The control (or the two controls) that a limit is taken from."""
    wanted = 2 if key.endswith("_between") else 1
    names = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else ()
    if len(names) != wanted:
        raise ConfigurationError(f"{key} must name {wanted} control(s), found {value!r}.")
    for name in names:
        if name not in CONTROLS:
            raise ConfigurationError(
                f"{key} must name a known control, found {name!r}. {nearest(str(name), CONTROLS)}"
            )
    return names


def check_keys(table: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Raise ConfigurationError naming the first key that is not known, and the nearest that is."""
    for key in table:
        if key not in known:
            raise ConfigurationError(f"{where} has no key {key!r}. {nearest(key, known)}")


def read_number(
    table: Mapping[str, Any], key: str, default: float | None = None, needs: str = "", limit: str = ""
) -> float:
    """The number at `key`; `needs` is the ending of the only limits that it goes with."""
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or value < 0:
        raise ConfigurationError(f"{key} of a policy must be a number of at least 0, found {value!r}.")
    if key in table and not limit.endswith(needs):
        raise ConfigurationError(f"{key} has no meaning beside {limit}; remove it, or use a {needs} limit.")
    return float(value)


def read_word(table: Mapping[str, Any], key: str, known: tuple[str | bool, ...]) -> Any:
    """The word, true or false at `key`, the first known one by default."""
    value = table.get(key, known[0])
    if not isinstance(value, str | bool) or value not in known:
        words = ", ".join(str(word).lower() for word in known)
        raise ConfigurationError(f"{key} must be one of {words}, found {value!r}.")
    return value
