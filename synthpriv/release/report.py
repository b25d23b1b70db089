"""The internal page: one offline HTML file for the data's steward, verdict first, then all that led there.

Column names and categories come from a file that a stranger may have written. Three layers keep them text:
Jinja escapes every value, the plots' data are JSON with "<" escaped, and the page's content security policy
runs only the three scripts whose digests it lists and loads nothing from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from synthpriv.release.words import CONTROL_MARKS, GROUPS, FigureWords, words_of

if TYPE_CHECKING:
    from synthpriv.evaluation.estimate import Estimate
    from synthpriv.evaluation.scorecard import Scorecard
    from synthpriv.release.decision import Decision
    from synthpriv.release.facts import ReleaseFacts

HERE = Path(__file__).parent
MODEL_PREFIX = "utility.auc."
PLANTED, PLANTED_CURVE = "privacy.positive_control.auc", "positive control"


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A control on a figure's line: where it stands (percent of the line) and the class that draws it."""

    name: str
    value: float
    at: float
    drawn: str


@dataclass(frozen=True, kw_only=True)
class Headline:
    """One figure as the page draws it: its words, its numbers, and all positions as percents of one line.

    subject: what was judged, drawn with the class `drawn`: this table, or the leaky copy of the control.
    """

    name: str
    words: FigureWords
    estimate: Estimate
    subject: str
    drawn: str
    start: float
    end: float
    at: float
    low_at: float
    high_at: float
    marks: tuple[Mark, ...]


@dataclass(frozen=True, kw_only=True)
class BudgetBar:
    """The budget: spent before, by this release, left; as percents of the bar, with the budget's own end."""

    before: float
    this: float
    left: float
    before_percent: float
    this_percent: float
    limit_percent: float


def internal_page(
    scorecard: Scorecard,
    decision: Decision,
    facts: ReleaseFacts,
    charges: Sequence[Mapping[str, object]],
    title: str,
    notes: Sequence[str] = (),
) -> str:
    """The page as HTML text, self-contained: no file and no address is loaded by it.

    charges: the ledger's rows, oldest first, as they are to be shown (label, event, at, epsilon after).
    notes: sentences to be shown below the scorecard's own.
    """
    rank = ("fail", "warn", "pass")
    columns = sorted(scorecard.columns, key=lambda column: -column.total_variation)
    scripts = {name: _script(name) for name in ("plotly", "report")}
    models = {
        name.removeprefix(MODEL_PREFIX).replace("_", " "): estimate
        for name, estimate in scorecard.estimates.items()
        if name.startswith(MODEL_PREFIX)
    }
    payload = {
        "columns": [asdict(column) for column in columns],
        "association": {
            "names": list(scorecard.association_names),
            "real": scorecard.association_real,
            "synthetic": scorecard.association_synthetic,
        },
        "rocs": [{**asdict(roc), "planted": roc.name == PLANTED_CURVE} for roc in scorecard.rocs],
        "models": [{"name": name, **estimate.to_dict()} for name, estimate in models.items()],
    }
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            title=title,
            scorecard=scorecard,
            decision=decision,
            facts=facts,
            checks=sorted(decision.checks, key=lambda check: rank.index(check.verdict)),
            count={verdict: sum(check.verdict == verdict for check in decision.checks) for verdict in rank},
            budget=_budget_bar(facts),
            groups={group: _headlines(scorecard.estimates, prefix) for prefix, group in GROUPS.items()},
            models=models,
            columns=columns,
            charges=charges,
            charge_keys=list(dict.fromkeys(key for charge in charges for key in charge)),
            notes=(*scorecard.notes, *notes),
            payload=_finite(payload),
            style=Markup(_text("report.css")),
            scripts=scripts,
            policy_sources=" ".join(f"'sha256-{_digest(script)}'" for script in scripts.values()),
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = format_figure
    environment.filters["words"] = figure_words
    environment.filters["cell"] = _cell
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment


def format_figure(value: float | None, digits: int = 3) -> str:
    """A number for reading: `digits` decimals below one, four digits above, scientific when tiny.

    >>> [format_figure(value) for value in (0.0652, 3.0, 1e-6, float("inf"), None)]
    ['0.065', '3', '1e-06', '∞', '-']
    """
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if float(value).is_integer():
        return f"{value:,.0f}"
    if abs(value) >= 1:
        return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:.{digits}f}" if abs(value) >= 0.5 * 10**-digits else f"{value:.2g}"


def _cell(value: object) -> object:
    """A table's cell: numbers formatted, everything else as it is."""
    return format_figure(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def figure_words(name: str) -> FigureWords:
    """The label and the explanation of a figure; its bare name where there are none."""
    return words_of(name)


def _headlines(estimates: Mapping[str, Estimate], prefix: str) -> list[Headline]:
    """The figures of one group that are no single model's, each laid out on its own line."""
    return [
        _headline(name, estimate)
        for name, estimate in estimates.items()
        if name.startswith(prefix) and not name.startswith(MODEL_PREFIX)
    ]


def _headline(name: str, estimate: Estimate) -> Headline:
    numbers = [estimate.value, estimate.low, estimate.high, *estimate.controls.values()]
    finite = [number for number in numbers if math.isfinite(number)] or [0.0]
    chance = estimate.direction == "half" or ".auc" in name
    start = min(0.45 if chance else 0.0, *finite)
    largest = max(1.0 if chance else start + 1e-9, *finite)
    end = min(1.1 * largest, 1.0) if largest <= 1 else largest
    subject, drawn = ("leaky copy", "leaky") if name == PLANTED else ("this table", "synthetic")

    def place(number: float) -> float:
        if not math.isfinite(number):
            return 0.0
        return round(100 * (number - start) / (end - start), 2)

    marks = tuple(
        Mark(name=control, value=value, at=place(value), drawn=CONTROL_MARKS.get(control, "other"))
        for control, value in estimate.controls.items()
        if control != subject
    )
    return Headline(
        name=name,
        words=figure_words(name),
        estimate=estimate,
        subject=subject,
        drawn=drawn,
        start=start,
        end=end,
        at=place(estimate.value),
        low_at=place(estimate.low),
        high_at=place(estimate.high),
        marks=marks,
    )


def _budget_bar(facts: ReleaseFacts) -> BudgetBar | None:
    """The budget as shares of one bar; None where a figure is infinite and there is nothing to draw."""
    spent, limit = facts.epsilon_spent_total, facts.budget_epsilon
    if not all(math.isfinite(number) for number in (facts.epsilon, spent, limit)) or limit <= 0:
        return None
    this = min(facts.epsilon, spent)
    whole = max(limit, spent)
    return BudgetBar(
        before=spent - this,
        this=this,
        left=max(limit - spent, 0.0),
        before_percent=100 * (spent - this) / whole,
        this_percent=100 * this / whole,
        limit_percent=100 * limit / whole,
    )


def _finite(value: Any) -> Any:
    """Plain values for JSON: NaN and infinity become null, tuples and mappings lists and objects."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    if isinstance(value, str | int | None):
        return value
    if isinstance(value, Iterable):
        return [_finite(item) for item in value]
    return str(value)


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


@cache
def _script(name: str) -> Markup:
    """The page's own script, or plotly's; both are the package's text, not a table's."""
    from plotly.offline import get_plotlyjs

    return Markup("\n" + (get_plotlyjs() if name == "plotly" else _text("report.js")) + "\n")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
