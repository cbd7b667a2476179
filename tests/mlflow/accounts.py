"""Logs, searches and loads as a user of a server with accounts: accounts.py URI NAME."""

import json
import sys
import tempfile
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException


def main() -> None:
    uri, user = sys.argv[1:]
    mlflow.set_tracking_uri(uri)
    name = f"of {user}"
    mlflow.set_experiment(name)
    with mlflow.start_run() as run, tempfile.TemporaryDirectory() as folder:
        mlflow.log_param("depth", 3)
        mlflow.log_metric("loss", 0.5)
        path = Path(folder) / "note.txt"
        path.write_text("a note")
        mlflow.log_artifact(str(path))
    client = mlflow.MlflowClient()
    assert len(client.search_runs([run.info.experiment_id])) == 1
    text = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/note.txt")
    assert text == "a note", text
    client.create_registered_model(f"model-of-{user}")
    try:
        client.create_run("99999")
    except MlflowException as error:
        assert error.error_code in ("RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED"), error.error_code
    print(json.dumps({"signed_in": user}))


main()
