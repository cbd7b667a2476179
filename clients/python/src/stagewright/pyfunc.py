"""The loader that MLflow calls for models of Stagewright's pipelines.

`mlflow.pyfunc.load_model("models:/churn-classifier@champion")` downloads the version's files from
the tracking server and then calls `_load_pyfunc`, which the `MLmodel` file names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ._files import read
from ._limits import Limits
from ._model import Model
from .errors import DataError, ModelError

# Where the model's configuration says nothing: the defaults of a training.
_MEMORY_BYTES = 2 << 30
_SECONDS = 5_400.0


class PyFuncModel:
    """A loaded model, as `mlflow.pyfunc` wraps it."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Predicts the rows of a data frame, or of anything that `pandas.DataFrame` accepts with
        named columns. See `Model.predict` for the columns of the result.

        Raises `DataError` or `ComponentError`.
        """
        if isinstance(model_input, pd.DataFrame):
            return self._model.predict(model_input)
        if isinstance(model_input, Mapping) or (
            isinstance(model_input, list) and all(isinstance(row, Mapping) for row in model_input)
        ):
            try:
                rows = pd.DataFrame(model_input)
            except ValueError as error:
                raise DataError(f"the rows are no table: {error}") from None
            return self._model.predict(rows)
        raise DataError(
            f"a {type(model_input).__name__} has no names of columns: pass a pandas.DataFrame with the columns "
            + ", ".join(f"`{field.name}`" for field in self._model.version.features[:20])
        )


def _load_pyfunc(path: str, model_config: Mapping[str, Any] | None = None) -> PyFuncModel:
    """Loads the model whose files are in a folder. MLflow calls this.

    `model_config` has `manifest`, the digest of the folder's manifest, and the limits of each
    component: `memory_bytes`, and `seconds` for each call.

    Raises `ModelError` or `ComponentError`.
    """
    config = dict(model_config or {})
    digest = config.get("manifest")
    if digest is not None and not isinstance(digest, str):
        raise ModelError("`manifest` of the model's configuration is not a digest")
    memory, seconds = config.get("memory_bytes", _MEMORY_BYTES), config.get("seconds", _SECONDS)
    if isinstance(memory, bool) or not isinstance(memory, int) or memory <= 0:
        raise ModelError("`memory_bytes` of the model's configuration is a number of bytes above 0")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < math.inf:
        raise ModelError("`seconds` of the model's configuration is a number of seconds above 0")
    return PyFuncModel(Model(read(Path(path), digest), Limits(memory, float(seconds))))
