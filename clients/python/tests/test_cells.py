"""Values convert as `docs/types.md` says, with the cases of `host/data/src/cell.rs`."""

from __future__ import annotations

import datetime
import decimal
import unittest
from typing import Any

import numpy as np
import pandas as pd

from stagewright._cells import (
    CONVERSIONS,
    NullTokens,
    Time,
    Unfit,
    float_text,
    simple,
    timestamp_text,
    to_boolean,
    to_float64,
    to_int64,
    to_text,
    to_timestamp,
)


class Cells(unittest.TestCase):
    def refuses(self, convert: Any, value: Any, reason: str) -> None:
        with self.assertRaises(Unfit, msg=repr(value)) as caught:
            convert(simple(value))
        self.assertIn(reason, str(caught.exception), repr(value))

    def test_an_int64_may_be_written_with_sign_spaces_or_a_zero_fraction(self) -> None:
        for text, expected in [
            ("7", 7), ("+7", 7), ("-7", -7), (" 7 ", 7), ("3.0", 3), ("-3.000", -3), ("3.", 3), ("1e3", 1000),
            ("1.5E+1", 15), ("1500e-2", 15), ("0e99999999999999999999", 0), ("-0.0", 0), ("1e17", 10**17),
            ("9.007199254740993e15", 9_007_199_254_740_993), ("9223372036854775807.0", 2**63 - 1),
            ("-9.223372036854775808e18", -(2**63)),
        ]:  # fmt: skip
            self.assertEqual(to_int64(text), expected, text)

    def test_an_int64_is_never_rounded_or_wrapped(self) -> None:
        for text in ["3.5", "2.9999999999999999999", "1e-1", "15e-2", "1e-99999999999999999999", "-0.1", 3.5]:
            self.refuses(to_int64, text, "fraction")
        for text in ["9.223372036854775808e18", "1e19", "-9223372036854775809.0", "1e99999999999999999999", 2**63]:
            self.refuses(to_int64, text, "lies outside int64")
        for number in [9.1e15, 2.0**53]:
            self.refuses(to_int64, number, "several whole numbers")
        self.assertEqual(to_int64(2.0**53 - 1), 2**53 - 1)
        for text in ["", "abc", "1,000", "1_000", "0x10", "nan", "inf", ".", "-", "1.0.0", "--1.0", "e3", "1e", "1e+",
                     "1e1.0", "٣", True, float("inf")]:  # fmt: skip
            self.refuses(to_int64, text, "is not an int64")

    def test_a_float64_is_read_to_the_nearest_double(self) -> None:
        self.assertEqual([to_float64(text) for text in ["0.1", " -1.5e-3", "-Infinity", "1.", ".5", "1e-400"]],
                         [0.1, -0.0015, -np.inf, 1.0, 0.5, 0.0])
        self.assertTrue(np.signbit(to_float64("-0")) and np.isnan(to_float64("-NaN")))
        for text in ["", " ", "1,5", "one", "1_0", "0x1p3", True]:
            self.refuses(to_float64, text, "is not a float64")
        for text in ["1e309", "-1e309", "1.8e308"]:
            self.refuses(to_float64, text, "lies outside float64")

    def test_a_boolean_has_twelve_spellings_and_two_numbers(self) -> None:
        for value in ["true", "TRUE", "Yes", "y", "t", "1", 1, True]:
            self.assertIs(to_boolean(value), True)
        for value in ["false", "False", "no", "N", "f", "0", 0, False]:
            self.assertIs(to_boolean(value), False)
        for value in ["maybe", 2, 1.0, ""]:
            self.refuses(to_boolean, value, "is not a boolean")

    def test_a_timestamp_without_offset_is_utc(self) -> None:
        for value in [
            "2024-01-06T23:10:00Z", "2024-01-06 23:10:00", "2024-01-06T23:10", "2024-01-07T00:10:00+01:00",
            "2024-01-06 23:10:00.000000", " 2024-01-06 18:10:00-05:00 ", pd.Timestamp("2024-01-06 23:10"),
            pd.Timestamp("2024-01-07 00:10", tz="Europe/Berlin"), np.datetime64("2024-01-06T23:10", "s"),
            datetime.datetime(2024, 1, 6, 23, 10),
        ]:  # fmt: skip
            self.assertEqual(to_timestamp(simple(value)), 1_704_582_600_000_000, value)
        self.assertEqual(to_timestamp(simple(datetime.date(2024, 1, 6))), 1_704_499_200_000_000)
        self.assertEqual(to_timestamp("1969-12-31T23:59:59.9999999Z"), -1)
        self.assertEqual(to_timestamp(simple(pd.Timestamp(-1, unit="ns"))), -1, "toward the past")
        for text in ["", "1704582600", "20240106", "2024-13-01", "2024-02-30", "01/06/2024", "2024-01-06T25:00:00Z",
                     "2024-01-06Z", "äöüäöü-2024", 5, 1.5, True]:  # fmt: skip
            self.refuses(to_timestamp, text, "is not a timestamp")
        self.refuses(to_timestamp, "2016-12-31T23:59:60Z", "second 60")
        self.refuses(to_timestamp, "9999-12-31T22:00:00-05:00", "lies outside the years")

    def test_every_day_of_four_digit_years_is_a_timestamp(self) -> None:
        self.assertEqual(to_timestamp("9999-12-31T23:59:59.999999999Z"), 253_402_300_799_999_999)
        self.assertEqual(to_timestamp("0001-01-01 00:00"), -62_135_596_800_000_000)
        self.assertEqual(to_timestamp("0000-03-01"), -62_162_035_200_000_000)
        self.assertEqual(timestamp_text(253_402_300_799_999_999), "9999-12-31T23:59:59.999999Z")
        self.assertEqual(timestamp_text(-377_705_116_800_000_000), "-009999-01-01T00:00:00Z")
        self.assertEqual(timestamp_text(253_402_300_800_000_000), "253402300800000000")
        self.assertEqual(timestamp_text(-62_162_035_200_000_000), "0000-03-01T00:00:00Z")

    def test_texts_of_values_are_those_of_training(self) -> None:
        for value, text in [
            (5, "5"), (1.0, "1.0"), (True, "true"), (0.1, "0.1"), (1e16, "1e16"), (1.5e300, "1.5e300"),
            (1e-5, "1e-5"), (0.0001, "0.0001"), (-0.0, "-0.0"), (float("inf"), "inf"),
            (Time(1_704_582_600_500_000), "2024-01-06T23:10:00.5Z"), ("  é ", "  é "),
        ]:  # fmt: skip
            self.assertEqual(to_text(value), text)
        self.assertEqual(float_text(float("nan")), "NaN")

    def test_values_of_other_libraries_are_simple_values(self) -> None:
        for value in [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT, decimal.Decimal("NaN"), np.datetime64("NaT")]:
            self.assertIsNone(simple(value), repr(value))
        self.assertEqual([simple(value) for value in [np.int8(3), np.bool_(True), np.float32(0.5), b"a"]],
                         [3, True, 0.5, "a"])
        self.assertEqual(to_int64(simple(decimal.Decimal("9.007199254740993e15"))), 9_007_199_254_740_993)
        self.assertEqual(to_float64(simple(2**64)), 2.0**64)
        self.refuses(str, b"\xff", "UTF-8")
        for value in [[1], {"a": 1}, object()]:
            self.refuses(str, value, "which no column holds")

    def test_a_null_token_that_reads_as_a_number_is_one_in_every_form(self) -> None:
        tokens = NullTokens(("-999", " "))
        for value in [None, "-999", " ", -999, -999.0]:
            self.assertTrue(tokens.matches(value), repr(value))
        for value in ["", "  ", 0, False, Time(-999), "-999.0"]:
            self.assertFalse(tokens.matches(value), repr(value))
        self.assertTrue(NullTokens(("NaN",)).matches_number(float("nan")))
        self.assertEqual(set(CONVERSIONS), {"boolean", "int64", "float64", "utf8", "categorical", "timestamp"})


if __name__ == "__main__":
    unittest.main()
