"""Searches: filters, orders, views, pages."""

RUN_FILTERS = [
    "metrics.auc > 0.5",
    "metrics.auc >= 0.5 and metric.auc < 0.9",
    "metrics.auc = 0.5",
    "metrics.auc != 0.5",
    "metrics.`with space` <= 1",
    'metrics."with space" <= 1',
    "metrics.none > 0",
    "metrics.undefined > 0",
    "metrics.auc > '0.5'",
    "metrics.auc > x",
    "metrics.auc LIKE 'a'",
    "metrics.auc >",
    "metrics.auc",
    "params.kind = 'tree'",
    "param.kind != 'tree'",
    "parameters.kind LIKE 't%'",
    "parameter.kind ILIKE 'T_EE'",
    "params.kind LIKE 'T%'",
    "params.kind = tree",
    "params.kind = 5",
    "params.kind > 'a'",
    "params.kind IN ('tree', 'line')",
    "params.kind IS NULL",
    "params.kind IS NOT NULL",
    "params.`a b` = 'x'",
    "tags.stage = 'trial'",
    "tag.stage != 'trial'",
    "tags.stage IS NULL",
    "tags.stage IS NOT NULL",
    "tags.stage LIKE '%a_'",
    "tags.mlflow.runName = 'r1'",
    "tags.`mlflow.runName` = 'r1'",
    "attributes.run_name = 'r1'",
    "attribute.run_name LIKE 'r%'",
    "attr.run_name ILIKE 'R1'",
    "run.run_name = 'r1'",
    "run_name = 'r1'",
    "`run name` = 'r1'",
    "attributes.`Run name` = 'r1'",
    "attributes.run_name IN ('r1', 'r2')",
    "status = 'FINISHED'",
    "attributes.status != 'FINISHED'",
    "attributes.status LIKE 'FIN%'",
    "attributes.status = 'none'",
    "user_id = 'ada'",
    "artifact_uri LIKE '%artifacts'",
    "attributes.run_id IN ('x', 'y')",
    "attributes.run_id NOT IN ('x')",
    "attributes.run_id IN ()",
    "attributes.run_id IN ('x'",
    "attributes.run_id IN 'x'",
    "attributes.run_id = 'x'",
    "start_time > 100",
    "attributes.start_time = 200",
    "created > 100",
    "attributes.end_time < 5000",
    "start_time > '100'",
    "start_time LIKE '1'",
    "attributes.nothing = 'x'",
    "nothing = 'x'",
    "nothing.a = 'x'",
    "datasets.name = 'none'",
    "dataset.digest != 'x'",
    "dataset.context LIKE 't%'",
    "datasets.other = 'x'",
    "metrics.auc > 0.5 AND params.kind = 'tree' AND tags.stage = 'trial'",
    "metrics.auc > 0.5 OR params.kind = 'tree'",
    "(metrics.auc > 0.5)",
    "metrics.auc > 0.5 AND",
    "AND",
    "   ",
    "params.kind = 'tree' params.kind = 'tree'",
    "params.kind = 'it''s'",
    'params.kind = "tree"',
    "params.kind = 'tree",
    'params.quoted = "it\'s"',
    "params.kind == 'tree'",
    "NOT params.kind = 'tree'",
    "params.kind = 'ä😀'",
    "lifecycle_stage = 'active'",
    "attributes.experiment_id = '1'",
    "metrics.auc > -1e-3",
    "metrics.auc > 1e400",
    "metrics.auc = 0.5; DROP TABLE runs",
    "inputs.name = 'x'",
    "tags.a.b = 'x'",
]

RUN_ORDERS = [
    ["metrics.auc"],
    ["metrics.auc DESC"],
    ["metrics.auc ASC", "run_name DESC"],
    ["metrics.undefined DESC"],
    ["metrics.none", "attributes.start_time ASC"],
    ["params.kind"],
    ["params.kind DESC"],
    ["tags.stage", "start_time"],
    ["attributes.start_time DESC"],
    ["start_time asc"],
    ["created DESC"],
    ["run_name"],
    ["status", "run_name"],
    ["end_time", "run_name"],
    ["user_id", "run_name"],
    ["dataset.name"],
    ["nothing"],
    ["nothing.a"],
    ["metrics.auc UP"],
    ["metrics.auc DESC ASC"],
    ["metrics"],
    [""],
    ["`metrics`.`auc` DESC"],
    ["metrics.`with space` DESC", "run_name"],
    ["metrics.auc DESC", "metrics.auc ASC"],
]

