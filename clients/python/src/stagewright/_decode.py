"""Rows of pandas, as columns of the types that the model was trained on.

Columns are found by name, in any order; others are ignored. `None`, `NaN`, `NaT` and `pd.NA` are
missing values, and so are the texts that the model's signature lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ._batch import Column, canonical_nans
from ._cells import CONVERSIONS, NullTokens, Unfit, float_text, simple
from ._schema import Field
from .errors import DataError, shown

_MOST_NAMED = 20
_DTYPES: dict[str, type[Any]] = {
    "boolean": np.bool_,
    "int64": np.int64,
    "float64": np.float64,
    "timestamp": np.int64,
    "utf8": np.int64,
    "categorical": np.int64,
}


def decode(rows: pd.DataFrame, features: Sequence[Field], tokens: NullTokens) -> list[Column]:
    """Returns the columns of the features.

    Raises `DataError` for missing and repeated columns, and for the first value that does not fit.
    """
    names = [str(name) for name in rows.columns]
    missing = [field.name for field in features if field.name not in names]
    if missing:
        noun = "column" if len(missing) == 1 else "columns"
        raise DataError(f"the rows have no {noun} {_listed(missing)}; they have {_listed(names)}")
    repeated = [field.name for field in features if names.count(field.name) > 1]
    if repeated:
        raise DataError(f"more than one column is named {_listed(repeated)}")
    places = {name: place for place, name in enumerate(names)}
    return [_column(rows.iloc[:, places[field.name]], field, tokens) for field in features]


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_NAMED
    listed = ", ".join(shown(name) for name in names[:_MOST_NAMED])
    return f"{listed} and {rest} more" if rest > 0 else listed or "none"


def _column(series: pd.Series[Any], field: Field, tokens: NullTokens) -> Column:
    column = _of_numbers(series, field, tokens) or _of_cells(series, field, tokens)
    if column.valid is not None and not field.nullable:
        row = int(np.argmin(column.valid))
        raise DataError(
            "the value is missing, and the model was trained without missing values here", field.name, row
        )
    return column


def _of_numbers(series: pd.Series[Any], field: Field, tokens: NullTokens) -> Column | None:
    """Decodes arrays whose type is that of the field; `None` for others."""
    dtype = series.dtype
    if not isinstance(dtype, np.dtype):
        return None
    is_exact = dtype.kind in "iu" and dtype != np.uint64
    if field.data_type == "float64" and (is_exact or dtype.kind == "f"):
        numbers = series.to_numpy(np.float64, copy=True)
    elif field.data_type == "int64" and is_exact:
        numbers = series.to_numpy(np.int64, copy=True)
    elif field.data_type == "boolean" and dtype.kind == "b":
        return Column(field, series.to_numpy(np.bool_), (), None)
    else:
        return None
    null: npt.NDArray[np.bool_] = np.isnan(numbers)
    for token in tokens.numbers:
        null |= numbers == token
    numbers[null] = 0
    return Column(field, numbers, (), ~null if null.any() else None)


def _of_cells(series: pd.Series[Any], field: Field, tokens: NullTokens) -> Column:
    """Decodes value by value."""
    convert = CONVERSIONS[field.data_type]
    is_text = field.data_type in ("utf8", "categorical")
    is_number = field.data_type in ("int64", "float64")
    values = np.zeros(len(series), _DTYPES[field.data_type])
    valid = np.ones(len(series), np.bool_)
    known: dict[Any, int] = {}
    for row, value in enumerate(series.astype(object).tolist()):
        try:
            cell = value if type(value) is str else simple(value)
            if tokens.matches(cell):
                valid[row] = False
                continue
            converted: Any = convert(cell)
            if is_number and tokens.numbers and tokens.matches_number(float(converted)):
                valid[row] = False
            else:
                values[row] = known.setdefault(converted, len(known)) if is_text else converted
        except Unfit as unfit:
            raise DataError(f"{shown(_text(value))} {unfit}", field.name, row) from None
    if field.data_type == "float64":
        canonical_nans(values)
    try:
        texts = [text.encode() for text in known]
    except UnicodeEncodeError:
        raise DataError("a text has characters that are not Unicode", field.name) from None
    return Column(field, values, texts, None if valid.all() else valid)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return float_text(value)
    return str(value)
