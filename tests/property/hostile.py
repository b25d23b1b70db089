"""What the fuzz tests share: hostile values, edits of JSON, bounds on memory and on what an error says."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MEMORY = 200 * 2**20
DEEP = "@deep"

thorough = settings(
    deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@contextlib.contextmanager
def bounded(seconds: float = 2.0) -> Iterator[None]:
    """Fail if what runs inside takes more processor time, or raises the peak of resident memory by MEMORY."""
    status = Path("/proc/self/status")  # Linux keeps the peak of resident memory and resets it on request
    if status.exists():
        Path("/proc/self/clear_refs").write_text("5")
    before = resident_peak(status) if status.exists() else 0
    started = time.process_time()
    yield
    assert time.process_time() - started < seconds
    if status.exists():
        assert resident_peak(status) - before < MEMORY


def resident_peak(status: Path) -> int:
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def assert_one_sentence(error: Exception, longest: int = 1000) -> None:
    assert str(error).isprintable()
    assert 20 < len(str(error)) < longest


def dump(value: Any) -> str:
    """JSON, with NaN and infinities, and what no encoder writes: a list a hundred thousand deep."""
    return json.dumps(value).replace(f'"{DEEP}"', "[" * 100_000 + "]" * 100_000)


plain_junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 200),
    st.sampled_from([2**31, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**64, 10**400, -(10**4000)]),
    st.floats(),
    st.sampled_from([math.nan, math.inf, -math.inf, 1e308, 5e-324, -0.0, 0.5, 1e-9]),
    st.text(max_size=8),
    st.sampled_from(["inf", "NaN", "1", "", "../../etc/passwd", "\ud800", "\x00", "x" * 5000, "a\nb", DEEP]),
    st.sampled_from(
        ["(.*)*", "((a{100}){100}){100}", "[[a]", "(a", "a{200}", "(?i:a)", "[^\\x00-\\xff]", "A"]
    ),
    st.sampled_from(["vae", "ctgan", "independent", "categorical", "integer", "identifier", "datetime"]),
)
junk = st.recursive(
    plain_junk,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
edits = st.lists(
    st.tuples(
        st.lists(st.integers(0, 5000), min_size=1, max_size=6),
        st.sampled_from(["replace", "replace", "delete", "add", "wrap", "double", "swap"]),
        junk,
        st.text(max_size=3),
    ),
    min_size=1,
    max_size=3,
)


def edit(root: Any, steps: list[int], action: str, value: Any, name: str) -> None:
    """Walk down `steps` and change what lies there, in place."""
    holder, key, node, value = None, None, root, copy.deepcopy(value)
    for step in steps:
        keys = list(node) if isinstance(node, dict) else list(range(len(node) if type(node) is list else 0))
        if not keys:
            break
        holder, key = node, keys[step % len(keys)]
        node = holder[key]
    if holder is None:
        return
    if action == "delete":
        del holder[key]
    elif action == "add" and isinstance(holder, dict):
        holder[name] = value
    elif action == "add":
        holder.append(value)
    elif action == "swap":
        others = list(holder.values()) if isinstance(holder, dict) else holder
        holder[key] = others[steps[0] % len(others)]
    else:
        doubled = node * 2 if isinstance(node, list | str) else [node, node]
        holder[key] = {"replace": value, "wrap": [node], "double": doubled}[action]


def explore(case: Callable[..., str], cases: int, **strategies: Any) -> Counter[str]:
    """Run `case` on many examples; how often each outcome came up."""
    outcomes: Counter[str] = Counter()

    @settings(thorough, max_examples=cases)
    @given(**strategies)
    def one(**drawn: Any) -> None:
        outcomes[case(**drawn)] += 1

    one()
    assert outcomes.total() >= cases
    return outcomes
