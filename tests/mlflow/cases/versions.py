"""Model versions: sources, stages, tags, searches."""

# Those that both servers take are first, so that versions have the same numbers.
SOURCES = [
    "s3://bucket/a",
    "dbfs:/a",
    "https://host/a",
    "/etc/passwd",
    "etc",
    "file:///etc/passwd",
    "file:/etc",
    "mlflow-artifacts:/0/x/artifacts/model",
    "mlflow-artifacts://host/x",
    "mlflow-artifacts:/../x",
    "s3://bucket/../x",
    "s3://bucket/%2e%2e/x",
    "s3://bucket/%252e%252e/x",
    "http://host/a?b=../c",
    "http://host/a%00",
    "models:/m-" + "0" * 32,
    "models:/missing/1",
    "models:/missing@alias",
    "models:/",
    "runs:/" + "0" * 32 + "/model",
    "",
]

FILTERS = [
    "name = 'versions'",
    "name LIKE 'vers%'",
    "name ILIKE 'VERS%'",
    "name != 'versions' AND name LIKE 'vers%'",
    "name IN ('versions', 'x')",
    "version_number = 2 AND name = 'versions'",
    "version_number > 1 AND name = 'versions'",
    "version_number != '1' AND name = 'versions'",
    "version = 2",
    "run_id = 'x'",
    "run_id IN ('x', 'y')",
    "run_id IN ()",
    "run_id = ''",
    "source_path = 's3://bucket/b'",
    "source_path LIKE 's3://bucket/%' AND name = 'versions'",
    "source = 's3://bucket/b'",
    "tags.kind = 'x' AND name = 'versions'",
    "tags.kind != 'x' AND name = 'versions'",
    "tags.kind LIKE 'X%' AND name = 'versions'",
    "tags.`mlflow.prompt.is_prompt` != 'true' AND name = 'versions'",
    "nothing = 'x'",
    "name > 'a'",
    "name = versions",
    "current_stage = 'None'",
    "creation_timestamp > 0 AND name = 'versions'",
    "model_id = 'x'",
    "description = 'x'",
    "aliases = 'x'",
]

ORDERS = [
    ["version_number"],
    ["version_number DESC"],
    ["name", "version_number DESC"],
    ["creation_timestamp DESC", "version_number"],
    ["last_updated_timestamp DESC", "version_number"],
    ["source_path"],
    ["nothing"],
    ["version_number UP"],
    ["tags.kind"],
]


