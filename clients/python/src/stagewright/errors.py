"""The errors of this package, by who can mend them."""

from __future__ import annotations


class StagewrightError(Exception):
    """A prediction failed. The message says why, and what to do where something can be done."""


class ModelError(StagewrightError):
    """The files of the model are not those that the registry has, or this package cannot run
    them."""


class DataError(StagewrightError, ValueError):
    """The rows are not what the model was trained on.

    `column` and `row` say where, if the fault is in one. Rows are counted from 0, as in
    `DataFrame.iloc`.
    """

    def __init__(self, message: str, column: str | None = None, row: int | None = None) -> None:
        where = [] if column is None else [f"column {shown(column)}"]
        where += [] if row is None else [f"row {row}"]
        super().__init__(f"{', '.join(where)}: {message}" if where else message)
        self.told = message
        self.column = column
        self.row = row


class ComponentError(StagewrightError):
    """A component of the model failed, broke the contract, or reached a limit."""


def shown(text: object, most: int = 100) -> str:
    """Returns text from outside for a message: quoted, cut, and without control characters."""
    cut = str(text)
    cut = cut if len(cut) <= most else cut[:most] + "..."
    return "`" + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut) + "`"
