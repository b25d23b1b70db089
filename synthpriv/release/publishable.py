"""The publishable page: in the bundle, for whoever gets the table; every number on it may be published.

Its numbers have three sources, and each says which: declared facts (the schema, the claim, what was decided),
the synthetic table (which is public), and entries of the ledger that paid for noisy figures. It is made from
public things alone: no scorecard and no private table reaches it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from synthpriv.evaluation.estimate import Estimate
from synthpriv.privacy.ledger import Ledger
from synthpriv.release.lines import Line, line_of
from synthpriv.release.pages import render
from synthpriv.release.publishable_bins import PublicTable
from synthpriv.release.publishable_figures import NoisyShares, PublishedFigures
from synthpriv.release.words import FigureWords
from synthpriv.schema import AnyColumn, Categorical, Schema
from synthpriv.synthesizers.fitted import FittedSynthesizer

PAGE = "page.html"
MOST_MAPS = 4  # pairs that are drawn, the furthest from the real ones first
MOST_NAMED = 8  # categories of a column in the table of the schema
ENDS = (("lower", "upper"), ("start", "end"))
NOT_DOMAIN = ("kind", "confirmed", "nullable", *ENDS[0], *ENDS[1])
NOISY_HELP = (
    "The share of rows that would have to change for the synthetic table to have the real shares (0 to 1), "
    "on real rows that were held out, counted under noise that the budget paid for. What noise adds is taken "
    "off; a figure below the resolution cannot be told from none."
)
AUC_HELP = (
    "Trained on the synthetic table, tested on held-out real rows counted under noise. 0.5 is a guess, 1 is "
    "perfect. Close to the figure on synthetic rows: what models learn from the table holds for real rows."
)


def publishable_page(
    fitted: FittedSynthesizer,
    ledger: Ledger,
    claim: Mapping[str, Any],
    table: PublicTable,
    file: str,
    figures: PublishedFigures | None = None,
) -> str:
    """The page as HTML text, self-contained.

    claim: the manifest's, with what it covers. table: the synthetic table in public bins, which lies in
    `file`. figures: what a share of the budget paid for.
    """
    paid = {} if figures is None else {one.names[0]: one for one in figures.columns}
    maps = [] if figures is None else sorted(figures.pairs, key=lambda one: -one.distance.value)[:MOST_MAPS]
    payload = {
        "columns": [
            _column(name, labels, counts / max(table.rows, 1), paid.get(name))
            for name, labels, counts in zip(table.names, table.labels, table.counts, strict=True)
        ],
        "pairs": [_pair(one) for one in maps],
    }
    return render(
        "publishable.html.jinja",
        payload,
        dataset=ledger.dataset,
        file=file,
        rows=table.rows,
        claim=claim,
        found_of_100=100 * _most_found(0.01, claim),
        kind=fitted.config.name,
        columns=[_declared(name, column, fitted.schema) for name, column in fitted.schema.columns.items()],
        attempts=ledger.attempts,
        entries=[
            {"sequence": charge.sequence, **row}
            for charge, row in zip(ledger.charges, ledger.describe(), strict=True)
        ],
        figures=figures,
        lines=[] if figures is None else _lines(figures),
        maps=payload["pairs"],
    )


def _most_found(accused: float, claim: Mapping[str, Any]) -> float:
    """The largest share of members that an attack finds that accuses this share of the others."""
    epsilon, delta = claim["epsilon"], claim["delta"]
    if epsilon is None:
        return 1.0
    other_side = 1 - math.exp(-epsilon) * (1 - delta - accused)
    return float(min(math.exp(epsilon) * accused + delta, other_side, 1.0))


def _lines(figures: PublishedFigures) -> list[Line]:
    """The paid figures that are drawn large."""
    found: list[tuple[str, str, str, Estimate]] = [
        ("columns", "Single columns", NOISY_HELP, figures.mean_columns),
        *([("pairs", "Pairs of columns", NOISY_HELP, figures.mean_pairs)] if figures.pairs else []),
        *((f"model.auc[{m.target}]", f"A model of {m.target}", AUC_HELP, m.auc) for m in figures.models),
    ]
    return [
        line_of(name, estimate, FigureWords(label=label, help=help)) for name, label, help, estimate in found
    ]


def _column(name: str, labels: tuple[str, ...], synthetic: Any, paid: NoisyShares | None) -> dict[str, Any]:
    return {
        "name": name,
        "labels": labels,
        "synthetic": synthetic.tolist(),
        "real": None if paid is None else paid.real,
        "error": None if paid is None else paid.error,
    }


def _pair(pair: NoisyShares) -> dict[str, Any]:
    """A pair of columns as the internal page's script draws one."""
    first, second = pair.labels

    def rows(shares: tuple[float, ...]) -> list[tuple[float, ...]]:
        return [shares[at * len(second) : (at + 1) * len(second)] for at in range(len(first))]

    return {
        "first": pair.names[0],
        "second": pair.names[1],
        "first_labels": first,
        "second_labels": second,
        "total_variation": pair.distance.value,
        "real": rows(pair.real),
        "synthetic": rows(pair.synthetic),
    }


def _declared(name: str, column: AnyColumn, schema: Schema) -> dict[str, Any]:
    """A column's public facts in words."""
    if isinstance(column, Categorical):
        shown = [str(value) for value in column.categories[:MOST_NAMED]]
        more = len(column.categories) - len(shown)
        domain = ", ".join(shown) + (f" and {more} more" if more else "")
    else:
        facts = schema.to_dict()["columns"][name]
        ends = [f"{facts[low]} to {facts[high]}" for low, high in ENDS if low in facts]
        rest = [f"{key} {value}" for key, value in facts.items() if key not in NOT_DOMAIN]
        domain = ", ".join([*ends, *rest])
    role = "target" if name in schema.targets else "unit of privacy" if name == schema.privacy_unit else ""
    return {"name": name, "kind": column.kind, "domain": domain, "nullable": column.nullable, "role": role}
