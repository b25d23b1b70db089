"""The gate must refuse what endangers people, warn about what is useless, and never pass over a gap."""

from __future__ import annotations

import dataclasses
import json
import math
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest

from synthpriv.errors import ConfigurationError
from synthpriv.evaluation.effort import Effort
from synthpriv.evaluation.estimate import Direction, Estimate
from synthpriv.evaluation.scorecard import Scorecard
from synthpriv.privacy.ledger import Budget, Ledger
from synthpriv.release.policy import DEFAULT_POLICY, Decision, Policy, ReleaseFacts

FACTS = ReleaseFacts(
    epsilon=3.0,
    delta=1e-6,
    epsilon_spent_total=3.0,
    budget_epsilon=4.0,
    ledger_verified=True,
    private=True,
    schema_confirmed=True,
    attempts=1,
)


def estimate(
    value: float,
    controls: Mapping[str, float] | None = None,
    width: float = 0.01,
    direction: Direction = "lower",
) -> Estimate:
    return Estimate(
        value=value,
        low=value - width,
        high=value + width,
        method="bootstrap",
        direction=direction,
        sentence="A sentence.",
        controls=controls or {},
    )


def decent() -> dict[str, Estimate]:
    """What a decent private VAE gives on Adult."""
    attack = {"ceiling of the claim": 0.953, "leaky copy": 0.99}
    return {
        "fidelity.tvd1": estimate(0.03, {"real rows": 0.008, "independent columns": 0.008}),
        "fidelity.tvd2": estimate(0.065, {"real rows": 0.023, "independent columns": 0.087}),
        "utility.auc": estimate(0.88, {"real rows": 0.915, "independent columns": 0.5}, direction="higher"),
        "privacy.copies": estimate(0.001, {"holdout rows": 0.002, "leaky copy": 1.0}, width=0.0005),
        "privacy.closest_record.auc": estimate(0.505, attack),
        "privacy.strongest.auc": estimate(0.52, attack),
        "privacy.density_ratio.tpr_at_1pct": estimate(
            0.012, {"ceiling of the claim": 0.2, "leaky copy": 0.9}
        ),
        "privacy.positive_control.auc": estimate(
            0.99, {**attack, "what the rows allow": 1.0}, direction="higher"
        ),
    }


def scorecard(estimates: Mapping[str, Estimate], epsilon: float = 3.0, delta: float = 1e-6) -> Scorecard:
    return Scorecard(
        targets=("income",),
        effort=Effort.standard,
        rows={"synthetic": 100, "train": 100, "holdout": 50},
        epsilon=epsilon,
        delta=delta,
        estimates=estimates,
        columns=(),
        worst_pairs=(),
        association_names=(),
        association_real=(),
        association_synthetic=(),
        rocs=(),
        notes=(),
    )


def decide(changed: Mapping[str, Estimate] | None = None, **facts: float) -> Decision:
    """The default policy on the decent table with some of its figures and facts changed."""
    return Policy.default().decide(
        scorecard({**decent(), **(changed or {})}), dataclasses.replace(FACTS, **facts)
    )


def verdicts(decision: Decision, verdict: str) -> set[str]:
    return {check.figure for check in decision.checks if check.verdict == verdict}


def policy(check: str, privacy: str = "max_epsilon = 10.0\nmax_delta = 1e-5", *, path: Path) -> Policy:
    file = path / "policy.toml"
    file.write_text(f"[privacy]\n{privacy}\n[[check]]\n{check}\n", encoding="utf-8")
    return Policy.read(file)


def test_decent_table_is_approved_without_a_warning() -> None:
    decision = decide()
    assert decision.approved
    assert verdicts(decision, "warn") == set()
    assert decision.reasons == f"approved: all {len(decision.checks)} checks passed"


def test_independent_columns_are_approved_and_called_useless() -> None:
    useless = {
        "fidelity.tvd2": estimate(0.0869, {"real rows": 0.023, "independent columns": 0.087}),
        "utility.auc": estimate(0.5, {"real rows": 0.915, "independent columns": 0.5}),
    }
    decision = decide(useless)
    assert decision.approved
    assert verdicts(decision, "warn") == {"fidelity.tvd2", "utility.auc"}


