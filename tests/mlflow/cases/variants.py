"""Every member of every operation: absent, null, empty, of each other type, and unknown."""

import itertools

# What a member is replaced by.
OTHERS = {
    "null": None,
    "an empty text": "",
    "a number": 31,
    "a fraction": 1.5,
    "true": True,
    "a list": ["a"],
    "an object": {"a": 1},
    "a text": "none such",
}


def ask_all(ask):
    numbers = itertools.count(1)
    experiment = ask.experiment("variants")
    run = ask.run(experiment, "variants")
    model = ask.model("variants")
    ask.version(model)
    logged, other = ask.logged_model(experiment, "variants"), ask.logged_model(experiment, "others")
    new = lambda: f"variant {next(numbers)}"
    pairs = [{"key": "a", "value": "1"}]
    posts = {
        "experiments/create": lambda: {"name": new(), "artifact_location": "s3://bucket/x", "tags": pairs},
        "experiments/update": lambda: {"experiment_id": experiment, "new_name": new()},
        "experiments/search": lambda: {
            "filter": "name = 'variants'",
            "max_results": 1,
            "order_by": ["name DESC"],
            "view_type": "ALL",
            "page_token": "",
        },
        "experiments/set-experiment-tag": lambda: {"experiment_id": experiment, "key": "a", "value": "1"},
        "experiments/delete-experiment-tag": lambda: {"experiment_id": experiment, "key": "a"},
        "runs/create": lambda: {
            "experiment_id": experiment,
            "user_id": "u",
            "run_name": "n",
            "start_time": 5,
            "tags": pairs,
        },
        "runs/update": lambda: {"run_id": run, "status": "RUNNING", "end_time": 5, "run_name": "n"},
        "runs/search": lambda: {
            "experiment_ids": ["77"],
            "filter": "",
            "run_view_type": "ALL",
            "max_results": 5,
            "order_by": ["run_id"],
        },
        "runs/log-metric": lambda: {
            "run_id": run,
            "key": "a",
            "value": 1,
            "timestamp": 1,
            "step": 1,
            "model_id": "",
            "dataset_name": "",
            "dataset_digest": "",
        },
        "runs/log-parameter": lambda: {"run_id": run, "key": new(), "value": "1"},
        "runs/set-tag": lambda: {"run_id": run, "key": "a", "value": "1"},
        "runs/delete-tag": lambda: {"run_id": run, "key": "none"},
        "runs/log-batch": lambda: {"run_id": run, "metrics": [], "params": [], "tags": pairs},
        "runs/log-inputs": lambda: {"run_id": run, "datasets": [], "models": []},
        "runs/outputs": lambda: {"run_id": run, "models": [{"model_id": logged, "step": 1}]},
        "logged-models": lambda: {
            "experiment_id": experiment,
            "name": "n",
            "model_type": "t",
            "source_run_id": run,
            "params": pairs,
            "tags": pairs,
        },
        "logged-models/search": lambda: {
            "experiment_ids": ["77"],
            "filter": "",
            "max_results": 5,
            "order_by": [],
            "datasets": [],
        },
        f"logged-models/{other}/params": lambda: {"model_id": other, "params": pairs},
        "registered-models/create": lambda: {"name": new(), "tags": pairs, "description": "d"},
        "registered-models/rename": lambda: {"name": ask.model(new()), "new_name": new()},
        "registered-models/get-latest-versions": lambda: {"name": model, "stages": ["None"]},
        "registered-models/set-tag": lambda: {"name": model, "key": "a", "value": "1"},
        "registered-models/alias": lambda: {"name": model, "alias": "a", "version": "1"},
        "model-versions/create": lambda: {
            "name": ask.model(new()),
            "source": "s3://bucket/x",
            "run_id": run,
            "tags": pairs,
            "run_link": "l",
            "description": "d",
            "model_id": "",
        },
        "model-versions/transition-stage": lambda: {
            "name": model,
            "version": "1",
            "stage": "Staging",
            "archive_existing_versions": False,
        },
        "model-versions/set-tag": lambda: {"name": model, "version": "1", "key": "a", "value": "1"},
    }
    patches = {
        "registered-models/update": lambda: {"name": model, "description": "d"},
        "model-versions/update": lambda: {"name": model, "version": "1", "description": "d"},
        f"logged-models/{logged}": lambda: {"model_id": logged, "status": "LOGGED_MODEL_READY"},
        f"logged-models/{logged}/tags": lambda: {"tags": pairs},
    }
    deletions = {
        "registered-models/delete-tag": lambda: {"name": model, "key": "a"},
        "registered-models/alias": lambda: {"name": model, "alias": "none"},
        "model-versions/delete-tag": lambda: {"name": model, "version": "1", "key": "a"},
        "model-versions/delete": lambda: {"name": model, "version": "99"},
        "registered-models/delete": lambda: {"name": "missing"},
    }
    for method, operations in [("POST", posts), ("PATCH", patches), ("DELETE", deletions)]:
        for path, body in operations.items():
            vary(ask, method, path, body)
    # Changes above may have left the servers with different values.
    experiment = ask.experiment("queries")
    run = ask.run(experiment, "queries")
    ask.post("runs/log-metric", "to be found", run_id=run, key="a", value=1, timestamp=1)
    model = ask.model("queries")
    ask.version(model)
    queries = {
        "experiments/get": {"experiment_id": experiment},
        "experiments/get-by-name": {"experiment_name": "queries"},
        "runs/get": {"run_id": run},
        "metrics/get-history": {"run_id": run, "metric_key": "a", "max_results": 5, "page_token": ""},
        "artifacts/list": {"run_id": run, "path": "a", "page_token": ""},
        "registered-models/get": {"name": model},
        "registered-models/search": {
            "filter": "name = 'queries'",
            "max_results": 1,
            "order_by": "name DESC",
            "page_token": "",
        },
        "registered-models/alias": {"name": model, "alias": "none"},
        "model-versions/get": {"name": model, "version": 1},
        "model-versions/search": {
            "filter": "name = 'queries'",
            "max_results": 1,
            "order_by": "name DESC",
            "page_token": "",
        },
        "model-versions/get-download-uri": {"name": model, "version": 1},
    }
    for path, query in queries.items():
        for member in query:
            ask.get(path, f"without {member}", **{name: value for name, value in query.items() if name != member})
            for word, value in {
                "empty": "",
                "a number": 31,
                "a text": "none such",
                "twice": [query[member]] * 2,
            }.items():
                ask.get(path, f"{member} is {word}", **{**query, member: value})
        ask.get(path, "an unknown member", **query, more="1")


def vary(ask, method, path, body):
    ask.send(method, path, "nothing", {})
    for member in body():
        ask.send(method, path, f"without {member}", {name: value for name, value in body().items() if name != member})
        for word, value in OTHERS.items():
            # Of texts, numbers and booleans, the same value would be no change.
            ask.send(method, path, f"{member} is {word}", {**body(), member: value})
    ask.send(method, path, "an unknown member", {**body(), "more": {"a": [1]}})
