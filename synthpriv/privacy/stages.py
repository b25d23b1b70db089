"""Progress through a stage in whole percents: a share tells nothing of how many rows there are."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]


def share_report(stage: str, progress: Progress | None) -> Callable[[float], None]:
    """A callback for the share of `stage` that is done, which passes on each new whole percent."""
    told = 0
    if progress is not None:
        progress(stage, 0, 100)

    def report(share: float) -> None:
        nonlocal told
        percent = min(100, int(100 * share))
        if progress is not None and percent > told:
            told = percent
            progress(stage, percent, 100)

    return report
