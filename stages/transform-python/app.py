"""The transformation stage `transform-python`: features from raw columns, in plain Python.

Numbers are standardised, nulls and NaN filled with the mean first. Text becomes one column per
category; all of them are 0 for null and for categories that `fit` never saw, which are counted, or
refused with `unseen = "error"`. Timestamps make no feature, and the log says so. It stands in for
`transform-table` with its defaults, and shows that a stage can be written in Python; see
docs/stages.md.

`fit`, here, reads batch by batch and keeps sums and categories only. The state is JSON. The fitted
transformation is in transform.py, and rows.py reads and writes batches.
"""

import json
import math
from dataclasses import dataclass

import columns as state
from columns import data_fault, kind_of, numbers, write
from rows import Column, Rows
from wit_world import exports
from wit_world.exports.metadata import Description, TaskKind
from wit_world.imports import blobs, tables, tracking, types

NAME = "transform-python"
VERSION = "0.2.0"
ROWS_PER_BATCH = 16_384  # a Python float takes four times the room of a double

PARAMETERS = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Parameters",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "max_categories": {
            "description": "A text column with more categories than this is refused: it is "
            "likely an identifier.",
            "type": "integer",
            "minimum": 1,
            "default": 100,
        },
        "unseen": {
            "description": "What becomes of a category that the training rows did not have: no "
            "feature is 1, or an error.",
            "enum": ["ignore", "error"],
            "default": "ignore",
        },
    },
}


class Metadata(exports.Metadata):
    def describe(self) -> Description:
        return Description(
            name=NAME,
            version=VERSION,
            summary="Standardises numbers and one-hot encodes text, in plain Python",
            parameters=json.dumps(PARAMETERS),
            tasks=[TaskKind.BINARY, TaskKind.MULTI_CLASS, TaskKind.REGRESSION],
        )


class Transform(exports.Transform):
    def fit(self, train: tables.Table, task: types.Task, settings: types.Settings) -> blobs.Blob:
        parameters = json.loads(settings.parameters)
        limit, unseen = parameters["max_categories"], parameters["unseen"]
        features = [index for index, role in enumerate(train.roles()) if role is types.Role.FEATURE]
        table = train.select(features)
        fields, total, start = table.fields(), table.rows(), 0
        learners = [learner_of(field, limit, unseen) for field in fields]
        while start < total:
            batch = table.read(start, ROWS_PER_BATCH)
            for learner, column in zip(learners, Rows(fields, batch).columns):
                learner.learn(column, start)
            start += batch.rows
            tracking.progress(start, total)
        columns = [learner.learnt() for learner in learners]
        return write({"format": state.FORMAT, "version": state.VERSION, "columns": columns})


# What `fit` keeps of a column.


@dataclass
class NumberLearner:
    """Mean and variance; batches are merged as in Chan, Golub and LeVeque (1979)."""

    name: str
    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def learn(self, column: Column, start: int) -> None:
        values, gaps = numbers(column, start)
        if gaps:
            values = [value for value in values if value == value]
        if not values:
            return
        mean = math.fsum(values) / len(values)
        squares = math.fsum((value - mean) ** 2 for value in values)
        count = self.count + len(values)
        apart = mean - self.mean
        self.squares += squares + apart * apart * self.count * len(values) / count
        self.mean += apart * len(values) / count
        self.count = count

    def learnt(self) -> dict:
        deviation = math.sqrt(self.squares / self.count) if self.count else 0.0
        return {"name": self.name, "kind": "number", "mean": self.mean, "deviation": deviation or 1.0}


@dataclass
class TextLearner:
    """The categories, in alphabetical order once all are known."""

    name: str
    limit: int
    unseen: str
    categories: set[bytes]

    def learn(self, column: Column, start: int) -> None:
        texts, places = column.texts()
        if column.validity is not None:
            places = [place for place, valid in zip(places, column.validity) if valid]
        self.categories.update(texts[place] for place in set(places))
        if len(self.categories) > self.limit:
            message = f"the column has more than {self.limit} categories; raise `max_categories`"
            raise data_fault(f"{message}, or give it another role", self.name)

    def learnt(self) -> dict:
        categories = sorted(category.decode() for category in self.categories)
        learnt = {"name": self.name, "kind": "text", "categories": categories}
        return learnt | {"unseen": "error"} if self.unseen == "error" else learnt


@dataclass
class Skipped:
    """A column that makes no feature."""

    name: str

    def learn(self, column: Column, start: int) -> None:
        pass

    def learnt(self) -> dict:
        message = f"column `{self.name}` makes no feature: this stage knows no dates"
        tracking.log(tracking.Level.WARN, message)
        return {"name": self.name, "kind": "skipped"}


def learner_of(
    field: types.Field, limit: int, unseen: str
) -> NumberLearner | TextLearner | Skipped:
    match kind_of(field):
        case "text":
            return TextLearner(field.name, limit, unseen, set())
        case "skipped":
            return Skipped(field.name)
        case _:
            return NumberLearner(field.name)
