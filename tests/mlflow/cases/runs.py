"""Runs: beginning, ending, deleting."""


def ask_all(ask):
    experiment = ask.experiment("runs")
    tags = [{"key": "a", "value": "1"}, {"key": "mlflow.user", "value": "someone"}, {"key": "empty", "value": ""}]
    run = ask.run(experiment, "all", user_id="ada", start_time=456, tags=tags)
    ask.get("runs/get", "all", run_id=run)
    ask.get("runs/get", "by its old name", run_uuid=run)
    ask.post("runs/create", "no user and no time", experiment_id=experiment, run_name="no user and no time")
    by_someone = {"user_id": "someone", "start_time": 5}
    create = lambda case, **body: ask.post("runs/create", case, **{**by_someone, **body})
    create("no experiment", run_name="no experiment")
    create("no name", experiment_id=experiment)
    create("an empty name", experiment_id=experiment, run_name="")
    create("an unknown experiment", experiment_id="77")
    create("a word as experiment", experiment_id="x")
    name = {"key": "mlflow.runName", "value": "by a tag"}
    create("a name by a tag", experiment_id=experiment, tags=[name])
    create("two names", experiment_id=experiment, run_name="other", tags=[name])
    create("one name twice", experiment_id=experiment, run_name="by a tag", tags=[name])
    create("a name of 250 characters", experiment_id=experiment, run_name="n" * 250)
    create("a negative time", experiment_id=experiment, run_name="before", start_time=-5)
    create("a time of zero", experiment_id=experiment, run_name="zero", start_time=0)
    create("a long tag", experiment_id=experiment, run_name="t", tags=[{"key": "a", "value": "x" * 8_500}])
    create("a tag of a bad key", experiment_id=experiment, run_name="t", tags=[{"key": "a#", "value": "x"}])
    create(
        "tags of one key",
        experiment_id=experiment,
        run_name="t",
        tags=[{"key": "a", "value": "x"}, {"key": "a", "value": "y"}],
    )
    create("unicode", experiment_id=experiment, run_name="läuft 😀", user_id="jürgen")

    for identifier in ["", "0" * 32, "x", "../a", "0" * 300]:
        ask.get("runs/get", f"the identifier {identifier[:10]!r}", run_id=identifier)
    ask.get("runs/get", "no identifier")

    for status in ["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED", "DONE", "", 3, 9, "3"]:
        ask.post("runs/update", f"the status {status!r}", run_id=run, status=status, end_time=1000)
    ask.post("runs/update", "nothing", run_id=run)
    ask.post("runs/update", "a name", run_id=run, run_name="renamed")
    ask.get("runs/get", "renamed", run_id=run)
    ask.post("runs/update", "an empty name", run_id=run, run_name="")
    ask.post("runs/update", "running again", run_id=run, status="RUNNING")
    ask.post("runs/update", "an unknown run", run_id="0" * 32, status="FAILED")
    ask.post("runs/update", "no run", status="FAILED")
    ask.post("runs/update", "by its old name", run_uuid=run, status="FINISHED", end_time=2000)
    ask.get("runs/get", "ended", run_id=run)

    ask.post("runs/delete", "there", run_id=run)
    ask.post("runs/delete", "deleted", run_id=run)
    ask.post("runs/delete", "unknown", run_id="0" * 32)
    ask.get("runs/get", "deleted", run_id=run)
    ask.post("runs/update", "deleted", run_id=run, status="FAILED")
    for what, body in {
        "log-metric": {"key": "a", "value": 1, "timestamp": 1},
        "log-parameter": {"key": "a", "value": "1"},
        "set-tag": {"key": "a", "value": "1"},
        "delete-tag": {"key": "a"},
        "log-batch": {"metrics": [{"key": "a", "value": 1, "timestamp": 1, "step": 0}]},
        "log-inputs": {"datasets": []},
        "outputs": {"models": [{"model_id": "m-" + "0" * 32, "step": 0}]},
    }.items():
        ask.post(f"runs/{what}", "a deleted run", run_id=run, **body)
    ask.post("runs/restore", "deleted", run_id=run)
    ask.post("runs/restore", "not deleted", run_id=run)
    ask.post("runs/restore", "unknown", run_id="0" * 32)
    ask.get("runs/get", "restored", run_id=run)
