"""Patterns of identifiers: what a regular expression may hold, so that new values can be made from it."""

from __future__ import annotations

import re
import string
import warnings
from re import _parser  # the parse tree, which `rstr` walks to make values
from typing import Any

from synthpriv.errors import SchemaError

LONGEST_PATTERN = 1000
MOST_EFFORT = 25_000
_MOST_REPEATS = 100  # what rstr makes of * and +
_CHARACTERS = {
    "CATEGORY_DIGIT": string.digits,
    "CATEGORY_SPACE": string.whitespace,
    "CATEGORY_WORD": string.ascii_letters + string.digits + "_",
}


def check_pattern(pattern: Any) -> None:
    """Raise SchemaError unless values can be made from `pattern`, with bounded effort for each.

    Allowed are characters, classes, groups, alternatives, anchors and repeats that begin at 100 or less.

    >>> check_pattern(r"[A-Z]{2}[0-9]{6}")
    """
    if not isinstance(pattern, str) or len(pattern) > LONGEST_PATTERN:
        raise SchemaError(
            f"pattern must be a regular expression of at most {LONGEST_PATTERN} characters, found "
            f"{str(pattern)[:50]!r}."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what Python finds ambiguous is no public fact
            re.compile(pattern)
            effort = _effort(_parser.parse(pattern))
    except (re.error, Warning, RecursionError, OverflowError) as error:
        raise SchemaError(f"pattern must be a regular expression, found {pattern!r} ({error}).") from None
    if effort > MOST_EFFORT:
        raise SchemaError(
            f"pattern must describe short values, found {pattern!r}, which may take {effort:,} characters; "
            "repeat less."
        )


def layouts(pattern: str) -> list[tuple[str, ...]] | None:
    """The characters that each place of a value may hold, for every length that values of `pattern` have.

    None for a pattern in which one value may be made in two ways: with alternatives, or two open lengths.

    >>> layouts("[ab][0-3]{1,2}")
    [('ab', '0123'), ('ab', '0123', '0123')]
    """
    return _layouts(_parser.parse(pattern))


def _layouts(states: Any) -> list[tuple[str, ...]] | None:
    found: list[tuple[str, ...]] = [()]
    for code, value in states:
        options: list[tuple[str, ...]] | None
        if code.name == "AT":
            continue
        if code.name == "SUBPATTERN":
            options = _layouts(value[-1])
        elif code.name in ("MAX_REPEAT", "MIN_REPEAT"):
            inner = _layouts(value[2])
            most = max(value[0], int(min(value[1], _MOST_REPEATS)))
            once = inner is not None and len(inner) == 1 and inner[0]
            options = [once * times for times in range(value[0], most + 1)] if once else None
        else:
            options = None if code.name == "BRANCH" else [(_characters(code.name, value),)]
        if options is None or (len(options) > 1 and len(found) > 1):
            return None
        found = [one + other for one in found for other in options]
    return found


def _characters(code: str, value: Any) -> str:
    """The characters of one place: a literal, a class, a dot."""
    if code == "LITERAL":
        return chr(value)
    named: set[str] = {"\n"} if code == "ANY" else set() if code == "IN" else {chr(value)}
    negated = code != "IN"
    for member, part in value if code == "IN" else ():
        if member.name == "NEGATE":
            negated = True
        elif member.name == "CATEGORY":
            inside = set(_CHARACTERS[part.name.replace("_NOT_", "_")])
            named |= set(string.printable) - inside if "_NOT_" in part.name else inside
        else:
            low, high = (part, part) if member.name == "LITERAL" else part
            named |= set(map(chr, range(low, high + 1)))
    return "".join(sorted(set(string.printable) - named if negated else named))


def _effort(states: Any) -> int:
    """A bound on the characters that are looked at to make one value."""
    return sum(_effort_of(code.name, value) for code, value in states)


def _effort_of(code: str, value: Any) -> int:
    if code == "AT" or (code == "LITERAL" and not 0xD800 <= value <= 0xDFFF):
        return 1
    if code in ("ANY", "NOT_LITERAL"):
        return len(string.printable)
    if code == "IN":
        return _class_size(value)
    if code == "BRANCH":
        return int(max(_effort(branch) for branch in value[1]))
    if code == "SUBPATTERN" and not value[1]:
        return 1 + _effort(value[-1])
    if code in ("MAX_REPEAT", "MIN_REPEAT") and value[0] <= _MOST_REPEATS:
        return 1 + int(min(value[1], _MOST_REPEATS)) * _effort(value[2])
    raise SchemaError(
        "pattern must be made of characters, classes, groups, alternatives, anchors and repeats beginning at "
        f"{_MOST_REPEATS} or less, found another {code.lower().replace('_', ' ')}; write it out."
    )


def _class_size(members: Any) -> int:
    """The number of characters of a class, at least 1; raises SchemaError where none can be chosen."""
    size, named, negated = 0, set(), False
    for code, value in members:
        if code.name == "NEGATE":
            negated = True
            size += len(string.printable)
        elif code.name == "CATEGORY":
            name = value.name.replace("_NOT_", "_")
            inside = set(_CHARACTERS[name])
            named |= inside if name == value.name else set(string.printable) - inside
            size += len(string.printable)
        else:
            low, high = (value, value) if code.name == "LITERAL" else value
            if low <= 0xDFFF and high >= 0xD800:
                raise SchemaError("pattern must name whole characters, found half of one in a class.")
            size += high - low + 1
            named |= {c for c in string.printable if low <= ord(c) <= high}
    if negated and named >= set(string.printable):
        raise SchemaError("pattern must leave some printable character to each class, found none in one.")
    return size
