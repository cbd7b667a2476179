"""Every call of MLflow's client, against a server that runs: session.py URL.

Each step is a call of a user, and checks what comes back. A step that fails is printed with its
error; the exit code is the number of failed steps. `--skip models` leaves out what needs
scikit-learn.
"""

import argparse
import json
import math
import os
import sys
import tempfile
import time
import traceback
import uuid
from pathlib import Path

STEPS = []


def step(name, needs=None):
    """Registers a step. It shares a dictionary with the steps after it."""

    def register(function):
        STEPS.append((name, needs, function))
        return function

    return register


def refused(code, call):
    """Checks that a call fails with a code."""
    from mlflow.exceptions import MlflowException

    try:
        call()
    except MlflowException as error:
        assert error.error_code == code, f"{error.error_code}, not {code}: {error}"
        return str(error)
    raise AssertionError(f"the call succeeded; {code} was expected")


@step("health and version")
def _(s):
    import requests

    answer = requests.get(f"{s['url']}/health", timeout=10)
    assert (answer.status_code, answer.text) == (200, "OK"), answer.text
    version = requests.get(f"{s['url']}/version", timeout=10).text
    assert version.split(".")[0].isdigit(), version
    info = requests.get(f"{s['url']}/api/3.0/mlflow/server-info", timeout=10).json()
    assert info["multipart_uploads_enabled"] is False, info


@step("experiment Default exists")
def _(s):
    default = s["client"].get_experiment("0")
    assert (default.name, default.lifecycle_stage) == ("Default", "active"), default
    assert default.artifact_location == "mlflow-artifacts:/0", default.artifact_location


@step("create_experiment")
def _(s):
    s["created"] = s["client"].create_experiment(f"created-{s['mark']}", tags={"team": "a"})
    experiment = s["client"].get_experiment(s["created"])
    assert experiment.tags["team"] == "a", experiment.tags
    assert experiment.artifact_location == f"mlflow-artifacts:/{s['created']}", experiment.artifact_location
    refused("RESOURCE_ALREADY_EXISTS", lambda: s["client"].create_experiment(f"created-{s['mark']}"))


@step("get_experiment_by_name")
def _(s):
    assert s["client"].get_experiment_by_name(f"missing-{s['mark']}") is None
    assert s["client"].get_experiment_by_name(f"created-{s['mark']}").experiment_id == s["created"]
    refused("RESOURCE_DOES_NOT_EXIST", lambda: s["client"].get_experiment("987654321"))


@step("set_experiment, new and existing")
def _(s):
    import mlflow

    name = f"session-{s['mark']}"
    s["experiment"] = mlflow.set_experiment(name).experiment_id
    assert mlflow.set_experiment(name).experiment_id == s["experiment"]


@step("start_run, log_param(s), log_metric(s), set_tag(s), end_run")
def _(s):
    import mlflow

    with mlflow.start_run(run_name="first") as run:
        s["run"] = run.info.run_id
        mlflow.log_param("depth", 3)
        mlflow.log_params({"rate": 0.1, "kind": "tree"})
        for at, value in enumerate([0.5, 0.7, 0.6]):
            mlflow.log_metric("auc", value, step=at)
        mlflow.log_metrics({"loss": 0.25, "undefined": math.nan}, step=2)
        mlflow.set_tag("stage", "trial")
        mlflow.set_tags({"a": "1", "b": "2"})
    run = s["client"].get_run(s["run"])
    assert run.info.status == "FINISHED" and run.info.end_time >= run.info.start_time, run.info
    assert run.info.run_name == run.data.tags["mlflow.runName"] == "first", run.data.tags
    assert run.data.params == {"depth": "3", "rate": "0.1", "kind": "tree"}, run.data.params
    assert run.data.metrics["auc"] == 0.6 and run.data.metrics["loss"] == 0.25, run.data.metrics
    assert math.isnan(run.data.metrics["undefined"]), run.data.metrics
    assert run.data.tags["b"] == "2", run.data.tags
    assert run.info.artifact_uri == f"mlflow-artifacts:/{s['experiment']}/{s['run']}/artifacts", run.info


