"""Logging: metrics, parameters, tags, batches, datasets, models."""

import json

LONG = 100_000


def ask_all(ask):
    experiment = ask.experiment("logging")
    run = ask.run(experiment, "logging")
    metrics(ask, run)
    odd_metrics(ask, ask.run(ask.experiment("odd values"), "odd"))
    parameters_and_tags(ask, run)
    ask.get("runs/get", "with metrics, parameters and tags", run_id=run)
    batches(ask, experiment)
    inputs(ask, experiment)
    old_models(ask, run)


def metrics(ask, run):
    log = lambda case, **body: ask.post("runs/log-metric", case, run_id=run, **body)
    log("all members", key="auc", value=0.5, timestamp=789, step=2)
    log("no step", key="auc", value=0.6, timestamp=790)
    log("a step before", key="auc", value=0.7, timestamp=795, step=1)
    log("the same again", key="auc", value=0.5, timestamp=789, step=2)
    log("a negative step", key="steps", value=1, timestamp=1, step=-3)
    log("a large step", key="steps", value=2, timestamp=1, step=2**53)
    for number, value in enumerate(["NaN", "Infinity", "-Infinity", "0.25", "x", "", 1e308, -0.0, 5, None]):
        log(f"the value {json.dumps(value)}", key=f"values/{number}", value=value, timestamp=1)
    log("no timestamp", key="a", value=1)
    log("a negative timestamp", key="a", value=1, timestamp=-1)
    log("a text as timestamp", key="a", value=1, timestamp="12")
    log("a whole float as timestamp", key="a", value=1, timestamp=2.0)
    log("no value", key="a", timestamp=1)
    log("no key", value=1, timestamp=1)
    for key in ["", "a/b c:d.e-f_g", "/a", "a/../b", "a//b", ".", "a#b", "a\nb", "日本", "k" * 250, "k" * 251]:
        log(f"the key {key[:12]!r} of {len(key)}", key=key, value=1, timestamp=1)
    ask.post("runs/log-metric", "an unknown run", run_id="0" * 32, key="a", value=1, timestamp=1)
    ask.post("runs/log-metric", "no run", key="a", value=1, timestamp=1)
    ask.post("runs/log-metric", "by its old name", run_uuid=run, key="old", value=1, timestamp=1)


def odd_metrics(ask, run):
    """Requests that one of the servers refuses or ignores. Nobody looks at this run afterwards."""
    log = lambda case, **body: ask.post("runs/log-metric", case, run_id=run, **body)
    log("a step that is too large", key="steps", value=2, timestamp=1, step=2**63)
    log("a fraction as timestamp", key="a", value=1, timestamp=1.5)
    for value in [True, [1], {"a": 1}]:
        log(f"the value {json.dumps(value)}", key="a", value=value, timestamp=1)
    for bare in [b"NaN", b"Infinity", b"-Infinity", b"1e400"]:
        body = b'{"run_id": "%s", "key": "bare", "timestamp": 1, "value": %s}' % (run.encode(), bare)
        ask.send("POST", "runs/log-metric", f"the bare value {bare.decode()}", body)
    unknown = {"model_id": "m-" + "0" * 32, "dataset_name": "d", "dataset_digest": "x"}
    log("of an unknown model", key="of a model", value=1, timestamp=1, **unknown)
    batch = lambda case, **body: ask.post("runs/log-batch", case, run_id=run, **body)
    bad = {"key": "bad", "value": "x", "timestamp": 1, "step": 0}
    batch("a fault after others", metrics=[{"key": "kept", "value": 1, "timestamp": 5, "step": 0}, bad])
    batch("a list of numbers", metrics=[1])
    batch("null in a list", metrics=[None])
    inputs = lambda case, *datasets: ask.post("runs/log-inputs", case, run_id=run, datasets=list(datasets))
    dataset = {"name": "table", "digest": "d1", "source_type": "local", "source": "{}"}
    for member in dataset:
        inputs(f"without {member}", {"dataset": {key: value for key, value in dataset.items() if key != member}})
    inputs("without a dataset", {"tags": [{"key": "mlflow.data.context", "value": "training"}]})


def parameters_and_tags(ask, run):
    log = lambda case, **body: ask.post("runs/log-parameter", case, run_id=run, **body)
    log("new", key="depth", value="3")
    log("the same value", key="depth", value="3")
    log("another value", key="depth", value="4")
    log("an empty value", key="empty", value="")
    log("no value", key="none")
    log("a number as value", key="number", value=3)
    log("6,000 characters", key="long", value="v" * 6_000)
    log("6,001 characters", key="longer", value="v" * 6_001)
    log("unicode", key="wert", value="ä😀\n\t\"'")
    tag = lambda case, **body: ask.post("runs/set-tag", case, run_id=run, **body)
    tag("new", key="a", value="1")
    tag("another value", key="a", value="2")
    tag("an empty value", key="empty", value="")
    tag("no value", key="none")
    tag("8,000 characters", key="long", value="v" * 8_000)
    tag("8,001 characters", key="longer", value="v" * 8_001)
    tag("the name of the run", key="mlflow.runName", value="by a tag")
    tag("the user", key="mlflow.user", value="someone")
    for key in ["", "/a", "a//b", "a#b", "k" * 251]:
        log(f"the key {key[:12]!r} of {len(key)}", key=key, value="1")
        tag(f"the key {key[:12]!r} of {len(key)}", key=key, value="1")
    ask.post("runs/delete-tag", "there", run_id=run, key="a")
    ask.post("runs/delete-tag", "not there", run_id=run, key="a")
    ask.post("runs/delete-tag", "an unknown run", run_id="0" * 32, key="a")
    ask.post("runs/delete-tag", "no key", run_id=run)


