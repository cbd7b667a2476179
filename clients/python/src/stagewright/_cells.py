"""Values of rows, one by one, and their conversion to the types of columns.

The rules are those of `docs/types.md`, which training followed. A conversion that would lose
information is an error and never a guess.
"""

from __future__ import annotations

import datetime
import decimal
import math
import re
from typing import Any

import numpy as np
import pandas as pd

# Integers below are exact in a double.
_EXACT = 2.0**53
_INT64 = (-(2**63), 2**63 - 1)
_MICROSECONDS = 1_000_000
_EPOCH = datetime.date(1970, 1, 1).toordinal()
# -9999-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z.
_CALENDAR = (-377_705_116_800_000_000, 253_402_300_799_999_999)

_SPACES = " \t\n\x0c\r"
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(inf|infinity|nan)", re.IGNORECASE | re.ASCII)
_DECIMAL = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?(?:e([+-]?\d+))?", re.IGNORECASE | re.ASCII)
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(?:([Zz])|([+-])(\d\d):?(\d\d)?)?)?",
    re.ASCII,
)
_BOOLEANS = {word: True for word in ("true", "1", "yes", "t", "y")} | {
    word: False for word in ("false", "0", "no", "f", "n")
}


class Unfit(Exception):
    """A value does not fit its column: the rest of a sentence that begins with the value."""


def _lies(number: int, between: tuple[int, int]) -> bool:
    return between[0] <= number <= between[1]


def simple(value: Any) -> Any:
    """Returns a value as one of `None`, `bool`, `int`, `float`, `str`, `Time`. Numbers that
    neither an int64 nor a double holds are their digits.

    Raises `Unfit`.
    """
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, np.datetime64) and np.isnat(value)):
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value) if _lies(int(value), _INT64) else str(int(value))
    if isinstance(value, (float, np.floating)):
        return None if math.isnan(value) else float(value)
    if isinstance(value, decimal.Decimal):
        return None if value.is_nan() else format(value, "f")
    if isinstance(value, (datetime.datetime, np.datetime64)):
        return _time(pd.Timestamp(value))
    if isinstance(value, datetime.date):
        return Time((value.toordinal() - _EPOCH) * 86_400 * _MICROSECONDS)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise Unfit("is not UTF-8") from None
    raise Unfit(f"is a {type(value).__name__}, which no column holds")


class Time(int):
    """Microseconds since 1970-01-01T00:00:00Z."""


