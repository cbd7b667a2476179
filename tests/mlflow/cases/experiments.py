"""Experiments."""


def ask_all(ask):
    first = ask.experiment("first", tags=[{"key": "team", "value": "a"}, {"key": "empty", "value": ""}])
    ask.get("experiments/get", "with tags", experiment_id=first)
    ask.post("experiments/create", "a name that is taken", name="first")
    ask.experiment("at another place", artifact_location="s3://bucket/elsewhere")
    for location in ["s3://bucket/../a", "runs:/a/b", "s3://bucket/a#b", "s3://bucket/a?b=c", "mlflow-artifacts:/own"]:
        ask.post("experiments/create", f"at {location}", name=f"at {location}", artifact_location=location)
    for name in ["ä ü 日本 😀", "a/b", 'it\'s "quoted"', "   ", "a\nb", "x" * 500]:
        ask.post("experiments/create", f"the name {name[:20]!r}", name=name)
        ask.get("experiments/get-by-name", f"the name {name[:20]!r}", experiment_name=name)
    ask.post("experiments/create", "a name of 501 characters", name="x" * 501)
    ask.post("experiments/create", "a tag without a value", name="no value", tags=[{"key": "a"}])
    ask.post("experiments/create", "a tag without a key", name="no key", tags=[{"value": "a"}])
    ask.post("experiments/create", "a tag of a long value", name="long", tags=[{"key": "a", "value": "x" * 20_001}])
    ask.post("experiments/create", "tags of one key", name="twice", tags=[{"key": "a", "value": "1"}] * 2)

    for identifier in ["0", "77", "a", "-1", "1.5", "99999999999999999999", ""]:
        ask.get("experiments/get", f"the identifier {identifier!r}", experiment_id=identifier)
    ask.get("experiments/get", "no identifier")
    ask.get("experiments/get-by-name", "an unknown name", experiment_name="missing")
    ask.get("experiments/get-by-name", "no name")

    ask.post("experiments/update", "a new name", experiment_id=first, new_name="renamed")
    ask.post("experiments/update", "the same name", experiment_id=first, new_name="renamed")
    ask.post("experiments/update", "a name that is taken", experiment_id=first, new_name="Default")
    ask.post("experiments/update", "no name", experiment_id=first)
    ask.post("experiments/update", "an unknown experiment", experiment_id="77", new_name="x")
    ask.get("experiments/get", "renamed", experiment_id=first)
    ask.get("experiments/get-by-name", "the name before", experiment_name="first")

    for case, key, value in [
        ("new", "note", "x"),
        ("again", "note", "y"),
        ("empty", "note", ""),
        ("long", "a", "x" * 20_001),
    ]:
        ask.post("experiments/set-experiment-tag", case, experiment_id=first, key=key, value=value)
    ask.post("experiments/set-experiment-tag", "an unknown experiment", experiment_id="77", key="a", value="b")
    ask.post("experiments/set-experiment-tag", "a long key", experiment_id=first, key="k" * 251, value="b")
    ask.post("experiments/set-experiment-tag", "a key with odd characters", experiment_id=first, key="a#b", value="b")
    ask.get("experiments/get", "tagged", experiment_id=first)
    ask.post("experiments/delete-experiment-tag", "there", experiment_id=first, key="note")
    ask.post("experiments/delete-experiment-tag", "not there", experiment_id=first, key="note")
    ask.post("experiments/delete-experiment-tag", "an unknown experiment", experiment_id="77", key="a")

    run = ask.run(first)
    ask.post("experiments/delete", "there", experiment_id=first)
    ask.post("experiments/delete", "deleted", experiment_id=first)
    ask.post("experiments/delete", "unknown", experiment_id="77")
    ask.get("experiments/get", "deleted", experiment_id=first)
    ask.get("experiments/get-by-name", "deleted", experiment_name="renamed")
    ask.get("runs/get", "of a deleted experiment", run_id=run)
    ask.post("runs/create", "in a deleted experiment", experiment_id=first, run_name="late")
    ask.post("runs/log-metric", "in a deleted experiment", run_id=run, key="a", value=1, timestamp=1)
    ask.post("experiments/update", "deleted", experiment_id=first, new_name="x")
    ask.post("experiments/set-experiment-tag", "deleted", experiment_id=first, key="a", value="b")
    ask.post("experiments/delete-experiment-tag", "deleted", experiment_id=first, key="team")
    ask.post("experiments/create", "the name of a deleted one", name="renamed")
    for view in ["ACTIVE_ONLY", "DELETED_ONLY", "ALL"]:
        ask.post("runs/search", f"{view} in a deleted experiment", experiment_ids=[first], run_view_type=view)
        ask.post("experiments/search", f"{view} by name", view_type=view, filter="name LIKE 'ren%'", max_results=9)
    ask.post("experiments/restore", "deleted", experiment_id=first)
    ask.post("experiments/restore", "not deleted", experiment_id=first)
    ask.post("experiments/restore", "unknown", experiment_id="77")
    ask.get("runs/get", "of a restored experiment", run_id=run)
    ask.get("experiments/get", "restored", experiment_id=first)
    ask.post("experiments/delete", "Default", experiment_id="0")
    ask.post("experiments/restore", "Default", experiment_id="0")
