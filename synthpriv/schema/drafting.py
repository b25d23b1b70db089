"""A first schema proposed from the data: PRIVATE, every column unconfirmed, until a person has confirmed it.

Every bound, category list, pattern and null flag below was looked up in private rows; that is what
`confirmed = false` records. The rules, in order, on the cells that are not missing:

- A column named like an identifier (id, uuid, ssn, email ...) with many values is an Identifier.
- true/false and yes/no (words, in any case) are Boolean; 0/1 are Boolean only under a name such as
  is_active or active_flag, else the two categories 0 and 1.
- Whole numbers of at most 10 values in at least 20 times as many rows are Categorical codes, other numbers
  Integer or Float within bounds rounded outwards. Text with leading zeros is a code, never a number.
- Dates and times are DateTime at the coarsest resolution that fits, from new year to new year's eve.
- Text that differs in nearly every row but has one constant form (AB-1234) is an Identifier; text of up to
  max(50, 2 % of the rows) values is Categorical; the rest is free text, which is not synthesized: an
  Identifier with a placeholder as its pattern.
"""

from __future__ import annotations

import itertools
import math
import re
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from synthpriv.errors import SchemaError
from synthpriv.schema.cells import (
    Cells,
    Moments,
    cell_texts,
    distinct_cells,
    identifier_texts,
    read_moments,
    read_number,
    read_numbers,
)
from synthpriv.schema.columns import (
    EXACT,
    SECONDS,
    AnyColumn,
    Boolean,
    Categorical,
    DateTime,
    Float,
    Identifier,
    Integer,
    Resolution,
)

if TYPE_CHECKING:
    from synthpriv.schema.declaration import Schema

FREE_TEXT = "TEXT [0-9]{8}"
SAFE_EMAIL = r"[a-z]{10}@example\.org"  # a new address must not be somebody's
TARGET_NAMES = frozenset(
    {"target", "label", "class", "outcome", "y", "income", "default", "churn", "response", "diagnosis"}
)
_FLAG_NAME = re.compile(r"(is|has|was|can|did)_.+|flag_.+|(.+_)?flag", re.IGNORECASE)
_ROW_NAME = re.compile(
    r"(?i:(.*[_ .-])?(id|ids|uuid|guid|ssn|e-?mail|mail|phone|iban|key)(_.*address)?)|.*[a-z](ID|Id)"
)
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?\s*")
_LEADING_ZERO = re.compile(r"\s*[+-]?0\d")
_DATE = re.compile(r"\s*(\d{1,4}[-/.]\d{1,2}([-/.]\d{1,4})?([T ].*)?|\d{8}T.*)")
_HEADER = """\
This schema was drafted from the data: it is PRIVATE until a person has confirmed every column.
To confirm a column, replace what was read from the data (bounds, categories, pattern, nullable) by what is
publicly known without looking at the rows, e.g. from a codebook, a form or a law; then delete its line
'confirmed = false'. Widen a bound rather than narrow it. Private training refuses unconfirmed columns.
If one person can have several rows, name the identifier: privacy_unit = "COLUMN", max_rows_per_unit = N.
"""
_REMARK = "read from the data: replace by public knowledge, then delete 'confirmed = false'"
_REMARK_TEXT = "free text is not synthesized: drop the column, or give a pattern for placeholders; " + _REMARK


def draft_columns(frame: pd.DataFrame) -> tuple[dict[str, AnyColumn], tuple[str, ...]]:
    """Proposed columns and targets, all of them private and unconfirmed; raises SchemaError.

    >>> columns, targets = draft_columns(pd.DataFrame({"age": range(17, 91), "income": ["low", "high"] * 37}))
    >>> columns["age"].lower, columns["age"].upper, columns["income"].categories, targets
    (10, 90, ('high', 'low'), ('income',))
    """
    names = [str(name) for name in frame.columns]
    if not names or len(frame) == 0 or len(set(names)) != len(names):
        raise SchemaError(
            "a schema must be drafted from a table with rows and distinct column names, found "
            f"{len(names)} columns with {len(set(names))} names and {'some' if len(frame) else 'no'} rows; "
            "check how the table was read."
        )
    columns = {name: _draft_column(name, frame.iloc[:, at]) for at, name in enumerate(names)}
    eligible = [
        name
        for name, column in columns.items()
        if isinstance(column, Categorical | Boolean) and 2 <= column.size <= 20
    ]
    named = [name for name in eligible if name.lower() in TARGET_NAMES]
    return columns, tuple(named or [name for name in names[-1:] if name in eligible])


