"""Calibrations are functions of public constants: remembered, so that many small fits take one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from synthpriv.privacy import accounting


@pytest.fixture(autouse=True, scope="session")
def remembered_calibrations() -> Iterator[None]:
    known: dict[Any, float] = {}
    calibrate = accounting.calibrate_noise_multiplier

    def once(spent: Any, *constants: float) -> float:
        key = (tuple(spent), *constants)
        if key not in known:
            known[key] = calibrate(spent, *constants)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accounting, "calibrate_noise_multiplier", once)
        yield
