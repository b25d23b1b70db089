"""In a real browser both pages draw every plot, ask for nothing, and run none of a hostile table's text."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import synthpriv as sp
from synthpriv.evaluation.disclosed import Disclosed
from synthpriv.evaluation.scorecard import evaluate
from synthpriv.release.bundle import stated_claim
from synthpriv.release.policy import Policy, ReleaseFacts
from synthpriv.release.publishable import publishable_page
from synthpriv.release.publishable_bins import read_public_table
from synthpriv.release.publishable_figures import counts_aside, publish_figures
from synthpriv.release.report import internal_page
from synthpriv.schema import Categorical, Float, Schema
from tests.made_up import full_scorecard

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
HOSTILE = "<script>document.title='owned'</script>"
OPAQUE = "null"  # the origin of a page that was opened from a file
BREAKOUT = "</script><img src=x onerror=\"document.title='owned'\">"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on PATH")


def hostile_page() -> str:
    schema = Schema(
        columns={
            HOSTILE: Categorical(categories=(BREAKOUT, "<b>bold</b>", "calm")),
            "amount": Float(lower=0.0, upper=10.0, decimals=1),
            "target": Categorical(categories=("no", "yes")),
        },
        targets=("target",),
    )
    random = np.random.default_rng(5)

    def table(rows: int) -> pd.DataFrame:
        first = random.integers(0, 3, rows)
        amount = np.clip(np.round(first + random.normal(3, 1, rows), 1), 0, 10)
        answer = np.where(amount + random.normal(0, 1, rows) > 4, "yes", "no")
        return pd.DataFrame(
            {HOSTILE: np.array([BREAKOUT, "<b>bold</b>", "calm"])[first], "amount": amount, "target": answer}
        )

    real = Disclosed(schema=schema, train=table(400), holdout=table(200), epsilon=2.0, delta=1e-6)
    card = evaluate(table(300), real)
    facts = ReleaseFacts(
        epsilon=2.0,
        delta=1e-6,
        epsilon_spent_total=2.0,
        budget_epsilon=4.0,
        ledger_verified=True,
        private=True,
        schema_confirmed=True,
        attempts=1,
    )
    return internal_page(card, Policy.default().decide(card, facts), facts, [], HOSTILE)


def full_page() -> str:
    """Every field of a scorecard filled: all kinds of plots of the internal page."""
    card = full_scorecard()
    facts = ReleaseFacts(
        epsilon=card.epsilon,
        delta=card.delta,
        epsilon_spent_total=3.0,
        budget_epsilon=4.0,
        ledger_verified=True,
        private=True,
        schema_confirmed=True,
        attempts=3,
    )
    return internal_page(card, Policy.default().decide(card, facts), facts, [], "people")


def public_page() -> str:
    """The publishable page of a table with hostile names, with figures that were paid for."""
    random = np.random.default_rng(5)
    schema = Schema(
        columns={
            HOSTILE: Categorical(categories=(BREAKOUT, "<b>bold</b>", "calm")),
            "amount": Float(lower=0.0, upper=10.0, decimals=1, nullable=True),
            "target": Categorical(categories=("no", "yes")),
        },
        targets=("target",),
    )
    first = random.integers(0, 3, 4000)
    amount = np.clip(np.round(first + random.normal(3, 1, 4000), 1), 0, 10)
    answer = np.where(amount + random.normal(0, 1, 4000) > 4, "yes", "no")
    names = np.array([BREAKOUT, "<b>bold</b>", "calm"])[first]
    frame = pd.DataFrame({HOSTILE: names, "amount": amount, "target": answer})
    ledger = sp.Ledger.in_memory(sp.Budget(epsilon=4.0, delta=1e-6), dataset=HOSTILE)
    private = sp.PrivateTable(frame, schema, ledger, holdout=0.5, rows=4000)
    synthesizer = sp.IndependentSynthesizer(epsilon=4.0)
    release = synthesizer.open_release(private)
    aside = counts_aside(
        schema, ("target",), epsilon=4.0, delta=release.budget.delta, rows_are_public=True, share=0.2
    )
    assert aside is not None
    fitted = synthesizer.fit(private, release=release, aside=aside)
    synthetic = fitted.sample(3000, seed=1)
    table = read_public_table(lambda: iter([synthetic]), schema)
    figures = publish_figures(private, release, aside, table, ("target",))
    return publishable_page(fitted, ledger, stated_claim(fitted), table, "synthetic.csv", figures)


PAGES = {"hostile": hostile_page, "full": full_page, "public": public_page}
PLOTS = {"hostile": 8, "full": 29, "public": 12}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    @cache
    def written(name: str) -> Path:
        path = tmp_path_factory.mktemp(name) / "page.html"
        path.write_text(PAGES[name](), encoding="utf-8")
        return path

    return written


def browse(file: Path, scheme: str, *more: str) -> tuple[str, str]:
    """The page's elements once it has run, and what the browser logged."""
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--enable-logging=stderr",
            f"--user-data-dir={file.parent / scheme}",
            f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}",
            "--virtual-time-budget=8000",
            *more,
            "--dump-dom",
            file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, done.stderr


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_every_plot_is_drawn_and_nothing_foreign_runs(
    name: str, scheme: str, files: Callable[[str], Path]
) -> None:
    file = files(name)
    log = file.parent / f"network-{scheme}.json"
    dom, said = browse(file, scheme, f"--log-net-log={log}")
    page = file.read_text(encoding="utf-8")
    plots = page.count('data-plot="')
    assert plots >= PLOTS[name]
    assert ":CONSOLE" not in said
    assert loaded(log) == []
    body = dom[: dom.index('<script type="application/json"')]
    assert body.count("js-plotly-plot") == plots
    assert body.count('class="main-svg"') >= plots
    assert "<title>owned" not in body
    assert "onerror=" not in body.replace("&lt;img src=x onerror=", "")
    assert (">&lt;b&gt;bold&lt;/b&gt;</text>" in body) == (name != "full")


def loaded(log: Path) -> list[str]:
    """The addresses that the page, and not the browser for itself, asked the network for."""
    found = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            facts = json.loads(line.strip().rstrip(",")).get("params", {})
            if facts.get("initiator") == OPAQUE and str(facts.get("url", "")).startswith("http"):
                found.append(str(facts["url"]))
    return found


def test_a_page_that_loads_something_is_noticed(tmp_path: Path) -> None:
    page, log = tmp_path / "page.html", tmp_path / "network.json"
    page.write_text('<!DOCTYPE html><img src="https://example.invalid/x.png">', encoding="utf-8")
    browse(page, "light", f"--log-net-log={log}")
    assert set(loaded(log)) == {"https://example.invalid/x.png"}
