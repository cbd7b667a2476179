"""Loading a folder and predicting a data frame, as MLflow calls them."""

from __future__ import annotations

import gc
import json
import tempfile
import threading
import unittest
import weakref
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

import folders
from stagewright import DataError, ModelError
from stagewright._model import named
from stagewright._schema import Task
from stagewright.pyfunc import PyFuncModel, _load_pyfunc

FIELDS = [
    folders.field("id", "utf8", role="identifier"),
    folders.field("a", "int64"),
    folders.field("b", "float64", nullable=True),
    folders.field("c", "utf8", nullable=True),
    folders.field("d", "categorical", nullable=True),
    folders.field("e", "timestamp", nullable=True),
    folders.field("f", "boolean", nullable=True),
    folders.field("y", "utf8", role="target"),
]
# The empty transformation passes these on: names, numbers of types, whether there are nulls.
STATE = json.dumps([["a", 1, False], ["b", 2, True], ["c", 3, True], ["d", 4, True], ["e", 5, True], ["f", 0, True]])
ROWS = pd.DataFrame(
    {
        "a": [1, 2, 3],
        "b": [0.5, None, -9.0],
        "c": ["x", None, "NA"],
        "d": pd.Categorical(["p", "q", None]),
        "e": pd.to_datetime(["2024-01-06", None, "2024-01-07"]),
        "f": [True, None, False],
    },
    index=["one", "two", "three"],
)


