"""A version of a model: its transformation and its predictor, each in a sandbox of its own."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from . import _batch
from ._batch import BatchFault, Column
from ._cells import NullTokens
from ._decode import decode
from ._files import ComponentOf, Version
from ._limits import Limits
from ._sandbox import Instance, Sandbox, engine
from ._schema import Field, Task
from .errors import ComponentError, DataError, shown

log = logging.getLogger("stagewright")

# A batch of more rows or bytes is divided. The engine holds 32 times the bytes while it passes
# them, and the contract allows 8 MiB.
_MOST_ROWS = 8_192
_PIECE_BYTES = 1 << 20
# One row may have more than a piece.
_ROW_BYTES = 2 << 20
_MOST_COLUMNS = 1 << 16
_MOST_OUTPUTS = 1_024
_SUM_TOLERANCE = 1e-6
_NAME = re.compile(r"[a-z0-9_]{1,64}", re.ASCII)


class Model:
    """A loaded version of a model."""

    def __init__(self, version: Version, limits: Limits) -> None:
        """Compiles the components and loads their states.

        Raises `ModelError` or `ComponentError`.
        """
        self.version = version
        self._limits = limits
        self._tokens = NullTokens(version.null_values)
        self._lock = threading.Lock()
        on = engine()

        def sandbox(component: ComponentOf) -> Sandbox:
            return Sandbox(on, component.name, component.wasm, component.stubs, version.seed, version.as_of)

        self._transformation, self._training = sandbox(version.transformation), sandbox(version.training)
        self._pipeline: _Pipeline | None = self._start()

    def _start(self) -> _Pipeline:
        return _Pipeline(self.version, self._transformation.open(self._limits), self._training.open(self._limits))

    def predict(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Returns the columns that `stagewright predict` writes, under the index of the rows:
        `label` and `probability`, or `value` for a regression. The probability is that of the
        positive class of a binary task, else that of the label.

        Raises `DataError` or `ComponentError`.
        """
        columns = decode(rows, self.version.features, self._tokens)
        # Instances are used by one thread at a time.
        with self._lock:
            # What failed may be in any state. The next rows get fresh instances.
            pipeline, self._pipeline = self._pipeline or self._start(), None
            outputs = pipeline.predict(columns, len(rows))
            self._pipeline = pipeline
        self._warn_of_unseen(pipeline.take_unseen(), len(rows))
        return named(self.version.task, outputs, rows.index)

    def _warn_of_unseen(self, unseen: dict[int, int], rows: int) -> None:
        for place, count in sorted(unseen.items()):
            if count and place < len(self.version.features):
                name = shown(self.version.features[place].name)
                log.warning("column %s: %d of %d rows have a category that training never saw", name, count, rows)


def named(task: Task, outputs: npt.NDArray[np.float64], index: pd.Index[Any]) -> pd.DataFrame:
    """Returns the outputs of a task, a row for each, as columns with names."""
    if task.kind == "regression":
        return pd.DataFrame({"value": outputs[0]}, index=index)
    if task.kind == "binary":
        best, probability = (outputs[0] >= 0.5).astype(np.intp), outputs[0]
    else:
        # Of equal probabilities, the last class.
        best = len(outputs) - 1 - np.argmax(outputs[::-1], axis=0)
        probability = np.take_along_axis(outputs, best[None, :], axis=0)[0]
    labels = np.array(task.classes, dtype=object)[best]
    return pd.DataFrame({"label": labels, "probability": probability}, index=index)


