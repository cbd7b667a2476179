"""The resource that the interface `transform` exports; componentize-py looks for its class in the module of that name.

Row-wise: each row of the result depends on its row and the state alone.
"""

import json

from columns import FORMAT, VERSION, internal, numbers, read, strings
from wit_world.exports import transform
from wit_world.imports import blobs, types


class Transformer(transform.Transformer):
    def __init__(self, columns: list[dict]):
        self.columns = columns

    @classmethod
    def load(cls, state: blobs.Blob) -> "Transformer":
        document = json.loads(read(state))
        if document.get("format") != FORMAT or document.get("version") != VERSION:
            raise internal(f"the state is not `{FORMAT}` version {VERSION}")
        return cls(document["columns"])

    def fields(self) -> list[types.Field]:
        names = [name for column in self.columns for name in feature_names(column)]
        return [types.Field(name, types.DataType.FLOAT64, False) for name in names]

    def transform(self, rows: types.Batch) -> types.Batch:
        if len(rows.columns) != len(self.columns):
            raise internal(f"the state knows {len(self.columns)} columns, the batch has {len(rows.columns)}")
        features = []
        for column, raw in zip(self.columns, rows.columns):
            if column["kind"] == "number":
                mean, deviation = column["mean"], column["deviation"]
                values = numbers(raw, rows.rows, column["name"], 0)
                features.append([0.0 if value is None else (value - mean) / deviation for value in values])
            elif column["kind"] == "text":
                texts = strings(raw)
                features.extend([[float(text == one) for text in texts] for one in column["categories"]])
        return types.Batch(rows.rows, [types.Column(types.Values_Float64(values), None) for values in features])


def feature_names(column: dict) -> list[str]:
    if column["kind"] == "text":
        return [f"{column['name']}={category}" for category in column["categories"]]
    return [column["name"]] if column["kind"] == "number" else []