@step("a parameter keeps its value")
def _(s):
    s["client"].log_param(s["run"], "depth", 3)
    message = refused("INVALID_PARAMETER_VALUE", lambda: s["client"].log_param(s["run"], "depth", 4))
    assert "Changing param values is not allowed" in message, message


@step("get_metric_history")
def _(s):
    points = s["client"].get_metric_history(s["run"], "auc")
    assert [(p.step, p.value) for p in points] == [(0, 0.5), (1, 0.7), (2, 0.6)], points
    assert s["client"].get_metric_history(s["run"], "missing") == []


@step("log_batch of 1,000 metrics")
def _(s):
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    run = s["client"].create_run(s["experiment"], run_name="batch", tags={"c": "d"})
    s["batch"] = run.info.run_id
    metrics = [Metric(f"m{i % 10}", i / 7, now, i) for i in range(800)]
    params = [Param(f"p{i}", str(i)) for i in range(100)]
    s["client"].log_batch(s["batch"], metrics, params, [RunTag(f"t{i}", "x") for i in range(100)])
    data = s["client"].get_run(s["batch"]).data
    assert (len(data.metrics), len(data.params)) == (10, 100), data
    assert data.metrics["m9"] == 799 / 7, data.metrics
    assert len(s["client"].get_metric_history(s["batch"], "m3")) == 80
    twice = [Param("q", "1"), Param("q", "2")]
    refused("INVALID_PARAMETER_VALUE", lambda: s["client"].log_batch(s["batch"], [], twice, []))


@step("infinities and a model's metric come back")
def _(s):
    s["client"].log_metric(s["batch"], "up", math.inf)
    s["client"].log_metric(s["batch"], "down", -math.inf)
    metrics = s["client"].get_run(s["batch"]).data.metrics
    assert metrics["up"] > 1.7e308 and metrics["down"] < -1.7e308, metrics


@step("set_tag renames, delete_tag, update_run, set_terminated")
def _(s):
    client, run = s["client"], s["batch"]
    client.set_tag(run, "mlflow.runName", "renamed")
    assert client.get_run(run).info.run_name == "renamed"
    client.delete_tag(run, "c")
    assert "c" not in client.get_run(run).data.tags
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.delete_tag(run, "c"))
    client.update_run(run, status="FAILED", name="again")
    info = client.get_run(run).info
    assert (info.status, info.run_name) == ("FAILED", "again"), info
    client.update_run(run, status="RUNNING")
    client.set_terminated(run, "KILLED")
    assert client.get_run(run).info.status == "KILLED"


@step("nested runs")
def _(s):
    import mlflow

    with mlflow.start_run(run_name="parent") as parent:
        with mlflow.start_run(run_name="child", nested=True) as child:
            mlflow.log_metric("auc", 0.9)
    tags = s["client"].get_run(child.info.run_id).data.tags
    assert tags["mlflow.parentRunId"] == parent.info.run_id, tags
    # A run is opened again.
    with mlflow.start_run(run_id=parent.info.run_id):
        mlflow.log_param("later", 1)
    assert s["client"].get_run(parent.info.run_id).data.params == {"later": "1"}


@step("log_artifact(s), log_dict, log_text, log_figure")
def _(s):
    import mlflow

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sub").mkdir()
        (Path(folder) / "a.txt").write_text("alpha")
        (Path(folder) / "sub" / "b c ü.bin").write_bytes(bytes(range(256)) * 20_000)
        with mlflow.start_run(run_id=s["run"]):
            mlflow.log_artifact(str(Path(folder) / "a.txt"))
            mlflow.log_artifacts(folder, artifact_path="folder")
            mlflow.log_dict({"x": [1, 2]}, "deep/er/d.json")
            mlflow.log_text("", "empty.txt")
            mlflow.log_text("one", "text.txt")
            mlflow.log_text("two", "text.txt")


