"""What the command line says: results on stdout (or JSON), progress and errors on stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.highlighter import RegexHighlighter
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from rich.theme import Theme


class _Verdicts(RegexHighlighter):
    """Colour for the words that decide."""

    highlights = (r"(?P<good>\bAPPROVED\b)", r"(?P<bad>\b(REFUSED|NOT_PRIVATE)\b)")


_PUBLIC_ROWS = frozenset({"sampling"})  # stages whose number of rows is public, and shown
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


class Bars:
    """One progress bar per stage, with the time that is left; silent where stderr is no terminal."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that `done` of `total` is reached in `stage`."""
        if self._progress is None:
            return
        if stage not in self._tasks:
            for task in self._tasks.values():
                self._progress.update(task, completed=self._progress.tasks[task].total)
            self._tasks[stage] = self._progress.add_task(stage, total=max(total, 1), rows="")
        rows = f"{done:,} of {counted(total, 'row')}" if stage in _PUBLIC_ROWS else ""
        self._progress.update(self._tasks[stage], completed=done, total=max(total, 1), rows=rows)


@contextmanager
def bars() -> Iterator[Bars]:
    """Progress bars on stderr if it is a terminal, else nothing."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Bars(None)
        return
    columns = (
        TextColumn("{task.description:<32}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[rows]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        shown = Bars(progress)
        yield shown
        for task in progress.tasks:
            progress.update(task.id, completed=task.total)


def _plain(value: Any) -> Any:
    """JSON without NaN and infinity: those become text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "inf" if value > 0 else "-inf" if value < 0 else None
    return value
