"""Screenshots of a release's two pages, in both colour schemes, by headless Chromium.

    python -m benchmarks.evaluation.screenshots BUNDLE --out docs

writes report.png and report_dark.png, the top of BUNDLE.internal/report.html, and page.png and page_dark.png,
that of BUNDLE/page.html; with --whole, all of each page.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

WIDTH, TOP, WHOLE = 1280, 1500, 16_000
SCHEMES = {"light": 1, "dark": 0}


def shoot(page: Path, picture: Path, scheme: str, height: int) -> None:
    """One screenshot of an HTML file; raises CalledProcessError if Chromium fails."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        raise SystemExit("chromium must be on PATH, found none; install it.")
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
                f"--user-data-dir={profile}",
                f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}",
                "--virtual-time-budget=10000",
                f"--window-size={WIDTH},{height}",
                f"--screenshot={picture}",
                page.resolve().as_uri(),
            ],
            check=True,
            capture_output=True,
            timeout=170,
        )


def main() -> None:
    """Take the screenshots that the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--whole", action="store_true")
    arguments = parser.parse_args()
    bundle: Path = arguments.bundle
    pages = {
        "report": bundle.with_name(bundle.name + ".internal") / "report.html",
        "page": bundle / "page.html",
    }
    for name, page in pages.items():
        for scheme, ending in (("light", ""), ("dark", "_dark")):
            picture = arguments.out / f"{name}{ending}.png"
            shoot(page, picture, scheme, WHOLE if arguments.whole else TOP)


if __name__ == "__main__":
    main()