EXPERIMENT_FILTERS = [
    "name = 'searched a'",
    "name != 'searched a' AND name LIKE 'searched%'",
    "name LIKE 'searched%'",
    "name ILIKE 'SEARCHED%'",
    "name IN ('searched a', 'searched b')",
    "attribute.name = 'searched a'",
    "attributes.name = 'searched a'",
    "experiment_id = '0'",
    "experiment_id IN ('0', '1')",
    "experiment_id NOT IN ('0')",
    "creation_time > 0 AND name LIKE 'searched%'",
    "last_update_time < 5 AND name LIKE 'searched%'",
    "creation_time = 'x'",
    "tags.team = 'a' AND name LIKE 'searched%'",
    "tag.team != 'a' AND name LIKE 'searched%'",
    "tags.team LIKE 'A' AND name LIKE 'searched%'",
    "tags.team ILIKE 'A' AND name LIKE 'searched%'",
    "tags.`a b` = 'x'",
    "tags.team IS NULL",
    "tags.team IS NOT NULL AND name LIKE 'searched%'",
    "name = searched",
    "name > 'a'",
    "nothing = 'x'",
    "metrics.a = 1",
    "name",
    "artifact_location = 'x'",
]

EXPERIMENT_ORDERS = [
    ["name"],
    ["name DESC"],
    ["attribute.name ASC"],
    ["attributes.name DESC"],
    ["experiment_id"],
    ["experiment_id DESC"],
    ["creation_time"],
    ["last_update_time DESC", "name"],
    ["tags.team"],
    ["nothing"],
    ["name UP"],
]


def ask_all(ask):
    experiment = ask.experiment("searching")
    for number, (kind, stage, auc) in enumerate(
        [
            ("tree", "trial", 0.5),
            ("line", "final", 0.9),
            ("tree", None, 0.7),
            (None, "trial", None),
            ("ä😀", "x", "NaN"),
        ]
    ):
        run = ask.run(experiment, f"r{number}", start_time=100 * (number + 1), user_id="ada" if number % 2 else "bob")
        parameters = [{"key": "kind", "value": kind}] if kind else []
        tags = [{"key": "stage", "value": stage}] if stage else []
        metrics = [{"key": "auc", "value": auc, "timestamp": 1, "step": 0}] if auc is not None else []
        metrics += [
            {"key": "undefined", "value": ["NaN", 1, "Infinity", "-Infinity", 0][number], "timestamp": 1, "step": 0}
        ]
        metrics += [{"key": "with space", "value": number, "timestamp": 1, "step": 0}]
        parameters += [{"key": "quoted", "value": "it's"}, {"key": "a b", "value": "x"}]
        ask.post("runs/log-batch", "a run to find", run_id=run, metrics=metrics, params=parameters, tags=tags)
        if number % 2:
            ask.post("runs/update", "a run to find", run_id=run, status="FINISHED", end_time=1000 * number)
    ask.post("runs/delete", "a run to find", run_id=run)
    search = lambda case, **body: ask.post("runs/search", case, experiment_ids=[experiment], **body)
    for filter in RUN_FILTERS:
        search(filter, filter=filter, order_by=["attributes.start_time ASC"])
    for order in RUN_ORDERS:
        search(f"by {order}", order_by=order, run_view_type="ALL")
    for view in ["ACTIVE_ONLY", "DELETED_ONLY", "ALL", 2, "NONE", ""]:
        search(f"the view {view!r}", run_view_type=view)
    for most in [0, -1, 1, 50_000, 50_001, "2", "x", 2.5, None]:
        search(f"at most {most!r}", max_results=most)
    page = search("the first page", max_results=2)
    token = (page.json or {}).get("next_page_token", "")
    search("the second page", max_results=2, page_token=token)
    search("a token that is none", max_results=2, page_token="none")
    search("an empty token", max_results=2, page_token="")
    ask.post("runs/search", "no experiment")
    ask.post("runs/search", "an empty list", experiment_ids=[])
    ask.post("runs/search", "an unknown experiment", experiment_ids=["77"])
    ask.post("runs/search", "a number", experiment_ids=[0])
    ask.post("runs/search", "a text", experiment_ids="0")
    ask.post("runs/search", "a word", experiment_ids=["x"])
    ask.post("runs/search", "one twice", experiment_ids=[experiment, experiment])

    for name in "abc":
        ask.experiment(f"searched {name}", tags=[{"key": "team", "value": name}, {"key": "a b", "value": "x"}])
    for filter in EXPERIMENT_FILTERS:
        ask.post("experiments/search", filter, filter=filter, order_by=["name"], max_results=50)
    for order in EXPERIMENT_ORDERS:
        ask.post("experiments/search", f"by {order}", order_by=order, filter="name LIKE 'searched%'", max_results=10)
    ask.get("experiments/search", "in a query", filter="name LIKE 'searched%'", order_by=["name DESC"], max_results=2)
    for view in ["ACTIVE_ONLY", "DELETED_ONLY", "ALL", "NONE"]:
        ask.post(
            "experiments/search", f"the view {view}", view_type=view, filter="name LIKE 'searched%'", max_results=10
        )
    page = ask.post("experiments/search", "the first page", filter="name LIKE 'searched%'", max_results=2)
    token = (page.json or {}).get("next_page_token", "")
    ask.post("experiments/search", "the second page", filter="name LIKE 'searched%'", max_results=2, page_token=token)
    for most in [0, -1, 50_001, "x", None]:
        ask.post("experiments/search", f"at most {most!r}", max_results=most, filter="name = 'searched a'")
    ask.post("experiments/search", "a token that is none", max_results=5, page_token="none")
