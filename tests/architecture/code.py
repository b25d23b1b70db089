"""The package as parsed source: modules, who imports whom, and what a dotted name stands for."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "synthpriv"
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, kw_only=True)
class Import:
    """One imported module (or name of a module); `typing` if only type checkers run it."""

    target: str
    bound: str
    line: int
    typing: bool


@dataclass(frozen=True)
class Module:
    """One file of source."""

    path: str
    source: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of the tree."""
        return list(ast.walk(self.tree))

    @cached_property
    def name(self) -> str:
        return self.path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")

    @cached_property
    def imports(self) -> list[Import]:
        return list(self._imports(self.tree, False))

    def _imports(self, node: ast.AST, typing: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    bound = alias.asname or alias.name.split(".")[0]
                    yield Import(target=alias.name, bound=bound, line=child.lineno, typing=typing)
            elif isinstance(child, ast.ImportFrom):
                base = self._base(child)
                for alias in child.names:
                    yield Import(
                        target=f"{base}.{alias.name}",
                        bound=alias.asname or alias.name,
                        line=child.lineno,
                        typing=typing,
                    )
            elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
                yield from self._imports(ast.Module(child.body, []), True)
                yield from self._imports(ast.Module(child.orelse, []), typing)
            else:
                yield from self._imports(child, typing)

    def _base(self, node: ast.ImportFrom) -> str:
        """The module that a `from` import names, relative ones resolved."""
        if not node.level:
            return node.module or ""
        package = self.name.split(".") if self.path.endswith("__init__.py") else self.name.split(".")[:-1]
        above = package[: len(package) - node.level + 1]
        return ".".join([*above, node.module] if node.module else above)

    @cached_property
    def names(self) -> dict[str, str]:
        """What each imported name stands for: np -> numpy, and torch -> torch after import torch.nn."""
        roots = {found.target.split(".")[0] for found in self.imports}
        return {f.bound: f.bound if f.bound in roots else f.target for f in self.imports}

    def dotted(self, node: ast.expr) -> str:
        """The full name of np.random.seed: numpy.random.seed; '' if it does not start at an import."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self.names:
            return ""
        return ".".join([self.names[node.id], *reversed(parts)])

    @cached_property
    def functions(self) -> list[Function]:
        return [node for node in self.nodes if isinstance(node, Function)]

    @cached_property
    def calls(self) -> list[ast.Call]:
        return [node for node in self.nodes if isinstance(node, ast.Call)]


Code = Mapping[str, Module]


def read_package() -> dict[str, Module]:
    """Every module of the package, by path."""
    paths = sorted((ROOT / PACKAGE).rglob("*.py"))
    modules = [Module(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths]
    return {module.path: module for module in modules}


def edges(code: Code) -> Iterator[tuple[Module, str, Import]]:
    """Every import of one module of the package by another: the importer, the imported, the statement."""
    known = {module.name for module in code.values()}
    for module in code.values():
        for found in module.imports:
            if found.target.split(".")[0] != PACKAGE:
                continue
            target = found.target
            while target not in known and "." in target:
                target = target.rpartition(".")[0]
            yield module, target, found