@step("list_artifacts")
def _(s):
    listed = lambda path=None: [(f.path, f.is_dir, f.file_size) for f in s["client"].list_artifacts(s["run"], path)]
    root = listed()
    assert ("a.txt", False, 5) in root and ("folder", True, None) in root and ("deep", True, None) in root, root
    assert ("folder/sub/b c ü.bin", False, 5_120_000) in listed("folder/sub"), listed("folder/sub")
    assert listed("deep") == [("deep/er", True, None)], listed("deep")
    assert listed("nothing") == []
    assert listed("a.txt") == []


@step("download_artifacts, file and folder")
def _(s):
    import mlflow

    assert mlflow.artifacts.load_text(f"runs:/{s['run']}/a.txt") == "alpha"
    assert mlflow.artifacts.load_text(f"runs:/{s['run']}/text.txt") == "two"
    assert mlflow.artifacts.load_dict(f"runs:/{s['run']}/deep/er/d.json") == {"x": [1, 2]}
    with tempfile.TemporaryDirectory() as folder:
        at = Path(s["client"].download_artifacts(s["run"], "folder", folder))
        assert (at / "sub" / "b c ü.bin").read_bytes() == bytes(range(256)) * 20_000
        empty = Path(s["client"].download_artifacts(s["run"], "empty.txt", folder))
        assert empty.read_bytes() == b""


@step("the proxy: headers, missing files, paths that lead elsewhere")
def _(s):
    import requests

    root = f"{s['url']}/api/2.0/mlflow-artifacts/artifacts"
    at = f"{root}/{s['experiment']}/{s['run']}/artifacts"
    answer = requests.get(f"{at}/a.txt", timeout=10)
    assert answer.content == b"alpha" and answer.headers["X-Content-Type-Options"] == "nosniff", answer.headers
    assert answer.headers["Content-Disposition"] == "attachment; filename=a.txt", answer.headers
    assert answer.headers["Content-Type"].startswith("text/plain"), answer.headers
    assert requests.get(f"{at}/missing.txt", timeout=10).status_code == 404
    for path in ["%2e%2e/%2e%2e/etc/passwd", "%252e%252e/a", "/etc/passwd", "a/%2e%2e/b", "a%5cb", "C:/a", "a%23b"]:
        for method in ["GET", "PUT", "DELETE"]:
            answer = requests.request(method, f"{root}/{path}", data=b"x" if method == "PUT" else None, timeout=10)
            assert answer.status_code == 400, f"{method} {path}: {answer.status_code} {answer.text}"
    for path in ["../..", "/etc", "a/../../b"]:
        assert requests.get(root, params={"path": path}, timeout=10).status_code == 400, path
    listed = requests.get(f"{s['url']}/ajax-api/2.0/mlflow/artifacts/list", params={"run_uuid": s["run"]}, timeout=10)
    assert any(file["path"] == "a.txt" for file in listed.json()["files"]), listed.text
    page = requests.get(f"{s['url']}/get-artifact", params={"run_uuid": s["run"], "path": "a.txt"}, timeout=10)
    assert page.content == b"alpha", page.text


@step("requests that are refused")
def _(s):
    import requests

    at = f"{s['url']}/api/2.0/mlflow"
    post = lambda path, body, **more: requests.post(f"{at}/{path}", json=body, timeout=10, **more)
    answer = post("experiments/create", {"name": f"x-{s['mark']}"}, headers={"Origin": "http://evil.example"})
    assert answer.status_code == 403, answer.text
    answer = requests.post(f"{at}/experiments/create", data="{", headers={"Content-Type": "application/json"}, timeout=10)
    assert answer.status_code == 400, answer.text
    answer = requests.post(f"{at}/experiments/create", data='{"name": "x"}', timeout=10)
    assert answer.status_code == 400, answer.text
    answer = post("experiments/create", {"name": 123})
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE" and "123" in answer.json()["message"], answer.text
    answer = post("runs/log-metric", {"run_id": s["run"], "value": 1, "timestamp": 1})
    assert "required parameter 'key'" in answer.json()["message"], answer.text
    assert post("runs/search", {"experiment_ids": ["0"], "filter": "metrics.a >"}).status_code == 400
    assert post("runs/search", {"experiment_ids": ["0"], "max_results": 50_001}).status_code == 400
    assert post("runs/log-batch", {"run_id": s["run"], "x": "y" * 2_000_000}).status_code in (400, 413)
    assert post("traces/search", {}).status_code == 404
    assert requests.get(f"{at}/runs/get", params={"run_id": "../x"}, timeout=10).status_code in (400, 404)
    assert requests.get(f"{at}/runs/get", params={"run_id": "0" * 32}, timeout=10).json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"


