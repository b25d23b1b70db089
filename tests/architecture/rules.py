"""The rules of the house; each reads the code and returns one sentence per breach.

A rule says what is wrong, where, and names what is allowed, so that its message can be acted on.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.architecture.code import PACKAGE, Code, Function, Module, edges

FLOORS = {
    "errors": 1,
    "progress": 1,
    "schema": 2,
    "encoding": 3,
    "tables": 3,
    "evaluation": 3,
    "privacy": 4,
    "synthesizers": 5,
    "release": 6,
    "tasks": 6,
    "cli": 7,
    "__main__": 8,
}
ONE_HOME = {
    "opacus": "synthpriv/privacy/dpsgd.py",
    "dp_accounting": "synthpriv/privacy/accounting.py",
    "opendp": "synthpriv/privacy/mechanisms.py",
    "randomgen": "synthpriv/privacy/randomness.py",
}
DOOR = "synthpriv/privacy/private_table.py"
DOOR_METHODS = {
    *("count", "histograms", "marginals", "dependence", "train", "tallies"),
    *("disclose", "read", "public_rows"),
}
DOOR_FACTS = {"holdout", "ledger", "rows", "schema"}
MOST_FUNCTION_LINES, MOST_FILE_LINES = 60, 400


def imports_run_down(code: Code) -> Iterator[str]:
    """A module imports its own package and lower floors; neighbours on one floor do not know each other."""
    for module, target, found in edges(code):
        here, there = _package(module.name), _package(target)
        if module.name == PACKAGE or here == there:
            continue
        if found.target == f"{PACKAGE}.__version__":
            continue
        if there == "":
            yield f"{module.path}:{found.line} imports the public facade; import from the name's own module."
        elif here not in FLOORS or there not in FLOORS:
            yield f"{module.path}:{found.line}: {here!r} or {there!r} stands on no floor; add it to FLOORS."
        elif FLOORS[there] >= FLOORS[here]:
            yield f"{module.path}:{found.line} imports {target}, which is not on a lower floor."


def evaluation_judges_any_table(code: Code) -> Iterator[str]:
    """The judge knows schemas and nothing of how a table was made."""
    for module, target, found in edges(code):
        if _package(module.name) == "evaluation" and _package(target) not in {
            "evaluation",
            "schema",
            "errors",
        }:
            yield f"{module.path}:{found.line} imports {target}; evaluation imports schema and errors only."


def no_import_cycle(code: Code) -> Iterator[str]:
    """No module reaches itself by imports that run, lazy ones inside functions included."""
    graph: dict[str, set[str]] = {module.name: set() for module in code.values()}
    for module, target, found in edges(code):
        if module.name != PACKAGE and target != module.name and not found.typing:
            graph[module.name].add(target)
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> Iterator[str]:
        if name in path:
            yield "import cycle: " + " -> ".join([*path[path.index(name) :], name]) + "."
        elif name not in done:
            for target in sorted(graph.get(name, ())):
                yield from visit(target, [*path, name])
            done.add(name)

    for name in sorted(graph):
        yield from visit(name, [])


def dynamic_imports_in_the_facade_only(code: Code) -> Iterator[str]:
    """Nothing is imported by a computed name: what runs can be read."""
    for module, call in _calls(code):
        name = module.dotted(call.func)
        if module.name != PACKAGE and (name == "importlib.import_module" or _is_name(call, "__import__")):
            yield f"{module.path}:{call.lineno} imports by name; write an import statement."


def one_home_for_privacy_libraries(code: Code) -> Iterator[str]:
    """Each library that the claim rests on is imported in one file, so that one file is reviewed."""
    for module in code.values():
        for found in module.imports:
            home = ONE_HOME.get(found.target.split(".")[0])
            if home is not None and module.path != home:
                yield f"{module.path}:{found.line} imports {found.target}; only {home} may."


def private_rows_behind_the_door(code: Code) -> Iterator[str]:
    """The rows live in mangled slots of PrivateTable; no other file names those, or what takes raw rows."""
    inside = {
        f"{PACKAGE}.privacy.{name}" for name in ("mechanisms", "intake", "counting", "dpsgd.train_private")
    }
    for module in code.values():
        if module.path == DOOR:
            continue
        for node in module.nodes:
            named = node.attr if isinstance(node, ast.Attribute) else getattr(node, "value", None)
            if isinstance(named, str) and "_PrivateTable__" in named:
                yield f"{module.path}:{node.lineno} reaches behind the door by name mangling."
            if isinstance(node, ast.ClassDef):
                bases = {ast.unparse(base).split(".")[-1] for base in node.bases}
                if bases & {"PrivateTable", "Disclosed"}:
                    yield f"{module.path}:{node.lineno} derives {node.name} from the door."
        for found in module.imports:
            if any(found.target == name or found.target.startswith(f"{name}.") for name in inside):
                yield f"{module.path}:{found.line} imports {found.target}, which takes rows; use the door."


def the_door_has_no_other_openings(code: Code) -> Iterator[str]:
    """PrivateTable has exactly the public members that the privacy argument covers."""
    [door] = [n for n in code[DOOR].tree.body if isinstance(n, ast.ClassDef) and n.name == "PrivateTable"]
    methods = {node.name for node in door.body if isinstance(node, Function)}
    public = {name for name in methods if not name.startswith("_")}
    if public != DOOR_METHODS:
        yield f"{DOOR}: PrivateTable's public members differ: {sorted(public ^ DOOR_METHODS)}."
    hidden = {name for name in methods if name.startswith("_")} - {"__init__", "__repr__"}
    if hidden:
        yield f"{DOOR}: PrivateTable must not define {sorted(hidden)}; write a function beside the class."
    slots = next((n.value for n in door.body if _assigns(n, "__slots__")), None)
    names = set() if slots is None else set(ast.literal_eval(slots))
    if {name for name in names if not name.startswith("__")} != DOOR_FACTS:
        yield f"{DOOR}: PrivateTable's __slots__ must hold {sorted(DOOR_FACTS)} and mangled names only."
    assigned = {
        node.attr
        for node in ast.walk(door)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and ast.unparse(node.value) == "self"
    }
    if not assigned <= names:
        yield f"{DOOR}: PrivateTable assigns {sorted(assigned - names)} outside its __slots__."


def the_door_is_used_by_its_methods(code: Code) -> Iterator[str]:
    """Whoever holds a PrivateTable calls its public members: no length, index, loop or reflection.

    A variable holds one if it is annotated so (a union with DataFrame included) or made by the class.
    """
    allowed = DOOR_METHODS | DOOR_FACTS
    for module in code.values():
        for function in module.functions if module.path != DOOR else []:
            holders = _door_holders(function)
            for node in ast.walk(function) if holders else []:
                where = f"{module.path}:{getattr(node, 'lineno', 0)}"
                if isinstance(node, ast.Attribute) and _names(node.value) & holders:
                    if node.attr not in allowed:
                        yield f"{where} asks a PrivateTable for {node.attr!r}; it has {sorted(allowed)}."
                elif isinstance(node, ast.Subscript) and _names(node.value) & holders:
                    yield f"{where} indexes a PrivateTable."
                elif isinstance(node, ast.For | ast.comprehension) and _names(node.iter) & holders:
                    yield f"{module.path} in {function.name!r} loops over a PrivateTable."
                elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    reflects = node.func.id in {"len", "list", "iter", "vars", "getattr", "setattr", "dir"}
                    if reflects and node.args and _names(node.args[0]) & holders:
                        yield f"{where} calls {node.func.id}() on a PrivateTable."


def rows_are_disclosed_by_the_gate_only(code: Code) -> Iterator[str]:
    """disclose() hands out real rows for the judge: only floor 6 calls it, and no model ever holds them."""
    for module, call in _calls(code):
        package = _package(module.name)
        asks = isinstance(call.func, ast.Attribute) and call.func.attr == "disclose"
        if asks and package not in {"release", "tasks"}:
            yield f"{module.path}:{call.lineno} discloses private rows; only the gate (release) may."
    for module in code.values():
        ways = ("disclosed.Disclosed", ".read_table", ".read_chunks")
        held = any(found.target.endswith(ways) for found in module.imports)
        if held and module.path != DOOR and _package(module.name) in {"encoding", "privacy", "synthesizers"}:
            yield f"{module.path} imports a way to raw rows; only {DOOR} may on floors 3 to 5."


def no_global_randomness(code: Code) -> Iterator[str]:
    """No global seed and no draw from a library's global generator; generators are made and passed on.

    A layer's constructor may draw its first weights as torch's own layers do; `initialise` draws them anew.
    """
    seeds = {"manual_seed", "manual_seed_all", "seed", "set_rng_state"}
    local = {"Generator", "SeedSequence", "default_rng", "BitGenerator", "PCG64", "PCG64DXSM", "Philox"}
    torch_draws = {"rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial", "poisson"}
    in_place = {"uniform_", "normal_", "bernoulli_", "random_", "exponential_", "cauchy_", "geometric_"}
    global_draws = {"gumbel_softmax", "dropout", "Dropout", "rand_like", "randn_like", "randint_like"}
    constructors = {
        id(node)
        for module in code.values()
        for function in module.functions
        if function.name == "__init__"
        for node in ast.walk(function)
    }
    for module, call in _calls(code):
        name = module.dotted(call.func)
        root, _, last = name.rpartition(".")
        given = any(keyword.arg == "generator" for keyword in call.keywords)
        method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        wrong = (
            (root == "numpy.random" and last not in local)
            or (root == "random" and last not in {"Random", "SystemRandom"})
            or (name.startswith("torch.") and last in seeds)
            or (root == "torch" and last in torch_draws and not given)
            or (name.startswith("torch.") and last in global_draws)
            or (name.startswith("torch.nn.init."))
            or (method in in_place and not given and id(call) not in constructors)
        )
        if wrong:
            yield f"{module.path}:{call.lineno} uses global randomness: {ast.unparse(call.func)}."
    for module in code.values():
        for node in module.nodes:
            if isinstance(node, ast.Attribute) and module.dotted(node) == "torch.default_generator":
                yield f"{module.path}:{node.lineno} uses torch's global generator."


def only_the_command_line_prints(code: Code) -> Iterator[str]:
    """Libraries return values; words are the command line's, and bars those of one file."""
    for module in code.values():
        if _package(module.name) in {"cli", "progress"}:
            continue
        for node in module.nodes:
            if isinstance(node, ast.Call) and _is_name(node, "print"):
                yield f"{module.path}:{node.lineno} prints."
            if isinstance(node, ast.Attribute) and module.dotted(node) in {"sys.stdout", "sys.stderr"}:
                yield f"{module.path}:{node.lineno} writes to a standard stream."
        for found in module.imports:
            if found.target.split(".")[0] in {"rich", "typer", "tqdm", "logging"}:
                yield f"{module.path}:{found.line} imports {found.target}; only the command line may."


