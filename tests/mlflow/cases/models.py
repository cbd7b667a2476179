"""Registered models: creating, tags, aliases, searches."""

FILTERS = [
    "name = 'found a'",
    "name != 'found a' AND name LIKE 'found%'",
    "name LIKE 'found%'",
    "name ILIKE 'FOUND%'",
    "name IN ('found a', 'found b')",
    "tags.owner = 'ml'",
    "tags.owner != 'ml'",
    "tags.owner LIKE 'm%'",
    "tags.`a b` = 'x'",
    "tags.`mlflow.prompt.is_prompt` != 'true' AND name LIKE 'found%'",
    "tags.`mlflow.prompt.is_prompt` = 'true'",
    "tags.`mlflow.prompt.is_prompt` = 'false' AND name LIKE 'found%'",
    "name = found",
    "name > 'a'",
    "nothing = 'x'",
    "name",
    "description = 'x'",
    "version_number = 1",
    "creation_timestamp > 0",
    "attributes.name = 'found a'",
]

ORDERS = [
    ["name"],
    ["name DESC"],
    ["creation_timestamp"],
    ["creation_timestamp DESC", "name"],
    ["last_updated_timestamp DESC"],
    ["timestamp"],
    ["nothing"],
    ["name UP"],
    ["tags.owner"],
    ["name", "name DESC"],
]


def ask_all(ask):
    model = ask.model("model", description="A model", tags=[{"key": "owner", "value": "ml"}])
    get = lambda case, **query: ask.get("registered-models/get", case, **query)
    get("with tags", name=model)
    get("unknown", name="missing")
    get("no name")
    get("an empty name", name="")
    create = lambda case, **body: ask.post("registered-models/create", case, **body)
    create("a name that is taken", name=model)
    create("no name")
    create("an empty name", name="")
    for name in [
        "a b",
        "ä",
        "it's",
        "a/b",
        "a:b",
        "a.b_c-d",
        "A",
        "x" * 256,
        "x" * 257,
        " a",
        "a\nb",
        "..",
        "a%2fb",
        "a@b",
        "1",
    ]:
        create(f"the name {name[:12]!r} of {len(name)}", name=name)
    create("a long tag", name="long tag", tags=[{"key": "a", "value": "x" * 100_001}])
    create("a long key", name="long key", tags=[{"key": "k" * 251, "value": "x"}])
    create("a tag without a value", name="valueless", tags=[{"key": "a"}])
    create("a long description", name="long description", description="d" * 5_001)

    update = lambda case, **body: ask.patch("registered-models/update", case, **body)
    update("a description", name=model, description="Another")
    update("an empty one", name=model, description="")
    update("nothing", name=model)
    update("unknown", name="missing", description="x")
    update("no name", description="x")

    rename = lambda case, **body: ask.post("registered-models/rename", case, **body)
    rename("a new name", name=model, new_name="renamed")
    rename("a name that is taken", name="renamed", new_name="A")
    rename("its own name", name="renamed", new_name="renamed")
    rename("a bad name", name="renamed", new_name="a/b")
    rename("no new name", name="renamed")
    rename("an empty new name", name="renamed", new_name="")
    rename("unknown", name="missing", new_name="x")
    get("the name before", name=model)
    rename("back", name="renamed", new_name=model)

    tag = lambda case, **body: ask.post("registered-models/set-tag", case, **body)
    tag("new", name=model, key="a", value="1")
    tag("another value", name=model, key="a", value="2")
    tag("an empty value", name=model, key="empty", value="")
    tag("no value", name=model, key="none")
    tag("no key", name=model, value="1")
    tag("a long value", name=model, key="long", value="x" * 100_001)
    tag("a long key", name=model, key="k" * 251, value="x")
    tag("an odd key", name=model, key="a#b", value="x")
    tag("unknown", name="missing", key="a", value="1")
    get("tagged", name=model)
    untag = lambda case, **body: ask.delete("registered-models/delete-tag", case, **body)
    untag("there", name=model, key="a")
    untag("not there", name=model, key="a")
    untag("no key", name=model)
    untag("unknown", name="missing", key="a")

    for source in ["s3://bucket/1", "s3://bucket/2"]:
        ask.version(model, source)
    alias = lambda case, **body: ask.post("registered-models/alias", case, **body)
    alias("new", name=model, alias="champion", version="1")
    alias("moved", name=model, alias="champion", version="2")
    alias("another", name=model, alias="other", version="2")
    for name in ["latest", "Latest", "v1", "V2", "v1x", "a b", "a/b", "x" * 256, "", "1", "-a_b"]:
        alias(f"the name {name[:12]!r} of {len(name)}", name=model, alias=name, version="1")
    odd = ask.model("odd aliases")
    ask.version(odd)
    for name in ["ä", "x" * 255]:
        alias(f"the name {name[:12]!r} of {len(name)}", name=odd, alias=name, version="1")
    alias("an unknown version", name=model, alias="b", version="9")
    alias("a version that is no number", name=model, alias="b", version="x")
    alias("no version", name=model, alias="b")
    alias("an unknown model", name="missing", alias="b", version="1")
    get("with aliases", name=model)
    by_alias = lambda case, **query: ask.get("registered-models/alias", case, **query)
    by_alias("there", name=model, alias="champion")
    by_alias("unknown", name=model, alias="missing")
    by_alias("of an unknown model", name="missing", alias="champion")
    by_alias("no alias", name=model)
    by_alias("latest", name=model, alias="latest")
    unalias = lambda case, **body: ask.delete("registered-models/alias", case, **body)
    unalias("there", name=model, alias="other")
    unalias("not there", name=model, alias="other")
    unalias("of an unknown model", name="missing", alias="other")
    unalias("no alias", name=model)
    latest = lambda case, **body: ask.post("registered-models/get-latest-versions", case, **body)
    latest("all stages", name=model)
    latest("a stage", name=model, stages=["None"])
    latest("a stage of none", name=model, stages=["Production"])
    latest("in lower case", name=model, stages=["none"])
    latest("a stage that is none", name=model, stages=["x"])
    latest("unknown", name="missing")
    latest("no name")
    ask.get("registered-models/get-latest-versions", "in a query", name=model, stages=["None", "Staging"])

    for name in "abc":
        tags = [{"key": "owner", "value": "ml" if name == "a" else "ops"}, {"key": "a b", "value": "x"}]
        ask.model(f"found {name}", tags=tags if name != "c" else [])
    ask.model("found prompt", tags=[{"key": "mlflow.prompt.is_prompt", "value": "true"}])
    search = lambda case, **query: ask.get("registered-models/search", case, **query)
    for filter in FILTERS:
        search(filter, filter=filter, order_by=["name"])
    for order in ORDERS:
        search(f"by {order}", order_by=order, filter="name LIKE 'found%'")
    page = search("the first page", max_results=2, filter="name LIKE 'found%'")
    token = (page.json or {}).get("next_page_token", "")
    search("the second page", max_results=2, filter="name LIKE 'found%'", page_token=token)
    for most in [0, -1, 1000, 1001, "x"]:
        search(f"at most {most}", max_results=most, filter="name = 'found a'")
    search("a token that is none", max_results=2, page_token="none")

    delete = lambda case, **body: ask.delete("registered-models/delete", case, **body)
    delete("there", name=model)
    delete("deleted", name=model)
    delete("no name")
    get("deleted", name=model)
    ask.get("model-versions/get", "of a deleted model", name=model, version="1")
    create("the name of a deleted one", name=model)
    ask.version(model)
