"""Artifacts: the proxy, lists, files for pages."""


def ask_all(ask):
    experiment = ask.experiment("artifacts")
    run = ask.run(experiment, "artifacts")
    root = f"{experiment}/{run}/artifacts"
    files = {
        "a.txt": b"alpha",
        "empty.txt": b"",
        "deep/er/d.json": b'{"x": [1, 2]}',
        "deep/b%20c%20%C3%BC.bin": bytes(range(256)),
        "page.html": b"<script>1</script>",
        "MLmodel": b"flavors: {}\n",
        "figure.png": b"\x89PNG",
        "figure.svg": b"<svg/>",
        "table.csv": b"a,b\n",
        "noextension": b"x",
        "data.parquet": b"PAR1",
        "a.py": b"1",
        "log.yaml": b"a: 1\n",
    }
    for path, content in files.items():
        ask.upload(f"{root}/{path}", path, content)
    ask.upload(f"{root}/a.txt", "again", b"beta")
    ask.upload(f"{root}/typed", "with a type", b"x", {"Content-Type": "text/html"})
    for path in files:
        ask.file(f"{root}/{path}", path)
    ask.file(f"{root}/missing.txt", "missing")
    ask.file(f"{root}/deep", "a folder")
    ask.upload(f"{root}/deep", "where a folder is", b"x")
    ask.upload(f"{root}/a.txt/b", "below a file", b"x")
    for path in [
        "%2e%2e/x",
        "a/%2e%2e/%2e%2e/x",
        "%252e%252e/x",
        "/etc/passwd",
        "a%5cb",
        "C:/a",
        "a%23b",
        "a%00b",
        "a//b",
        "./a",
        "a/",
    ]:
        for method in ["GET", "PUT"]:
            ask.pair.ask(
                f"the path {path}",
                method,
                f"/api/2.0/mlflow-artifacts/artifacts/{path}",
                {},
                b"x" if method == "PUT" else b"",
            )
    proxy = "/api/2.0/mlflow-artifacts/"
    for path in [
        root,
        f"{root}/deep",
        f"{root}/deep/er",
        f"{root}/a.txt",
        f"{root}/none",
        "..",
        "/etc",
        "a/../../b",
        "a\\b",
    ]:
        shown = path.replace(root, "ROOT")
        ask.get("artifacts", f"the folder {shown}", at=proxy, path=path)
    of_run = lambda case, **query: ask.get("artifacts/list", case, **query)
    of_run("the root", run_id=run)
    of_run("by its old name", run_uuid=run)
    for path in ["deep", "deep/er", "a.txt", "none", "..", "/etc", "%2e%2e"]:
        of_run(f"the folder {path}", run_id=run, path=path)
    of_run("an unknown run", run_id="0" * 32)
    of_run("no run")
    ask.get("artifacts/list", "of pages", at="/ajax-api/2.0/mlflow/", run_uuid=run)
    page = lambda case, **query: ask.get("get-artifact", case, at="/", **query)
    for path in ["a.txt", "deep/b c ü.bin", "page.html", "figure.svg", "missing.txt", "deep", "..", "/etc/passwd"]:
        page(f"the file {path}", run_uuid=run, path=path)
    page("by its new name", run_id=run, path="a.txt")
    page("no path", run_uuid=run)
    page("no run", path="a.txt")
    page("an unknown run", run_uuid="0" * 32, path="a.txt")
    upload = lambda case, query, content=b"x": ask.pair.ask(
        case, "POST", f"/ajax-api/2.0/mlflow/upload-artifact?{query}", {}, content
    )
    upload("a file", f"run_uuid={run}&path=from-page.txt")
    upload("nothing", f"run_uuid={ask.run(experiment, 'nothing')}&path=nothing.txt", b"")
    upload("no run", "path=a.txt")
    upload("no path", f"run_uuid={run}")
    upload("a path that leads elsewhere", f"run_uuid={run}&path=../a.txt")
    upload("an unknown run", f"run_uuid={'0' * 32}&path=a.txt")
    ask.file(f"{root}/from-page.txt", "from a page")
    delete = lambda path, case: ask.pair.ask(case, "DELETE", f"/api/2.0/mlflow-artifacts/artifacts/{path}")
    delete(f"{root}/a.txt", "a file")
    delete(f"{root}/deep", "a folder")
    delete(f"{root}/a.txt", "deleted")
    delete("%2e%2e/x", "a path that leads elsewhere")
    of_run("after deletions", run_id=run)
