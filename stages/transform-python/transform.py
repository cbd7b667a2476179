"""The resource that the interface `transform` exports. componentize-py looks for its class here.

Row-wise: each row of the result depends on its row and the state alone.
"""

import json

from columns import FORMAT, VERSION, data_fault, internal, kind_of, numbers, read
from rows import Column, Features, Rows
from wit_world.exports import transform
from wit_world.imports import blobs, tracking, types

UNSEEN = "unseen"


class Transformer(transform.Transformer):
    def __init__(self, columns: list[dict], inputs: list[types.Field]):
        self.columns, self.inputs = columns, inputs
        self.names = [name for column in columns for name in feature_names(column)]
        self.known = [places_of(column.get("categories", [])) for column in columns]

    @classmethod
    def load(cls, state: blobs.Blob, inputs: list[types.Field]) -> "Transformer":
        document = json.loads(read(state))
        if document.get("format") != FORMAT or document.get("version") != VERSION:
            raise internal(f"the state is not `{FORMAT}` version {VERSION}")
        columns = document["columns"]
        learnt = [(column["name"], column["kind"]) for column in columns]
        if learnt != [(field.name, kind_of(field)) for field in inputs]:
            raise internal("the inputs are not the columns that the state was fitted on")
        for place, column in enumerate(columns):
            if column["kind"] == "text":
                tracking.count(UNSEEN, place, 0)
        return cls(columns, inputs)

    def warm_up(self) -> None:
        pass

    def fields(self) -> list[types.Field]:
        return [types.Field(name, types.DataType.FLOAT64, False) for name in self.names]

    def transform(self, rows: types.Batch) -> types.Batch:
        features = Features(rows.rows, len(self.names))
        feature = 0
        for place, raw in enumerate(Rows(self.inputs, rows).columns):
            column = self.columns[place]
            if column["kind"] == "number":
                features.put(feature, standardised(column, raw))
                feature += 1
            elif column["kind"] == "text":
                self.one_hot(place, raw, features, feature)
                feature += len(column["categories"])
        return features.batch()

    def one_hot(self, place: int, raw: Column, features: Features, first: int) -> None:
        """Sets a 1 in the feature of each row's category, and counts the rows without one."""
        texts, places = raw.texts()
        known, made, rows = self.known[place], features.numbers, features.rows
        # Where the feature of each text begins; -1 for a text that `fit` never saw.
        starts = [known.get(text, -1) for text in texts]
        starts = [-1 if start < 0 else (first + start) * rows for start in starts]
        unseen = []
        for row, text in enumerate(places):
            if raw.validity is not None and not raw.validity[row]:
                continue
            start = starts[text]
            if start < 0:
                unseen.append(row)
            else:
                made[start + row] = 1.0
        if unseen and self.columns[place].get("unseen") == "error":
            value = texts[places[unseen[0]]].decode()
            raise data_fault("the training rows had no such category", raw.name, unseen[0], value)
        if unseen:
            tracking.count(UNSEEN, place, len(unseen))


def places_of(categories: list[str]) -> dict[bytes, int]:
    """The place of each category, by its UTF-8, which is how a batch has it."""
    return {category.encode(): place for place, category in enumerate(categories)}


def standardised(column: dict, raw: Column) -> list[float]:
    mean, deviation = column["mean"], column["deviation"]
    values, gaps = numbers(raw, 0)
    if not gaps:
        return [(value - mean) / deviation for value in values]
    return [(value - mean) / deviation if value == value else 0.0 for value in values]


def feature_names(column: dict) -> list[str]:
    if column["kind"] == "text":
        return [f"{column['name']}={category}" for category in column["categories"]]
    return [column["name"]] if column["kind"] == "number" else []
