"""The gate as a value: a policy (thresholds, from TOML) turns a scorecard and facts into a decision."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthpriv.errors import ConfigurationError
from synthpriv.release.decision import Check, Decision, Level
from synthpriv.release.facts import ReleaseFacts
from synthpriv.release.rules import Rule, check_keys, read_number, read_rule, read_word

if TYPE_CHECKING:
    from synthpriv.evaluation.scorecard import Scorecard
    from synthpriv.privacy.ledger import Ledger

__all__ = ["Decision", "Policy", "ReleaseFacts"]

DEFAULT_POLICY = Path(__file__).with_name("default_policy.toml")
SECTIONS = ("privacy", "check")
PRIVACY_KEYS = ("max_epsilon", "max_delta", "require_private", "require_confirmed_schema")
TOLERANCE = 1e-9


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
        check_keys(data, SECTIONS, "a policy")
        privacy = data.get("privacy")
        if not isinstance(privacy, Mapping) or not {"max_epsilon", "max_delta"} <= set(privacy):
            raise ConfigurationError("a policy must set max_epsilon and max_delta under [privacy]; add them.")
        check_keys(privacy, PRIVACY_KEYS, "[privacy]")
        checks = data.get("check", [])
        if not isinstance(checks, list) or not all(isinstance(table, Mapping) for table in checks):
            raise ConfigurationError("checks of a policy must be tables; write each under [[check]].")
        return cls(
            max_epsilon=read_number(privacy, "max_epsilon"),
            max_delta=read_number(privacy, "max_delta"),
            require_private=read_word(privacy, "require_private", (True, False)),
            require_confirmed_schema=read_word(privacy, "require_confirmed_schema", ("warn", "fail")),
            rules=tuple(read_rule(table) for table in checks),
        )

    def decide(self, scorecard: Scorecard, release: Ledger | ReleaseFacts) -> Decision:
        """Every check of the policy on one release; approved if none of them fails.

        Given the ledger, the attempt and its verdict are recorded there. Given the facts of mere tables, what
        only a ledger can show is not checked, and nothing is approved.
        """
        if isinstance(release, ReleaseFacts):
            return self._decide(scorecard, release)
        facts = ReleaseFacts.of(release, scorecard)
        if not facts.ledger_verified:
            return self._decide(scorecard, facts)
        release.record("attempt")
        decision = self._decide(scorecard, replace(facts, attempts=release.attempts))
        release.record("verdict", approved=decision.approved)
        return decision

    def _decide(self, scorecard: Scorecard, facts: ReleaseFacts) -> Decision:
        if facts.tables_only:
            told = self._check_statement(facts)
        else:
            told = (*self._check_claim(scorecard, facts), *self._check_provenance(facts))
        claimed = facts.claimed or not facts.tables_only
        rules = [rule for rule in self.rules if rule.applies(scorecard.estimates, claimed)]
        checks = (*told, *(rule.check(scorecard.estimates) for rule in rules))
        return Decision.of(checks, "tables" if facts.tables_only else "release")

    def _check_claim(self, scorecard: Scorecard, release: ReleaseFacts) -> tuple[Check, ...]:
        fits = _within(release.epsilon, release.budget_epsilon)
        charged = release.epsilon_spent_total if fits else release.epsilon
        judged = _within(scorecard.epsilon, release.epsilon) and _within(scorecard.delta, release.delta)
        return (
            *self._check_size(release),
            _check_limit("release.budget", charged, release.budget_epsilon, "the charged epsilon"),
            _check_fact(
                "release.claim",
                judged,
                "the attacks were held against this claim",
                f"the attacks were held against epsilon {scorecard.epsilon:.4g} and delta "
                f"{scorecard.delta:.4g}, which is weaker than the claim; evaluate against the claim",
            ),
        )

    def _check_size(self, release: ReleaseFacts) -> tuple[Check, ...]:
        return (
            _check_limit("release.epsilon", release.epsilon, self.max_epsilon, "the claimed epsilon"),
            _check_limit("release.delta", release.delta, self.max_delta, "the claimed delta"),
        )

    def _check_statement(self, facts: ReleaseFacts) -> tuple[Check, ...]:
        """What can be said of tables that come without a ledger."""
        word = (
            f"epsilon {facts.epsilon:.4g} at delta {facts.delta:.4g} is taken at its word, not checked"
            if facts.claimed
            else "no claim was judged, for none was given (--epsilon, --delta), and no ceiling drawn from it"
        )
        return (
            *(self._check_size(facts) if facts.claimed else ()),
            Check(figure="release.claim", verdict="warn", reason=f"{word}; this approves no release"),
            _check_fact(
                "release.holdout",
                facts.own_holdout,
                "the held-out rows were given apart",
                "a part of the real table served as held-out rows: if the synthetic table was made from that "
                "part too, no attack can see a leak; give rows that it never saw (--holdout)",
                "warn",
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
