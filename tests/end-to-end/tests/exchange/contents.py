"""Fills a tracking server with one of everything, or says what is on one: contents.py fill|read URL.

It works with the client's versions 2 and 3. What it prints is one JSON object. Identifiers of
experiments are left out, since an import gives them others.
"""

import hashlib
import json
import math
import os
import sys
import tempfile
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"

import mlflow
from mlflow.tracking import MlflowClient

IS_NEW = int(mlflow.__version__.split(".")[0]) >= 3


def fill(client):
    experiment = client.create_experiment("churn", tags={"team": "growth", "mlflow.note.content": "# About\n"})
    mlflow.set_experiment("churn")
    with mlflow.start_run(run_name="parent", description="the parent") as parent:
        mlflow.log_params({"depth": 3, "long": "v" * 4000, "nested/name": "ü"})
        mlflow.set_tag("stage", "first")
        for step in range(25):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        for value in (math.nan, math.inf, -math.inf, 0.1 + 0.2):
            mlflow.log_metric("odd", value, step=7)
        with mlflow.start_run(run_name="child", nested=True):
            mlflow.log_metric("accuracy", 0.75)
            rows = mlflow.data.from_numpy(numbers(), name="rows", targets=None)
            mlflow.log_input(rows, context="training", tags={"split": "a"} if IS_NEW else None)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "deep").mkdir()
            Path(folder, "deep", "ä b.txt").write_text("deep")
            Path(folder, "empty.txt").write_text("")
            Path(folder, "large.bin").write_bytes(bytes(range(256)) * 4096)
            mlflow.log_artifacts(folder, "files")
        mlflow.log_dict({"a": 1}, "notes.json")
        save_model("model", "churn-classifier")
    failed = client.create_run(experiment, start_time=1_700_000_000_000, run_name="failed")
    client.log_batch(failed.info.run_id, metrics=[mlflow.entities.Metric("m", float(i), 1_700_000_000_000 + i, i) for i in range(1500)])
    client.set_terminated(failed.info.run_id, "FAILED", end_time=1_700_000_050_000)
    client.create_run(experiment, run_name="still running")
    removed = client.create_run(experiment, run_name="removed")
    client.delete_run(removed.info.run_id)
    with mlflow.start_run(run_name="second"):
        save_model("model", "churn-classifier")
        save_model("other", "churn-classifier")
    client.delete_model_version("churn-classifier", "2")
    client.update_registered_model("churn-classifier", "Classifies churn")
    client.set_registered_model_tag("churn-classifier", "owner", "growth")
    client.update_model_version("churn-classifier", "3", "The third")
    client.set_model_version_tag("churn-classifier", "3", "checked", "yes")
    client.set_registered_model_alias("churn-classifier", "champion", "1")
    client.set_registered_model_alias("churn-classifier", "blue", "3")
    client.transition_model_version_stage("churn-classifier", "1", "Production")
    client.transition_model_version_stage("churn-classifier", "3", "Archived")
    client.create_registered_model("empty one")
    return {"parent": parent.info.run_id}


def numbers():
    import numpy

    return numpy.arange(12.0).reshape(4, 3)


def save_model(name, registered):
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(numbers(), [0, 1, 0, 1])
    place = {"name": name} if IS_NEW else {"artifact_path": name}
    info = mlflow.sklearn.log_model(model, registered_model_name=registered, **place)
    if IS_NEW:
        mlflow.log_metric("auc", 0.5, model_id=info.model_id)
        mlflow.set_logged_model_tags(info.model_id, {"kind": name})


def read(client):
    experiments = [it for it in client.search_experiments() if it.name != "Default"]
    return {
        "experiments": {it.name: dict(it.tags) for it in experiments},
        "runs": {run.info.run_id: of_run(client, run) for it in experiments for run in runs(client, it)},
        "logged_models": logged_models(client, experiments),
        "models": {it.name: of_model(client, it) for it in client.search_registered_models()},
    }


def runs(client, experiment):
    return client.search_runs([experiment.experiment_id], max_results=1000)


def of_run(client, run):
    info, data, inputs = run.info, run.data, run.inputs
    return {
        "facts": [info.run_name, info.user_id, info.status, info.start_time, info.end_time, info.lifecycle_stage],
        "params": dict(data.params),
        "tags": dict(data.tags),
        "metrics": {name: history(client, info.run_id, name) for name in data.metrics},
        "datasets": [of_dataset(it) for it in inputs.dataset_inputs],
        "models": sorted(it.model_id for it in getattr(inputs, "model_inputs", None) or []),
        "made": sorted([it.model_id, it.step] for it in made(run)),
        "files": files(f"runs:/{info.run_id}", [it.path for it in client.list_artifacts(info.run_id)]),
    }


def made(run):
    outputs = getattr(run, "outputs", None)
    return (outputs and outputs.model_outputs) or []


def history(client, run_id, name):
    points = client.get_metric_history(run_id, name)
    return sorted([repr(it.value), it.step, it.timestamp] for it in points)


def of_dataset(found):
    dataset = found.dataset
    facts = [dataset.name, dataset.digest, dataset.source_type, dataset.source, dataset.schema, dataset.profile]
    return [facts, sorted([it.key, it.value] for it in found.tags)]


def logged_models(client, experiments):
    if not IS_NEW or not experiments:
        return {}
    found = client.search_logged_models([it.experiment_id for it in experiments])
    return {it.model_id: of_logged_model(it) for it in found}


def of_logged_model(model):
    # A stock server has all values of a metric, and the tracking server the last one.
    metrics = {}
    for it in sorted(model.metrics or [], key=lambda it: (it.step, it.timestamp)):
        metrics[f"{it.key} of {it.run_id}"] = [repr(it.value), it.step, it.timestamp]
    return {
        "facts": [model.name, str(model.status), model.model_type, model.source_run_id, model.creation_timestamp],
        "params": dict(model.params),
        "tags": dict(model.tags),
        "metrics": metrics,
        "files": downloaded(f"models:/{model.model_id}"),
    }


def of_model(client, model):
    found = client.search_model_versions(f"name = '{model.name}'")
    return {
        "facts": [model.description, model.creation_timestamp],
        "tags": dict(model.tags),
        "aliases": {alias: str(version) for alias, version in dict(model.aliases).items()},
        "versions": {str(it.version): of_version(it) for it in found},
    }


def of_version(version):
    return {
        "facts": [version.description, version.current_stage, version.run_id, version.creation_timestamp],
        "tags": dict(version.tags),
        "files": downloaded(f"models:/{version.name}/{version.version}"),
    }


def files(root, paths):
    """Returns the digests of the files that a run itself has; those of its logged models are theirs."""
    found = {}
    for path in paths:
        if not (IS_NEW and path in ("model", "other")):
            found.update({f"{path}/{name}": digest for name, digest in downloaded(f"{root}/{path}").items()})
    return found


def downloaded(uri):
    with tempfile.TemporaryDirectory() as folder:
        try:
            place = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder))
        except Exception as error:
            return {"error": type(error).__name__}
        if place.is_file():
            return {"": hashlib.sha256(place.read_bytes()).hexdigest()}
        every = (it for it in place.rglob("*") if it.is_file() and it.name != "registered_model_meta")
        return {str(it.relative_to(place)): hashlib.sha256(it.read_bytes()).hexdigest() for it in every}


if __name__ == "__main__":
    what, address = sys.argv[1:]
    mlflow.set_tracking_uri(address)
    # What the client prints is not the answer.
    answer, sys.stdout = sys.stdout, sys.stderr
    done = {"fill": fill, "read": read}[what](MlflowClient())
    json.dump(done, answer, sort_keys=True)
