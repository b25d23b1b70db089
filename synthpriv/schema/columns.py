"""Column kinds: what is publicly known about each column, as frozen values checked when they are made."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from numbers import Real
from typing import Any, Literal

from synthpriv.errors import SchemaError
from synthpriv.schema.patterns import check_pattern

Category = str | int | float
Resolution = Literal["s", "min", "h", "D"]
SECONDS: dict[str, int] = {"s": 1, "min": 60, "h": 3600, "D": 86400}
EXACT = 2**53  # the largest whole number up to which a double holds every whole number


@dataclass(frozen=True, kw_only=True)
class Column:
    """What every kind of column declares.

    nullable: whether the column may hold missing values. confirmed: False while a bound or category list
    that was looked up in the data (a draft) has not been confirmed by a person as public knowledge.
    """

    nullable: bool = False
    confirmed: bool = True

    def __post_init__(self) -> None:
        """Check the flags: a text such as 'no' must not count as true."""
        _check_flag(self.nullable, "nullable")
        _check_flag(self.confirmed, "confirmed")

    @property
    def size(self) -> int:
        """The number of values that the column can take, missing not counted."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Categorical(Column):
    """One of a declared list of values, all strings or all numbers.

    >>> Categorical(categories=["no", "yes"]).size
    2
    """

    categories: tuple[Category, ...]
    kind: Literal["categorical"] = "categorical"

    def __post_init__(self) -> None:
        """Freeze and check the list."""
        super().__post_init__()
        if not isinstance(self.categories, list | tuple):
            raise SchemaError(
                f"categories must be a list of values in fixed order, found {self.categories!r}."
            )
        values = tuple(_plain(value) for value in self.categories)
        object.__setattr__(self, "categories", values)
        if not values:
            raise SchemaError("categories must name at least one value, found an empty list.")
        if len({isinstance(value, str) for value in values}) > 1:
            raise SchemaError("categories must be all strings or all numbers, found both; quote the numbers.")
        if any(not isinstance(value, str) and not abs(value) <= EXACT for value in values):
            raise SchemaError(
                "categories must be strings or numbers within +-2**53, found a larger number, NaN or "
                "infinity; quote it, or declare nullable instead."
            )
        labels = [canonical(value) for value in values]
        if len(set(labels)) != len(labels):
            [(twice, _)] = Counter(labels).most_common(1)
            raise SchemaError(f"categories must differ from each other, found {twice!r} twice; remove one.")
        if self.nullable and "" in labels:
            raise SchemaError(
                "categories of a nullable column must not hold the empty string, found one; files write "
                "missing like that: remove the category or nullable."
            )

    @property
    def size(self) -> int:
        """The number of categories."""
        return len(self.categories)


@dataclass(frozen=True, kw_only=True)
class Boolean(Column):
    """True or False."""

    kind: Literal["boolean"] = "boolean"

    @property
    def size(self) -> int:
        """Always 2."""
        return 2


@dataclass(frozen=True, kw_only=True)
class Integer(Column):
    """A whole number within public bounds, both included.

    >>> Integer(lower=17, upper=90).size
    74
    """

    lower: int
    upper: int
    kind: Literal["integer"] = "integer"

    def __post_init__(self) -> None:
        """Check the bounds."""
        super().__post_init__()
        for name in ("lower", "upper"):
            object.__setattr__(self, name, _whole(getattr(self, name), f"{name} of an integer column"))
        _check_order(self.lower, self.upper, "lower", "upper")
        if max(abs(self.lower), abs(self.upper)) > EXACT:
            raise SchemaError(
                f"bounds of an integer column must lie within +-2**53, found {self.lower} and {self.upper}; "
                "declare an Identifier instead."
            )

    @property
    def size(self) -> int:
        """The number of whole numbers between the bounds."""
        return self.upper - self.lower + 1


@dataclass(frozen=True, kw_only=True)
class Float(Column):
    """A number within public bounds, written with `decimals` digits after the point.

    >>> Float(lower=0.0, upper=1.0, decimals=2).size
    101
    """

    lower: float
    upper: float
    decimals: int = 3
    kind: Literal["float"] = "float"

    def __post_init__(self) -> None:
        """Check the bounds and the decimals."""
        super().__post_init__()
        for name in ("lower", "upper"):
            object.__setattr__(self, name, _finite(getattr(self, name), f"{name} of a float column"))
        _check_order(self.lower, self.upper, "lower", "upper")
        object.__setattr__(self, "decimals", _whole(self.decimals, "decimals"))
        if not 0 <= self.decimals <= 15:
            raise SchemaError(f"decimals must lie in 0..15, found {self.decimals!r}.")
        if max(abs(self.lower), abs(self.upper)) * 10.0**self.decimals > EXACT / 8:
            raise SchemaError(
                "bounds and decimals together must not exceed what a double can hold, 2**50 steps, "
                f"found {self.lower} to {self.upper} with {self.decimals} decimals; lower the decimals."
            )

    @property
    def size(self) -> int:
        """The number of values with that many decimals between the bounds."""
        scale = 10.0**self.decimals
        return round(self.upper * scale) - round(self.lower * scale) + 1