def draft_toml(schema: Schema) -> str:
    """The schema as TOML with comments that say what a person has to confirm; reads back as `schema`."""
    import tomlkit

    document = tomlkit.parse(schema.to_toml())
    for name in schema.unconfirmed:
        column = schema.columns[name]
        free = isinstance(column, Identifier) and column.pattern == FREE_TEXT
        document["columns"][name].comment(_REMARK_TEXT if free else _REMARK)
    header = "".join(f"# {line}\n" for line in _HEADER.splitlines()) if schema.unconfirmed else ""
    return f"{header}\n{tomlkit.dumps(document)}".lstrip()


def _draft_column(name: str, cells: pd.Series) -> AnyColumn:
    codes, values = distinct_cells(cells)
    texts = cell_texts(values)
    blank = np.array([not text.strip() for text in texts], dtype=bool)
    present = ~np.append(blank, True)[codes]
    rows, nullable = int(present.sum()), not present.all()
    texts = [text for text in texts if text.strip()]
    if not texts:
        return Categorical(categories=("unknown",), nullable=True, confirmed=False)
    if _is_named_identifier(name, texts, rows):
        return _draft_identifier(cells[present], rows, nullable)
    words = {text.strip().lower() for text in texts}
    if (
        words <= {"true", "false"}
        or words == {"yes", "no"}
        or (words == {"0", "1"} and _FLAG_NAME.fullmatch(name))
    ):
        return Boolean(nullable=nullable, confirmed=False)
    if _are_numbers(values, texts):
        pointed = cells.dtype.kind == "f" or (isinstance(values, list) and any("." in text for text in texts))
        return _draft_number(texts, rows, nullable, pointed)
    moments = _as_moments(values, texts)
    if moments is not None:
        return _draft_moments(moments, nullable)
    if rows >= 20 and len(texts) >= 0.95 * rows and (pattern := _constant_form(texts)):
        return Identifier(pattern=pattern, unique=len(texts) == rows, nullable=nullable, confirmed=False)
    categories = tuple(sorted({text.strip() for text in texts}))
    if len(categories) <= max(50, 0.02 * rows):
        return Categorical(categories=categories, nullable=nullable, confirmed=False)
    return Identifier(pattern=FREE_TEXT, unique=len(texts) == rows, nullable=nullable, confirmed=False)


def _is_named_identifier(name: str, texts: list[str], rows: int) -> bool:
    if not _ROW_NAME.fullmatch(name) or any(_NUMBER.fullmatch(text) and "." in text for text in texts):
        return False
    return len(texts) >= 0.95 * rows or len(texts) > max(50, 0.02 * rows)


def _draft_identifier(cells: pd.Series, rows: int, nullable: bool) -> Identifier:
    texts = sorted(set(identifier_texts(cells)))
    shortest, longest = len(min(texts, key=len)), len(max(texts, key=len))
    if all("@" in text for text in texts):
        pattern = SAFE_EMAIL
    elif all(re.fullmatch("[0-9]+", text) for text in texts):
        pattern = f"[0-9]{{{longest}}}" if shortest == longest else f"[0-9]{{{shortest},{longest + 1}}}"
    elif (form := _constant_form(texts)) is not None:
        pattern = form
    else:
        plain = all(re.fullmatch("[A-Za-z0-9]+", text) for text in texts)
        pattern = f"[A-Za-z0-9]{{{shortest},{longest}}}" if plain else FREE_TEXT
    return Identifier(pattern=pattern, unique=len(texts) == rows, nullable=nullable, confirmed=False)


def _constant_form(texts: list[str]) -> str | None:
    """The pattern of texts that agree position by position, e.g. [A-Z]{2}[0-9]{6}; None where they do not.

    >>> _constant_form(["AB-12", "CD-34"])
    '[A-Z]{2}\\\\-[0-9]{2}'
    """
    width = len(texts[0])
    if not 0 < width <= 64 or any(len(text) != width for text in texts):
        return None
    letters = np.array(texts, dtype=f"U{width}").view("U1").reshape(len(texts), width)
    classes = [_character_class("".join(np.unique(letters[:, at]))) for at in range(width)]
    if None in classes or not any(kind != "[A-Za-z]" and kind and kind.startswith("[") for kind in classes):
        return None
    pattern = ""
    for kind, run in itertools.groupby(classes):
        count = len(list(run))
        pattern += f"{kind}{{{count}}}" if count > 1 else str(kind)
    return pattern


