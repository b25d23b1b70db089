"""The gate as a value: a policy (thresholds, from TOML) turns a scorecard and facts into a decision."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synthpriv.errors import ConfigurationError, LedgerError, nearest
from synthpriv.release.words import FIGURE_WORDS

if TYPE_CHECKING:
    from synthpriv.evaluation.estimate import Estimate
    from synthpriv.evaluation.scorecard import Scorecard
    from synthpriv.privacy.ledger import Ledger

Verdict = Literal["pass", "warn", "fail"]
Level = Literal["warn", "fail"]

DRAFT_ACCEPTED = "drafted schema accepted"  # the record that a fit leaves in the ledger
DEFAULT_POLICY = Path(__file__).with_name("default_policy.toml")
FIGURES = tuple(name for name in FIGURE_WORDS if not name.startswith("release."))
CONTROLS = ("real rows", "independent columns", "holdout rows", "ceiling of the claim", "leaky copy")
SECTIONS = ("privacy", "check")
PRIVACY_KEYS = ("max_epsilon", "max_delta", "require_private", "require_confirmed_schema")
LIMITS = (
    "at_most",
    "at_least",
    "at_most_control",
    "at_least_control",
    "at_most_between",
    "at_least_between",
)
CHECK_KEYS = ("figure", *LIMITS, "factor", "share", "bound", "level", "because")
TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True)
class ReleaseFacts:
    """What the gate has to know about a release besides its scorecard.

    epsilon, delta: the all-in claim of this release. epsilon_spent_total: all that the ledger has charged
    for this table, this release included. budget_epsilon: what was promised for the table. private: False
    when trained with epsilon = inf or marked NOT_PRIVATE. schema_confirmed: False while a domain that was
    read from the data waits for a person. attempts: how often this gate was asked, this time included.
    """

    epsilon: float
    delta: float
    epsilon_spent_total: float
    budget_epsilon: float
    ledger_verified: bool
    private: bool
    schema_confirmed: bool
    attempts: int

    @classmethod
    def of(cls, ledger: Ledger, scorecard: Scorecard) -> ReleaseFacts:
        """The facts of the release that `scorecard` judged; records this attempt at the gate in the ledger.

        The claim is the one that the attacks were held against.
        """
        try:
            ledger.verify()
            verified = True
        except LedgerError:
            verified = False
        else:
            ledger.record("attempt")
        return cls(
            epsilon=scorecard.epsilon,
            delta=scorecard.delta,
            epsilon_spent_total=ledger.spent(),
            budget_epsilon=ledger.budget.epsilon,
            ledger_verified=verified,
            private=ledger.is_private and math.isfinite(scorecard.epsilon) and math.isfinite(ledger.spent()),
            schema_confirmed=all(record["record"] != DRAFT_ACCEPTED for record in ledger.records),
            attempts=ledger.attempts,
        )


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of a decision: the figure, its interval, the threshold, the verdict and the reason in words.

    value, low, high and threshold are None where there is no number (the ledger) or it was not measured.
    """

    figure: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    verdict: Verdict
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a number that is not finite becomes None (the reason still says it)."""
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in asdict(self).items()
        }


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether the release may leave, and every check that led there."""

    approved: bool
    checks: tuple[Check, ...]

    @property
    def reasons(self) -> str:
        """One line: what was refused or warned about, the refusals first."""
        told = [check for verdict in ("fail", "warn") for check in self.checks if check.verdict == verdict]
        head = "approved" if self.approved else "refused"
        if not told:
            return f"{head}: all {len(self.checks)} checks passed"
        return f"{head}: " + "; ".join(f"{check.verdict} {check.figure}: {check.reason}" for check in told)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "approved": self.approved,
            "reasons": self.reasons,
            "checks": [check.to_dict() for check in self.checks],
        }


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One [[check]] of a policy: a figure and its limit.

    side: whether the figure must be "at most" or "at least" the limit. limit: a number, or one control
    (times `factor`), or two controls (`share` of the way from the first to the second). bound: the end of
    the interval that is compared. level: the verdict of a breach. because: what a breach means.
    """

    figure: str
    side: Literal["at most", "at least"]
    limit: float | tuple[str, ...]
    factor: float = 1.0
    share: float = 0.5
    bound: Literal["value", "low", "high"] = "value"
    level: Level = "fail"
    because: str = ""

    def check(self, estimates: Mapping[str, Estimate]) -> Check:
        """The verdict on the figure; "warn" where the figure or its control was not measured."""
        estimate = estimates.get(self.figure)
        if estimate is None:
            return Check(figure=self.figure, verdict="warn", reason="not measured")
        threshold = self._threshold(estimate)
        if threshold is None:
            words = f"not measured: the figure has no control {self._words()}"
            return Check(figure=self.figure, value=estimate.value, verdict="warn", reason=words)
        found: float = getattr(estimate, self.bound)
        holds = found <= threshold if self.side == "at most" else found >= threshold
        name = "" if self.bound == "value" else f"{'lower' if self.bound == 'low' else 'upper'} bound "
        rule = f"{self.side} {threshold:.4g}{self._words()}"
        breach = f"{name}{found:.4g} must be {rule}" + (f"; {self.because}" if self.because else "")
        return Check(
            figure=self.figure,
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            threshold=threshold,
            verdict="pass" if holds else self.level,
            reason=f"{name}{found:.4g} is {rule}" if holds else breach,
        )

    def _threshold(self, estimate: Estimate) -> float | None:
        if not isinstance(self.limit, tuple):
            return self.limit
        if any(control not in estimate.controls for control in self.limit):
            return None
        first, *rest = (estimate.controls[control] for control in self.limit)
        return first + self.share * (rest[0] - first) if rest else first * self.factor

    def _words(self) -> str:
        if not isinstance(self.limit, tuple):
            return ""
        if len(self.limit) == 2:
            return f" ({self.share:.0%} of the way from {self.limit[0]} to {self.limit[1]})"
        return f" ({self.limit[0]})" if self.factor == 1 else f" ({self.factor:g} x {self.limit[0]})"


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The thresholds of the gate.

    >>> Policy.default().max_epsilon
    10.0
    """

    max_epsilon: float
    max_delta: float
    require_private: bool = True
    require_confirmed_schema: Level = "warn"
    rules: tuple[Rule, ...] = ()

    @classmethod
    def default(cls) -> Policy:
        """The policy that comes with the package; its file explains every threshold."""
        return cls.read(DEFAULT_POLICY)

    @classmethod
    def read(cls, path: str | Path) -> Policy:
        """Read a policy from a TOML file; raises ConfigurationError naming the key and the nearest known."""
        try:
            data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigurationError(
                f"the policy file {str(path)!r} does not exist; copy {str(DEFAULT_POLICY)!r} and change it."
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise ConfigurationError(f"the policy file {str(path)!r} must be valid TOML: {error}.") from None
        return cls.from_dict(data)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Policy:
        """A policy from the tables of its TOML file; raises ConfigurationError."""
        _check_keys(data, SECTIONS, "a policy")
        privacy = data.get("privacy")
        if not isinstance(privacy, Mapping) or not {"max_epsilon", "max_delta"} <= set(privacy):
            raise ConfigurationError("a policy must set max_epsilon and max_delta under [privacy]; add them.")
        _check_keys(privacy, PRIVACY_KEYS, "[privacy]")
        checks = data.get("check", [])
        if not isinstance(checks, list) or not all(isinstance(table, Mapping) for table in checks):
            raise ConfigurationError("checks of a policy must be tables; write each under [[check]].")
        require_private = privacy.get("require_private", True)
        if not isinstance(require_private, bool):
            raise ConfigurationError(f"require_private must be true or false, found {require_private!r}.")
        return cls(
            max_epsilon=_number(privacy, "max_epsilon"),
            max_delta=_number(privacy, "max_delta"),
            require_private=require_private,
            require_confirmed_schema=_word(privacy, "require_confirmed_schema", ("warn", "fail")),
            rules=tuple(_rule(table) for table in checks),
        )

    def decide(self, scorecard: Scorecard, release: Ledger | ReleaseFacts) -> Decision:
        """Every check of the policy on one release; approved if none of them fails.

        Given the ledger, the attempt and its verdict are recorded there.
        """
        facts = release if isinstance(release, ReleaseFacts) else ReleaseFacts.of(release, scorecard)
        checks = (
            *self._check_claim(scorecard, facts),
            *self._check_provenance(facts),
            *(rule.check(scorecard.estimates) for rule in self.rules),
        )
        decision = Decision(approved=all(check.verdict != "fail" for check in checks), checks=checks)
        if not isinstance(release, ReleaseFacts) and facts.ledger_verified:
            release.record("verdict", approved=decision.approved)
        return decision

    def _check_claim(self, scorecard: Scorecard, release: ReleaseFacts) -> tuple[Check, ...]:
        fits = _within(release.epsilon, release.budget_epsilon)
        charged = release.epsilon_spent_total if fits else release.epsilon
        judged = _within(scorecard.epsilon, release.epsilon) and _within(scorecard.delta, release.delta)
        return (
            _check_limit("release.epsilon", release.epsilon, self.max_epsilon, "the claimed epsilon"),
            _check_limit("release.delta", release.delta, self.max_delta, "the claimed delta"),
            _check_limit("release.budget", charged, release.budget_epsilon, "the charged epsilon"),
            _check_fact(
                "release.claim",
                judged,
                "the attacks were held against this claim",
                f"the attacks were held against epsilon {scorecard.epsilon:.4g} and delta "
                f"{scorecard.delta:.4g}, which is weaker than the claim; evaluate against the claim",
            ),
        )

    def _check_provenance(self, release: ReleaseFacts) -> tuple[Check, ...]:
        return (
            _check_fact(
                "release.private",
                release.private,
                "trained with noise that nobody can replay",
                "NOT PRIVATE: trained without noise, or with noise overridden for a test",
                "fail" if self.require_private else "warn",
            ),
            _check_fact(
                "release.ledger",
                release.ledger_verified,
                "the ledger verifies",
                "the ledger does not verify: a charge was changed, removed or belongs to another table",
            ),
            _check_fact(
                "release.schema",
                release.schema_confirmed,
                "every bound and category was declared or confirmed by a person",
                "bounds or categories were read from the data and no person confirmed that they are public",
                self.require_confirmed_schema,
            ),
        )


def _within(value: float, limit: float) -> bool:
    """value <= limit up to rounding; NaN is never within."""
    return value <= limit * (1 + TOLERANCE)


def _check_limit(figure: str, value: float, limit: float, subject: str) -> Check:
    holds = _within(value, limit)
    return Check(
        figure=figure,
        value=value,
        threshold=limit,
        verdict="pass" if holds else "fail",
        reason=f"{subject} {value:.4g} {'is' if holds else 'must be'} at most {limit:.4g}",
    )


def _check_fact(figure: str, holds: bool, good: str, bad: str, level: Level = "fail") -> Check:
    return Check(figure=figure, verdict="pass" if holds else level, reason=good if holds else bad)


def _rule(table: Mapping[str, Any]) -> Rule:
    """One [[check]] table as a rule; raises ConfigurationError."""
    _check_keys(table, CHECK_KEYS, "a [[check]]")
    figure = table.get("figure", "")
    if figure not in FIGURES:
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
        limit=_number(table, key) if key in ("at_most", "at_least") else _controls(table[key], key),
        factor=_number(table, "factor", 1.0, "_control", key),
        share=_number(table, "share", 0.5, "_between", key),
        bound=_word(table, "bound", ("value", "low", "high")),
        level=_word(table, "level", ("fail", "warn")),
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


def _check_keys(table: Mapping[str, Any], known: Collection[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigurationError(f"{where} has no key {key!r}. {nearest(key, known)}")


def _number(
    table: Mapping[str, Any], key: str, default: float | None = None, needs: str = "", limit: str = ""
) -> float:
    """The number at `key`; `needs` is the ending of the only limits that it goes with."""
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or value < 0:
        raise ConfigurationError(f"{key} of a policy must be a number of at least 0, found {value!r}.")
    if key in table and not limit.endswith(needs):
        raise ConfigurationError(f"{key} has no meaning beside {limit}; remove it, or use a {needs} limit.")
    return float(value)


def _word(table: Mapping[str, Any], key: str, known: tuple[str, ...]) -> Any:
    """The word at `key`, the first known one by default."""
    value = table.get(key, known[0])
    if value not in known:
        raise ConfigurationError(f"{key} must be one of {', '.join(known)}, found {value!r}.")
    return value
