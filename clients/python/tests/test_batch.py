"""Batches have the layout of `wit/types.wit`."""

from __future__ import annotations

import unittest
from typing import Any

import numpy as np
import pandas as pd

from stagewright import DataError
from stagewright._batch import BatchFault, checked, matrix, write
from stagewright._cells import NullTokens
from stagewright._decode import decode
from stagewright._schema import Field

NO_TOKENS = NullTokens(("",))


class Layout(unittest.TestCase):
    def test_the_example_of_the_documentation(self) -> None:
        fields = [Field("age", "int64", True), Field("plan", "categorical", False), Field("note", "utf8", False)]
        rows = pd.DataFrame({"note": ["hi", "-", "né"], "plan": ["basic", "plus", "basic"], "age": [41, None, 7]})
        columns = decode(rows, fields, NO_TOKENS)
        expected = (
            "0500000000000000" "2900000000000000" "0000000000000000" "0700000000000000"
            "0000000001000000" "0000000000000000" "0200000000000000"
            "0000000005000000" "0900000000000000" "6261736963706c75" "7300000000000000"
            "0000000002000000" "0300000006000000" "68692d6ec3a90000"
        )  # fmt: skip
        self.assertEqual(write(columns, 0, 3).hex(), expected)
        self.assertEqual(checked({"rows": 3, "bytes": bytes.fromhex(expected)}, 3, fields).hex(), expected)

    def test_a_part_has_its_own_categories_bits_and_offsets(self) -> None:
        fields = [Field("a", "categorical", True), Field("b", "boolean", False), Field("c", "utf8", True)]
        rows = pd.DataFrame(
            {"a": ["x", "y", None, "y"], "b": [True, False, True, True], "c": ["long", None, "", "z"]}, dtype=object
        )
        columns = decode(rows, fields, NullTokens(()))
        alone = decode(rows.iloc[1:], fields, NullTokens(()))
        self.assertEqual(write(columns, 1, 4), write(alone, 0, 3))
        checked({"rows": 3, "bytes": write(columns, 1, 4)}, 3, fields)

    def test_values_that_no_reader_may_see_are_canonical(self) -> None:
        strange = np.array([0xFFF8_0000_0000_BEEF], np.uint64).tobytes()
        canonical = np.array([0x7FF8_0000_0000_0000], np.uint64).tobytes()
        self.assertEqual(checked({"rows": 1, "bytes": strange}, 1, [Field("a", "float64", False)]), canonical)
        self.assertEqual(checked({"rows": 1, "bytes": bytes(8) + strange}, 1, [Field("a", "float64", True)]), bytes(16))

    def test_what_is_no_batch_of_its_fields_is_refused(self) -> None:
        number, text = [Field("a", "float64", False)], [Field("a", "utf8", False)]
        nullable, category = [Field("a", "int64", True)], [Field("a", "categorical", False)]
        offsets = lambda *numbers: np.array(numbers, np.int32).tobytes()  # noqa: E731
        one = bytes(8) + np.int64(1).tobytes() + offsets(0, 1)
        wrong: list[tuple[list[Field], int, bytes, str]] = [
            (number, 1, bytes(16), "16 bytes are no 1 rows"),
            (number, 1, bytes(9 << 20), "a batch has at most"),
            (nullable, 1, bytes(8), "is cut"),
            (nullable, 1, b"\x02" + bytes(15), "bits after the last row"),
            (nullable, 1, b"\x01\x01" + bytes(14), "gap after a piece"),
            (nullable, 1, bytes(24), "8 bytes too many"),
            (text, 1, offsets(1, 1), "do not start at 0"),
            (text, 2, offsets(0, 2, 1, 0) + bytes(8), "or decrease"),
            (text, 1, offsets(0, 9), "is cut"),
            (text, 1, offsets(0, -1), "or decrease"),
            (text, 2, offsets(0, 2**31 - 1, -(2**31), 0), "or decrease"),
            (text, 1, offsets(0, 1) + b"\xff" + bytes(7), "not UTF-8"),
            ([Field("a", "utf8", True)], 1, bytes(8) + offsets(0, 1) + b"x" + bytes(7), "text at a null"),
            (category, 1, bytes(8) + np.int64(-1).tobytes(), "-1 categories"),
            (category, 1, bytes(8) + np.int64(2**62).tobytes(), "categories"),
            (category, 1, offsets(1, 0) + one[8:] + b"x" + bytes(7), "category that is not there"),
            (category, 1, offsets(-1, 0) + one[8:] + b"x" + bytes(7), "category that is not there"),
            (category, 1, bytes(8) + np.int64(2).tobytes() + offsets(0, 1, 2, 0) + b"xx" + bytes(6), "are equal"),
        ]
        for fields, rows, data, reason in wrong:
            with self.assertRaisesRegex(BatchFault, reason):
                checked({"rows": rows, "bytes": data}, rows, fields)
        with self.assertRaisesRegex(BatchFault, "2 rows came back for 1"):
            checked({"rows": 2, "bytes": bytes(16)}, 1, number)
        with self.assertRaisesRegex(BatchFault, "8 bytes are no 1 rows of 2"):
            matrix({"rows": 1, "bytes": bytes(8)}, 1, 2)