def _character_class(letters: str) -> str | None:
    for kind in (
        "[0-9]",
        "[a-z]",
        "[A-Z]",
        "[0-9a-f]",
        "[0-9A-F]",
        "[0-9a-z]",
        "[0-9A-Z]",
        "[A-Za-z]",
        "[0-9A-Za-z]",
    ):
        if re.fullmatch(f"{kind}+", letters):
            return kind
    return re.escape(letters) if len(letters) == 1 else None


def _are_numbers(values: Cells, texts: list[str]) -> bool:
    if not isinstance(values, list):
        return values.dtype.kind == "f"
    return all(_NUMBER.fullmatch(text) and not _LEADING_ZERO.match(text) for text in texts)


def _draft_number(texts: list[str], rows: int, nullable: bool, pointed: bool) -> AnyColumn:
    """pointed: the cells have decimal points, as pandas gives them to whole numbers beside missing cells."""
    texts = [text for text in texts if math.isfinite(read_number(text))]
    numbers = np.clip(read_numbers(texts), -EXACT, EXACT)
    if not texts:
        return Categorical(categories=("unknown",), nullable=True, confirmed=False)
    whole = bool((numbers % 1 == 0).all())
    few = len(numbers) <= 10 and rows >= 20 * len(numbers)
    if whole and (few or set(numbers) == {0, 1}):
        codes = tuple(sorted({int(number) for number in numbers}))
        return Categorical(categories=codes, nullable=nullable, confirmed=False)
    lower, upper = _round_outwards(float(numbers.min()), float(numbers.max()))
    if whole and (nullable or not pointed):
        return Integer(
            lower=max(int(lower), -EXACT), upper=min(int(upper), EXACT), nullable=nullable, confirmed=False
        )
    most = EXACT / 8
    lower, upper = (min(max(bound, -most), most) for bound in (lower, upper))
    decimals = _decimals(texts, upper - lower)
    while decimals and max(abs(lower), abs(upper)) * 10.0**decimals > most:
        decimals -= 1
    return Float(lower=lower, upper=upper, decimals=decimals, nullable=nullable, confirmed=False)


def _round_outwards(lowest: float, highest: float) -> tuple[float, float]:
    """Bounds on a round step of about a tenth of the span, on the same side of zero.

    >>> _round_outwards(17, 90), _round_outwards(12285, 1490400), _round_outwards(0.02, 0.97)
    ((10, 90), (0, 1500000), (0.0, 1.0))
    """
    exponent = max(math.floor(math.log10((highest - lowest) / 2)), -15) if highest > lowest else 0
    if exponent >= 0:
        step = 10**exponent
        return math.floor(lowest / step) * step, math.ceil(highest / step) * step
    parts = 10**-exponent
    return math.floor(lowest * parts) / parts, math.ceil(highest * parts) / parts


def _decimals(texts: list[str], span: float) -> int:
    """As many digits after the point as are written; at most 6, or seven significant ones."""
    written = max(max(-int(Decimal(text.strip()).as_tuple().exponent), 0) for text in texts)
    significant = 7 - math.ceil(math.log10(span)) if span > 0 else 6
    return min(written, max(6, significant), 15)


def _as_moments(values: Cells, texts: list[str]) -> Moments | None:
    if isinstance(values, list) and not all(_DATE.fullmatch(text) for text in texts):
        return None
    moments = read_moments(texts)
    return None if np.isnat(moments).any() else moments


def _draft_moments(moments: Moments, nullable: bool) -> DateTime:
    seconds: npt.NDArray[np.int64] = moments.astype("datetime64[s]").astype(np.int64)
    fits: list[Resolution] = [step for step in ("D", "h", "min", "s") if not (seconds % SECONDS[step]).any()]
    years = moments.astype("datetime64[Y]").astype(np.int64) + 1970
    return DateTime(
        start=datetime(max(int(years.min()), 1), 1, 1),
        end=datetime(min(int(years.max()), 9999), 12, 31, *((0, 0, 0) if fits[0] == "D" else (23, 59, 59))),
        resolution=fits[0],
        nullable=nullable,
        confirmed=False,
    )