def _time(stamp: pd.Timestamp) -> Time:
    nanoseconds = stamp.tz_convert("UTC") if stamp.tzinfo else stamp
    unit = {"s": 1_000_000, "ms": 1_000, "us": 1}.get(nanoseconds.unit)
    count = int(nanoseconds.asm8.astype(np.int64))
    return Time(count * unit if unit else count // 1_000)


class NullTokens:
    """The texts that mean a missing value, and the numbers that they stand for."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        self.texts = frozenset(texts)
        self.numbers: list[float] = []
        for text in texts:
            try:
                self.numbers.append(to_float64(text))
            except Unfit:
                pass

    def matches(self, value: Any) -> bool:
        """Returns whether a simple value is missing, whatever the type of its column."""
        if value is None:
            return True
        if isinstance(value, (bool, Time)):
            return False
        if isinstance(value, str):
            return value in self.texts
        return self.matches_number(float(value)) if self.numbers else False

    def matches_number(self, number: float) -> bool:
        return any(token == number or (math.isnan(token) and math.isnan(number)) for token in self.numbers)


def to_float64(value: Any) -> float:
    if isinstance(value, (bool, Time)):
        raise Unfit("is not a float64")
    if isinstance(value, (int, float)):
        return float(value)
    text = value.strip(_SPACES)
    if not _FLOAT.fullmatch(text):
        raise Unfit("is not a float64")
    number = float(text)
    if math.isinf(number) and any(character.isdigit() for character in text):
        raise Unfit("lies outside float64")
    return number


def to_int64(value: Any) -> int:
    if isinstance(value, (bool, Time)):
        raise Unfit("is not an int64")
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return _whole(value)
    text = value.strip(_SPACES)
    found = _DECIMAL.fullmatch(text)
    if not found or not (found[2] or found[3]):
        raise Unfit("is not an int64")
    fraction = found[3] or ""
    digits = (found[2] + fraction).lstrip("0")
    significant = digits.rstrip("0")
    if not significant:
        return 0
    zeros = int((found[4] or "0")[:30]) - len(fraction) + len(digits) - len(significant)
    if zeros < 0:
        raise Unfit("is not an int64: it has a fraction")
    if len(significant) + zeros > 19:
        raise Unfit("lies outside int64")
    number = int(significant + "0" * zeros) * (-1 if found[1] == "-" else 1)
    if not _lies(number, _INT64):
        raise Unfit("lies outside int64")
    return number


def _whole(number: float) -> int:
    if not math.isfinite(number):
        raise Unfit("is not an int64")
    if not number.is_integer():
        raise Unfit("is not an int64: it has a fraction")
    if abs(number) >= _EXACT:
        raise Unfit("is not surely an int64: from 2^53 on a float stands for several whole numbers")
    return int(number)


def to_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        found = _BOOLEANS.get(value.strip(_SPACES).lower())
    else:
        found = {0: False, 1: True}.get(value) if type(value) is int else None
    if found is None:
        raise Unfit("is not a boolean")
    return found


def to_timestamp(value: Any) -> int:
    if isinstance(value, Time):
        if not _lies(value, _CALENDAR):
            raise Unfit("lies outside the years -9999 to 9999")
        return int(value)
    if not isinstance(value, str):
        raise Unfit("is not a timestamp")
    text = value.strip(_SPACES)
    found = _TIME.fullmatch(text)
    if not found:
        raise Unfit("is not a timestamp")
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    if second == 60:
        raise Unfit("is not a timestamp: days have no second 60 here")
    try:
        # Python's calendar has no year 0; 400 years later it repeats.
        days = datetime.date(year or 400, month, day).toordinal() - _EPOCH - (0 if year else 146_097)
        datetime.time(hour, minute, second)
    except ValueError:
        raise Unfit("is not a timestamp") from None
    offset = (int(found[10] or 0) * 60 + int(found[11] or 0)) * 60 * (-1 if found[9] == "-" else 1)
    seconds = ((days * 24 + hour) * 60 + minute) * 60 + second - offset
    return to_timestamp(Time(seconds * _MICROSECONDS + int((found[7] or "").ljust(6, "0")[:6])))


def to_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Time):
        return timestamp_text(value)
    return float_text(value) if isinstance(value, float) else str(value)


def float_text(number: float) -> str:
    """Returns the shortest text that parses to this double, as training wrote it."""
    if math.isnan(number):
        return "NaN"
    mantissa, exponent, power = repr(number).partition("e")
    return f"{mantissa}e{int(power)}" if exponent else mantissa


def timestamp_text(microseconds: int) -> str:
    """Returns a timestamp in RFC 3339, UTC."""
    seconds, fraction = divmod(int(microseconds), _MICROSECONDS)
    days, second = divmod(seconds, 86_400)
    cycles, day = divmod(days + _EPOCH - 1, 146_097)
    date = datetime.date.fromordinal(day + 1)
    year = date.year + 400 * cycles
    if not _lies(microseconds, _CALENDAR):
        return str(int(microseconds))
    sign, year = ("-00", -year) if year < 0 else ("", year)
    part = f".{fraction:06}".rstrip("0") if fraction else ""
    return (
        f"{sign}{year:04}-{date.month:02}-{date.day:02}"
        f"T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}{part}Z"
    )


CONVERSIONS = {
    "boolean": to_boolean,
    "int64": to_int64,
    "float64": to_float64,
    "utf8": to_text,
    "categorical": to_text,
    "timestamp": to_timestamp,
}
