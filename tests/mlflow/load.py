"""Loads a version of a pipeline's model with MLflow's client, and compares its predictions with
those of the program.

    python load.py URL MODEL RUN_ID TABLE PREDICTIONS [ADDRESS...]

TABLE is a CSV of rows, and PREDICTIONS what `stagewright predict` wrote for them. The model is loaded
by each ADDRESS; without one, by those that the tracking server of its registry has.
"""

import logging
import os
import sys
import tempfile
from pathlib import Path

os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
os.environ["GIT_PYTHON_REFRESH"] = "quiet"

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException

import stagewright


# Before version 3, pandas rounds some numbers that it reads.
EXACT = {"float_precision": "round_trip"} if int(pd.__version__.split(".")[0]) < 3 else {}


class Warnings(logging.Handler):
    """Keeps what MLflow warns of."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


def read(path, model):
    """Reads a CSV as its users do, into the types of the signature."""
    rows = pd.read_csv(path, **EXACT, keep_default_na=False, na_values=["", " "])
    for column in model.metadata.signature.inputs:
        if column.type == mlflow.types.DataType.double:
            rows[column.name] = rows[column.name].astype("float64")
    return rows


def same(found, expected):
    """Asserts that predictions have the same bits."""
    assert list(found.columns) == list(expected.columns), found.columns
    for name in found.columns:
        one, other = found[name].to_numpy(), expected[name].to_numpy()
        if one.dtype.kind == "f":
            one, other = one.view(np.uint64), other.astype(np.float64).view(np.uint64)
        different = np.flatnonzero(one != other)
        assert len(one) == len(other) and not len(different), f"{name}: rows {different[:5]} of {len(one)}"


def refused(error, told, call):
    try:
        call()
    except error as raised:
        assert told in str(raised), f"{told!r} is not in {raised}"
        return
    raise AssertionError(f"nothing was refused: {told}")


def main():
    url, name, run_id, table, predictions, *addresses = sys.argv[1:]
    mlflow.set_tracking_uri(url)
    warnings = Warnings()
    for name_of_logger in ["mlflow.pyfunc", "mlflow.utils.requirements_utils"]:
        logging.getLogger(name_of_logger).addHandler(warnings)

    addresses = addresses or [
        f"models:/{name}@champion",
        f"models:/{name}/1",
        f"models:/{name}/Production",
        f"runs:/{run_id}/model",
    ]
    models = {address: mlflow.pyfunc.load_model(address) for address in addresses}
    # The one warning that stays tells of another version of Python.
    unexpected = [text for text in warnings.texts if "version of Python" not in text]
    assert not unexpected, unexpected
    print(f"ok      load_model by {', '.join(addresses)}")

    model = models[addresses[0]]
    metadata = model.metadata
    assert (metadata.run_id, len(metadata.model_uuid)) == (run_id, 32), metadata.to_dict()
    assert metadata.mlflow_version == "3.17.2" and metadata.utc_time_created, metadata.to_dict()
    assert metadata.model_size_bytes > 1000, metadata.to_dict()
    inputs = {column.name: column.required for column in metadata.signature.inputs}
    assert "customerID" not in inputs and "Churn" not in inputs and all(inputs.values()), inputs
    assert metadata.signature.outputs.input_names() == ["label", "probability"], metadata.signature
    required = Path(mlflow.pyfunc.get_model_dependencies(addresses[0])).read_text().splitlines()
    # What is on no package index is not asked of one.
    assert [line for line in required if not line.startswith("#")] == ["mlflow>=2.22"], required
    print("ok      metadata and signature")

    rows = read(table, model)
    expected = pd.read_csv(predictions, **EXACT, dtype={"label": str})
    for loaded in models.values():
        same(loaded.predict(rows), expected)
    shuffled = rows.sample(frac=1, random_state=1)
    same(model.predict(shuffled).loc[rows.index], expected)
    print(f"ok      {len(rows)} predictions have the same bits")

    missing = model.predict(rows.head(50).assign(TotalCharges=np.nan))
    assert missing["probability"].between(0, 1).all()
    unseen = model.predict(rows.head(50).assign(Contract="Century"))
    assert unseen["probability"].between(0, 1).all()
    refused(MlflowException, "tenure", lambda: model.predict(rows.drop(columns="tenure")))
    refused(MlflowException, "tenure", lambda: model.predict(rows.assign(tenure="many")))
    loader = model._model_impl
    refused(
        stagewright.DataError,
        "column `tenure`, row 1: ",
        lambda: loader.predict(rows.assign(tenure=["1"] + ["x"] * (len(rows) - 1))),
    )
    refused(stagewright.DataError, "no column `tenure`", lambda: loader.predict(rows.drop(columns="tenure")))
    gone = rows.assign(gender=rows["gender"].where(rows.index != 2, None))
    refused(stagewright.DataError, "column `gender`, row 2: the value is missing", lambda: model.predict(gone))
    print("ok      missing values, unseen categories, wrong types and missing columns")

    with tempfile.TemporaryDirectory() as folder:
        local = Path(mlflow.artifacts.download_artifacts(addresses[0], dst_path=folder))
        same(mlflow.pyfunc.load_model(str(local)).predict(rows.head(9)), expected.head(9))
        pinned = mlflow.pyfunc.load_model(str(local), model_config={"seconds": 600})
        same(pinned.predict(rows.head(9)), expected.head(9))
        for path in [*sorted((local / "stagewright/objects").iterdir()), local / "stagewright/manifest.json"]:
            contents = path.read_bytes()
            path.write_bytes(contents[:-1] + bytes([contents[-1] ^ 1]))
            refused(stagewright.ModelError, "nothing of it is used", lambda: mlflow.pyfunc.load_model(str(local)))
            path.write_bytes(contents)
    print("ok      a file that is not the registry's is not used")


if __name__ == "__main__":
    main()