@dataclass(frozen=True, kw_only=True)
class DateTime(Column):
    """A moment between two public moments, counted in steps of `resolution` (s, min, h or D) from `start`.

    Moments carry no time zone; cells that do are converted to UTC. `start` lies on a whole step. Text is
    read as ISO 8601, year/month/day, month/day/year (with slashes) or day.month.year (with dots).

    >>> DateTime(start="2020-01-01", end="2020-12-31", resolution="D").size
    366
    """

    start: datetime
    end: datetime
    resolution: Resolution = "s"
    kind: Literal["datetime"] = "datetime"

    def __post_init__(self) -> None:
        """Read the moments and check their order."""
        super().__post_init__()
        object.__setattr__(self, "start", _moment(self.start, "start"))
        object.__setattr__(self, "end", _moment(self.end, "end"))
        if self.resolution not in SECONDS:
            raise SchemaError(f"resolution must be one of {', '.join(SECONDS)}, found {self.resolution!r}.")
        _check_order(self.start, self.end, "start", "end")
        if (self.start - datetime.min) % timedelta(seconds=SECONDS[self.resolution]):
            raise SchemaError(
                f"start must lie on a whole step of the resolution {self.resolution!r}, found {self.start}; "
                "move it to the step before."
            )

    @property
    def size(self) -> int:
        """The number of moments at that resolution."""
        return (self.end - self.start) // timedelta(seconds=SECONDS[self.resolution]) + 1


@dataclass(frozen=True, kw_only=True)
class Identifier(Column):
    r"""A value that names a row and carries no information: never learnt, made anew from `pattern`.

    pattern: a regular expression, e.g. ``[A-Z]{2}\d{6}``. Synthetic values are unique unless `unique=False`.
    """

    pattern: str = r"[0-9]{10}"
    unique: bool = True
    kind: Literal["identifier"] = "identifier"

    def __post_init__(self) -> None:
        """Check that values can be made from the pattern."""
        super().__post_init__()
        _check_flag(self.unique, "unique")
        check_pattern(self.pattern)

    @property
    def size(self) -> int:
        """An identifier has no values to model."""
        return 0


AnyColumn = Categorical | Boolean | Integer | Float | DateTime | Identifier
KINDS: dict[str, type[AnyColumn]] = {
    "categorical": Categorical,
    "boolean": Boolean,
    "integer": Integer,
    "float": Float,
    "datetime": DateTime,
    "identifier": Identifier,
}


def canonical(value: Any) -> str:
    """One text per value however a reader typed it: 1, 1.0 and Decimal("1.00") are all '1'.

    >>> [canonical(value) for value in (1, 1.0, Decimal("1.50"), True, "01")]
    ['1', '1', '1.5', 'True', '01']
    """
    if isinstance(value, Decimal):
        value = math.nan if value.is_nan() else float(value)
    elif hasattr(value, "dtype"):  # a numpy scalar; the text of a float32 is its shortest decimal
        kind = value.dtype.kind
        value = float(str(value)) if kind == "f" else value.item() if kind in "iub" else str(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def _plain(value: Any) -> Any:
    """A numpy scalar as a Python value; booleans as text, because TOML and CSV write them differently."""
    value = value.item() if hasattr(value, "item") else value
    if not isinstance(value, str | int | float):
        raise SchemaError(f"categories must be strings or numbers, found {value!r}.")
    return str(value) if isinstance(value, bool) else value


def _check_flag(value: Any, name: str) -> None:
    if not isinstance(value, bool):
        raise SchemaError(f"{name} must be true or false, found {value!r}; write it without quotes.")


def _finite(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise SchemaError(f"{name} must be a finite number, found {value!r}.")
    return float(value)


def _whole(value: Any, name: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not (number := _finite(value, name)).is_integer():
        raise SchemaError(f"{name} must be a whole number, found {value!r}.")
    return int(number)


def _moment(value: Any, name: str) -> datetime:
    """A datetime from a datetime, a date or ISO text."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise SchemaError(f"{name} must be a date or time such as 2020-01-31, found {value!r}.") from None
    if moment.tzinfo is not None:
        raise SchemaError(f"{name} must have no time zone, found {value!r}; declare it in UTC without one.")
    return moment


def _check_order(low: Any, high: Any, low_name: str, high_name: str) -> None:
    if low > high:
        raise SchemaError(
            f"{low_name} must not exceed {high_name}, "
            f"found {low_name}={low} and {high_name}={high}; swap them."
        )
