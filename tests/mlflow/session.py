"""Every call of MLflow's client, against a server that runs: session.py URL.

Each step is a call of a user, and checks what comes back. It runs with the client's versions 2 and
3; a step says so if it needs the latter. A step that fails is printed with its error; the exit code
is the number of failed steps. The last line is JSON: `works`, `absent` or `FAILED` for each step.

`--skip ours` leaves out what a stock server does otherwise.
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
    """Registers a step. It shares a dictionary with the steps after it.

    `needs` is `mlflow 3`, or `ours` for what a stock server does otherwise.
    """

    def register(function):
        STEPS.append((name, needs, function))
        return function

    return register


def is_new():
    """Whether this is MLflow 3 or later."""
    import mlflow

    return int(mlflow.__version__.split(".")[0]) >= 3


def log_model(model, name, **more):
    """Logs a model of scikit-learn, whose name the client before MLflow 3 calls a path."""
    import mlflow

    return mlflow.sklearn.log_model(model, **{"name" if is_new() else "artifact_path": name}, **more)


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


@step("what is logged later, and by the client's threads")
def _(s):
    import mlflow

    with mlflow.start_run() as run:
        for at in range(20):
            mlflow.log_metric("later", at, step=at, synchronous=False)
        mlflow.log_params({"p": 1}, synchronous=False)
        mlflow.set_tag("t", "x", synchronous=False)
        mlflow.flush_async_logging()
    data = s["client"].get_run(run.info.run_id).data
    assert (data.metrics, data.params["p"], data.tags["t"]) == ({"later": 19.0}, "1", "x"), data
    assert len(s["client"].get_metric_history(run.info.run_id, "later")) == 20


@step("a run that fails, a run of before, get_parent_run, get_artifact_uri, delete_tag")
def _(s):
    import mlflow

    try:
        with mlflow.start_run(run_name="failing", tags={"a": "b"}, description="It fails") as run:
            raise KeyError("on purpose")
    except KeyError:
        pass
    assert mlflow.last_active_run().info.run_id == run.info.run_id
    run = mlflow.get_run(run.info.run_id)
    assert (run.info.status, run.data.tags["mlflow.note.content"]) == ("FAILED", "It fails"), run
    assert mlflow.get_artifact_uri() is not None
    mlflow.end_run()
    with mlflow.start_run() as parent, mlflow.start_run(nested=True) as child:
        mlflow.set_tag("passing", "x")
        mlflow.delete_tag("passing")
    assert mlflow.get_parent_run(child.info.run_id).info.run_id == parent.info.run_id
    mlflow.delete_run(child.info.run_id)
    assert mlflow.get_run(child.info.run_id).info.lifecycle_stage == "deleted"


@step("log_artifact(s), log_dict, log_text")
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


@step("log_figure, log_image, log_table")
def _(s):
    import matplotlib
    import mlflow
    import numpy
    import pandas

    matplotlib.use("agg")
    import matplotlib.pyplot as plot

    figure, axes = plot.subplots()
    axes.plot([1, 2], [3, 4])
    with mlflow.start_run(run_id=s["run"]):
        mlflow.log_figure(figure, "figures/line.png")
        mlflow.log_figure(figure, "figures/line.svg")
        mlflow.log_image(numpy.zeros((4, 4, 3), dtype=numpy.uint8), "black.png")
        mlflow.log_image(numpy.zeros((4, 4, 3), dtype=numpy.uint8), key="steps", step=2)
        mlflow.log_table(pandas.DataFrame({"a": [1], "b": ["x"]}), "table.json")
        mlflow.log_table({"a": [2], "b": ["y"]}, "table.json")
        mlflow.log_text("<b>report</b>", "report.html")
    plot.close(figure)
    assert mlflow.artifacts.load_image(f"runs:/{s['run']}/black.png").size == (4, 4)
    table = mlflow.load_table("table.json", run_ids=[s["run"]], extra_columns=["run_id"])
    assert list(table["a"]) == [1, 2] and set(table["run_id"]) == {s["run"]}, table
    assert "table.json" in s["client"].get_run(s["run"]).data.tags["mlflow.loggedArtifacts"]
    images = s["client"].list_artifacts(s["run"], "images")
    assert any(file.path.endswith(".png") for file in images), images
    assert len(mlflow.artifacts.list_artifacts(f"runs:/{s['run']}/figures")) == 2


@step("the proxy: headers, missing files, paths that lead elsewhere", "ours")
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


@step("requests that are refused", "ours")
def _(s):
    import requests

    at = f"{s['url']}/api/2.0/mlflow"
    post = lambda path, body, **more: requests.post(f"{at}/{path}", json=body, timeout=10, **more)
    answer = post("experiments/create", {"name": f"x-{s['mark']}"}, headers={"Origin": "http://evil.example"})
    assert answer.status_code == 403, answer.text
    answer = requests.post(
        f"{at}/experiments/create", data="{", headers={"Content-Type": "application/json"}, timeout=10
    )
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
    assert (
        requests.get(f"{at}/runs/get", params={"run_id": "0" * 32}, timeout=10).json()["error_code"]
        == "RESOURCE_DOES_NOT_EXIST"
    )


@step("search_runs")
def _(s):
    import mlflow

    name = f"session-{s['mark']}"
    runs = mlflow.search_runs(
        experiment_names=[name], filter_string="metrics.auc > 0.65", order_by=["metrics.auc DESC"]
    )
    assert list(runs["metrics.auc"]) == [0.9], runs
    found = s["client"].search_runs([s["experiment"]], "params.kind = 'tree' AND tags.stage LIKE 'tr%'")
    assert [run.info.run_id for run in found] == [s["run"]], found
    found = s["client"].search_runs([s["experiment"]], "attributes.status = 'KILLED'")
    assert [run.info.run_id for run in found] == [s["batch"]], found
    assert s["client"].search_runs([], "") == []


@step("search_runs: every kind of filter and order")
def _(s):
    experiment, mark = s["experiment"], {"mark": s["mark"]}
    client, runs = s["client"], {}
    for name, metric, kind in [("f1", 0.25, "tree"), ("f2", 0.5, "line"), ("f3", math.nan, None)]:
        run = client.create_run(experiment, run_name=name, tags=mark, start_time=1000 * int(name[1]))
        runs[run.info.run_id] = name
        client.log_metric(run.info.run_id, "m/1", metric)
        if kind:
            client.log_param(run.info.run_id, "a kind", kind)
    client.set_terminated(next(iter(runs)), end_time=5000)
    ours = f"tags.mark = '{s['mark']}' AND "
    first, *_ = runs
    for clause, expected in {
        "metrics.`m/1` >= 0.5": "f2",
        "metrics.`m/1` < 0.5": "f1",
        "metrics.`m/1` != 0.25 AND params.`a kind` IS NOT NULL": "f2",
        "params.`a kind` = 'tree'": "f1",
        "params.`a kind` ILIKE 'TR%'": "f1",
        "params.`a kind` IS NULL": "f3",
        "tags.mlflow.runName = 'f2'": "f2",
        "attributes.run_name LIKE 'f%' AND attributes.status = 'FINISHED'": "f1",
        "attributes.start_time >= 2000 AND attributes.start_time < 3000": "f2",
        "attributes.end_time = 5000": "f1",
        f"attributes.run_id IN ('{first}')": "f1",
        f"attributes.run_id NOT IN ('{first}')": "f2 f3",
        "attributes.artifact_uri LIKE '%/artifacts'": "f1 f2 f3",
    }.items():
        found = client.search_runs([experiment], ours + clause, order_by=["attributes.start_time ASC"])
        assert " ".join(run.info.run_name for run in found) == expected, f"{clause}: {found}"
    for order, expected in {
        "metrics.`m/1` DESC": "f2 f1 f3",
        "metrics.`m/1` ASC": "f1 f2 f3",
        "params.`a kind` ASC": "f2 f1 f3",
        "attributes.run_name DESC": "f3 f2 f1",
        "start_time DESC": "f3 f2 f1",
    }.items():
        found = client.search_runs([experiment], ours + "attributes.run_name LIKE 'f%'", order_by=[order])
        assert " ".join(run.info.run_name for run in found) == expected, f"{order}: {found}"


@step("search_runs to a table of pandas, of every view")
def _(s):
    import mlflow
    from mlflow.entities import ViewType

    ours = f"tags.mark = '{s['mark']}'"
    table = mlflow.search_runs([s["experiment"]], ours, order_by=["start_time ASC"])
    assert list(table["tags.mlflow.runName"]) == ["f1", "f2", "f3"], table
    assert list(table["params.a kind"])[:2] == ["tree", "line"], table
    assert {"run_id", "experiment_id", "status", "artifact_uri", "start_time", "end_time"} <= set(table.columns), table
    deleted = table["run_id"][0]
    s["client"].delete_run(deleted)
    for view, expected in {ViewType.ACTIVE_ONLY: 2, ViewType.DELETED_ONLY: 1, ViewType.ALL: 3}.items():
        found = mlflow.search_runs([s["experiment"]], ours, run_view_type=view, output_format="list")
        assert len(found) == expected, (view, found)
    s["client"].restore_run(deleted)
    assert len(mlflow.search_runs([s["experiment"]], ours, max_results=2)) == 2


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
    import mlflow
    from mlflow.entities import ViewType

    gone = mlflow.create_experiment(f"gone-{s['mark']}")
    mlflow.delete_experiment(gone)
    for view, expected in {ViewType.ACTIVE_ONLY: 2, ViewType.DELETED_ONLY: 1, ViewType.ALL: 3}.items():
        found = mlflow.search_experiments(view_type=view, filter_string=f"name LIKE '%-{s['mark']}'")
        assert len(found) == expected, (view, found)
    names = [e.name for e in mlflow.search_experiments(order_by=["last_update_time DESC"], max_results=2)]
    assert len(names) == 2, names
    mlflow.set_experiment_tags({"x": "1", "y": "2"})
    assert mlflow.get_experiment(s["experiment"]).tags["y"] == "2"


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
    if hasattr(client, "delete_experiment_tag"):
        client.delete_experiment_tag(s["created"], "note")
        assert "note" not in client.get_experiment(s["created"]).tags
    client.delete_experiment(s["created"])
    assert client.get_experiment(s["created"]).lifecycle_stage == "deleted"
    client.restore_experiment(s["created"])
    assert client.get_experiment(s["created"]).lifecycle_stage == "active"


@step("log_input")
def _(s):
    import mlflow
    import numpy
    import pandas

    table = mlflow.data.from_pandas(pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]}), name="table", targets="b")
    with mlflow.start_run(run_id=s["run"]):
        mlflow.log_input(table, context="training")
    [given] = s["client"].get_run(s["run"]).inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("table", table.digest), given
    assert [(tag.key, tag.value) for tag in given.tags] == [("mlflow.data.context", "training")], given.tags
    found = s["client"].search_runs([s["experiment"]], "dataset.name = 'table'")
    assert [run.info.run_id for run in found] == [s["run"]], found
    numbers = mlflow.data.from_numpy(numpy.array([[1.0, 2.0]]), name="numbers")
    with mlflow.start_run() as run:
        mlflow.log_input(numbers, context="testing", tags={"kind": "array"})
    [given] = s["client"].get_run(run.info.run_id).inputs.dataset_inputs
    tags = {tag.key: tag.value for tag in given.tags}
    assert tags == {"mlflow.data.context": "testing", "kind": "array"}, tags
    for clause in [
        "datasets.context = 'testing'",
        f"datasets.digest = '{numbers.digest}'",
        "datasets.name LIKE 'num%'",
    ]:
        found = s["client"].search_runs([s["experiment"]], clause)
        assert [run.info.run_id for run in found] == [run.info.run_id], (clause, found)


@step("sklearn.log_model")
def _(s):
    import mlflow
    import numpy
    from sklearn.linear_model import LogisticRegression

    s["rows"] = numpy.array([[0.0, 1.0], [1.0, 0.0], [0.2, 0.8], [0.9, 0.1]])
    s["fitted"] = LogisticRegression().fit(s["rows"], [0, 1, 0, 1])
    with mlflow.start_run(run_name="training") as run:
        s["training"] = run.info.run_id
        info = log_model(s["fitted"], "model", input_example=s["rows"][:1])
        s["model_uri"] = info.model_uri
    mlflow.models.get_model_info(f"runs:/{s['training']}/model")


@step("a logged model: its metrics, parameters, run", "mlflow 3")
def _(s):
    import mlflow

    s["model_id"] = mlflow.last_logged_model().model_id
    with mlflow.start_run(run_id=s["training"]):
        mlflow.log_metric("auc", 0.8, model_id=s["model_id"])
        mlflow.log_model_params({"depth": "3"}, s["model_id"])
    model = mlflow.get_logged_model(s["model_id"])
    assert (model.name, str(model.status)) == ("model", "READY"), model
    assert model.source_run_id == s["training"], model
    assert model.params["depth"] == "3", model.params
    assert [(m.key, m.value) for m in model.metrics] == [("auc", 0.8)], model.metrics
    outputs = s["client"].get_run(s["training"]).outputs.model_outputs
    assert [output.model_id for output in outputs] == [s["model_id"]], outputs


@step("load_model(runs:/...), of pyfunc and of sklearn")
def _(s):
    import mlflow

    for uri in {s["model_uri"], f"runs:/{s['training']}/model"}:
        for flavor in [mlflow.pyfunc, mlflow.sklearn]:
            predicted = flavor.load_model(uri).predict(s["rows"])
            assert list(predicted) == list(s["fitted"].predict(s["rows"])), predicted


@step("log_model of a Python function")
def _(s):
    import mlflow

    class Twice(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return [2 * value for value in model_input]

    with mlflow.start_run():
        info = mlflow.pyfunc.log_model(**{"name" if is_new() else "artifact_path": "twice"}, python_model=Twice())
    assert mlflow.pyfunc.load_model(info.model_uri).predict([1, 2]) == [2, 4]


@step("register_model, log_model(registered_model_name=)")
def _(s):
    import mlflow

    s["name"] = f"churn-{s['mark']}"
    first = mlflow.register_model(s["model_uri"], s["name"], tags={"kind": "first"})
    assert (first.name, str(first.version), first.status) == (s["name"], "1", "READY"), first
    with mlflow.start_run():
        log_model(s["fitted"], "again", registered_model_name=s["name"])
    versions = s["client"].search_model_versions(f"name = '{s['name']}'")
    assert sorted(int(v.version) for v in versions) == [1, 2], versions


@step("aliases, and load_model by alias, version and latest")
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


@step("models: create, tags, descriptions, search")
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


@step("search_registered_models, search_model_versions")
def _(s):
    import mlflow

    client, name = s["client"], s["name"]
    for letter in "ab":
        client.create_registered_model(f"other-{s['mark']}-{letter}", tags={"letter": letter}, description="x")
    ours = f"name LIKE 'other-{s['mark']}-%'"
    names = lambda found: [model.name[-1] for model in found]
    assert names(client.search_registered_models(ours, order_by=["name DESC"])) == ["b", "a"]
    assert names(client.search_registered_models(f"{ours} AND tags.letter = 'b'")) == ["b"]
    page = client.search_registered_models(ours, max_results=1, order_by=["name ASC"])
    assert names(page) == ["a"] and page.token, page
    assert names(
        client.search_registered_models(ours, max_results=1, order_by=["name ASC"], page_token=page.token)
    ) == ["b"]
    assert len(mlflow.search_registered_models(filter_string=f"name ILIKE 'OTHER-{s['mark']}%'")) == 2
    versions = lambda clause, **more: [
        str(version.version) for version in client.search_model_versions(f"name = '{name}' AND {clause}", **more)
    ]
    assert versions("version_number > 1") == ["2"]
    assert versions("tags.kind = 'first'") == ["1"]
    assert versions(f"run_id = '{s['training']}'") == ["1"]
    assert versions("version_number > 0", order_by=["version_number ASC"]) == ["1", "2"]
    assert versions("version_number < 9", order_by=["version_number DESC"], max_results=1) == ["2"]
    assert len(mlflow.search_model_versions(filter_string=f"name = '{name}'")) == 2


@step("stages")
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


@step("copy_model_version")
def _(s):
    import mlflow

    copy = s["client"].copy_model_version(f"models:/{s['name']}@champion", f"copy-{s['mark']}")
    assert str(copy.version) == "1", copy
    predicted = mlflow.pyfunc.load_model(f"models:/copy-{s['mark']}/1").predict(s["rows"])
    assert list(predicted) == list(s["fitted"].predict(s["rows"]))


@step("sources that are refused, and one that was never uploaded", "ours")
def _(s):
    client, name = s["client"], s["name"]
    for source in ["/etc/passwd", "file:///etc", "mlflow-artifacts:/../../etc", "s3:/b/%2e%2e/a"]:
        refused("INVALID_PARAMETER_VALUE", lambda: client.create_model_version(name, source))
    version = client.create_model_version(name, f"s3://bucket/{s['mark']}")
    assert version.status == "READY", version


@step("logged models: search, tags, files, delete", "mlflow 3")
def _(s):
    import mlflow

    client = s["client"]
    found = client.search_logged_models([s["experiment"]], filter_string="metrics.auc > 0.5")
    assert [m.model_id for m in found] == [s["model_id"]], found
    client.set_logged_model_tags(s["model_id"], {"a": "b"})
    assert client.get_logged_model(s["model_id"]).tags["a"] == "b"
    client.delete_logged_model_tag(s["model_id"], "a")
    assert "a" not in client.get_logged_model(s["model_id"]).tags
    found = mlflow.search_logged_models(
        [s["experiment"]],
        filter_string="params.depth = '3' AND name LIKE 'mod%'",
        order_by=[{"field_name": "metrics.auc", "ascending": False}],
    )
    assert list(found["model_id"]) == [s["model_id"]], found
    passing = client.create_logged_model(s["experiment"], name="passing", params={"x": "1"})
    assert passing.params == {"x": "1"}, passing
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.txt").write_text("alpha")
        client.log_model_artifact(passing.model_id, str(Path(folder) / "a.txt"))
        client.log_model_artifacts(passing.model_id, folder)
    assert [file.path for file in client.list_logged_model_artifacts(passing.model_id)] == ["a.txt"]
    client.finalize_logged_model(passing.model_id, "READY")
    assert str(client.get_logged_model(passing.model_id).status) == "READY"
    outside = mlflow.create_external_model(name="outside", params={"y": "2"})
    assert str(mlflow.get_logged_model(outside.model_id).status) == "READY"
    client.delete_logged_model(passing.model_id)
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.get_logged_model(passing.model_id))


@step("sklearn.autolog")
def _(s):
    import mlflow
    import numpy
    import pandas
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    table = pandas.DataFrame(numpy.tile(s["rows"], (5, 1)), columns=["x", "y"])
    mlflow.sklearn.autolog(log_input_examples=True, max_tuning_runs=2)
    try:
        with mlflow.start_run() as run:
            LogisticRegression(C=0.5).fit(table, [0, 1, 0, 1] * 5)
        with mlflow.start_run() as search:
            GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2).fit(table, [0, 1, 0, 1] * 5)
    finally:
        mlflow.sklearn.autolog(disable=True)
    run = s["client"].get_run(run.info.run_id)
    assert run.data.params["C"] == "0.5" and "training_score" in run.data.metrics, run.data
    assert [given.tags[0].value for given in run.inputs.dataset_inputs] == ["train"], run.inputs
    assert mlflow.sklearn.load_model(f"runs:/{run.info.run_id}/model").get_params()["C"] == 0.5
    children = s["client"].search_runs([s["experiment"]], f"tags.mlflow.parentRunId = '{search.info.run_id}'")
    assert len(children) == 2, children


@step("evaluate")
def _(s):
    import mlflow
    import numpy
    import pandas

    table = pandas.DataFrame(numpy.tile(s["rows"], (5, 1)), columns=["x", "y"]).assign(label=[0, 1, 0, 1] * 5)
    evaluate = mlflow.models.evaluate if is_new() else mlflow.evaluate
    with mlflow.start_run() as run:
        result = evaluate(
            s["model_uri"],
            table,
            targets="label",
            model_type="classifier",
            evaluators="default",
            evaluator_config={"log_model_explainability": False},
        )
    assert result.metrics["accuracy_score"] == 1.0, result.metrics
    metrics = s["client"].get_run(run.info.run_id).data.metrics
    assert metrics["accuracy_score"] == 1.0, metrics
    assert any(file.path.endswith(".png") for file in s["client"].list_artifacts(run.info.run_id))


@step("rename and delete of models and versions")
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


@step("what the server does not have is told at once", "ours")
def _(s):
    refused("ENDPOINT_NOT_FOUND", lambda: s["client"].search_traces([s["experiment"]]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--skip", action="append", default=[], help="what steps need")
    arguments = parser.parse_args()
    # A fault is told at once; by default the client would try again for minutes.
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "60"
    os.environ["GIT_PYTHON_REFRESH"] = "quiet"
    # The packages that a model needs are told from those that are imported; to find out what
    # loading it imports takes a process of seconds.
    os.environ["MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT"] = "1"
    import mlflow

    mlflow.set_tracking_uri(arguments.url)
    state = {"url": arguments.url.rstrip("/"), "mark": uuid.uuid4().hex[:8], "client": mlflow.MlflowClient()}
    results = {}
    for name, needs, function in STEPS:
        if needs in arguments.skip:
            continue
        if needs == "mlflow 3" and not is_new():
            results[name] = "absent"
            continue
        started = time.monotonic()
        try:
            function(state)
            results[name] = "works"
            print(f"ok      {name} ({time.monotonic() - started:.1f} s)", flush=True)
        except Exception:
            results[name] = "FAILED"
            print(f"FAILED  {name}\n{traceback.format_exc()}", flush=True)
            mlflow.end_run()
    print(json.dumps({"mlflow": mlflow.__version__, "steps": list(results.items())}))
    return min(sum(result == "FAILED" for result in results.values()), 100)


if __name__ == "__main__":
    sys.exit(main())
