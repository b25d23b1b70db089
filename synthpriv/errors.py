"""Every exception that synthpriv raises on purpose; each message is requirement, value found, remedy.

SynthprivError
├── SchemaError            the schema itself is wrong
│   └── UnconfirmedSchema  a drafted bound or category list was not confirmed by a person
├── TableError             a file or a table cannot be read, or does not have the schema's shape
├── ConfigurationError     an argument has a wrong name, type or range
│   └── InfeasiblePlan     the plan cannot work at this size and budget
├── LedgerError            the ledger is damaged, or belongs to another table
│   └── BudgetExceeded     a charge does not fit in what is left
├── AccountingError        the privacy accountants disagree, or an event cannot be accounted
├── UnsupportedModel       a network has a layer whose per-row gradients cannot be bounded
├── EvaluationError        a figure was asked for that the tables cannot give
└── BundleError            a saved synthesizer or a bundle is damaged, hostile or refused
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SynthprivError(Exception):
    """The root of the tree; catch it to catch everything that synthpriv raises on purpose."""


class SchemaError(SynthprivError):
    """The schema itself is wrong."""


class UnconfirmedSchema(SchemaError):
    """A drafted bound or category list was not confirmed by a person."""


class TableError(SynthprivError):
    """A file or a table cannot be read, or does not have the schema's shape."""


class ConfigurationError(SynthprivError):
    """An argument has a wrong name, type or range."""


class InfeasiblePlan(ConfigurationError):
    """The plan cannot work at this size and budget."""


class LedgerError(SynthprivError):
    """The ledger is damaged, or belongs to another table."""


class BudgetExceeded(LedgerError):
    """A charge does not fit in what is left."""


class AccountingError(SynthprivError):
    """The privacy accountants disagree, or an event cannot be accounted."""


class UnsupportedModel(SynthprivError):
    """A network has a layer whose per-row gradients cannot be bounded."""


class EvaluationError(SynthprivError):
    """A figure was asked for that the tables cannot give."""


class BundleError(SynthprivError):
    """A saved synthesizer or a bundle is damaged, hostile or refused."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The sentence that points a mistyped `name` to the closest known one.

    >>> nearest("epoch", ["epochs", "batch_size"])
    "Did you mean 'epochs'?"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(names)}."
