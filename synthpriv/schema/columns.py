"""Column kinds: what is publicly known about each column, as frozen values checked when they are made."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from synthpriv.errors import SchemaError

Category = str | int | float
Resolution = Literal["s", "min", "h", "D"]
SECONDS: dict[str, int] = {"s": 1, "min": 60, "h": 3600, "D": 86400}


@dataclass(frozen=True, kw_only=True)
class Column:
    """What every kind of column declares.

    nullable: whether the column may hold missing values. confirmed: False while a bound or category list
    that was looked up in the data (a draft) has not been confirmed by a person as public knowledge.
    """

    nullable: bool = False
    confirmed: bool = True

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
        if isinstance(self.categories, str):
            raise SchemaError(f"categories must be a list of values, found the string {self.categories!r}.")
        values = tuple(_plain(value) for value in self.categories)
        object.__setattr__(self, "categories", values)
        if not values:
            raise SchemaError("categories must name at least one value, found an empty list.")
        if len({str(value) for value in values}) != len(values):
            twice = next(v for v in values if [str(w) for w in values].count(str(v)) > 1)
            raise SchemaError(f"categories must differ from each other, found {twice!r} twice; remove one.")
        if len({isinstance(value, str) for value in values}) > 1:
            raise SchemaError("categories must be all strings or all numbers, found both; quote the numbers.")
        if any(isinstance(value, float) and not math.isfinite(value) for value in values):
            raise SchemaError("categories must be finite, found NaN or infinity; declare nullable instead.")

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
        for name in ("lower", "upper"):
            value = getattr(self, name)
            if isinstance(value, bool) or int(value) != value:
                raise SchemaError(f"{name} of an integer column must be a whole number, found {value!r}.")
            object.__setattr__(self, name, int(value))
        _check_order(self.lower, self.upper, "lower", "upper")
        if max(abs(self.lower), abs(self.upper)) > 2**53:
            raise SchemaError(
                "bounds of an integer column must lie within +-2**53; declare an Identifier instead."
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
        object.__setattr__(self, "lower", float(self.lower))
        object.__setattr__(self, "upper", float(self.upper))
        if not (math.isfinite(self.lower) and math.isfinite(self.upper)):
            raise SchemaError(
                f"bounds of a float column must be finite, found {self.lower} and {self.upper}."
            )
        _check_order(self.lower, self.upper, "lower", "upper")
        if isinstance(self.decimals, bool) or not 0 <= self.decimals <= 15:
            raise SchemaError(f"decimals must lie in 0..15, found {self.decimals!r}.")
        if max(abs(self.lower), abs(self.upper)) * 10.0**self.decimals > 2**53:
            raise SchemaError(
                "bounds and decimals together exceed what a double can hold; lower the decimals."
            )

    @property
    def size(self) -> int:
        """The number of values with that many decimals between the bounds."""
        scale = 10.0**self.decimals
        return round(self.upper * scale) - round(self.lower * scale) + 1


@dataclass(frozen=True, kw_only=True)
class DateTime(Column):
    """A moment between two public moments, counted in steps of `resolution` (s, min, h or D) from `start`.

    >>> DateTime(start="2020-01-01", end="2020-12-31", resolution="D").size
    366
    """

    start: datetime
    end: datetime
    resolution: Resolution = "s"
    kind: Literal["datetime"] = "datetime"

    def __post_init__(self) -> None:
        """Read the moments and check their order."""
        object.__setattr__(self, "start", _moment(self.start, "start"))
        object.__setattr__(self, "end", _moment(self.end, "end"))
        if self.resolution not in SECONDS:
            raise SchemaError(f"resolution must be one of {', '.join(SECONDS)}, found {self.resolution!r}.")
        _check_order(self.start, self.end, "start", "end")

    @property
    def size(self) -> int:
        """The number of moments at that resolution."""
        return int((self.end - self.start).total_seconds() // SECONDS[self.resolution]) + 1


@dataclass(frozen=True, kw_only=True)
class Identifier(Column):
    r"""A value that names a row and carries no information: never learnt, made anew from `pattern`.

    pattern: a regular expression, e.g. ``[A-Z]{2}\d{6}``. Synthetic values are unique unless `unique=False`.
    """

    pattern: str = r"[0-9]{10}"
    unique: bool = True
    kind: Literal["identifier"] = "identifier"

    def __post_init__(self) -> None:
        """Check that the pattern is a regular expression."""
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise SchemaError(
                f"pattern must be a regular expression, found {self.pattern!r} ({error})."
            ) from None

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


def _plain(value: Any) -> Any:
    """A numpy scalar as a Python value; booleans as text, because TOML and CSV write them differently."""
    value = value.item() if hasattr(value, "item") else value
    if not isinstance(value, str | int | float):
        raise SchemaError(f"categories must be strings or numbers, found {value!r}.")
    return str(value) if isinstance(value, bool) else value


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
