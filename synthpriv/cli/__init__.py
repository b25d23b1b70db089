"""Floor 7, words and progress bars: the command line; the only folder that prints."""

from synthpriv.cli.main import main

__all__ = ["main"]
