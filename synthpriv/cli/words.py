"""What the command line says: results on stdout (or JSON), progress and errors on stderr."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

from rich.console import Console
from rich.highlighter import RegexHighlighter
from rich.table import Table
from rich.text import Text
from rich.theme import Theme


class _Verdicts(RegexHighlighter):
    """Colour for the words that decide."""

    highlights = (r"(?P<good>\b(APPROVED|PASSED)\b)", r"(?P<bad>\b(REFUSED|FAILED|NOT_PRIVATE)\b)")


_THEME = Theme({"good": "bold green", "bad": "bold red"})


def say(*lines: str) -> None:
    """Plain sentences on stdout; nothing in them is markup, and they are never wrapped in a pipe."""
    console = Console(soft_wrap=True, highlighter=_Verdicts(), theme=_THEME, markup=False, emoji=False)
    for line in lines:
        console.print(line)


def complain(line: str) -> None:
    """One sentence on stderr."""
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False).print(line)


def say_json(value: Any) -> None:
    """The machine's twin of whatever is said."""
    sys.stdout.write(json.dumps(_plain(value), indent=1, allow_nan=False, default=str) + "\n")


def say_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A table on stdout."""
    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False, header_style="bold")
    for position, column in enumerate(columns):
        table.add_column(Text(column), overflow="fold", no_wrap=position == 0)
    for row in rows:
        table.add_row(*map(Text, row))
    Console(soft_wrap=False, highlight=False).print(table)


def number(value: float | None, digits: int = 3) -> str:
    """A figure for people; infinity and nothing in words."""
    if value is None or math.isnan(value):
        return "-"
    return "infinite" if math.isinf(value) else f"{value:.{digits}f}".rstrip("0").rstrip(".")


def counted(count: int, thing: str) -> str:
    """A count and its noun.

    >>> counted(1, "file"), counted(1200, "file")
    ('1 file', '1,200 files')
    """
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _plain(value: Any) -> Any:
    """JSON without NaN and infinity: those become text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "inf" if value > 0 else "-inf" if value < 0 else None
    return value
