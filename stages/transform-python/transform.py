"""The resource that the interface `transform` exports; componentize-py looks for its class in the module of that name.

Row-wise: each row of the result depends on its row and the state alone.
"""

import json

from columns import FORMAT, VERSION, data_fault, internal, numbers, read, strings
from wit_world.exports import transform
from wit_world.imports import blobs, tracking, types

UNSEEN = "unseen_categories"


class Transformer(transform.Transformer):
    def __init__(self, columns: list[dict]):
        self.columns = columns

    @classmethod
    def load(cls, state: blobs.Blob) -> "Transformer":
        document = json.loads(read(state))
        if document.get("format") != FORMAT or document.get("version") != VERSION:
            raise internal(f"the state is not `{FORMAT}` version {VERSION}")
        for place, column in enumerate(document["columns"]):
            if column["kind"] == "text":
                tracking.metric(UNSEEN, 0.0, place)
        return cls(document["columns"])

    def fields(self) -> list[types.Field]:
        names = [name for column in self.columns for name in feature_names(column)]
        return [types.Field(name, types.DataType.FLOAT64, False) for name in names]

    def transform(self, rows: types.Batch) -> types.Batch:
        if len(rows.columns) != len(self.columns):
            raise internal(f"the state knows {len(self.columns)} columns, the batch has {len(rows.columns)}")
        features = []
        for place, (column, raw) in enumerate(zip(self.columns, rows.columns)):
            if column["kind"] == "number":
                mean, deviation = column["mean"], column["deviation"]
                values = numbers(raw, rows.rows, column["name"], 0)
                features.append([0.0 if value is None else (value - mean) / deviation for value in values])
            elif column["kind"] == "text":
                texts = strings(raw)
                count_unseen(column, place, texts)
                features.extend([[float(text == one) for text in texts] for one in column["categories"]])
        return types.Batch(rows.rows, [types.Column(types.Values_Float64(values), None) for values in features])


def count_unseen(column: dict, place: int, texts: list[str | None]) -> None:
    """Tells the host how many rows have a category that `fit` never saw: docs/stages.md."""
    known = set(column["categories"])
    unseen = [row for row, text in enumerate(texts) if text is not None and text not in known]
    if unseen and column.get("unseen") == "error":
        raise data_fault("the training rows had no such category", column["name"], unseen[0], texts[unseen[0]])
    if unseen:
        tracking.metric(UNSEEN, float(len(unseen)), place)


def feature_names(column: dict) -> list[str]:
    if column["kind"] == "text":
        return [f"{column['name']}={category}" for category in column["categories"]]
    return [column["name"]] if column["kind"] == "number" else []