@step("search_runs")
def _(s):
    import mlflow

    name = f"session-{s['mark']}"
    runs = mlflow.search_runs(experiment_names=[name], filter_string="metrics.auc > 0.65", order_by=["metrics.auc DESC"])
    assert list(runs["metrics.auc"]) == [0.9], runs
    found = s["client"].search_runs([s["experiment"]], "params.kind = 'tree' AND tags.stage LIKE 'tr%'")
    assert [run.info.run_id for run in found] == [s["run"]], found
    found = s["client"].search_runs([s["experiment"]], "attributes.status = 'KILLED'")
    assert [run.info.run_id for run in found] == [s["batch"]], found
    assert s["client"].search_runs([], "") == []


@step("search_runs, page by page")
def _(s):
    for index in range(7):
        s["client"].create_run(s["created"], run_name=f"r{index}")
    seen, token = [], None
    while True:
        page = s["client"].search_runs([s["created"]], max_results=3, page_token=token)
        seen += [run.info.run_name for run in page]
        token = page.token
        if not token:
            break
    assert sorted(seen) == [f"r{index}" for index in range(7)], seen


@step("search_experiments")
def _(s):
    found = s["client"].search_experiments(filter_string=f"name LIKE '%-{s['mark']}'", order_by=["name ASC"])
    assert [e.name for e in found] == [f"created-{s['mark']}", f"session-{s['mark']}"], found
    found = s["client"].search_experiments(filter_string=f"tags.team = 'a' AND name = 'created-{s['mark']}'")
    assert [e.experiment_id for e in found] == [s["created"]], found


@step("delete_run, restore_run")
def _(s):
    s["client"].delete_run(s["batch"])
    assert s["client"].get_run(s["batch"]).info.lifecycle_stage == "deleted"
    assert s["batch"] not in [r.info.run_id for r in s["client"].search_runs([s["experiment"]])]
    s["client"].restore_run(s["batch"])
    assert s["client"].get_run(s["batch"]).info.lifecycle_stage == "active"


@step("rename_experiment, tags, delete_experiment, restore_experiment")
def _(s):
    client = s["client"]
    client.rename_experiment(s["created"], f"renamed-{s['mark']}")
    assert client.get_experiment(s["created"]).name == f"renamed-{s['mark']}"
    client.set_experiment_tag(s["created"], "note", "x")
    assert client.get_experiment(s["created"]).tags["note"] == "x"
    client.delete_experiment(s["created"])
    assert client.get_experiment(s["created"]).lifecycle_stage == "deleted"
    client.restore_experiment(s["created"])
    assert client.get_experiment(s["created"]).lifecycle_stage == "active"


@step("log_input")
def _(s):
    import mlflow
    import pandas

    table = mlflow.data.from_pandas(pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]}), name="table", targets="b")
    with mlflow.start_run(run_id=s["run"]):
        mlflow.log_input(table, context="training")
    [given] = s["client"].get_run(s["run"]).inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("table", table.digest), given
    assert [(tag.key, tag.value) for tag in given.tags] == [("mlflow.data.context", "training")], given.tags
    found = s["client"].search_runs([s["experiment"]], "dataset.name = 'table'")
    assert [run.info.run_id for run in found] == [s["run"]], found


