"""Tests of the stage in CPython, on tables in memory. `cargo xtask test` runs them; the bindings must be on the path:

    componentize-py -d wit -w transformation bindings stubs
    cd stages/transform-python && PYTHONPATH=../../stubs python -m unittest
"""

import json
import random
import unittest
from array import array
from itertools import accumulate

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
tracking.count = lambda treatment, column, rows: said.append((treatment, column, rows))
tracking.log = lambda level, message: said.append((message,))

import app  # noqa: E402
import transform  # noqa: E402
from rows import Rows  # noqa: E402

NULL = None
BOOLEAN, INT64, FLOAT64 = types.DataType.BOOLEAN, types.DataType.INT64, types.DataType.FLOAT64
UTF8, CATEGORICAL = types.DataType.UTF8, types.DataType.CATEGORICAL
TIMESTAMP = types.DataType.TIMESTAMP
DEFAULTS = {"max_categories": 100, "unseen": "ignore"}


# A writer of batches, straight from WIT `types.batch`.


def piece(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def bitmap(flags: list[bool]) -> bytes:
    bits = bytearray((len(flags) + 7) // 8)
    for index, flag in enumerate(flags):
        bits[index >> 3] |= flag << (index & 7)
    return piece(bytes(bits))


def strings(texts: list[str]) -> bytes:
    data = [text.encode() for text in texts]
    offsets = array("i", accumulate(map(len, data), initial=0))
    return piece(offsets.tobytes()) + piece(b"".join(data))


def column(field: types.Field, values: list) -> bytes:
    valid = [value is not NULL for value in values]
    assert field.nullable or all(valid)
    validity = bitmap(valid) if field.nullable else b""
    empty = "" if field.data_type in (UTF8, CATEGORICAL) else 0
    filled = [empty if value is NULL else value for value in values]
    match field.data_type:
        case types.DataType.BOOLEAN:
            return validity + bitmap([bool(value) for value in filled])
        case types.DataType.FLOAT64:
            return validity + array("d", filled).tobytes()
        case types.DataType.UTF8:
            return validity + strings(filled)
        case types.DataType.CATEGORICAL:
            categories = sorted({value for value in values if value is not NULL}, reverse=True)
            # At a null stands a number that is no category's.
            codes = array("i", [-7 if v is NULL else categories.index(v) for v in values])
            count = array("q", [len(categories)]).tobytes()
            return validity + piece(codes.tobytes()) + count + strings(categories)
        case _:
            return validity + array("q", filled).tobytes()


def field(name: str, kind: types.DataType, nullable: bool = True) -> types.Field:
    return types.Field(name, kind, nullable)


def batch(fields: list[types.Field], columns: list[list]) -> types.Batch:
    parts = [column(one, values) for one, values in zip(fields, columns)]
    return types.Batch(len(columns[0]), b"".join(parts))


class Table:
    """A table in memory, which gives at most two rows at a time."""

    def __init__(self, columns: dict[str, tuple[types.DataType, list]]):
        self.columns = columns

    def fields(self) -> list[types.Field]:
        return [field(name, kind, NULL in values) for name, (kind, values) in self.columns.items()]

    def roles(self) -> list[types.Role]:
        return [types.Role.TARGET if name == "y" else types.Role.FEATURE for name in self.columns]

    def rows(self) -> int:
        return len(next(iter(self.columns.values()))[1])

    def select(self, columns: list[int]) -> "Table":
        names = list(self.columns)
        return Table({names[index]: self.columns[names[index]] for index in columns})

    def read(self, start: int, rows: int) -> types.Batch:
        end = min(self.rows(), start + min(rows, 2))
        return batch(self.fields(), [values[start:end] for _, values in self.columns.values()])


def fit(columns: dict, parameters: dict | None = None) -> Bytes:
    rows = len(next(iter(columns.values()))[1])
    table = Table({"y": (INT64, [0] * rows), **columns})
    settings = types.Settings(json.dumps(DEFAULTS | (parameters or {})), 0, 0)
    return app.Transform().fit(table, None, settings)


def apply(state: Bytes, columns: dict) -> list[list[float]]:
    """The features of rows, column by column."""
    fields = [field(name, kind) for name, (kind, _) in columns.items()]
    transformer = transform.Transformer.load(state, fields)
    transformer.warm_up()
    result = transformer.transform(batch(fields, [values for _, values in columns.values()]))
    numbers, width = array("d", result.bytes).tolist(), len(transformer.fields())
    assert len(numbers) == result.rows * width
    return [numbers[place * result.rows : (place + 1) * result.rows] for place in range(width)]


class Batches(unittest.TestCase):
    KINDS = [BOOLEAN, INT64, FLOAT64, TIMESTAMP, UTF8, CATEGORICAL]

    def values(self, source: random.Random, kind: types.DataType, rows: int) -> list:
        match kind:
            case types.DataType.BOOLEAN:
                return [source.randrange(2) for _ in range(rows)]
            case types.DataType.FLOAT64:
                return [source.uniform(-1e300, 1e300) for _ in range(rows)]
            case types.DataType.UTF8 | types.DataType.CATEGORICAL:
                return [source.choice(["", "a", "zwölf", "\U0001f600" * 3]) for _ in range(rows)]
            case _:
                return [source.randrange(-(2**63), 2**63) for _ in range(rows)]

    def read(self, column) -> list:
        if column.kind in (UTF8, CATEGORICAL):
            texts, places = column.texts()
            values = [texts[place].decode() if 0 <= place else "" for place in places]
        else:
            values = column.numbers()
        validity = column.validity or [1] * len(values)
        return [value if valid else NULL for value, valid in zip(values, validity)]

    def test_whatever_is_written_is_read(self):
        source = random.Random(8)
        for case in range(500):
            rows = source.choice([0, 1, 7, 8, 9, 64, 65])
            fields = [
                field(str(place), source.choice(self.KINDS), source.random() < 0.5)
                for place in range(source.randrange(1, 8))
            ]
            columns = [self.values(source, one.data_type, rows) for one in fields]
            for one, values in zip(fields, columns):
                if one.nullable:
                    values[:] = [NULL if source.random() < 0.3 else value for value in values]
            read = Rows(fields, batch(fields, columns)).columns
            self.assertEqual([self.read(one) for one in read], columns, f"case {case}")

    def test_bytes_that_are_not_of_the_fields_are_refused(self):
        fields = [field("x", FLOAT64, False), field("plan", UTF8)]
        whole = batch(fields, [[1.0, 2.0], ["a", "b"]])
        for data in (whole.bytes + bytes(8), whole.bytes[:-8]):
            with self.assertRaises(ValueError):
                Rows(fields, types.Batch(2, data))
        with self.assertRaises(ValueError):
            Rows(fields[:1], whole)

    def test_a_column_without_a_null_has_no_validity(self):
        [x] = Rows([field("x", INT64)], batch([field("x", INT64)], [[1, 2]])).columns
        self.assertIsNone(x.validity)


class TransformPython(unittest.TestCase):
    def test_numbers_are_standardised_and_gaps_become_the_mean(self):
        state = fit({"x": (FLOAT64, [1.0, 3.0, NULL, float("nan"), 5.0])})
        [x] = apply(state, {"x": (FLOAT64, [3.0, NULL, 5.0, float("nan")])})
        self.assertEqual([x[0], x[1], x[3]], [0.0, 0.0, 0.0])
        self.assertAlmostEqual(x[2], (5 - 3) / (8 / 3) ** 0.5, places=12)

    def test_a_constant_number_becomes_zero(self):
        self.assertEqual(apply(fit({"x": (INT64, [7, 7, 7])}), {"x": (INT64, [7])}), [[0.0]])

    def test_booleans_are_numbers(self):
        state = fit({"on": (BOOLEAN, [0, 1, 1, 0])})
        self.assertEqual(apply(state, {"on": (BOOLEAN, [1, NULL, 0])}), [[1.0, 0.0, -1.0]])

    def test_text_becomes_a_column_per_category_and_unseen_text_none(self):
        for kind in (UTF8, CATEGORICAL):
            state = fit({"plan": (kind, ["b", "a", NULL, "b"])})
            names = transform.Transformer.load(state, [field("plan", kind)]).fields()
            self.assertEqual([one.name for one in names], ["plan=a", "plan=b"])
            features = apply(state, {"plan": (kind, ["a", "b", "c", NULL])})
            self.assertEqual(features, [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])

    def test_a_category_that_no_row_has_is_not_learnt(self):
        fields = [field("plan", CATEGORICAL, False)]
        count = array("q", [2]).tobytes()
        data = piece(array("i", [1, 1]).tobytes()) + count + strings(["never", "often"])
        learner = app.learner_of(fields[0], 10, "ignore")
        learner.learn(Rows(fields, types.Batch(2, data)).columns[0], 0)
        self.assertEqual(learner.learnt()["categories"], ["often"])

    def test_categories_that_were_never_seen_are_counted_by_column_or_refused(self):
        columns = {"x": (INT64, [1, 2]), "plan": (UTF8, ["a", "b"])}
        rows = {"x": (INT64, [1, 1, 1]), "plan": (UTF8, ["c", NULL, "d"])}
        said.clear()
        apply(fit(columns), rows)
        self.assertEqual(said, [("unseen", 1, 0), ("unseen", 1, 2)])
        with self.assertRaises(Err) as raised:
            apply(fit(columns, {"unseen": "error"}), rows)
        fault = raised.exception.value.value
        self.assertEqual((fault.column, fault.row, fault.value), ("plan", 0, "c"))

    def test_a_column_of_moments_is_not_left_out_without_a_word(self):
        said.clear()
        fit({"at": (TIMESTAMP, [1, 2]), "on": (BOOLEAN, [1, 0])})
        self.assertIn("column `at` makes no feature", said[0][0])

    def test_timestamps_make_no_feature_and_the_target_is_not_one(self):
        state = fit({"at": (TIMESTAMP, [1, 2]), "on": (BOOLEAN, [1, 0])})
        inputs = [field("at", TIMESTAMP), field("on", BOOLEAN)]
        transformer = transform.Transformer.load(state, inputs)
        self.assertEqual([one.name for one in transformer.fields()], ["on"])

    def test_any_split_of_the_rows_gives_the_same_rows(self):
        data = [float(index * index % 7) for index in range(10)]
        state = fit({"x": (FLOAT64, data)})
        [whole] = apply(state, {"x": (FLOAT64, data)})
        single = [apply(state, {"x": (FLOAT64, [value])})[0][0] for value in data]
        self.assertEqual(single, whole)

    def test_numbers_whose_sum_is_infinite_are_numbers(self):
        numbers = {"x": (FLOAT64, [1e308, 1e308])}
        [x] = apply(fit({"x": (FLOAT64, [1.0, 2.0])}), numbers)
        self.assertEqual(x, [(1e308 - 1.5) / 0.5] * 2)

    def test_too_many_categories_are_a_fault_of_the_data_that_names_the_column(self):
        with self.assertRaises(Err) as raised:
            fit({"id": (UTF8, ["a", "b", "c"])}, {"max_categories": 2})
        self.assertEqual(raised.exception.value.value.column, "id")

    def test_an_infinite_value_is_named_with_its_row(self):
        for infinite in (float("inf"), float("-inf")):
            with self.assertRaises(Err) as raised:
                fit({"x": (FLOAT64, [1.0, NULL, 3.0, infinite])})
            fault = raised.exception.value.value
            self.assertEqual((fault.column, fault.row), ("x", 3))

    def test_another_states_version_is_refused(self):
        state = fit({"x": (FLOAT64, [1.0])})
        other = Bytes(state.data.replace(b'"version": 1', b'"version": 2'))
        with self.assertRaises(Err):
            transform.Transformer.load(other, [field("x", FLOAT64)])

    def test_inputs_that_the_state_does_not_know_are_refused(self):
        state = fit({"x": (FLOAT64, [1.0])})
        for inputs in ([], [field("y", FLOAT64)], [field("x", UTF8)], [field("x", FLOAT64)] * 2):
            with self.assertRaises(Err):
                transform.Transformer.load(state, inputs)

    def test_the_schema_describes_every_parameter(self):
        schema = json.loads(app.Metadata().describe().parameters)
        self.assertEqual(schema["additionalProperties"], False)
        defaults = {name: one["default"] for name, one in schema["properties"].items()}
        self.assertEqual(defaults, DEFAULTS)


if __name__ == "__main__":
    unittest.main()
