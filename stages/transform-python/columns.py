"""Columns as Python lists, states as blobs, failures: what both halves of the stage use."""

import json
import math

from componentize_py_types import Err
from wit_world.imports import blobs, types

FORMAT = "transform-python"
VERSION = 1
CHUNK = 1 << 20


def numbers(column: types.Column, rows: int, name: str, start: int) -> list[float | None]:
    """The rows' values; `None` for null and NaN."""
    match column.values:
        case types.Values_Boolean(bits):
            values = [float(bit(bits, row)) for row in range(rows)]
        case types.Values_Int64(values) | types.Values_Float64(values):
            pass
        case _:
            raise internal(f"column `{name}` changed its type")
    values = [None if value != value or is_null(column, row) else float(value) for row, value in enumerate(values)]
    for row, value in enumerate(values):
        if value is not None and math.isinf(value):
            raise data_fault("the value is infinite", name, start + row, str(value))
    return values


def strings(column: types.Column) -> list[str | None]:
    """The rows' texts; `None` for null."""
    match column.values:
        case types.Values_Utf8(packed):
            texts = unpack(packed)
        case types.Values_Categorical(packed):
            categories = unpack(packed.categories)
            texts = [categories[code] if categories else "" for code in packed.codes]
        case _:
            raise internal("a text column changed its type")
    if column.validity is None:
        return texts
    return [None if is_null(column, row) else text for row, text in enumerate(texts)]


def unpack(packed: types.Strings) -> list[str]:
    ends = packed.offsets
    return [packed.bytes[ends[i] : ends[i + 1]].decode() for i in range(len(ends) - 1)]


def bit(bits: bytes, index: int) -> bool:
    return bool(bits[index >> 3] >> (index & 7) & 1)


def is_null(column: types.Column, row: int) -> bool:
    return column.validity is not None and not bit(column.validity, row)


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