@pytest.mark.parametrize("epsilon", [1.0, 10.0])
def test_leaky_copy_is_refused_whatever_was_claimed(epsilon: float) -> None:
    ceiling = {"ceiling of the claim": 1 - 1 / (1 + math.exp(epsilon)), "leaky copy": 0.99}
    leaky = {
        "privacy.closest_record.auc": estimate(0.99, ceiling),
        "privacy.strongest.auc": estimate(0.99, ceiling),
        "privacy.copies": estimate(1.0, {"holdout rows": 0.002, "leaky copy": 1.0}),
    }
    decision = decide(leaky, epsilon=epsilon, budget_epsilon=10.0)
    assert not decision.approved
    assert {"privacy.strongest.auc", "privacy.copies"} <= verdicts(decision, "fail")


def test_the_lower_bound_decides_whether_a_claim_is_refuted() -> None:
    controls = {"ceiling of the claim": 0.55, "leaky copy": 0.99}
    unsure = decide({"privacy.strongest.auc": estimate(0.555, controls)})
    sure = decide({"privacy.strongest.auc": estimate(0.565, controls)})
    assert unsure.approved
    assert not sure.approved
    assert "the claim is false" in sure.reasons


def test_broken_attack_is_refused_and_a_table_of_like_rows_is_told() -> None:
    """An attack that misses what can be seen of a leak is broken; where nothing can be seen, that is said."""
    name = "privacy.positive_control.auc"
    for auc, allowed, verdict in ((0.89, 1.0, "fail"), (0.5, 0.95, "fail"), (0.57, 0.55, "warn")):
        decision = decide({name: estimate(auc, {"what the rows allow": allowed})})
        assert verdicts(decision, "fail") == ({name} if verdict == "fail" else set())
        assert name in verdicts(decision, "warn")


@pytest.mark.parametrize(
    ("facts", "figure"),
    [
        ({"private": False}, "release.private"),
        ({"ledger_verified": False}, "release.ledger"),
        ({"epsilon_spent_total": 4.1}, "release.budget"),
        ({"budget_epsilon": 2.9}, "release.budget"),
        ({"epsilon_spent_total": math.nan}, "release.budget"),
        ({"epsilon": 11.0, "budget_epsilon": 20.0}, "release.epsilon"),
        ({"epsilon": math.nan}, "release.epsilon"),
        ({"delta": 1e-3}, "release.delta"),
        ({"epsilon": 2.0}, "release.claim"),
        ({"delta": 1e-7}, "release.claim"),
    ],
)
def test_fact_that_breaks_the_claim_is_refused(facts: dict[str, float], figure: str) -> None:
    decision = decide(**facts)
    assert not decision.approved
    assert figure in verdicts(decision, "fail")
    assert figure in decision.reasons


def test_budget_that_is_met_exactly_is_no_breach() -> None:
    assert decide(epsilon_spent_total=4.0 + 1e-12).approved


def test_drafted_schema_warns_or_fails_as_the_policy_says(tmp_path: Path) -> None:
    assert verdicts(decide(schema_confirmed=False), "warn") == {"release.schema"}
    privacy = 'max_epsilon = 10.0\nmax_delta = 1e-5\nrequire_confirmed_schema = "fail"'
    strict = policy('figure = "fidelity.tvd1"\nat_most = 0.5', privacy, path=tmp_path)
    assert not strict.decide(scorecard(decent()), dataclasses.replace(FACTS, schema_confirmed=False)).approved


def test_missing_figure_or_control_is_told() -> None:
    decision = Policy.default().decide(scorecard({"utility.auc": estimate(0.9)}), FACTS)
    gaps = [check for check in decision.checks if "not measured" in check.reason]
    assert {check.figure for check in gaps} >= {"privacy.strongest.auc", "utility.auc", "fidelity.tvd2"}
    assert all(check.verdict == "warn" for check in gaps)


def test_figure_that_is_no_number_never_passes() -> None:
    decision = decide({"privacy.strongest.auc": estimate(math.nan, {"ceiling of the claim": 0.9})})
    assert not decision.approved
    json.dumps(decision.to_dict(), allow_nan=False)


def test_limits_read_from_numbers_controls_and_between(tmp_path: Path) -> None:
    def check(text: str, value: float) -> str:
        card = scorecard({"fidelity.tvd2": estimate(value, {"real rows": 0.1, "independent columns": 0.3})})
        return (
            policy(f'figure = "fidelity.tvd2"\n{text}', path=tmp_path).decide(card, FACTS).checks[-1].verdict
        )

    assert check("at_most = 0.2", 0.2) == "pass"
    assert check("at_least = 0.2", 0.19) == "fail"
    assert check('at_most_control = "independent columns"\nfactor = 0.5', 0.16) == "fail"
    assert check('at_most_between = ["real rows", "independent columns"]\nshare = 0.25', 0.149) == "pass"
    assert check('at_most_between = ["real rows", "independent columns"]\nlevel = "warn"', 0.21) == "warn"
    assert check('at_most = 0.2\nbound = "high"', 0.195) == "fail"
    assert check('at_most_control = "real rows"\nfactor = 2.0\nmargin = 0.05', 0.25) == "pass"
    assert check('at_most_control = "real rows"\nmargin = 0.05', 0.1501) == "fail"
    assert check('at_least_control = "independent columns"\nmargin = 0.1', 0.21) == "pass"
    assert check('at_least_control = "independent columns"\nmargin = 0.1', 0.19) == "fail"


