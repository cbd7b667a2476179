"""Logged models."""

FILTERS = [
    "name = 'one'",
    "name LIKE 'o%'",
    "name ILIKE 'O%'",
    "name IN ('one', 'two')",
    "attributes.name = 'one'",
    "model_type = 'a'",
    "status = 'READY'",
    "status = 'PENDING'",
    "metrics.auc > 0.5",
    "metrics.auc < 0.5",
    "params.x = '1'",
    "params.x != '1'",
    "tags.a = 'b'",
    "tags.a != 'b'",
    "creation_timestamp > 0",
    "creation_time > 0",
    "source_run_id = 'x'",
    "nothing = 'x'",
    "name > 'a'",
    "name",
    "metrics.auc = 'x'",
]


def ask_all(ask):
    experiment = ask.experiment("logged models")
    run = ask.run(experiment, "of models")
    create = lambda case, **body: ask.post("logged-models", case, **body)
    pair = lambda key, value: [{"key": key, "value": value}]
    one = ask.logged_model(
        experiment, "one", model_type="a", source_run_id=run, params=pair("x", "1"), tags=pair("a", "b")
    )
    two = ask.logged_model(experiment, "two")
    apart = ask.experiment("logged models that one server refuses")
    odd = ask.logged_model(ask.experiment("odd logged models"), "odd")
    create("no experiment", name="x")
    create("an unknown experiment", experiment_id="77", name="x")
    create("no name", experiment_id=apart)
    create("an empty name", experiment_id=apart, name="")
    for name in ["a/b", "a:b", "a.b", "a%b", "a'b", 'a"b', "ä b", "x" * 300]:
        create(f"the name {name[:10]!r}", experiment_id=apart, name=name)
    create("an unknown run", experiment_id=apart, name="x", source_run_id="0" * 32)
    create("a parameter twice", experiment_id=apart, name="x", params=pair("a", "1") * 2)
    create("a long parameter", experiment_id=apart, name="x", params=pair("a", "v" * 6_001))
    create("a parameter of a bad key", experiment_id=apart, name="x", params=pair("a#", "1"))
    create("a long tag", experiment_id=apart, name="x", tags=pair("a", "v" * 8_001))
    get = lambda case, identifier: ask.get(f"logged-models/{identifier}", case)
    get("all", one)
    get("the least", two)
    get("unknown", "m-" + "0" * 32)
    get("another form", "x")
    end = lambda case, identifier, **body: ask.patch(f"logged-models/{identifier}", case, model_id=identifier, **body)
    ask.patch(f"logged-models/{odd}", "the identifier in the path alone", status="LOGGED_MODEL_PENDING")
    end("ready", one, status="LOGGED_MODEL_READY")
    end("failed", one, status="LOGGED_MODEL_UPLOAD_FAILED")
    end("ready again", one, status=2)
    end("a status that is none", one, status="READY")
    end("unspecified", one, status="LOGGED_MODEL_STATUS_UNSPECIFIED")
    end("pending", one, status="LOGGED_MODEL_PENDING")
    end("no status", one)
    end("unknown", "m-" + "0" * 32, status="LOGGED_MODEL_READY")
    end("ready at last", one, status="LOGGED_MODEL_READY")
    tag = lambda case, identifier, **body: ask.patch(f"logged-models/{identifier}/tags", case, **body)
    tag("new", one, tags=pair("note", "x"))
    tag("another value", one, tags=pair("note", "y"))
    tag("none", one, tags=[])
    tag("nothing", one)
    tag("no value", one, tags=[{"key": "none"}])
    tag("a long value", odd, tags=pair("long", "v" * 8_001))
    tag("a long key", odd, tags=pair("k" * 251, "v"))
    tag("unknown", "m-" + "0" * 32, tags=pair("a", "b"))
    untag = lambda case, identifier, key: ask.delete(f"logged-models/{identifier}/tags/{key}", case)
    untag("there", one, "note")
    untag("not there", one, "note")
    untag("unknown", "m-" + "0" * 32, "a")
    path = lambda identifier: f"logged-models/{identifier}/params"
    log = lambda case, identifier, **body: ask.post(path(identifier), case, model_id=identifier, **body)
    ask.post(path(odd), "the identifier in the path alone", params=pair("z", "1"))
    log("new", one, params=pair("y", "2"))
    log("the same", odd, params=pair("y", "2"))
    log("another value", odd, params=pair("y", "3"))
    log("none", one)
    log("unknown", "m-" + "0" * 32, params=pair("y", "2"))
    ask.post(
        "runs/log-metric",
        "of a model",
        run_id=run,
        key="auc",
        value=0.8,
        timestamp=5,
        model_id=one,
        dataset_name="d",
        dataset_digest="e",
    )
    ask.post("runs/log-metric", "of another model", run_id=run, key="auc", value=0.4, timestamp=5, model_id=two)
    get("with metrics", one)
    search = lambda case, **body: ask.post("logged-models/search", case, **body)
    for filter in FILTERS:
        search(
            filter,
            experiment_ids=[experiment],
            filter=filter,
            order_by=[{"field_name": "creation_timestamp", "ascending": True}],
        )
    for order in [
        [{"field_name": "name", "ascending": False}],
        [{"field_name": "metrics.auc", "ascending": True}],
        [{"field_name": "metrics.auc", "ascending": True, "dataset_name": "d", "dataset_digest": "e"}],
        [{"field_name": "metrics.auc", "dataset_digest": "e"}],
        [{"field_name": "nothing"}],
        [{"field_name": "tags.a"}],
        [{"field_name": "params.x"}],
        [{"ascending": True}],
        [{"field_name": "last_updated_timestamp"}],
        ["name"],
    ]:
        search(f"by {order}", experiment_ids=[experiment], order_by=order, filter="name IN ('one', 'two')")
    search(
        "of a dataset",
        experiment_ids=[experiment],
        filter="metrics.auc > 0.5",
        datasets=[{"dataset_name": "d", "dataset_digest": "e"}],
    )
    search(
        "of another dataset",
        experiment_ids=[experiment],
        filter="metrics.auc > 0.5",
        datasets=[{"dataset_name": "other"}],
    )
    search(
        "a dataset without a name",
        experiment_ids=[experiment],
        filter="metrics.auc > 0.5",
        datasets=[{"dataset_digest": "e"}],
    )
    page = search("the first page", experiment_ids=[experiment], max_results=2)
    token = (page.json or {}).get("next_page_token", "")
    search("the second page", experiment_ids=[experiment], max_results=2, page_token=token)
    for most in [0, -1, 100, 50_001, "x"]:
        search(f"at most {most}", experiment_ids=[experiment], max_results=most, filter="name = 'one'")
    search("a token that is none", experiment_ids=[experiment], page_token="none")
    search("no experiment")
    search("an unknown experiment", experiment_ids=["77"])
    files = lambda case, identifier, **query: ask.get(
        f"logged-models/{identifier}/artifacts/directories", case, **query
    )
    ask.upload(f"{experiment}/models/{one}/artifacts/MLmodel", "of a logged model", b"flavors: {}\n")
    ask.upload(f"{experiment}/models/{one}/artifacts/data/a.txt", "of a logged model", b"x")
    files("the root", one)
    files("a folder", one, artifact_directory_path="data")
    files("a path that leads elsewhere", one, artifact_directory_path="..")
    files("unknown", "m-" + "0" * 32)
    ajax = "/ajax-api/2.0/mlflow/"
    file = lambda case, identifier, **query: ask.get(
        f"logged-models/{identifier}/artifacts/files", case, at=ajax, **query
    )
    file("there", one, artifact_file_path="MLmodel")
    file("missing", one, artifact_file_path="none")
    file("no path", one)
    file("a path that leads elsewhere", one, artifact_file_path="../a")
    file("unknown", "m-" + "0" * 32, artifact_file_path="MLmodel")
    model = ask.model("of logged models")
    ask.post(
        "model-versions/create", "of a logged model", name=model, source=f"models:/{one}", model_id=one, run_id=run
    )
    ask.get("model-versions/get", "of a logged model", name=model, version="1")
    ask.get("model-versions/get-download-uri", "of a logged model", name=model, version="1")
    get("registered", one)
    delete = lambda case, identifier: ask.delete(f"logged-models/{identifier}", case)
    delete("there", two)
    delete("deleted", two)
    delete("unknown", "m-" + "0" * 32)
    get("deleted", two)
    end("deleted", two, status="LOGGED_MODEL_READY")
    tag("deleted", two, tags=pair("a", "b"))
    search("after a deletion", experiment_ids=[experiment], filter="name IN ('one', 'two')")
