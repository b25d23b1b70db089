"""In a real browser the internal page of a hostile table draws every plot and runs none of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synthpriv.evaluation.disclosed import Disclosed
from synthpriv.evaluation.scorecard import evaluate
from synthpriv.release.policy import Policy, ReleaseFacts
from synthpriv.release.report import internal_page
from synthpriv.schema import Categorical, Float, Schema

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
HOSTILE = "<script>document.title='owned'</script>"
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


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(hostile_page(), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_plot_is_drawn_and_nothing_foreign_runs(file: Path, scheme: str) -> None:
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
            "--dump-dom",
            file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    page = file.read_text(encoding="utf-8")
    plots = page.count('data-plot="')
    assert plots >= 8
    assert ":CONSOLE" not in done.stderr
    body = done.stdout[: done.stdout.index('<script type="application/json"')]
    assert body.count("js-plotly-plot") == plots
    assert body.count('class="main-svg"') >= plots
    assert "<title>owned" not in body
    assert "onerror=" not in body.replace("&lt;img src=x onerror=", "")
    assert ">&lt;b&gt;bold&lt;/b&gt;</text>" in body