class Decoding(unittest.TestCase):
    def column(self, values: Any, data_type: str, nullable: bool = True) -> list[Any]:
        tokens = NullTokens(("", "NA", "-9"))
        [column] = decode(pd.DataFrame({"a": values}), [Field("a", data_type, nullable)], tokens)
        found = [column.texts[place].decode() if column.texts else place for place in column.values.tolist()]
        valid = [True] * len(found) if column.valid is None else column.valid.tolist()
        return [value if is_valid else None for value, is_valid in zip(found, valid, strict=True)]

    def test_arrays_of_every_kind_hold_the_same_numbers(self) -> None:
        for dtype in ["int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "Int64", "object", "str"]:
            values = pd.Series([1, 2, 3]).astype(dtype)
            self.assertEqual(self.column(values, "int64"), [1, 2, 3], dtype)
            self.assertEqual(self.column(values, "float64"), [1.0, 2.0, 3.0], dtype)
        for dtype in ["float32", "float64", "Float64", "object", "category"]:
            values = pd.Series([1.0, None, -9.0]).astype(dtype)
            self.assertEqual(self.column(values, "int64"), [1, None, None], dtype)
            self.assertEqual(self.column(values, "float64"), [1.0, None, None], dtype)
        self.assertEqual(self.column(pd.Series([0.1], dtype="float32"), "float64"), [float(np.float32(0.1))])

    def test_texts_and_booleans_of_every_kind(self) -> None:
        for dtype in ["object", "string", "category"]:
            self.assertEqual(self.column(pd.Series(["b", None, "a", "NA", "b"], dtype=dtype), "utf8"),
                             ["b", None, "a", None, "b"], dtype)
        self.assertEqual(self.column([1, True, 1.0, "1"], "categorical"), ["1", "true", "1.0", "1"])
        for dtype in ["bool", "boolean", "object"]:
            self.assertEqual(self.column(pd.Series([True, False], dtype=dtype), "boolean"), [True, False], dtype)

    def test_times_of_every_unit_and_zone(self) -> None:
        for unit in ["s", "ms", "us", "ns"]:
            values = pd.Series(pd.to_datetime(["1969-12-31T23:59:59", None])).astype(f"datetime64[{unit}]")
            self.assertEqual(self.column(values, "timestamp"), [-1_000_000, None], unit)
        zone = pd.Series(pd.to_datetime(["2024-01-07T00:10"]).tz_localize("Europe/Berlin"))
        self.assertEqual(self.column(zone, "timestamp"), [1_704_582_600_000_000])

    def test_columns_are_found_by_name_and_what_is_wrong_names_column_and_row(self) -> None:
        fields = [Field("a", "int64", False), Field("b", "utf8", True)]
        decode(pd.DataFrame({"extra": [1], "b": ["x"], "a": [1]}), fields, NO_TOKENS)
        for rows, told in [
            (pd.DataFrame({"c": [1]}), r"no columns `a`, `b`; they have `c`"),
            (pd.DataFrame({"a": [1]}), r"no column `b`; they have `a`"),
            (pd.DataFrame([[1, 2, "x"]], columns=["a", "a", "b"]), "more than one column is named `a`"),
            (pd.DataFrame({"a": [1, None], "b": "x"}), r"column `a`, row 1: the value is missing"),
            (pd.DataFrame({"a": [1, 2.5], "b": "x"}), r"column `a`, row 1: `2.5` is not an int64: it has a fraction"),
            (pd.DataFrame({"a": ["1", "x\n" * 99], "b": "x"}), r"column `a`, row 1: `x\\nx.*\.\.\.` is not an int64"),
            (pd.DataFrame({"a": [1], "b": [["x"]]}), r"column `b`, row 0: .* is a list"),
            (pd.DataFrame({"a": [1], "b": ["\ud800"]}, dtype=object), r"column `b`: .*not Unicode"),
        ]:
            with self.assertRaisesRegex(DataError, told):
                decode(rows, fields, NO_TOKENS)


if __name__ == "__main__":
    unittest.main()