def ask_all(ask):
    model = ask.model("versions")
    create = lambda case, **body: ask.post("model-versions/create", case, **body)
    tags = [{"key": "kind", "value": "x"}]
    create("all", name=model, source="s3://bucket/a", tags=tags, description="First", run_link="http://host/run")
    create("the least", name=model, source="s3://bucket/b")
    create("an unknown run", name=model, source="s3://bucket/c", run_id="0" * 32)
    run = ask.run("0", "of versions")
    create("of a run", name=model, source=f"mlflow-artifacts:/0/{run}/artifacts/model", run_id=run)
    create("a run's path", name=model, source=f"runs:/{run}/model", run_id=run)
    create("another run's path", name=model, source=f"runs:/{run}/model")
    create("an unknown model", name="missing", source="s3://bucket/a")
    create("no source", name=model)
    create("no name", source="s3://bucket/a")
    create("a long tag", name=model, source="s3://bucket/a", tags=[{"key": "a", "value": "x" * 100_001}])
    sources = ask.model("sources")
    for source in SOURCES:
        create(f"the source {source[:30]}", name=sources, source=source)
    get = lambda case, **query: ask.get("model-versions/get", case, **query)
    for version in ["1", "2", "9", "x", "0", "-1", "1.5", ""]:
        get(f"the version {version!r}", name=model, version=version)
    get("an unknown model", name="missing", version="1")
    get("no version", name=model)
    uri = lambda case, **query: ask.get("model-versions/get-download-uri", case, **query)
    uri("there", name=model, version="1")
    uri("of a run", name=model, version="4")
    uri("unknown", name=model, version="99")
    uri("no number", name=model, version="x")
    update = lambda case, **body: ask.patch("model-versions/update", case, **body)
    update("a description", name=model, version="1", description="Another")
    update("nothing", name=model, version="1")
    update("unknown", name=model, version="99", description="x")
    update("a number", name=model, version=1, description="x")
    tag = lambda case, **body: ask.post("model-versions/set-tag", case, **body)
    tag("new", name=model, version="1", key="a", value="1")
    tag("another value", name=model, version="1", key="a", value="2")
    tag("no value", name=model, version="1", key="none")
    tag("no key", name=model, version="1", value="1")
    tag("a long value", name=model, version="1", key="a", value="x" * 100_001)
    tag("an odd key", name=model, version="1", key="a#", value="x")
    tag("unknown", name=model, version="99", key="a", value="1")
    tag("no number", name=model, version="x", key="a", value="1")
    get("tagged", name=model, version="1")
    untag = lambda case, **body: ask.delete("model-versions/delete-tag", case, **body)
    untag("there", name=model, version="1", key="a")
    untag("not there", name=model, version="1", key="a")
    untag("unknown", name=model, version="99", key="a")

    move = lambda case, **body: ask.post("model-versions/transition-stage", case, **body)
    move("to Staging", name=model, version="1", stage="Staging", archive_existing_versions=False)
    move("to Production", name=model, version="1", stage="Production", archive_existing_versions=False)
    move("to production", name=model, version="2", stage="production", archive_existing_versions=False)
    move("with archiving", name=model, version="3", stage="Production", archive_existing_versions=True)
    move("to Archived with archiving", name=model, version="3", stage="Archived", archive_existing_versions=True)
    move("to a stage that is none", name=model, version="3", stage="Live", archive_existing_versions=False)
    move("no stage", name=model, version="3", archive_existing_versions=False)
    move("no word on archiving", name=model, version="3", stage="Staging")
    move("a text on archiving", name=model, version="3", stage="Staging", archive_existing_versions="true")
    move("back to None", name=model, version="3", stage="None", archive_existing_versions=False)
    move("unknown", name=model, version="99", stage="Staging", archive_existing_versions=False)
    for version in "123":
        get("after transitions", name=model, version=version)
    ask.post("registered-models/get-latest-versions", "after transitions", name=model)
    ask.get("registered-models/get", "after transitions", name=model)

    search = lambda case, **query: ask.get("model-versions/search", case, **query)
    for filter in FILTERS:
        search(filter, filter=filter, order_by=["version_number"])
    for order in ORDERS:
        search(f"by {order}", order_by=order, filter="name = 'versions'")
    page = search("the first page", max_results=2, filter="name = 'versions'")
    token = (page.json or {}).get("next_page_token", "")
    search("the second page", max_results=2, filter="name = 'versions'", page_token=token)
    for most in [0, -1, 200_001, "x"]:
        search(f"at most {most}", max_results=most, filter="name = 'versions'")
    search("a token that is none", max_results=2, page_token="none")

    ask.post("registered-models/alias", "of a version to delete", name=model, alias="gone", version="1")
    delete = lambda case, **body: ask.delete("model-versions/delete", case, **body)
    delete("there", name=model, version="1")
    delete("deleted", name=model, version="1")
    delete("no number", name=model, version="x")
    delete("no version", name=model)
    delete("an unknown model", name="missing", version="1")
    get("deleted", name=model, version="1")
    ask.get("registered-models/get", "without a deleted version", name=model)
    ask.get("registered-models/alias", "of a deleted version", name=model, alias="gone")
    for version in "2345":
        delete("every other", name=model, version=version)
    create("after all were deleted", name=model, source="s3://bucket/z")
    page = lambda case, **query: ask.get("model-versions/get-artifact", case, at="/", **query)
    page("unknown", name="missing", version="1", path="a.txt")
    page("no path", name=model, version="1")
    page("a path that leads elsewhere", name=model, version="1", path="../a")
    run = ask.run("0", "with files")
    ask.upload(f"0/{run}/artifacts/model/MLmodel", "a model's file", b"flavors: {}\n")
    create("with files", name=model, source=f"mlflow-artifacts:/0/{run}/artifacts/model", run_id=run)
    latest = ask.post("registered-models/get-latest-versions", "with files", name=model)["model_versions"][0]["version"]
    page("there", name=model, version=latest, path="MLmodel")
    page("missing", name=model, version=latest, path="none")
