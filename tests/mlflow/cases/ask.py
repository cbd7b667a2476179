"""How cases ask: operations of the JSON interface by their short paths."""

import json
import urllib.parse

JSON = {"Content-Type": "application/json"}
API = "/api/2.0/mlflow/"


class Ask:
    """Asks a pair of servers. Every method returns the answer of the stock server."""

    def __init__(self, pair):
        self.pair = pair

    def get(self, path, case, /, at=API, **query):
        text = urllib.parse.urlencode(query, doseq=True)
        return self.pair.ask(case, "GET", f"{at}{path}" + (f"?{text}" if text else ""))

    def send(self, method, path, case, body, /, at=API):
        """Sends a value as JSON, or bytes as they are."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.pair.ask(case, method, at + path, JSON, sent)

    def post(self, path, case, /, **body):
        return self.send("POST", path, case, body)

    def patch(self, path, case, /, **body):
        return self.send("PATCH", path, case, body)

    def delete(self, path, case, /, **body):
        return self.send("DELETE", path, case, body)

    def upload(self, path, case, content, headers=None):
        return self.pair.ask(case, "PUT", f"/api/2.0/mlflow-artifacts/artifacts/{path}", headers, content)

    def file(self, path, case):
        return self.pair.ask(case, "GET", f"/api/2.0/mlflow-artifacts/artifacts/{path}")

    # What most cases begin with.

    def experiment(self, name, /, **more):
        return self.post("experiments/create", f"`{name}`", name=name, **more)["experiment_id"]

    def run(self, experiment="0", name="a run", /, **more):
        # What a server fills in is a case of its own.
        more = {"user_id": "someone", "start_time": 1_700_000_000_000, **more}
        answer = self.post("runs/create", f"`{name}`", experiment_id=experiment, run_name=name, **more)
        return answer["run"]["info"]["run_id"]

    def logged_model(self, experiment="0", name="model", /, **more):
        answer = self.post("logged-models", f"`{name}`", experiment_id=experiment, name=name, **more)
        return answer["model"]["info"]["model_id"]

    def model(self, name, /, **more):
        self.post("registered-models/create", f"`{name}`", name=name, **more)
        return name

    def version(self, name, source="s3://bucket/model", /, **more):
        answer = self.post("model-versions/create", f"of `{name}` from {source}", name=name, source=source, **more)
        return answer["model_version"]["version"]
