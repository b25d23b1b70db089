"""Raw cells, whatever reader typed them, as text, numbers or moments: each cell read on its own.

pandas' own parsers look at a whole column to choose a unit or a type, so that one row can change how
another is read. Here the reading of a cell is a function of that cell alone.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from synthpriv.schema.columns import canonical

Numbers = npt.NDArray[np.float64]
Moments = npt.NDArray[np.datetime64]
Cells = Numbers | Moments | list[str]

_EPOCH = datetime(1970, 1, 1)
_NOT_A_TIME = -(2**63)
_TIME = (
    r"(?:[ T]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.\d*)?)?"
    r"(?: ?(?P<half>[AaPp])[Mm])?)?"
)
_DATES = tuple(
    re.compile(date + _TIME)
    for date in (
        r"(?P<year>\d{4})(?:[-/.](?P<month>\d{1,2})(?:[-/.](?P<day>\d{1,2}))?)?",
        r"(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})",
        r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})",
    )
)


def distinct_cells(cells: pd.Series) -> tuple[npt.NDArray[np.int64], Cells]:
    """A code per cell (-1: missing) into the distinct values: numbers, moments (UTC) or text.

    >>> distinct_cells(pd.Series(["a", None, "a"]))
    (array([ 0, -1,  0]), ['a'])
    """
    if isinstance(cells.dtype, pd.CategoricalDtype):
        inner, read = distinct_cells(pd.Series(cells.cat.categories))
        return np.append(inner, -1)[cells.cat.codes.to_numpy()], read
    kind = cells.dtype.kind
    if kind == "O" and pd.api.types.infer_dtype(cells, skipna=True) != "string":
        missing = cells.isna().to_numpy(dtype=bool)
        pairs = zip(cells.astype(object), missing, strict=True)
        cells = pd.Series([None if skip else canonical(value) for value, skip in pairs], dtype=object)
    codes, distinct = pd.factorize(cells)
    values = pd.Series(distinct)
    if kind in "iuf":
        numbers = _doubles(values)
        return np.where(np.append(np.isnan(numbers), True)[codes], -1, codes), numbers
    if kind == "M":
        return codes, _seconds(values)
    return codes, [canonical(value) for value in values] if kind == "b" else [str(value) for value in values]


def cell_texts(values: Cells) -> list[str]:
    """The canonical text of each value; a midnight is written as its date."""
    if isinstance(values, list):
        return values
    if values.dtype.kind == "M":
        return [str(moment).replace("T00:00:00", "") for moment in values]
    return [canonical(number) for number in values.tolist()]


def read_numbers(values: Cells) -> Numbers:
    """Each value as a double; NaN where it is not a number."""
    if isinstance(values, list):
        return np.array([read_number(text) for text in values], dtype=np.float64)
    return np.full(len(values), np.nan) if values.dtype.kind == "M" else np.asarray(values, dtype=np.float64)


def read_moments(values: Cells) -> Moments:
    """Each value as a moment in whole seconds (rounded down, UTC); NaT where it is not one."""
    if isinstance(values, list):
        return np.array([_seconds_since_1970(read_moment(text)) for text in values], dtype=np.int64).view(
            "datetime64[s]"
        )
    if values.dtype.kind == "M":
        return np.asarray(values, dtype="datetime64[s]")
    return read_moments(cell_texts(values))


def read_number(text: str) -> float:
    """A number from decimal text; NaN where it is none. True and False count as 1 and 0.

    >>> read_number(" 17.0 "), read_number("1e3"), read_number("seventeen")
    (17.0, 1000.0, nan)
    """
    try:
        return float(text) if "_" not in text else math.nan
    except ValueError:
        return {"true": 1.0, "false": 0.0}.get(text.strip().lower(), math.nan)


def read_moment(text: str) -> datetime | None:
    """A moment without time zone (UTC) from ISO text or one of the forms that `DateTime` names.

    >>> str(read_moment("2020-01-31T02:00+02:00")), str(read_moment("1/31/2020 1:05 PM")), read_moment("soon")
    ('2020-01-31 00:00:00', '2020-01-31 13:05:00', None)
    """
    text = text.strip()
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
        return moment.replace(microsecond=0) if moment.microsecond else moment
    except (ValueError, OverflowError):
        match = next(filter(None, (form.fullmatch(text) for form in _DATES)), None)
    if match is None:
        return None
    part = {name: value or "" for name, value in match.groupdict().items()}
    hour, half = int(part["hour"] or 0), part["half"].lower()
    if half:
        hour = hour % 12 + 12 * (half == "p") if 1 <= hour <= 12 else 24
    try:
        day = (int(part["year"]), int(part["month"] or 1), int(part["day"] or 1))
        return datetime(*day, hour, int(part["minute"] or 0), int(part["second"] or 0))
    except ValueError:
        return None


def _seconds_since_1970(moment: datetime | None) -> int:
    """Whole seconds, many times faster than numpy reads a datetime; numpy's NaT where there is none."""
    if moment is None:
        return _NOT_A_TIME
    since = moment - _EPOCH
    return since.days * 86400 + since.seconds


def _doubles(values: pd.Series) -> Numbers:
    """Any numeric dtype as doubles; a float32 by its shortest decimal, so that 0.1 stays 0.1."""
    dtype: Any = values.dtype
    plain = np.dtype(getattr(dtype, "numpy_dtype", getattr(dtype, "subtype", dtype)))
    if plain.kind == "f" and plain.itemsize < 8:
        return values.to_numpy(dtype=plain, na_value=np.nan).astype(str).astype(np.float64)
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def _seconds(values: pd.Series) -> Moments:
    """Any datetime dtype as whole seconds, UTC."""
    if isinstance(values.dtype, pd.ArrowDtype):
        values = pd.Series(values.array.__arrow_array__().cast("timestamp[us]").to_pandas())
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        values = values.dt.tz_convert("UTC").dt.tz_localize(None)
    return values.to_numpy().astype("datetime64[s]")


def identifier_texts(cells: pd.Series) -> pd.Series:
    """Identifiers as text, missing kept: 17.0, which pandas makes of 17 beside a missing cell, is '17'."""
    missing = cells.isna().to_numpy(dtype=bool)
    pairs = zip(cells.astype(object), missing, strict=True)
    return pd.Series([None if skip else canonical(value) for value, skip in pairs], dtype="str")


def hashed_cells(cells: pd.Series, key: str = "synthpriv public") -> npt.NDArray[np.uint64]:
    """A 64-bit SipHash of each identifier's text under a key of 16 characters; missing has one of its own.

    >>> bool(hashed_cells(pd.Series(["17"]))[0] == hashed_cells(pd.Series([17]))[0])
    True
    """
    codes, distinct = pd.factorize(cells)
    texts = identifier_texts(pd.Series(distinct)).to_numpy(dtype=object)
    hashes = pd.util.hash_array(np.append(texts, "missing\0"), hash_key=key, categorize=False)
    return hashes[codes]
