"""Which synthesizer suits a table: a public rule of its schema and the budget, which explains itself."""

from __future__ import annotations

from typing import Any

from synthpriv.schema import Schema
from synthpriv.synthesizers.base import Synthesizer
from synthpriv.synthesizers.mixture import MixtureSynthesizer
from synthpriv.synthesizers.vae import VAESynthesizer
from synthpriv.synthesizers.workload import label_column

LEAST_EPSILON = 20.0  # where learning the label from rows overtakes learning it from counts
MOST_COLUMNS = 100


def choose_synthesizer(schema: Schema, *, epsilon: float, **configuration: Any) -> tuple[Synthesizer, str]:
    """The synthesizer for a table with this schema, and one sentence that says why.

    configuration: the arguments that all synthesizers share (delta, random_state, ...). Nothing is read and
    nothing scored: a choice by private scores would have to be charged. docs/benchmarks.md has the figures.

    >>> from synthpriv.schema import Boolean, Integer
    >>> schema = Schema(columns={"age": Integer(lower=0, upper=110), "member": Boolean()})
    >>> choose_synthesizer(schema, epsilon=1.0)[0].name
    'mixture'
    """
    columns, label = len(schema.modelled), label_column(schema)
    if label is None:
        why = "the schema names no target with categories, so that there is no label to learn from rows"
    elif columns > MOST_COLUMNS:
        why = f"{columns} columns are more than {MOST_COLUMNS}"
    elif epsilon < LEAST_EPSILON:
        why = f"at epsilon {epsilon:g}, below {LEAST_EPSILON:g}, counts carry more than noisy gradients"
    else:
        target = list(schema.modelled)[label]
        why = f"at epsilon {epsilon:g} rows teach more about {target!r} than counts of pairs do"
        return VAESynthesizer(epsilon=epsilon, **configuration), f"vae, because {why}."
    return MixtureSynthesizer(epsilon=epsilon, **configuration), f"mixture, because {why}."
