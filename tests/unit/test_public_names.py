"""The facade: what `import synthpriv as sp` offers, and nothing else."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
from pathlib import Path

import pytest

import synthpriv as sp


def declared() -> set[str]:
    """The names that type checkers see: those imported under TYPE_CHECKING."""
    tree = ast.parse(Path(inspect.getfile(sp)).read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    return {alias.asname or "" for node in block.body for alias in getattr(node, "names", [])}


def test_all_names_are_those_that_type_checkers_see() -> None:
    assert set(sp.__all__) == declared()
    assert list(sp.__all__) == sorted(sp.__all__)
    assert not [name for name in sp.__all__ if name.startswith("_")]


@pytest.mark.parametrize("name", sp.__all__)
def test_a_public_name_is_documented_and_listed(name: str) -> None:
    value = getattr(sp, name)
    assert value.__module__.startswith("synthpriv.")
    assert value.__name__ == name
    assert inspect.getdoc(value)
    assert name in dir(sp)


def test_dir_lists_the_public_names_and_no_helper() -> None:
    assert set(dir(sp)) == {*sp.__all__, "__version__"}


@pytest.mark.parametrize("name", ["VAESynthesiser", "PrivateTabel", "nothing"])
def test_an_unknown_name_is_an_attribute_error_that_names_it(name: str) -> None:
    assert not hasattr(sp, name)
    with pytest.raises(AttributeError, match=name):
        getattr(sp, name)


def test_a_star_import_brings_the_public_names_only() -> None:
    namespace: dict[str, object] = {}
    exec("from synthpriv import *", namespace)
    assert set(namespace) - {"__builtins__"} == set(sp.__all__)


def test_the_version_is_that_of_the_distribution() -> None:
    assert sp.__version__ == importlib.metadata.version("synthpriv-release")
