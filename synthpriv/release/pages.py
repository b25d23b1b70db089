"""What both pages are made with: the template engine, numbers for reading, and scripts that run by digest.

Column names and categories come from a file that a stranger may have written. Three layers keep them text:
Jinja escapes every value, the plots' data are JSON with "<" escaped, and a page's content security policy
runs only the scripts whose digests it lists and loads nothing from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from synthpriv.release.words import figure_words

HERE = Path(__file__).parent


def render(template: str, payload: Mapping[str, Any], **values: Any) -> str:
    """A page as HTML text, self-contained; payload: what its script draws."""
    scripts = {name: _script(name) for name in ("plotly", "report")}
    return (
        _environment()
        .get_template(template)
        .render(
            payload=_finite(payload),
            style=Markup(_text("report.css")),
            scripts=scripts,
            policy_sources=" ".join(f"'sha256-{_digest(script)}'" for script in scripts.values()),
            **values,
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = format_figure
    environment.filters["words"] = figure_words
    environment.filters["cell"] = _cell
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment


def format_figure(value: float | None, digits: int = 3) -> str:
    """A number for reading: `digits` decimals below one, four digits above, scientific when tiny.

    >>> [format_figure(value) for value in (0.0652, 3.0, 1e-6, float("inf"), None)]
    ['0.065', '3', '1e-06', '∞', '-']
    """
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if float(value).is_integer():
        return f"{value:,.0f}"
    if abs(value) >= 1:
        return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:.{digits}f}" if abs(value) >= 0.5 * 10**-digits else f"{value:.2g}"


def _cell(value: object) -> object:
    """A table's cell: numbers formatted, everything else as it is."""
    return format_figure(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _finite(value: Any) -> Any:
    """Plain values for JSON: NaN and infinity become null, tuples and mappings lists and objects."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    if isinstance(value, str | int | None):
        return value
    if isinstance(value, Iterable):
        return [_finite(item) for item in value]
    return str(value)


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


@cache
def _script(name: str) -> Markup:
    """The page's own script, or plotly's; both are the package's text, not a table's."""
    from plotly.offline import get_plotlyjs

    return Markup("\n" + (get_plotlyjs() if name == "plotly" else _text("report.js")) + "\n")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