class _Pipeline:
    """Instances of the two components, with their states loaded."""

    def __init__(self, version: Version, transformer: Instance, predictor: Instance) -> None:
        self._transforming, self._predicting = transformer, predictor
        inputs = [field.to_component() for field in version.features]
        state = transformer.lend(version.transformation.state)
        self._transformer = transformer.call("transform", "[static]transformer.load", state, inputs)
        declared = transformer.call("transform", "[method]transformer.fields", self._transformer)
        self._features = _features(declared, version.transformation.name)
        inputs = [field.to_component() for field in self._features]
        model = predictor.lend(version.training.state)
        self._predictor = predictor.call("predict", "[static]predictor.load", model, inputs)
        self._outputs = predictor.call("predict", "[method]predictor.outputs", self._predictor)
        self._task = version.task
        self._check_outputs(version.task)
        self._most_rows = _rows_of(self._features, len(self._outputs))

    def take_unseen(self) -> dict[int, int]:
        """Returns the rows with a category that training did not see, by the place of the column,
        since the last call."""
        return self._transforming.take_counts("unseen")

    def predict(self, columns: Sequence[Column], rows: int) -> npt.NDArray[np.float64]:
        """Returns the outputs of the task, a row for each, checked."""
        width = len(self._task.outputs)
        found = np.empty((width, rows))
        start, size = 0, self._most_rows
        while start < rows:
            stop = min(start + size, rows)
            batch = _batch.write(columns, start, stop)
            if len(batch) > _PIECE_BYTES and stop - start > 1:
                size = (stop - start) // 2
                continue
            if len(batch) > _ROW_BYTES:
                raise DataError(f"the values take {len(batch)} bytes, more than {_ROW_BYTES}: shorten its text", row=start)
            try:
                found[:, start:stop] = self._predict_batch(batch, stop - start)[:width]
            except DataError as fault:
                raise _counted_from(fault, start) from None
            start = stop
        return found

    def _predict_batch(self, batch: bytes, rows: int) -> npt.NDArray[np.float64]:
        sent = {"rows": rows, "bytes": batch}
        transformed = self._transforming.call("transform", "[method]transformer.transform", self._transformer, sent)
        try:
            features = _batch.checked(transformed, rows, self._features)
        except BatchFault as fault:
            raise self._transforming.broke("transformer.transform", fault) from None
        sent = {"rows": rows, "bytes": features}
        predicted = self._predicting.call("predict", "[method]predictor.predict", self._predictor, sent)
        try:
            numbers = _batch.matrix(predicted, rows, len(self._outputs))
            self._check_numbers(numbers)
        except BatchFault as fault:
            raise self._predicting.broke("predictor.predict", fault) from None
        return numbers

    def _check_outputs(self, task: Task) -> None:
        wanted = task.outputs
        at, seen = 0.0, set()
        is_right = len(self._outputs) <= _MOST_OUTPUTS and self._outputs[: len(wanted)] == wanted
        for kind, detail in self._outputs if is_right else ():
            is_new = (kind, detail) not in seen
            seen.add((kind, detail))
            if kind == "quantile":
                is_right = is_right and at < detail < 1.0
                at = detail
            elif kind == "probability":
                is_right = is_right and is_new and detail < len(task.classes)
            else:
                is_right = is_right and is_new and (kind == "value" or _NAME.fullmatch(detail) is not None)
        if not is_right:
            raise self._predicting.broke("predictor.outputs", f"it predicts other outputs than a {task.kind} task has")

    def _check_numbers(self, numbers: npt.NDArray[np.float64]) -> None:
        for (kind, _), column in zip(self._outputs, numbers, strict=True):
            if kind == "probability":
                allowed = (column >= 0.0) & (column <= 1.0)
            elif kind in ("value", "quantile"):
                allowed = np.isfinite(column)
            else:
                continue
            if not allowed.all():
                row = int(np.argmin(allowed))
                raise BatchFault(f"row {row}: {column[row]} is no {kind}")
        if self._task.kind == "multi-class":
            sums = np.zeros(numbers.shape[1])
            for column in numbers[: len(self._task.classes)]:
                sums += column
            if (np.abs(sums - 1.0) > _SUM_TOLERANCE).any():
                raise BatchFault("the probabilities of a row do not sum to 1")


def _features(declared: list[dict[str, Any]], component: str) -> list[Field]:
    fields = [Field.read(field) for field in declared]
    if len(fields) > _MOST_COLUMNS or len({field.name for field in fields}) != len(fields):
        raise ComponentError(f"the component {shown(component)} declares too many columns, or one twice")
    return fields


def _rows_of(features: Sequence[Field], outputs: int) -> int:
    """Returns the rows of a piece whose features and outputs are expected to fit."""
    text = sum(field.data_type in ("utf8", "categorical") for field in features)
    width = max(8 * len(features) + 8 * text, 8 * outputs, 1)
    return max(min(_PIECE_BYTES // width, _MOST_ROWS), 1)


def _counted_from(fault: DataError, start: int) -> DataError:
    if fault.row is None:
        return fault
    return DataError(fault.told, fault.column, fault.row + start)