@step("sklearn.log_model", "models")
def _(s):
    import mlflow
    from sklearn.linear_model import LogisticRegression

    s["rows"] = [[0.0, 1.0], [1.0, 0.0], [0.2, 0.8], [0.9, 0.1]]
    s["fitted"] = LogisticRegression().fit(s["rows"], [0, 1, 0, 1])
    with mlflow.start_run(run_name="training") as run:
        s["training"] = run.info.run_id
        info = mlflow.sklearn.log_model(s["fitted"], name="model", input_example=s["rows"][:1])
        s["model_id"] = info.model_id
        mlflow.log_metric("auc", 0.8, model_id=info.model_id)
    model = mlflow.get_logged_model(s["model_id"])
    assert (model.name, str(model.status)) == ("model", "READY"), model
    assert model.source_run_id == s["training"], model
    assert [(m.key, m.value) for m in model.metrics] == [("auc", 0.8)], model.metrics
    outputs = s["client"].get_run(s["training"]).outputs.model_outputs
    assert [output.model_id for output in outputs] == [s["model_id"]], outputs


@step("load_model(models:/m-...) and (runs:/...)", "models")
def _(s):
    import mlflow

    for uri in [f"models:/{s['model_id']}", f"runs:/{s['training']}/model"]:
        predicted = mlflow.pyfunc.load_model(uri).predict(s["rows"])
        assert list(predicted) == list(s["fitted"].predict(s["rows"])), predicted


@step("register_model, log_model(registered_model_name=)", "models")
def _(s):
    import mlflow

    s["name"] = f"churn-{s['mark']}"
    first = mlflow.register_model(f"models:/{s['model_id']}", s["name"])
    assert (first.name, str(first.version), first.status) == (s["name"], "1", "READY"), first
    with mlflow.start_run():
        mlflow.sklearn.log_model(s["fitted"], name="again", registered_model_name=s["name"])
    versions = s["client"].search_model_versions(f"name = '{s['name']}'")
    assert sorted(int(v.version) for v in versions) == [1, 2], versions


@step("aliases, and load_model by alias, version and latest", "models")
def _(s):
    import mlflow

    client, name = s["client"], s["name"]
    client.set_registered_model_alias(name, "champion", "1")
    assert str(client.get_model_version_by_alias(name, "champion").version) == "1"
    for reference in [f"{name}@champion", f"{name}/2", f"{name}/latest"]:
        predicted = mlflow.pyfunc.load_model(f"models:/{reference}").predict(s["rows"])
        assert list(predicted) == list(s["fitted"].predict(s["rows"])), reference
    for reserved in ["latest", "v2"]:
        refused("INVALID_PARAMETER_VALUE", lambda: client.set_registered_model_alias(name, reserved, "1"))
    refused("INVALID_PARAMETER_VALUE", lambda: client.get_model_version_by_alias(name, "missing"))


@step("models: create, tags, descriptions, search", "models")
def _(s):
    client, name = s["client"], s["name"]
    refused("RESOURCE_ALREADY_EXISTS", lambda: client.create_registered_model(name))
    client.set_registered_model_tag(name, "owner", "ml")
    client.set_model_version_tag(name, "1", "reviewed", "yes")
    client.update_registered_model(name, "Churn of customers")
    client.update_model_version(name, "1", "First")
    model = client.get_registered_model(name)
    assert (model.description, model.tags["owner"], model.aliases) == ("Churn of customers", "ml", {"champion": 1}) or (
        model.aliases == {"champion": "1"}
    ), model
    version = client.get_model_version(name, "1")
    assert (version.description, version.tags["reviewed"]) == ("First", "yes"), version
    assert "champion" in version.aliases, version
    assert [m.name for m in client.search_registered_models(f"name = '{name}'")] == [name]
    assert [m.name for m in client.search_registered_models("tags.owner = 'ml'")] != []
    client.delete_model_version_tag(name, "1", "reviewed")
    client.delete_registered_model_tag(name, "owner")
    client.delete_registered_model_tag(name, "owner")
    assert client.get_registered_model(name).tags == {}
    uri = client.get_model_version_download_uri(name, "1")
    assert uri.startswith("mlflow-artifacts:/"), uri