def no_pickle(code: Code) -> Iterator[str]:
    """A loaded file is data from a stranger: nothing that can run code is read or written."""
    modules = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    functions = {"torch.save", "torch.load", "torch.jit.load", "pandas.read_pickle", "eval", "exec"}
    for module in code.values():
        for found in module.imports:
            if found.target.split(".")[0] in modules:
                yield f"{module.path}:{found.line} imports {found.target}; write JSON and safetensors."
    for module, call in _calls(code):
        name = module.dotted(call.func) or (call.func.id if isinstance(call.func, ast.Name) else "")
        method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        unsafe = "allow_pickle" in {k.arg for k in call.keywords if ast.unparse(k.value) != "False"}
        if name in functions or method == "to_pickle" or unsafe:
            yield f"{module.path}:{call.lineno} runs or pickles objects: {ast.unparse(call.func)}."


def warnings_are_not_silenced(code: Code) -> Iterator[str]:
    """Filters change only inside catch_warnings within a function, never for whoever imports us."""
    quiet = {"warnings.filterwarnings", "warnings.simplefilter"}
    for module in code.values():
        sheltered = {
            id(call)
            for function in module.functions
            for block in ast.walk(function)
            if isinstance(block, ast.With)
            and any("catch_warnings" in ast.unparse(item.context_expr) for item in block.items)
            for call in ast.walk(block)
        }
        for node in module.nodes:
            if isinstance(node, ast.Call) and module.dotted(node.func) in quiet and id(node) not in sheltered:
                yield f"{module.path}:{node.lineno} silences warnings for everyone."