def batches(ask, experiment):
    run = ask.run(experiment, "batches")
    log = lambda case, **body: ask.post("runs/log-batch", case, run_id=run, **body)
    metric = lambda key, value=1, step=0: {"key": key, "value": value, "timestamp": 5, "step": step}
    pair = lambda key, value="1": {"key": key, "value": value}
    log("nothing")
    log(
        "all",
        metrics=[metric("a"), metric("a", 2, 1), metric("b", "NaN")],
        params=[pair("p")],
        tags=[pair("t"), pair("t", "2")],
    )
    log("one parameter twice, the same value", params=[pair("q"), pair("q")])
    log("one parameter twice, two values", params=[pair("r"), pair("r", "2")])
    log("another value of a parameter", params=[pair("new"), pair("p", "2")])
    for what, most in {"metrics": 1000, "params": 100, "tags": 100}.items():
        entry = metric if what == "metrics" else pair
        log(f"{most} {what}", **{what: [entry(f"n{index}") for index in range(most)]})
        log(f"{most + 1} {what}", **{what: [entry(f"n{index}") for index in range(most + 1)]})
    log(
        "1,001 entries",
        metrics=[metric(f"n{index}") for index in range(950)],
        params=[pair(f"n{index}") for index in range(51)],
    )
    log("a metric without a value", metrics=[{"key": "a", "timestamp": 1, "step": 0}])
    log("a metric without a key", metrics=[{"value": 1, "timestamp": 1, "step": 0}])
    log("a metric without a timestamp", metrics=[{"key": "a", "value": 1, "step": 0}])
    log("a metric without a step", metrics=[{"key": "stepless", "value": 1, "timestamp": 1}])
    log("a metric of a bad key", metrics=[metric("a"), metric("a#")])
    log("a parameter of a bad key", params=[pair("../a")])
    log("a parameter without a value", params=[{"key": "valueless"}])
    log("a long parameter", params=[pair("long", "x" * 6_001)])
    log("a long tag", tags=[pair("long", "x" * 8_001)])
    log("a name", tags=[pair("mlflow.runName", "by a batch")])
    log("no list", metrics={"key": "a"})
    log("a text as parameters", params="x")
    ask.post("runs/log-batch", "an unknown run", run_id="0" * 32, params=[pair("p")])
    ask.post("runs/log-batch", "no run", params=[pair("p")])
    ask.get("runs/get", "after batches", run_id=run)


def inputs(ask, experiment):
    run = ask.run(experiment, "inputs")
    log = lambda case, **body: ask.post("runs/log-inputs", case, run_id=run, **body)
    dataset = {
        "name": "table",
        "digest": "d1",
        "source_type": "local",
        "source": "{}",
        "schema": '{"a": 1}',
        "profile": "{}",
    }
    context = [{"key": "mlflow.data.context", "value": "training"}]
    log("a dataset", datasets=[{"tags": context, "dataset": dataset}])
    log("the same again", datasets=[{"tags": context, "dataset": dataset}])
    log("without tags", datasets=[{"dataset": {**dataset, "name": "bare", "schema": None, "profile": None}}])
    log("another digest", datasets=[{"tags": context, "dataset": {**dataset, "digest": "d2"}}])
    for member, most in {"name": 500, "digest": 36}.items():
        log(f"a long {member}", datasets=[{"dataset": {**dataset, member: "x" * (most + 1)}}])
    log("nothing")
    log("an empty list", datasets=[])
    log("no list", datasets=5)
    ask.post("runs/log-inputs", "an unknown run", run_id="0" * 32, datasets=[{"dataset": dataset}])
    model = ask.logged_model(experiment, "an input")
    log("a model", models=[{"model_id": model}])
    ask.post("runs/outputs", "a model", run_id=run, models=[{"model_id": model, "step": 3}])
    ask.post("runs/outputs", "the same again", run_id=run, models=[{"model_id": model, "step": 3}])
    ask.post("runs/outputs", "nothing", run_id=run)
    ask.post("runs/outputs", "an unknown run", run_id="0" * 32, models=[{"model_id": model, "step": 0}])
    ask.get("runs/get", "with inputs and outputs", run_id=run)
    ask.post("runs/search", "with inputs and outputs", experiment_ids=[experiment], filter="datasets.name = 'table'")
    for case, body in {
        "of an experiment": {"experiment_ids": [experiment]},
        "of an unknown one": {"experiment_ids": ["77"]},
        "of none": {},
        "of too many": {"experiment_ids": [experiment] * 51},
    }.items():
        ask.send("POST", "experiments/search-datasets", case, body, at="/ajax-api/2.0/mlflow/")
    other = ask.run(experiment, "of a model")
    for value, step in [(0.5, 0), (0.75, 1)]:
        ask.post(
            "runs/log-metric",
            "of a logged model",
            run_id=other,
            key="auc",
            value=value,
            timestamp=9,
            step=step,
            model_id=model,
            dataset_name="table",
            dataset_digest="d1",
        )
    ask.get(f"logged-models/{model}", "with metrics")


def old_models(ask, run):
    model = {
        "artifact_path": "model",
        "flavors": {},
        "utc_time_created": "2026-01-01",
        "run_id": run,
        "model_uuid": "0" * 32,
    }
    log = lambda case, text: ask.post("runs/log-model", case, run_id=run, model_json=text)
    log("a model", json.dumps(model))
    log("another", json.dumps({**model, "artifact_path": "other"}))
    log("no JSON", "{")
    log("members are missing", json.dumps({"run_id": run}))
    log("nothing", "")
    ask.get("runs/get", "with models of old clients", run_id=run)
