"""Components that misbehave, of `tests/guests`, cost their own model a call and nothing else.

`STAGEWRIGHT_GUESTS` names the folder of these components. `cargo xtask test` sets it.
"""

from __future__ import annotations

import json
import os
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

import folders
from stagewright import ComponentError, ModelError
from stagewright._files import read
from stagewright._limits import Limits
from stagewright._model import Model
from stagewright._sandbox import Sandbox, engine

# The columns that these components have.
FIELDS = [
    folders.field("x", "float64"),
    folders.field("y", "float64"),
    folders.field("plan", "categorical"),
    folders.field("note", "utf8"),
    folders.field("flag", "boolean"),
]
ROWS = pd.DataFrame(
    {
        "x": [0.5, 1.0, 2.0, 3.0, 4.0],
        "y": 1.0,
        "plan": ["a", "b", "a", "c", "a"],
        "note": ["n", "é", "xy", "z", "n"],
        "flag": [True, False, True, True, False],
    }
)

FORGERIES = [
    "one-row-more", "billions-of-rows", "column-missing", "cut-short", "trailing", "padding", "offsets-start",
    "offsets-fall", "offset-negative", "offsets-end", "text-not-utf8", "code-too-large", "code-negative",
    "category-twice", "category-not-utf8", "categories-negative", "categories-more", "categories-billions",
    "categories-endless", "trailing-bits", "too-large",
]  # fmt: skip


@unittest.skipUnless("STAGEWRIGHT_GUESTS" in os.environ, "needs STAGEWRIGHT_GUESTS: components that misbehave")
class Hostile(unittest.TestCase):
    model: Model

    @classmethod
    def setUpClass(cls) -> None:
        # They are compiled once, and every test starts instances of its own.
        guests = Path(os.environ["STAGEWRIGHT_GUESTS"])
        worlds = [(guests / f"misbehave-{world}.wasm").read_bytes() for world in ("transformation", "training")]
        with tempfile.TemporaryDirectory() as folder:
            digest = folders.write(Path(folder), FIELDS, *worlds, state=b"{}", model=b"{}")
            cls.model = Model(read(Path(folder), digest), Limits(1 << 30, 60.0))

    def predict(self, transform: dict[str, Any], predict: dict[str, Any], limits: Limits) -> pd.DataFrame:
        """Predicts with instances that have these orders."""
        version = self.model.version
        states = (json.dumps(orders).encode() for orders in (transform, predict))
        parts = [replace(part, state=state) for part, state in zip((version.transformation, version.training), states)]
        self.model.version = replace(version, transformation=parts[0], training=parts[1])
        self.model._limits, self.model._pipeline = limits, None
        return self.model.predict(ROWS)

    def fails(self, reason: str, misdeed: dict[str, Any], memory_bytes: int = 1 << 30, seconds: float = 60.0) -> str:
        is_predictor = misdeed["export"] in ("load-predictor", "outputs", "predict")
        orders: tuple[dict[str, Any], dict[str, Any]] = ({}, misdeed) if is_predictor else (misdeed, {})
        with self.assertRaisesRegex(ComponentError, reason, msg=str(misdeed)) as caught:
            self.predict(*orders, Limits(memory_bytes, seconds))
        return str(caught.exception)

    def test_without_orders_they_predict(self) -> None:
        predictions = self.predict({}, {}, Limits(1 << 30, 60.0))
        self.assertEqual(list(predictions.columns), ["label", "probability"])

    def test_a_loop_ends_at_the_limit_of_time(self) -> None:
        for export in ["load", "fields", "transform", "load-predictor", "outputs", "predict"]:
            self.fails(r"ran past its limit of 0.2 s\nhint: ", {"misdeed": "loop", "export": export}, seconds=0.2)

    def test_an_answer_after_a_failure_comes_from_fresh_instances(self) -> None:
        for export in ["transform", "predict"]:
            version = self.model.version
            self.fails("crashed", {"misdeed": "panic", "export": export})
            # Instances that were kept would still have the order to panic.
            self.model.version = replace(
                version,
                transformation=replace(version.transformation, state=b"{}"),
                training=replace(version.training, state=b"{}"),
            )
            self.assertEqual(len(self.model.predict(ROWS)), len(ROWS), export)

    def test_memory_ends_at_its_limit(self) -> None:
        for export in ["transform", "predict"]:
            misdeed = {"misdeed": "memory-bomb", "export": export}
            self.fails(r"crashed: .*\nhint: it may have needed more than 67108864", misdeed, memory_bytes=64 << 20)

    def test_recursion_panics_and_exits_end_the_call_alone(self) -> None:
        for export in ["load", "transform", "predict"]:
            self.fails("crashed: .*call stack exhausted", {"misdeed": "recursion", "export": export})
            self.fails("crashed: ", {"misdeed": "panic", "export": export})
            self.fails("the component ended itself", {"misdeed": "exit", "export": export})

    def test_what_only_training_has_is_refused(self) -> None:
        for misdeed in ["flood-tables", "endless-table", "endless-blob", "flood-blobs"]:
            self.fails("which predictions have not", {"misdeed": misdeed, "export": "transform"})

    def test_texts_of_components_are_cut_and_escaped(self) -> None:
        for misdeed in ["long-internal-fault", "giant-failure"]:
            told = self.fails("failed", {"misdeed": misdeed, "export": "transform"})
            self.assertLess(len(told), 16_000)
            self.assertNotIn("\x1b", told)

    def test_forged_batches_are_refused(self) -> None:
        for forgery in FORGERIES:
            misdeed = {"misdeed": "forged-batch", "export": "transform", "forgery": forgery}
            self.fails("broke the contract in `transformer.transform`|more bytes than one call may", misdeed)

    def test_predictions_and_outputs_that_no_model_has_are_refused(self) -> None:
        for misdeed in ["predict-nan", "predict-two", "predict-few"]:
            self.fails("broke the contract in `predictor.predict`", {"misdeed": misdeed, "export": "predict"})
        for variant in range(8):
            self.fails("predictor.outputs", {"misdeed": "forged-outputs", "export": "outputs", "variant": variant})

    def test_a_component_that_asks_for_more_than_predictions_get_is_not_started(self) -> None:
        wasi = (Path(os.environ["STAGEWRIGHT_GUESTS"]) / "misbehave-wasi.wasm").read_bytes()
        with self.assertRaisesRegex(ModelError, "imports .*, which predictions do not get"):
            Sandbox(engine(), "wasi", wasi, (), 1, 0)


if __name__ == "__main__":
    unittest.main()
