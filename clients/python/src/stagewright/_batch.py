"""Batches in the contract's layout (`wit/types.wit`): pieces at multiples of 8 bytes, column after
column. This module writes them for components and checks those that come back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ._schema import Field

MOST_BYTES = 8 << 20
CANONICAL_NAN = np.uint64(0x7FF8_0000_0000_0000)

Array = npt.NDArray[Any]


class BatchFault(Exception):
    """Bytes of a component that are no batch of its fields."""


@dataclass(frozen=True)
class Column:
    """Decoded values of one column."""

    field: Field
    # Of the field's type; for texts, the places of the values in `texts`. Zero at nulls.
    values: Array
    # The distinct texts of a utf8 or categorical column.
    texts: Sequence[bytes]
    # Where there is a value; `None`: everywhere.
    valid: npt.NDArray[np.bool_] | None

    def write(self, start: int, stop: int, pieces: list[bytes]) -> None:
        """Appends the pieces of some rows."""
        rows = slice(start, stop)
        values = self.values[rows]
        valid = None if self.valid is None else self.valid[rows]
        if self.field.nullable:
            present = np.ones(stop - start, np.bool_) if valid is None else valid
            pieces.append(_padded(_bits(present)))
        if self.field.data_type == "boolean":
            pieces.append(_padded(_bits(values)))
        elif self.field.data_type == "utf8":
            _write_texts([self.texts[place] for place in values.tolist()], pieces, valid)
        elif self.field.data_type == "categorical":
            _write_categories(values, self.texts, valid, pieces)
        else:
            pieces.append(values.tobytes())


def write(columns: Sequence[Column], start: int, stop: int) -> bytes:
    """Returns the bytes of a batch of these rows."""
    pieces: list[bytes] = []
    for column in columns:
        column.write(start, stop, pieces)
    return b"".join(pieces)


def _padded(piece: bytes) -> bytes:
    return piece + bytes(-len(piece) % 8)


def _bits(values: Array) -> bytes:
    return np.packbits(values, bitorder="little").tobytes()


def _write_texts(texts: list[bytes], pieces: list[bytes], valid: Array | None = None) -> None:
    if valid is not None:
        texts = [text if is_valid else b"" for text, is_valid in zip(texts, valid.tolist(), strict=True)]
    offsets = np.zeros(len(texts) + 1, np.int32)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    pieces.append(_padded(offsets.tobytes()))
    pieces.append(_padded(b"".join(texts)))


def _write_categories(values: Array, texts: Sequence[bytes], valid: Array | None, pieces: list[bytes]) -> None:
    # Numbered in the order of appearance in this batch.
    used: dict[int, int] = {}
    codes = np.zeros(len(values), np.int32)
    for row, place in enumerate(values.tolist()):
        if valid is None or valid[row]:
            codes[row] = used.setdefault(place, len(used))
    pieces.append(_padded(codes.tobytes()))
    pieces.append(np.int64(len(used)).tobytes())
    _write_texts([texts[place] for place in used], pieces)


def canonical_nans(numbers: npt.NDArray[np.float64]) -> None:
    """Replaces every NaN by the canonical one, in place."""
    is_nan = np.isnan(numbers)
    if is_nan.any():
        numbers.view(np.uint64)[is_nan] = CANONICAL_NAN


def is_matrix(fields: Sequence[Field]) -> bool:
    """Returns whether batches of these fields are columns of doubles without nulls alone."""
    return all(field.data_type == "float64" and not field.nullable for field in fields)


def checked(batch: dict[str, Any], rows: int, fields: Sequence[Field]) -> bytes:
    """Checks a batch of a component and returns it in the form in which the next one gets it: NaN
    and the values at nulls are canonical.

    Raises `BatchFault`.
    """
    if batch["rows"] != rows:
        raise BatchFault(f"{batch['rows']} rows came back for {rows}")
    data = bytearray(batch["bytes"])
    if len(data) > MOST_BYTES:
        raise BatchFault(f"{len(data)} bytes; a batch has at most {MOST_BYTES}")
    if is_matrix(fields):
        if len(data) != rows * len(fields) * 8:
            raise BatchFault(f"{len(data)} bytes are no {rows} rows of {len(fields)} columns")
        canonical_nans(np.frombuffer(data, np.float64))
        return bytes(data)
    walk = _Walk(data)
    for field in fields:
        try:
            walk.column(rows, field)
        except BatchFault as fault:
            raise BatchFault(f"column `{field.name}`: {fault}") from None
    if walk.at != len(data):
        raise BatchFault(f"{len(data) - walk.at} bytes too many")
    return bytes(data)


def matrix(batch: dict[str, Any], rows: int, columns: int) -> npt.NDArray[np.float64]:
    """Returns a matrix of a component, a row for each of its columns.

    Raises `BatchFault`.
    """
    fields = [Field(str(place), "float64", nullable=False) for place in range(columns)]
    return np.frombuffer(checked(batch, rows, fields), np.float64).reshape(columns, rows)


class _Walk:
    """Walks through the bytes of a batch, piece by piece, and makes values at nulls zero."""

    def __init__(self, data: bytearray) -> None:
        self._data = data
        self.at = 0

    def piece(self, length: int) -> Array:
        end = self.at + length
        padded = end + -length % 8
        if padded > len(self._data):
            raise BatchFault(f"a piece of {length} bytes is cut")
        if any(self._data[end:padded]):
            raise BatchFault("the gap after a piece is not zero")
        found = np.frombuffer(self._data, np.uint8, length, self.at)
        self.at = padded
        return found

    def bitmap(self, rows: int) -> tuple[Array, Array]:
        piece = self.piece((rows + 7) // 8)
        bits = np.unpackbits(piece, bitorder="little")
        if bits[rows:].any():
            raise BatchFault("the bits after the last row are not zero")
        return piece, bits[:rows].astype(np.bool_)

    def column(self, rows: int, field: Field) -> None:
        null = None
        if field.nullable:
            null = ~self.bitmap(rows)[1]
        if field.data_type == "boolean":
            piece, values = self.bitmap(rows)
            if null is not None:
                piece[:] = np.packbits(values & ~null, bitorder="little")
        elif field.data_type == "utf8":
            self.texts(rows, null)
        elif field.data_type == "categorical":
            codes = self.piece(rows * 4).view(np.int32)
            if null is not None:
                codes[null] = 0
            count = int(self.piece(8).view(np.int64)[0])
            if count < 0 or count > MOST_BYTES:
                raise BatchFault(f"{count} categories")
            categories = self.texts(count, None)
            if len(set(categories)) != len(categories):
                raise BatchFault("two categories are equal")
            wrong = (codes < 0) | (codes >= count)
            if (wrong if null is None else wrong & ~null).any():
                raise BatchFault("a number of a category that is not there")
        else:
            values = self.piece(rows * 8).view(np.int64)
            if null is not None:
                values[null] = 0
            if field.data_type == "float64":
                canonical_nans(values.view(np.float64))

    def texts(self, count: int, null: Array | None) -> list[bytes]:
        # The difference of two offsets may not fit into 32 bits.
        offsets = self.piece((count + 1) * 4).view(np.int32).astype(np.int64)
        if offsets[0] != 0 or (np.diff(offsets) < 0).any():
            raise BatchFault("the offsets of texts do not start at 0, or decrease")
        text = self.piece(int(offsets[-1])).tobytes()
        if null is not None and (np.diff(offsets)[null] != 0).any():
            raise BatchFault("there is a text at a null")
        ends = offsets.tolist()
        found = [text[start:end] for start, end in zip(ends, ends[1:], strict=False)]
        try:
            for value in found:
                value.decode()
        except UnicodeDecodeError:
            raise BatchFault("a text is not UTF-8") from None
        return found
