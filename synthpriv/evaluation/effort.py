"""Effort: how much work the judge may spend; less of it widens intervals."""

from __future__ import annotations

from enum import StrEnum


class Effort(StrEnum):
    """quick: a look while working. standard: a release. thorough: an audit."""

    quick = "quick"
    standard = "standard"
    thorough = "thorough"
