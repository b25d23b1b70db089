"""Progress bars with the time that is left: on a terminal only, public stages and counts only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Report = Callable[[str, int, int], None]

SAMPLING = "sampling"  # the one stage whose number of rows is public, and shown


def silent(stage: str, done: int, total: int) -> None:
    """No progress wanted."""


def shares(stage: str, report: Report | None) -> Callable[[float], None]:
    """A callback for the share of `stage` that is done, which reports each new whole percent.

    For stages on private rows: a share tells nothing of how many rows there are.
    """
    told = 0
    if report is not None:
        report(stage, 0, 100)

    def tell(share: float) -> None:
        nonlocal told
        percent = min(100, int(100 * share))
        if report is not None and percent > told:
            told = percent
            report(stage, percent, 100)

    return tell


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
        rows = f"{done:,} rows" if stage == SAMPLING else ""
        self._progress.update(self._tasks[stage], completed=done, total=max(total, 1), rows=rows)


@contextmanager
def bars(shown: bool = True) -> Iterator[Bars]:
    """Progress bars on stderr if it is a terminal, else nothing; nothing either unless `shown`."""
    console = Console(stderr=True)
    if not (shown and console.is_terminal):
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
        yield Bars(progress)
        for task in progress.tasks:
            progress.update(task.id, completed=task.total)