@pytest.mark.parametrize(
    ("check", "told"),
    [
        ('figure = "fidelity.tdv2"\nat_most = 1.0', "Did you mean 'fidelity.tvd2'"),
        ('figure = "fidelity.tvd2"\nat_mots = 1.0', "Did you mean 'at_most'"),
        ('figure = "fidelity.tvd2"', "exactly one limit, found 0"),
        ('figure = "fidelity.tvd2"\nat_most = 1.0\nat_least = 0.0', "exactly one limit, found 2"),
        ('figure = "fidelity.tvd2"\nat_most = "low"', "must be a number"),
        ('figure = "fidelity.tvd2"\nat_most = nan', "must be a number"),
        ('figure = "fidelity.tvd2"\nat_most_control = "real row"', "Did you mean 'real rows'"),
        ('figure = "fidelity.tvd2"\nat_most_between = ["real rows"]', "must name 2 control"),
        ('figure = "fidelity.tvd2"\nat_most = 1.0\nfactor = 2.0', "factor has no meaning beside at_most"),
        ('figure = "fidelity.tvd2"\nat_most = 1.0\nmargin = 2.0', "margin has no meaning beside at_most"),
        ('figure = "fidelity.tvd2"\nat_most = 1.0\nlevel = "error"', "level must be one of fail, warn"),
        ('figure = "fidelity.tvd2"\nat_most = 1.0\nbound = "mean"', "bound must be one of value, low, high"),
        ("figure = 3\nat_most = 1.0", "must name a known figure"),
    ],
)
def test_wrong_check_is_explained(check: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as error:
        policy(check, path=tmp_path)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must set max_epsilon and max_delta"),
        ("privacy = 3", "must set max_epsilon and max_delta"),
        ("[privacy]\nmax_epsilon = 1.0", "must set max_epsilon and max_delta"),
        ("[privacy]\nmax_epsilon = 1.0\nmax_delta = 0.0\nmax_epsilom = 1", "Did you mean 'max_epsilon'"),
        ("[privacy]\nmax_epsilon = true\nmax_delta = 0.0", "must be a number"),
        ("[privacy]\nmax_epsilon = 1.0\nmax_delta = 0.0\nrequire_private = 1", "one of true, false"),
        ("[privacy]\nmax_epsilon = 1.0\nmax_delta = 0.0\n[checks]", "Did you mean 'check'"),
        ("[privacy]\nmax_epsilon = 1.0\nmax_delta = 0.0\n[check]\nfigure = 'fidelity.tvd2'", "[[check]]"),
        ("[privacy", "valid TOML"),
    ],
)
def test_wrong_policy_is_explained(text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as error:
        Policy.read(file)
    assert told in str(error.value)


def test_absent_policy_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist; copy"):
        Policy.read(tmp_path / "none.toml")


def test_infinite_epsilon_passes_no_default_gate() -> None:
    decision = decide(epsilon=math.inf, epsilon_spent_total=math.inf, budget_epsilon=math.inf, private=False)
    assert {"release.epsilon", "release.private"} <= verdicts(decision, "fail")
    json.dumps(decision.to_dict(), allow_nan=False)


def test_decision_lists_refusals_before_warnings() -> None:
    decision = decide(
        {"utility.auc": estimate(0.5, {"real rows": 0.9, "independent columns": 0.5})}, private=0
    )
    assert decision.reasons.startswith("refused: fail release.private")
    assert decision.to_dict()["approved"] is False
    assert len(decision.to_dict()["checks"]) == len(decision.checks)


def test_one_target_or_group_may_be_cited_and_another_is_not_measured(tmp_path: Path) -> None:
    name = "utility.auc[a].b] [odd].random_forest"
    estimates = {**decent(), name: estimate(0.4)}
    strict = policy(f"figure = {name!r}\nat_least = 0.5", path=tmp_path)
    assert verdicts(strict.decide(scorecard(estimates), FACTS), "fail") == {name}
    other = policy('figure = "utility.auc[nobody]"\nat_least = 0.5', path=tmp_path)
    [check] = [one for one in other.decide(scorecard(estimates), FACTS).checks if "nobody" in one.figure]
    assert (check.verdict, check.reason, check.rule) == ("warn", "not measured", "at least 0.5")
    with pytest.raises(ConfigurationError, match=r"Did you mean 'utility\.auc'"):
        policy('figure = "utility.acu[income]"\nat_least = 0.5', path=tmp_path)


def test_every_measured_check_has_its_figure_interval_threshold_and_rule() -> None:
    for check in decide().checks:
        if not check.figure.startswith("release."):
            assert None not in (check.value, check.low, check.high, check.threshold)
            assert check.rule.startswith(("at ", "lower bound at ", "upper bound at "))


def test_an_optional_figure_is_checked_only_where_it_was_measured(tmp_path: Path) -> None:
    strict = policy('figure = "utility.auc"\nat_least = 0.9\noptional = true', path=tmp_path)
    assert verdicts(strict.decide(scorecard(decent()), FACTS), "fail") == {"utility.auc"}
    without = {name: one for name, one in decent().items() if name != "utility.auc"}
    decision = strict.decide(scorecard(without), FACTS)
    assert all(check.figure.startswith("release.") for check in decision.checks)
    with pytest.raises(ConfigurationError, match="optional must be one of false, true"):
        policy('figure = "utility.auc"\nat_least = 0.9\noptional = 1', path=tmp_path)


def of_tables(
    changed: Mapping[str, Estimate] | None = None, epsilon: float = math.inf, **facts: bool
) -> Decision:
    told = ReleaseFacts.of_tables(epsilon, 0.0, own_holdout=facts.get("own_holdout", True))
    return Policy.default().decide(scorecard({**decent(), **(changed or {})}, epsilon, 0.0), told)


def test_tables_without_a_claim_follow_their_figures_and_approve_nothing() -> None:
    decision = of_tables()
    assert (decision.word, decision.passed, decision.approved) == ("PASSED", True, False)
    assert verdicts(decision, "warn") == {"release.claim"}
    assert "no claim was judged" in decision.reasons
    assert "approve" not in decision.reasons.replace("approves no release", "")
    assert not any("ceiling of the claim" in check.rule for check in decision.checks)
    leaky = of_tables({"privacy.strongest.auc": estimate(0.9, {"ceiling of the claim": 1.0})})
    assert (leaky.word, leaky.passed, leaky.approved) == ("FAILED", False, False)


def test_tables_with_a_claim_are_held_to_it_and_approve_nothing() -> None:
    decision = of_tables(epsilon=3.0)
    assert (decision.word, decision.approved) == ("PASSED", False)
    assert "taken at its word" in decision.reasons
    assert "release.epsilon" in verdicts(of_tables(epsilon=30.0), "fail")
    refuted = of_tables({"privacy.strongest.auc": estimate(0.6, {"ceiling of the claim": 0.55})}, epsilon=0.2)
    assert "the claim is false" in refuted.reasons
    assert refuted.word == "FAILED"


def test_held_out_rows_that_may_have_been_trained_on_are_told() -> None:
    assert verdicts(of_tables(own_holdout=False), "warn") == {"release.claim", "release.holdout"}


def test_no_release_passes_as_mere_tables() -> None:
    """What softens the verdict on tables made elsewhere never reaches a release."""
    decision = decide(epsilon=math.inf, private=False)
    assert decision.word == "REFUSED"
    assert {"release.epsilon", "release.private"} <= verdicts(decision, "fail")


def test_a_ledger_that_does_not_verify_is_believed_in_nothing(tmp_path: Path) -> None:
    book = Ledger.open(tmp_path / "a.sqlite", dataset="a", budget=Budget(epsilon=3.0, delta=1e-6))
    book.record("attempt")
    with sqlite3.connect(tmp_path / "a.sqlite") as file:
        file.execute("DROP TRIGGER entries_remain")
        file.execute("DELETE FROM entries WHERE sequence = 0")
    decision = Policy.default().decide(scorecard(decent()), book)
    assert not decision.approved
    assert {"release.ledger", "release.budget", "release.private"} <= verdicts(decision, "fail")


def test_default_policy_explains_every_check() -> None:
    blocks = DEFAULT_POLICY.read_text(encoding="utf-8").split("[[check]]\n")
    assert len(Policy.default().rules) == len(blocks) - 1
    assert all(rule.because for rule in Policy.default().rules)
