"""Paths, bodies and methods, which are the same for all operations."""


def ask_all(ask):
    pair = ask.pair
    pair.ask("it lives", "GET", "/health")
    pair.ask("its version", "GET", "/version")
    pair.ask("what it offers", "GET", "/api/3.0/mlflow/server-info")
    for path in ["experiments/get", "runs/search"]:
        pair.ask("the path of pages", "GET", f"/ajax-api/2.0/mlflow/{path}?experiment_id=0")
    create = lambda case, body, headers: pair.ask(case, "POST", "/api/2.0/mlflow/experiments/create", headers, body)
    json = {"Content-Type": "application/json"}
    create("no JSON", b"{", json)
    create("a list", b"[1]", json)
    create("a number", b"1", json)
    create("nothing", b"", json)
    create("null", b"null", json)
    create("JSON in a text", b'"{\\"name\\": \\"in a text\\"}"', json)
    create("no type", b'{"name": "no type"}', {})
    create("a form", b"name=x", {"Content-Type": "application/x-www-form-urlencoded"})
    create("a type with a charset", b'{"name": "charset"}', {"Content-Type": "application/json; charset=utf-8"})
    create("unknown members", b'{"name": "unknown", "more": {"a": [1]}, "x": null}', json)
    create("a member twice", b'{"name": "once", "name": "twice"}', json)
    create("camel case", b'{"name": "camel", "artifactLocation": "s3://bucket/camel"}', json)
    create("bytes that are no UTF-8", b'{"name": "\xff"}', json)
    create("a lone surrogate", b'{"name": "\\ud800"}', json)
    create("another site's page", b'{"name": "origin"}', {**json, "Origin": "http://evil.example"})
    deep = b"[" * 500 + b"]" * 500
    create("a deep value", b'{"name": "deep", "more": ' + deep + b"}", json)
    pair.ask("a path that is not there", "GET", "/api/2.0/mlflow/nothing")
    pair.ask("the method is another", "GET", "/api/2.0/mlflow/experiments/create")
    pair.ask("the method is another", "POST", "/api/2.0/mlflow/experiments/get", json, b"{}")
