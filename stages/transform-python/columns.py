"""Checked numbers, states as blobs, failures: the part that both halves of the stage use."""

import json
import math

from componentize_py_types import Err
from rows import Column
from wit_world.imports import blobs, types

FORMAT = "transform-python"
VERSION = 1
CHUNK = 1 << 20

TEXT = (types.DataType.UTF8, types.DataType.CATEGORICAL)


def kind_of(field: types.Field) -> str:
    """What the state calls a column: `text`, `number`, or `skipped` where it makes no feature."""
    if field.data_type in TEXT:
        return "text"
    return "skipped" if field.data_type is types.DataType.TIMESTAMP else "number"


def numbers(column: Column, start: int) -> tuple[list[float], bool]:
    """The rows' values, NaN for null, and whether any is NaN.

    `start` is the number of the first row in the table. Fails with `data` if a value is infinite.
    """
    values = column.numbers()
    if column.validity is not None:
        values = [value if valid else math.nan for value, valid in zip(values, column.validity)]
    if math.isfinite(sum(values)):
        return values, False
    # The sum of finite numbers may be infinite, so it takes a second look.
    for row, value in enumerate(values):
        if math.isinf(value):
            raise data_fault("the value is infinite", column.name, start + row, str(value))
    return values, True


def write(document: dict) -> blobs.Blob:
    data = json.dumps(document, allow_nan=False).encode()
    writer = blobs.BlobWriter()
    for start in range(0, len(data), CHUNK):
        writer.write(data[start : start + CHUNK])
    return blobs.BlobWriter.finish(writer)


def read(blob: blobs.Blob) -> bytes:
    data = bytearray()
    while chunk := blob.read(len(data), CHUNK):
        data += chunk
    return bytes(data)


def data_fault(message: str, column: str, row: int | None = None, value: str | None = None) -> Err:
    return Err(types.Failure_Data(types.DataFault(message, column, row, value)))


def internal(message: str) -> Err:
    return Err(types.Failure_Internal(message))
