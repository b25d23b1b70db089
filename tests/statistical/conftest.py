"""Calibrations are functions of public constants: remembered, so that many small fits take one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.audit.worst_case import quick_fits


@pytest.fixture(autouse=True, scope="session")
def remembered_calibrations() -> Iterator[None]:
    with quick_fits():
        yield