def public_names_are_documented(code: Code) -> Iterator[str]:
    """Every module, and every public class, function and method, has a docstring."""
    for module in code.values():
        if not ast.get_docstring(module.tree):
            yield f"{module.path} has no docstring."
        scopes: list[ast.Module | ast.ClassDef] = [module.tree]
        while scopes:
            for node in scopes.pop().body:
                if not isinstance(node, ast.ClassDef | Function) or node.name.startswith("_"):
                    continue
                if not ast.get_docstring(node):
                    yield f"{module.path}:{node.lineno} {node.name} has no docstring."
                if isinstance(node, ast.ClassDef):
                    scopes.append(node)


def small_functions_and_files(code: Code) -> Iterator[str]:
    """Functions under 60 lines, files under 400; the option list of a command counts as a declaration."""
    for module in code.values():
        lines = len(module.source.splitlines())
        if lines >= MOST_FILE_LINES:
            yield f"{module.path} has {lines} lines; make it two."
        for function in module.functions:
            command = _package(module.name) == "cli"
            start = function.body[0].lineno if command else function.lineno
            length = (function.end_lineno or start) - start + 1
            if length >= MOST_FUNCTION_LINES:
                yield f"{module.path}:{start} {function.name} has {length} lines; make it two."


RULES = (
    imports_run_down,
    evaluation_judges_any_table,
    no_import_cycle,
    dynamic_imports_in_the_facade_only,
    one_home_for_privacy_libraries,
    private_rows_behind_the_door,
    the_door_has_no_other_openings,
    the_door_is_used_by_its_methods,
    rows_are_disclosed_by_the_gate_only,
    no_global_randomness,
    only_the_command_line_prints,
    no_pickle,
    warnings_are_not_silenced,
    public_names_are_documented,
    small_functions_and_files,
)


def _package(name: str) -> str:
    """The floor's package: 'privacy' of 'synthpriv.privacy.ledger'."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def _calls(code: Code) -> Iterator[tuple[Module, ast.Call]]:
    for module in code.values():
        for call in module.calls:
            yield module, call


def _is_name(call: ast.Call, name: str) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id == name


def _names(node: ast.expr) -> set[str]:
    return {node.id} if isinstance(node, ast.Name) else set()


def _assigns(node: ast.stmt, name: str) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name


def _door_holders(function: Function) -> set[str]:
    """The names in a function that may hold a PrivateTable."""
    arguments = (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
    holders = {a.arg for a in arguments if a.annotation and "PrivateTable" in ast.unparse(a.annotation)}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            made = ast.unparse(node.value.func)
            if made.endswith(("PrivateTable", "PrivateTable.read", "_behind_the_door")):
                holders |= {name.id for name in node.targets if isinstance(name, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and "PrivateTable" in ast.unparse(node.annotation):
            holders |= _names(node.target)
    return holders