class Loading(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def write(self, **more: Any) -> str:
        return folders.write(self.folder, FIELDS, **({"state": STATE.encode(), "model": b"0.25"} | more))

    def load(self, **more: Any) -> PyFuncModel:
        return _load_pyfunc(str(self.folder), {"manifest": self.write(**more)})

    def test_rows_of_every_type_pass_both_components(self) -> None:
        predictions = self.load().predict(ROWS)
        self.assertEqual(predictions["label"].tolist(), ["No"] * 3)
        self.assertEqual(predictions["probability"].tolist(), [0.25] * 3)
        self.assertEqual(predictions.index.tolist(), ["one", "two", "three"])

    def test_one_half_is_the_positive_class(self) -> None:
        self.assertEqual(self.load(model=b"0.5").predict(ROWS)["label"].tolist(), ["Yes"] * 3)

    def test_no_rows_have_no_predictions(self) -> None:
        predictions = self.load().predict(ROWS.iloc[:0])
        self.assertEqual((len(predictions), list(predictions.columns)), (0, ["label", "probability"]))

    def test_many_rows_and_long_texts_pass_in_parts(self) -> None:
        model = self.load()
        many = pd.DataFrame([ROWS.iloc[0]] * 20_000)
        self.assertEqual(len(model.predict(many)), 20_000)
        long = many.iloc[:40].assign(c="x" * 100_000)
        self.assertEqual(len(model.predict(long)), 40)
        with self.assertRaisesRegex(DataError, "row 7: .* shorten its text") as caught:
            model.predict(many.iloc[:9].assign(c=["x"] * 7 + ["x" * (3 << 20)] * 2))
        self.assertEqual(caught.exception.row, 7)

    def test_dictionaries_and_records_are_tables_too(self) -> None:
        model = self.load()
        self.assertEqual(len(model.predict({name: list(ROWS[name]) for name in ROWS})), 3)
        self.assertEqual(len(model.predict(ROWS.to_dict("records"))), 3)
        for other in [ROWS.to_numpy(), [[1, 2]], "rows", None]:
            with self.assertRaisesRegex(DataError, "has no names of columns"):
                model.predict(other)
        with self.assertRaisesRegex(DataError, "the rows are no table"):
            model.predict({"a": [1], "b": [1, 2]})

    def test_a_fault_of_the_model_is_not_called_one_of_the_rows(self) -> None:
        model = self.load()
        with mock.patch.object(model._model, "predict", side_effect=ValueError("of the model")):
            with self.assertRaisesRegex(ValueError, "^of the model$"):
                model.predict(ROWS.to_dict("records"))

    def test_threads_share_a_model(self) -> None:
        model, found = self.load(), []
        threads = [threading.Thread(target=lambda: found.append(len(model.predict(ROWS)))) for _ in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        self.assertEqual(found, [3] * 8)

    def test_a_model_that_nobody_has_any_more_is_gone(self) -> None:
        model = self.load()
        model.predict(ROWS)
        instance = model._model._pipeline._transforming  # type: ignore[union-attr]
        gone = weakref.ref(instance)
        del model, instance
        gc.collect()
        self.assertIsNone(gone())

    def test_the_most_probable_class_is_named(self) -> None:
        several = Task("multi-class", ("a", "b", "c"))
        outputs = np.array([[0.2, 0.5, 0.1], [0.4, 0.3, 0.2], [0.4, 0.2, 0.7]])
        rows = named(several, outputs, pd.Index([7, 8, 9]))
        self.assertEqual(rows["label"].tolist(), ["c", "a", "c"], "of equal ones the last")
        self.assertEqual(rows["probability"].tolist(), [0.4, 0.5, 0.7])
        value = named(Task("regression", ()), np.array([[1.5]]), pd.Index([0]))
        self.assertEqual(value.to_dict("list"), {"value": [1.5]})

    def test_a_model_that_predicts_no_value_is_no_regression(self) -> None:
        with self.assertRaisesRegex(Exception, "other outputs than a regression task"):
            self.load(task={"kind": "regression"})

    def test_files_that_are_not_the_registrys_are_not_used(self) -> None:
        digest = self.write()
        load = lambda: _load_pyfunc(str(self.folder), {"manifest": digest})  # noqa: E731
        load()
        for path in [*sorted((self.folder / "objects").iterdir()), self.folder / "manifest.json"]:
            contents = path.read_bytes()
            path.write_bytes(contents[:-1] + bytes([contents[-1] ^ 1]))
            with self.assertRaisesRegex(ModelError, "nothing of it is used\nhint: "):
                load()
            path.unlink()
            with self.assertRaisesRegex(ModelError, "cannot be read"):
                load()
            path.write_bytes(contents)
        load()

    def test_a_manifest_that_lists_other_objects_than_the_version_is_refused(self) -> None:
        self.write()
        path = self.folder / "manifest.json"
        listed = json.loads(path.read_text())["objects"]
        listed[1]["digest"], listed[3]["digest"] = listed[3]["digest"], listed[1]["digest"]
        with self.assertRaisesRegex(ModelError, "lists another object"):
            self.load(objects=listed)

    def test_descriptions_that_cannot_be_read_are_errors_of_the_model(self) -> None:
        for changes in [{"format": 2}, {"contents": {"format": 9}}]:
            with self.assertRaisesRegex(ModelError, "hint: install the one of a newer clone"):
                self.load(**changes)
        for broken in [{"contents": None}, {"objects": 1}, {"objects": [{}]}, {"contents": {}}, {"version": "x"}]:
            with self.assertRaisesRegex(ModelError, "does not describe a version"):
                self.load(**broken)
        with self.assertRaisesRegex(ModelError, "cannot be compiled"):
            self.load(transformation=b"\0asm")
        with self.assertRaisesRegex(ModelError, "has no `transform."):
            self.load(transformation=folders.TRAINING.read_bytes())

    def test_components_of_another_contract_are_refused(self) -> None:
        older = folders.COMPONENTS.parent / "0.1.0" / folders.TRANSFORMATION.name
        with self.assertRaisesRegex(ModelError, "this package has version 0.2 of it"):
            self.load(transformation=older.read_bytes())

    def test_limits_are_positive_numbers(self) -> None:
        self.write()
        for config in [{"seconds": 0}, {"seconds": "x"}, {"seconds": float("inf")}, {"memory_bytes": -1}, {"memory_bytes": True}, {"manifest": 1}]:
            with self.assertRaisesRegex(ModelError, "of the model's configuration"):
                _load_pyfunc(str(self.folder), config)


if __name__ == "__main__":
    unittest.main()
