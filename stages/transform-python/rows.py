"""Batches as Python reads and writes them: the layout of WIT `types.batch`, in docs/types.md.

Nothing here knows this stage. Copy the file to write another one in Python.
"""

from array import array
from itertools import pairwise

from wit_world.imports import types

BOOLEAN, FLOAT64 = types.DataType.BOOLEAN, types.DataType.FLOAT64
UTF8, CATEGORICAL = types.DataType.UTF8, types.DataType.CATEGORICAL
DIGITS = bytes.maketrans(b"01", b"\x00\x01")


class Column:
    """The values of one column.

    `validity` has an entry per row, 0 where the row is null. It is `None` if no row is. Any value
    may stand at a null.
    """

    def __init__(self, field: types.Field, validity: bytes | None, values, categories=None):
        self.name, self.kind = field.name, field.data_type
        self.validity, self.values, self.categories = validity, values, categories

    def numbers(self) -> list[int] | list[float]:
        """The numbers of the rows: 0 and 1 for a boolean, microseconds for a timestamp."""
        return list(self.values) if self.kind is BOOLEAN else self.values.tolist()

    def texts(self) -> tuple[list[bytes], list[int] | range]:
        """Texts in UTF-8, and the place of each row's among them.

        A categorical column has its categories, used by a row or not. Text has a text per row.
        """
        if self.kind is CATEGORICAL:
            return self.categories, self.values.tolist()
        return self.values, range(len(self.values))


class Rows:
    """The columns of a batch. Numbers lie in the batch's own bytes; text is copied, never decoded.

    A batch says nothing of its layout, so it is read with the fields of its table.
    """

    def __init__(self, fields: list[types.Field], batch: types.Batch):
        self.count = batch.rows
        self._bytes, self._view, self._at = batch.bytes, memoryview(batch.bytes), 0
        self.columns = [self._column(field) for field in fields]
        if self._at != len(batch.bytes):
            raise ValueError(f"a batch of {len(batch.bytes)} bytes has fields that take {self._at}")

    def _piece(self, length: int) -> slice:
        """The next piece; the one after it starts at a multiple of 8."""
        start = self._at
        self._at = start + length + 7 & -8
        return slice(start, start + length)

    def _bits(self) -> bytes:
        """A bitmap, with a byte of 0 or 1 for each row."""
        bits = int.from_bytes(self._bytes[self._piece((self.count + 7) // 8)], "little")
        digits = f"{bits:0{self.count}b}".encode()[::-1] if self.count else b""
        return digits.translate(DIGITS)

    def _numbers(self, count: int, form: str, width: int) -> memoryview:
        return self._view[self._piece(count * width)].cast(form)

    def _strings(self, count: int) -> list[bytes]:
        ends = self._numbers(count + 1, "i", 4).tolist()
        text = self._bytes[self._piece(ends[-1])]
        return [text[start:end] for start, end in pairwise(ends)]

    def _column(self, field: types.Field) -> Column:
        validity = self._bits() if field.nullable else None
        if validity is not None and 0 not in validity:
            validity = None
        if field.data_type is UTF8:
            return Column(field, validity, self._strings(self.count))
        if field.data_type is CATEGORICAL:
            codes = self._numbers(self.count, "i", 4)
            [count] = self._numbers(1, "q", 8)
            return Column(field, validity, codes, self._strings(count))
        if field.data_type is BOOLEAN:
            return Column(field, validity, self._bits())
        form = "d" if field.data_type is FLOAT64 else "q"
        return Column(field, validity, self._numbers(self.count, form, 8))


class Features:
    """Columns of float64 without nulls that are being made. All numbers are 0 at first."""

    def __init__(self, rows: int, width: int):
        self.rows, self.numbers = rows, array("d", bytes(8 * rows * width))

    def put(self, column: int, values: list[float]) -> None:
        """Sets a whole column."""
        start = column * self.rows
        self.numbers[start : start + self.rows] = array("d", values)

    def batch(self) -> types.Batch:
        """The batch, to be returned."""
        return types.Batch(self.rows, self.numbers.tobytes())
