"""Tests of the stage in CPython, on tables in memory. The bindings must be on the path:

    componentize-py -d wit -w transformation bindings stubs
    cd stages/transform-python && PYTHONPATH=../../stubs python -m unittest
"""

import json
import unittest

from componentize_py_types import Err
from wit_world.imports import blobs, tracking, types


class Bytes:
    """A blob in memory."""

    def __init__(self, data: bytes):
        self.data = data

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]


class Writer:
    """A blob that is being written."""

    def __init__(self):
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    @classmethod
    def finish(cls, writer: "Writer") -> Bytes:
        return Bytes(writer.data)


blobs.BlobWriter = Writer
tracking.progress = lambda done, total: None
said: list[tuple] = []
tracking.metric = lambda name, value, step: said.append((name, value, step))
tracking.log = lambda level, message: said.append((message,))

import app  # noqa: E402
import transform  # noqa: E402

NULL = None


def bitmap(flags: list[bool]) -> bytes:
    bits = bytearray((len(flags) + 7) // 8)
    for index, flag in enumerate(flags):
        bits[index >> 3] |= flag << (index & 7)
    return bytes(bits)


def pack(texts: list[str]) -> types.Strings:
    data = [text.encode() for text in texts]
    offsets = [sum(map(len, data[:index])) for index in range(len(data) + 1)]
    return types.Strings(offsets, b"".join(data))


def column(kind: types.DataType, values: list) -> types.Column:
    valid = [value is not NULL for value in values]
    filled = [("" if kind in (types.DataType.UTF8, types.DataType.CATEGORICAL) else 0) if v is NULL else v for v in values]
    match kind:
        case types.DataType.BOOLEAN:
            packed = types.Values_Boolean(bitmap([bool(value) for value in filled]))
        case types.DataType.INT64:
            packed = types.Values_Int64(filled)
        case types.DataType.FLOAT64:
            packed = types.Values_Float64([float(value) for value in filled])
        case types.DataType.TIMESTAMP:
            packed = types.Values_Timestamp(filled)
        case types.DataType.UTF8:
            packed = types.Values_Utf8(pack(filled))
        case types.DataType.CATEGORICAL:
            categories = sorted(set(filled), reverse=True)
            packed = types.Values_Categorical(types.Categorical([categories.index(v) for v in filled], pack(categories)))
    return types.Column(packed, None if all(valid) else bitmap(valid))


class Table:
    """A table in memory, which gives at most two rows at a time."""

    def __init__(self, columns: dict[str, tuple[types.DataType, list]], target: list[int]):
        self.columns = {**columns, "y": (types.DataType.INT64, target)}

    def fields(self) -> list[types.Field]:
        return [types.Field(name, kind, NULL in values) for name, (kind, values) in self.columns.items()]

    def roles(self) -> list[types.Role]:
        return [types.Role.TARGET if name == "y" else types.Role.FEATURE for name in self.columns]

    def rows(self) -> int:
        return len(self.columns["y"][1])

    def read(self, start: int, rows: int, columns: list[int] | None) -> types.Batch:
        end = min(self.rows(), start + min(rows, 2))
        wanted = [list(self.columns.values())[index] for index in columns]
        return types.Batch(end - start, [column(kind, values[start:end]) for kind, values in wanted])


def fit(columns: dict, parameters: dict | None = None) -> Bytes:
    rows = len(next(iter(columns.values()))[1])
    return app.Transform().fit(Table(columns, [0] * rows), None, types.Settings(json.dumps(parameters or {}), 0))


def load(state: Bytes) -> transform.Transformer:
    return transform.Transformer.load(state)


def batch(*columns: types.Column, rows: int) -> types.Batch:
    return types.Batch(rows, list(columns))


def values(result: types.Batch) -> list[list[float]]:
    return [one.values.value for one in result.columns]


class TransformPython(unittest.TestCase):
    def test_numbers_are_standardised_and_gaps_become_the_mean(self):
        transformer = load(fit({"x": (types.DataType.FLOAT64, [1.0, 3.0, NULL, float("nan"), 5.0])}))
        result = transformer.transform(batch(column(types.DataType.FLOAT64, [3.0, NULL, 5.0]), rows=3))
        [x] = values(result)
        self.assertEqual(x[:2], [0.0, 0.0])
        self.assertAlmostEqual(x[2], (5 - 3) / (8 / 3) ** 0.5, places=12)

    def test_a_constant_number_becomes_zero(self):
        transformer = load(fit({"x": (types.DataType.INT64, [7, 7, 7])}))
        self.assertEqual(values(transformer.transform(batch(column(types.DataType.INT64, [7]), rows=1))), [[0.0]])

    def test_text_becomes_a_column_per_category_and_unseen_text_none(self):
        for kind in (types.DataType.UTF8, types.DataType.CATEGORICAL):
            transformer = load(fit({"plan": (kind, ["b", "a", NULL, "b"])}))
            self.assertEqual([field.name for field in transformer.fields()], ["plan=a", "plan=b"])
            result = transformer.transform(batch(column(kind, ["a", "b", "c", NULL]), rows=4))
            self.assertEqual(values(result), [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])

    def test_categories_that_were_never_seen_are_counted_by_column_or_refused(self):
        columns = {"x": (types.DataType.INT64, [1, 2]), "plan": (types.DataType.UTF8, ["a", "b"])}
        rows = batch(column(types.DataType.INT64, [1, 1, 1]), column(types.DataType.UTF8, ["c", NULL, "d"]), rows=3)
        said.clear()
        load(fit(columns)).transform(rows)
        self.assertEqual(said, [("unseen_categories", 0.0, 1), ("unseen_categories", 2.0, 1)])
        with self.assertRaises(Err) as raised:
            load(fit(columns, {"unseen": "error"})).transform(rows)
        fault = raised.exception.value.value
        self.assertEqual((fault.column, fault.row, fault.value), ("plan", 0, "c"))

    def test_a_column_of_moments_is_not_left_out_without_a_word(self):
        said.clear()
        fit({"at": (types.DataType.TIMESTAMP, [1, 2]), "on": (types.DataType.BOOLEAN, [1, 0])})
        self.assertIn("column `at` makes no feature", said[0][0])

    def test_timestamps_make_no_feature_and_the_target_is_not_one(self):
        transformer = load(fit({"at": (types.DataType.TIMESTAMP, [1, 2]), "on": (types.DataType.BOOLEAN, [1, 0])}))
        self.assertEqual([field.name for field in transformer.fields()], ["on"])

    def test_any_split_of_the_rows_gives_the_same_rows(self):
        data = [float(index * index % 7) for index in range(10)]
        state = fit({"x": (types.DataType.FLOAT64, data)})
        whole = values(load(state).transform(batch(column(types.DataType.FLOAT64, data), rows=10)))[0]
        single = [
            values(load(state).transform(batch(column(types.DataType.FLOAT64, [value]), rows=1)))[0][0] for value in data
        ]
        self.assertEqual(single, whole)

    def test_too_many_categories_are_a_fault_of_the_data_that_names_the_column(self):
        with self.assertRaises(Err) as raised:
            fit({"id": (types.DataType.UTF8, ["a", "b", "c"])}, {"max_categories": 2})
        self.assertEqual(raised.exception.value.value.column, "id")

    def test_an_infinite_value_is_named_with_its_row(self):
        with self.assertRaises(Err) as raised:
            fit({"x": (types.DataType.FLOAT64, [1.0, 2.0, 3.0, float("inf")])})
        self.assertEqual((raised.exception.value.value.column, raised.exception.value.value.row), ("x", 3))

    def test_another_states_version_is_refused(self):
        state = fit({"x": (types.DataType.FLOAT64, [1.0])})
        with self.assertRaises(Err):
            load(Bytes(state.data.replace(b'"version": 1', b'"version": 2')))

    def test_the_schema_describes_every_parameter(self):
        schema = json.loads(app.Metadata().describe().parameters)
        self.assertEqual(schema["additionalProperties"], False)
        self.assertEqual(schema["properties"]["max_categories"]["default"], 100)


if __name__ == "__main__":
    unittest.main()
