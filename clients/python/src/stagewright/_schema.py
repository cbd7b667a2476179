"""Columns and tasks, as the registry's description of a version has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TYPES = ("boolean", "int64", "float64", "utf8", "categorical", "timestamp")


@dataclass(frozen=True)
class Field:
    """One column of a table."""

    name: str
    data_type: str
    nullable: bool

    def __post_init__(self) -> None:
        if self.data_type not in TYPES:
            raise ValueError(f"`{self.data_type}` is no type of a column")

    @classmethod
    def read(cls, record: dict[str, Any]) -> Field:
        """Reads a field of a description, or of a component."""
        data_type = record["data_type"] if "data_type" in record else record["data-type"]
        return cls(str(record["name"]), str(data_type), bool(record["nullable"]))

    def to_component(self) -> dict[str, Any]:
        """Returns the contract's record of this field."""
        return {"name": self.name, "data-type": self.data_type, "nullable": self.nullable}


@dataclass(frozen=True)
class Task:
    """The values that the model predicts."""

    # `binary`, `multi-class` or `regression`.
    kind: str
    # The names of the classes, in the order of their numbers; none for a regression.
    classes: tuple[str, ...]

    @classmethod
    def read(cls, record: dict[str, Any]) -> Task:
        """Reads the task of a description."""
        kind = record["kind"]
        if kind == "binary":
            return cls(kind, (str(record["negative"]), str(record["positive"])))
        if kind == "multi-class":
            return cls(kind, tuple(str(name) for name in record["classes"]))
        if kind == "regression":
            return cls(kind, ())
        raise ValueError(f"`{kind}` is no kind of task")

    @property
    def outputs(self) -> list[tuple[str, Any]]:
        """The outputs that a predictor has to declare first."""
        if self.kind == "binary":
            return [("probability", 1)]
        if self.kind == "multi-class":
            return [("probability", number) for number in range(len(self.classes))]
        return [("value", None)]
