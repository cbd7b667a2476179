"""Models of Stagewright's pipelines, for clients of MLflow.

`mlflow.pyfunc.load_model` finds this package by itself. Its errors are in `stagewright.errors`.
"""

from .errors import ComponentError, DataError, ModelError, StagewrightError

__version__ = "0.1.0"

__all__ = ["ComponentError", "DataError", "ModelError", "StagewrightError", "__version__"]
