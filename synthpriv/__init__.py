"""synthpriv: a table of people becomes a table that can be shared.

The public names, and nothing else; each is imported when it is first used, so that this import is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synthpriv.evaluation.estimate import Estimate as Estimate
    from synthpriv.evaluation.scorecard import Scorecard as Scorecard
    from synthpriv.evaluation.scorecard import evaluate as evaluate
    from synthpriv.privacy.ledger import Budget as Budget
    from synthpriv.privacy.ledger import Ledger as Ledger
    from synthpriv.privacy.private_table import PrivateTable as PrivateTable
    from synthpriv.release.bundle import verify_bundle as verify_bundle
    from synthpriv.release.bundle import write_bundle as write_bundle
    from synthpriv.release.policy import Decision as Decision
    from synthpriv.release.policy import Policy as Policy
    from synthpriv.schema import Boolean as Boolean
    from synthpriv.schema import Categorical as Categorical
    from synthpriv.schema import DateTime as DateTime
    from synthpriv.schema import Float as Float
    from synthpriv.schema import Follows as Follows
    from synthpriv.schema import Identifier as Identifier
    from synthpriv.schema import Integer as Integer
    from synthpriv.schema import MissingWhen as MissingWhen
    from synthpriv.schema import Schema as Schema
    from synthpriv.synthesizers.autoregressive import AutoregressiveSynthesizer as AutoregressiveSynthesizer
    from synthpriv.synthesizers.choosing import choose_synthesizer as choose_synthesizer
    from synthpriv.synthesizers.ctgan import CTGANSynthesizer as CTGANSynthesizer
    from synthpriv.synthesizers.independent import IndependentSynthesizer as IndependentSynthesizer
    from synthpriv.synthesizers.mixture import MixtureSynthesizer as MixtureSynthesizer
    from synthpriv.synthesizers.storage import load as load
    from synthpriv.synthesizers.vae import VAESynthesizer as VAESynthesizer
    from synthpriv.tables import read_table as read_table
    from synthpriv.tables import write_table as write_table
    from synthpriv.tasks.anomalies import score_rows as score_rows
    from synthpriv.tasks.fairness import equalize as equalize
    from synthpriv.tasks.fairness import rebalance as rebalance
    from synthpriv.tasks.gaps import denoise as denoise
    from synthpriv.tasks.gaps import impute as impute
    from synthpriv.tasks.gaps import multiple_imputations as multiple_imputations
    from synthpriv.tasks.mixing import mix as mix
    from synthpriv.tasks.mock import mock as mock
    from synthpriv.tasks.rare import augment as augment
    from synthpriv.tasks.rare import edge_cases as edge_cases

__version__ = "0.1.0"

_HOMES = {
    "synthpriv.evaluation.estimate": ("Estimate",),
    "synthpriv.evaluation.scorecard": ("Scorecard", "evaluate"),
    "synthpriv.privacy.ledger": ("Budget", "Ledger"),
    "synthpriv.privacy.private_table": ("PrivateTable",),
    "synthpriv.release.bundle": ("verify_bundle", "write_bundle"),
    "synthpriv.release.policy": ("Decision", "Policy"),
    "synthpriv.schema": (
        "Boolean",
        "Categorical",
        "DateTime",
        "Float",
        "Follows",
        "Identifier",
        "Integer",
        "MissingWhen",
        "Schema",
    ),
    "synthpriv.synthesizers.autoregressive": ("AutoregressiveSynthesizer",),
    "synthpriv.synthesizers.choosing": ("choose_synthesizer",),
    "synthpriv.synthesizers.ctgan": ("CTGANSynthesizer",),
    "synthpriv.synthesizers.independent": ("IndependentSynthesizer",),
    "synthpriv.synthesizers.mixture": ("MixtureSynthesizer",),
    "synthpriv.synthesizers.storage": ("load",),
    "synthpriv.synthesizers.vae": ("VAESynthesizer",),
    "synthpriv.tables": ("read_table", "write_table"),
    "synthpriv.tasks.anomalies": ("score_rows",),
    "synthpriv.tasks.fairness": ("equalize", "rebalance"),
    "synthpriv.tasks.gaps": ("denoise", "impute", "multiple_imputations"),
    "synthpriv.tasks.mixing": ("mix",),
    "synthpriv.tasks.mock": ("mock",),
    "synthpriv.tasks.rare": ("augment", "edge_cases"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    """Import a public name from its home on first use."""
    if name not in _HOME_OF:
        raise AttributeError(f"synthpriv has no {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted([*_HOME_OF, "__version__"])