@step("stages", "models")
def _(s):
    client, name = s["client"], s["name"]
    client.transition_model_version_stage(name, "1", "Production")
    client.transition_model_version_stage(name, "2", "Production")
    stages = {str(v.version): v.current_stage for v in client.search_model_versions(f"name = '{name}'")}
    assert stages == {"1": "Production", "2": "Production"}, stages
    client.transition_model_version_stage(name, "2", "Production", archive_existing_versions=True)
    latest = client.get_latest_versions(name, ["Production"])
    assert [str(v.version) for v in latest] == ["2"], latest
    assert client.get_model_version(name, "1").current_stage == "Archived"


@step("copy_model_version", "models")
def _(s):
    import mlflow

    copy = s["client"].copy_model_version(f"models:/{s['name']}@champion", f"copy-{s['mark']}")
    assert str(copy.version) == "1", copy
    predicted = mlflow.pyfunc.load_model(f"models:/copy-{s['mark']}/1").predict(s["rows"])
    assert list(predicted) == list(s["fitted"].predict(s["rows"]))


@step("sources that are refused, and one that was never uploaded", "models")
def _(s):
    client, name = s["client"], s["name"]
    for source in ["/etc/passwd", "file:///etc", "mlflow-artifacts:/../../etc", "s3:/b/%2e%2e/a"]:
        refused("INVALID_PARAMETER_VALUE", lambda: client.create_model_version(name, source))
    version = client.create_model_version(name, f"s3://bucket/{s['mark']}")
    assert version.status == "READY", version


@step("logged models: search, tags, delete", "models")
def _(s):
    client = s["client"]
    found = client.search_logged_models([s["experiment"]], filter_string="metrics.auc > 0.5")
    assert [m.model_id for m in found] == [s["model_id"]], found
    client.set_logged_model_tags(s["model_id"], {"a": "b"})
    assert client.get_logged_model(s["model_id"]).tags["a"] == "b"
    client.delete_logged_model_tag(s["model_id"], "a")
    assert "a" not in client.get_logged_model(s["model_id"]).tags
    passing = client.create_logged_model(s["experiment"], name="passing", params={"x": "1"})
    assert passing.params == {"x": "1"}, passing
    client.delete_logged_model(passing.model_id)
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.get_logged_model(passing.model_id))


@step("autolog", "models")
def _(s):
    import mlflow
    from sklearn.linear_model import LogisticRegression

    mlflow.sklearn.autolog(log_datasets=False)
    try:
        with mlflow.start_run() as run:
            LogisticRegression(C=0.5).fit(s["rows"], [0, 1, 0, 1])
    finally:
        mlflow.sklearn.autolog(disable=True)
    data = s["client"].get_run(run.info.run_id).data
    assert data.params["C"] == "0.5" and "training_score" in data.metrics, data


@step("rename and delete of models and versions", "models")
def _(s):
    client = s["client"]
    client.delete_registered_model_alias(s["name"], "champion")
    refused("INVALID_PARAMETER_VALUE", lambda: client.get_model_version_by_alias(s["name"], "champion"))
    new = f"renamed-{s['mark']}"
    client.rename_registered_model(s["name"], new)
    client.delete_model_version(new, "1")
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.get_model_version(new, "1"))
    client.delete_registered_model(new)
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.get_registered_model(new))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--skip", action="append", default=[])
    parser.add_argument("--only", help="a part of the names of the steps to run, with all before them")
    arguments = parser.parse_args()
    # A fault is told at once; by default the client would try again for minutes.
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "60"
    os.environ["GIT_PYTHON_REFRESH"] = "quiet"
    import mlflow

    mlflow.set_tracking_uri(arguments.url)
    state = {"url": arguments.url.rstrip("/"), "mark": uuid.uuid4().hex[:8], "client": mlflow.MlflowClient()}
    failed = []
    for name, needs, function in STEPS:
        if needs in arguments.skip:
            continue
        try:
            function(state)
            print(f"ok      {name}", flush=True)
        except Exception:
            failed.append(name)
            print(f"FAILED  {name}\n{traceback.format_exc()}", flush=True)
    print(json.dumps({"mlflow": mlflow.__version__, "steps": len(STEPS), "failed": failed}))
    return min(len(failed), 100)


if __name__ == "__main__":
    sys.exit(main())
