"""Conditional sampling: what 10,000 rows of a rare event cost, and how well each model meets it."""

from __future__ import annotations

from typing import Any

from benchmarks.tasks.common import fitted, split, timed

EVENTS = {
    "one in a hundred": "age >= 62 and education in ('Masters', 'Doctorate')",
    "one in a thousand": "age >= 60 and sex = 'Female' and education in ('Masters', 'Doctorate')",
    "with the label": "age <= 25 and income = '>50K'",
    "across columns": "capital_gain > 100 * hours_per_week and capital_gain > 0",
}
ROWS = 10_000


def measure(seed: int) -> dict[str, Any]:
    """Per model and event: probability under the model, share of real rows, effective share, seconds."""
    schema, train, _ = split("adult", seed)
    real = {
        "one in a hundred": (train.age >= 62) & train.education.isin(["Masters", "Doctorate"]),
        "one in a thousand": (train.age >= 60)
        & (train.sex == "Female")
        & train.education.isin(["Masters", "Doctorate"]),
        "with the label": (train.age <= 25) & (train.income == ">50K"),
        "across columns": (train.capital_gain > 100 * train.hours_per_week) & (train.capital_gain > 0),
    }
    found: dict[str, Any] = {}
    for kind in ("mixture", "vae", "autoregressive", "ctgan"):
        model = fitted(kind, 3.0, train, schema)
        for event, condition in EVENTS.items():
            with timed() as spent:
                made = model.sample(ROWS, seed=seed, conditions=condition)
            reach = model.reach(condition)
            found.setdefault(event, {})[kind] = {
                "real_share": round(float(real[event].mean()), 6),
                "probability": reach.probability,
                "effective": reach.effective,
                "distinct_rows": len(made.drop_duplicates()),
                "seconds": spent.seconds,
            }
    return found
