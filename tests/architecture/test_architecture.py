"""The house as ARCHITECTURE describes it: every rule holds, and every rule rejects what it is there for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.architecture import rules
from tests.architecture.code import ROOT, Code, Module, read_package

Rule = Callable[[Code], Iterator[str]]
CODE = read_package()
DOC = '"""Planted."""\n'


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_the_code_keeps(rule: Rule) -> None:
    assert list(rule(CODE)) == []


@cache
def standing(rule: Rule) -> frozenset[str]:
    """What the rule finds without a plant: nothing, once the test above passes."""
    return frozenset(rule(CODE))


def added(rule: Rule, planted: Mapping[str, str]) -> list[str]:
    """What the rule finds once these files are planted in the package."""
    code = CODE | {path: Module(path, source) for path, source in planted.items()}
    return [message for message in rule(code) if message not in standing(rule)]


def door_with(change: Callable[[str], str]) -> dict[str, str]:
    """The door's own source with one change."""
    source = CODE[rules.DOOR].source
    changed = change(source)
    assert changed != source
    return {rules.DOOR: changed}


def method(text: str) -> dict[str, str]:
    """The door with one more method."""
    return door_with(lambda s: s.replace("    def count(", f"    {text}\n\n    def count(", 1))


PLANTS: list[tuple[Rule, dict[str, str], str]] = [
    (rules.imports_run_down, {"schema/p.py": "from synthpriv.privacy.ledger import Ledger"}, "lower floor"),
    (rules.imports_run_down, {"errors.py": "def f():\n    import synthpriv.schema"}, "lower floor"),
    (rules.imports_run_down, {"encoding/p.py": "from synthpriv.tables import conform"}, "lower floor"),
    (rules.imports_run_down, {"release/p.py": "from synthpriv.cli import main"}, "lower floor"),
    (rules.imports_run_down, {"privacy/p.py": "from ..synthesizers import base"}, "lower floor"),
    (rules.imports_run_down, {"synthesizers/p.py": "import synthpriv as sp"}, "facade"),
    (rules.imports_run_down, {"attic/p.py": "from synthpriv.schema import Schema"}, "no floor"),
    (
        rules.imports_run_down,
        {"schema/p.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import synthpriv.cli.main"},
        "lower floor",
    ),
    (
        rules.evaluation_judges_any_table,
        {"evaluation/p.py": "from synthpriv.encoding.codec import MAX_CELLS"},
        "schema and errors only",
    ),
    (
        rules.no_import_cycle,
        {"schema/p.py": "import synthpriv.schema.q", "schema/q.py": "from synthpriv.schema import p"},
        "schema.p -> synthpriv.schema.q -> synthpriv.schema.p",
    ),
    (
        rules.no_import_cycle,
        {"schema/p.py": "import synthpriv.schema.q", "schema/q.py": "def f():\n    from . import p"},
        "import cycle",
    ),
    (
        rules.dynamic_imports_in_the_facade_only,
        {"release/p.py": "import importlib\nimportlib.import_module('torch')"},
        "by name",
    ),
    (rules.dynamic_imports_in_the_facade_only, {"release/p.py": "__import__('torch')"}, "by name"),
    (rules.one_home_for_privacy_libraries, {"synthesizers/p.py": "import opacus"}, "dpsgd.py"),
    (
        rules.one_home_for_privacy_libraries,
        {"privacy/p.py": "def f():\n    from dp_accounting.pld import common"},
        "accounting.py",
    ),
    (rules.one_home_for_privacy_libraries, {"encoding/p.py": "import opendp.prelude"}, "mechanisms.py"),
    (rules.one_home_for_privacy_libraries, {"privacy/p.py": "import randomgen as r"}, "randomness.py"),
    (rules.private_rows_behind_the_door, {"release/p.py": "x._PrivateTable__store"}, "mangling"),
    (rules.private_rows_behind_the_door, {"cli/p.py": "getattr(x, '_PrivateTable__store')"}, "mangling"),
    (rules.private_rows_behind_the_door, {"release/p.py": "class A(PrivateTable): ..."}, "derives"),
    (
        rules.private_rows_behind_the_door,
        {"synthesizers/p.py": "from synthpriv.privacy.dpsgd import train_private"},
        "use the door",
    ),
    (
        rules.private_rows_behind_the_door,
        {"encoding/p.py": "from synthpriv.privacy.mechanisms import noisy_counts"},
        "use the door",
    ),
    (rules.the_door_has_no_other_openings, method("def head(self): ..."), "head"),
    (rules.the_door_has_no_other_openings, method("def __len__(self): ..."), "__len__"),
    (rules.the_door_has_no_other_openings, method("def _rows(self): ..."), "_rows"),
    (
        rules.the_door_has_no_other_openings,
        door_with(lambda s: s.replace('"__store"', '"store"').replace("self.__store", "self.store")),
        "mangled names only",
    ),
    (
        rules.the_door_has_no_other_openings,
        door_with(lambda s: s.replace("self.__store, self.__outside", "self.__copy, self.__outside")),
        "outside its __slots__",
    ),
    (rules.the_door_is_used_by_its_methods, {"release/p.py": "def f(t: PrivateTable): t.values"}, "'values'"),
    (
        rules.the_door_is_used_by_its_methods,
        {"synthesizers/p.py": "def f(t: pd.DataFrame | PrivateTable): return t.iloc[0]"},
        "'iloc'",
    ),
    (rules.the_door_is_used_by_its_methods, {"release/p.py": "def f(t: PrivateTable): t['age']"}, "indexes"),
    (rules.the_door_is_used_by_its_methods, {"release/p.py": "def f(t: PrivateTable): len(t)"}, "len()"),
    (rules.the_door_is_used_by_its_methods, {"cli/p.py": "def f(t: PrivateTable): vars(t)"}, "vars()"),
    (
        rules.the_door_is_used_by_its_methods,
        {"cli/p.py": "def f():\n    t = PrivateTable.read('a')\n    [r for r in t]"},
        "loops",
    ),
    (rules.rows_are_disclosed_by_the_gate_only, {"synthesizers/p.py": "private.disclose('x')"}, "gate"),
    (rules.rows_are_disclosed_by_the_gate_only, {"cli/p.py": "private.disclose('x')"}, "gate"),
    (
        rules.rows_are_disclosed_by_the_gate_only,
        {"synthesizers/p.py": "from synthpriv.tables import read_table"},
        "raw rows",
    ),
    (
        rules.rows_are_disclosed_by_the_gate_only,
        {"synthesizers/p.py": "from synthpriv.evaluation.disclosed import Disclosed"},
        "raw rows",
    ),
    *(
        (rules.no_global_randomness, {"synthesizers/p.py": source}, "global")
        for source in (
            "import torch\ntorch.manual_seed(0)",
            "import torch\ntorch.cuda.manual_seed_all(0)",
            "import torch\ntorch.randn(3)",
            "from torch import rand\nrand(3)",
            "import torch\nx = torch.default_generator",
            "import torch\ntorch.zeros(3).normal_()",
            "from torch.nn import functional\nfunctional.gumbel_softmax(x)",
            "from torch import nn\nnn.init.zeros_(x)",
            "import numpy as np\nnp.random.seed(0)",
            "import numpy as np\nnp.random.normal()",
            "from numpy import random\nrandom.shuffle(x)",
            "import random\nrandom.seed(0)",
            "from random import choice\nchoice(x)",
        )
    ),
    (rules.only_the_command_line_prints, {"release/p.py": "print('done')"}, "prints"),
    (rules.only_the_command_line_prints, {"tables.py": "import sys\nsys.stdout.write('x')"}, "stream"),
    (
        rules.only_the_command_line_prints,
        {"release/p.py": "from rich.console import Console"},
        "command line",
    ),
    (rules.no_pickle, {"release/p.py": "import pickle"}, "safetensors"),
    (rules.no_pickle, {"release/p.py": "from joblib import dump"}, "safetensors"),
    (rules.no_pickle, {"release/p.py": "import torch\ntorch.save(x, 'p')"}, "torch.save"),
    (rules.no_pickle, {"release/p.py": "import torch\ntorch.load('p', weights_only=True)"}, "torch.load"),
    (rules.no_pickle, {"release/p.py": "import numpy as np\nnp.load('p', allow_pickle=True)"}, "np.load"),
    (rules.no_pickle, {"release/p.py": "frame.to_pickle('p')"}, "to_pickle"),
    (rules.no_pickle, {"release/p.py": "eval('1')"}, "eval"),
    (
        rules.warnings_are_not_silenced,
        {"release/p.py": "import warnings\nwarnings.filterwarnings('ignore')"},
        "everyone",
    ),
    (
        rules.warnings_are_not_silenced,
        {"release/p.py": "import warnings\ndef f():\n    warnings.simplefilter('ignore')"},
        "everyone",
    ),
    (rules.public_names_are_documented, {"release/p.py": "x = 1"}, "no docstring"),
    (rules.public_names_are_documented, {"release/p.py": f"{DOC}def f(): ..."}, "f has no docstring"),
    (
        rules.public_names_are_documented,
        {"release/p.py": f"{DOC}class A:\n    {DOC}    def g(self): ..."},
        "g has no docstring",
    ),
    (rules.small_functions_and_files, {"release/p.py": "def f():\n" + "    x = 1\n" * 59}, "60 lines"),
    (rules.small_functions_and_files, {"cli/p.py": "def f():\n" + "    x = 1\n" * 60}, "60 lines"),
    (rules.small_functions_and_files, {"release/p.py": "x = 1\n" * 400}, "400 lines"),
]


