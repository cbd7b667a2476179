"""Histories of metrics."""


def ask_all(ask):
    experiment = ask.experiment("histories")
    runs = [ask.run(experiment, f"history {index}") for index in range(2)]
    metric = lambda step: {"key": "loss", "value": 1 / (step + 1), "timestamp": 1000 + step, "step": step}
    for run in runs:
        ask.post("runs/log-batch", "a history", run_id=run, metrics=[metric(step) for step in range(20)])
    get = lambda case, **query: ask.get("metrics/get-history", case, **query)
    get("all", run_id=runs[0], metric_key="loss")
    get("by its old name", run_uuid=runs[0], metric_key="loss")
    together = [(2, 7, 5), (1, 7, 5), (3, 7, 4), (0, 8, 1), ("NaN", 7, 5), (-1, 7, 5)]
    together = [{"key": "tied", "value": value, "timestamp": at, "step": step} for value, at, step in together]
    ask.post("runs/log-batch", "values of one time and step", run_id=runs[0], metrics=together)
    get("values of one time and step", run_id=runs[0], metric_key="tied")
    tied = get("values of one time and step, a page", run_id=runs[0], metric_key="tied", max_results=3)
    token = (tied.json or {}).get("next_page_token", "")
    get("values of one time and step, the rest", run_id=runs[0], metric_key="tied", max_results=3, page_token=token)
    get("an unknown metric", run_id=runs[0], metric_key="none")
    get("an unknown run", run_id="0" * 32, metric_key="loss")
    get("no run", metric_key="loss")
    get("no metric", run_id=runs[0])
    page = get("the first page", run_id=runs[0], metric_key="loss", max_results=8)
    token = (page.json or {}).get("next_page_token", "")
    get("the second page", run_id=runs[0], metric_key="loss", max_results=8, page_token=token)
    for most in [0, -1, "x", 1_000_000]:
        get(f"at most {most}", run_id=runs[0], metric_key="loss", max_results=most)
    get("a token that is none", run_id=runs[0], metric_key="loss", max_results=5, page_token="none")
    bulk = lambda case, **query: ask.get("metrics/get-history-bulk", case, at="/ajax-api/2.0/mlflow/", **query)
    bulk("two runs", run_id=runs, metric_key="loss")
    bulk("at most 3", run_id=runs[:1], metric_key="loss", max_results=3)
    bulk("no run", metric_key="loss")
    bulk("no metric", run_id=runs)
    bulk("101 runs", run_id=runs[:1] * 101, metric_key="loss")
    for at in ["/api/2.0/mlflow/", "/ajax-api/2.0/mlflow/"]:
        sample = lambda case, **query: ask.get(
            "metrics/get-history-bulk-interval", f"{case}, {at[1:4]}", at=at, **query
        )
        sample("two runs", run_ids=runs, metric_key="loss")
        sample("at most 5", run_ids=runs, metric_key="loss", max_results=5)
        sample("steps", run_ids=runs, metric_key="loss", start_step=3, end_step=7)
        sample("steps, at most 2", run_ids=runs, metric_key="loss", start_step=0, end_step=19, max_results=2)
        sample("one end alone", run_ids=runs, metric_key="loss", start_step=3)
        sample("the end before the start", run_ids=runs, metric_key="loss", start_step=5, end_step=3)
        sample("no run", metric_key="loss")
        sample("too many results", run_ids=runs, metric_key="loss", max_results=2501)
        sample("no result", run_ids=runs, metric_key="loss", max_results=0)
        sample("101 runs", run_ids=runs[:1] * 101, metric_key="loss")
        sample("an unknown run", run_ids=["0" * 32], metric_key="loss")