@pytest.mark.parametrize(
    ("rule", "planted", "word"), PLANTS, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_planted_breach_is_found(rule: Rule, planted: dict[str, str], word: str) -> None:
    whole = {p if p.startswith("synthpriv/") else f"synthpriv/{p}": source for p, source in planted.items()}
    found = added(rule, whole)
    assert any(word in message for message in found), found


def test_every_rule_has_a_planted_breach() -> None:
    assert {rule for rule, _, _ in PLANTS} == set(rules.RULES)


HARMLESS = [
    "import torch\ntorch.randn(3, generator=torch.Generator().manual_seed(1))",
    "import numpy as np\nnp.random.default_rng(0).normal()",
    "import random\nrandom.Random(0).random()",
    "import warnings\ndef _f():\n  with warnings.catch_warnings():\n    warnings.simplefilter('ignore')",
    "from synthpriv.errors import nearest\nfrom synthpriv.schema import Schema",
    "def _f(t: PrivateTable):\n    return t.count(1, 0.1), t.schema, t.public_rows",
    "def _f(frame):\n    return frame.values, frame['age'], len(frame)",
]


@pytest.mark.parametrize("source", HARMLESS)
@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_what_is_allowed_passes(rule: Rule, source: str) -> None:
    assert added(rule, {"synthpriv/release/p.py": DOC + source}) == []


IMPORT = """
import os, pathlib, random, sys, threading, warnings
before = (warnings.filters[:], random.getstate(), dict(os.environ), threading.active_count(), os.getcwd())
import synthpriv
after = (warnings.filters[:], random.getstate(), dict(os.environ), threading.active_count(), os.getcwd())
heavy = {"torch", "pandas", "numpy", "opacus", "sklearn", "pyarrow", "typer"} & set(sys.modules)
assert not heavy, heavy
assert before == after
assert not [name for name in sys.modules if name.startswith("synthpriv.")]
assert not list(pathlib.Path().iterdir())
dir(synthpriv)
assert "torch" not in sys.modules
"""


def test_importing_is_quick_and_has_no_side_effects(tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
