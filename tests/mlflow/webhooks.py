"""Calls every operation on webhooks of MLflow's client, with a receiver that verifies as MLflow's
documentation says.

    python webhooks.py http://127.0.0.1:5000

The server allows webhooks to reach 127.0.0.1. The last line of the output is JSON: what came.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
import mlflow
from mlflow import MlflowClient
from mlflow.entities.webhook import WebhookEvent, WebhookStatus
from mlflow.exceptions import MlflowException

SECRET = "the secret of a test"
PATIENCE = 60
came = []


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        delivery, moment = self.headers["X-MLflow-Delivery-Id"], self.headers["X-MLflow-Timestamp"]
        signed = f"{delivery}.{moment}.{body.decode()}".encode()
        expected = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
        assert hmac.compare_digest(self.headers["X-MLflow-Signature"], f"v1,{expected}")
        assert abs(time.time() - int(moment)) < 300
        came.append(json.loads(body))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


def main(uri):
    receiver = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{receiver.server_port}/hook"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    names = [
        "registered_model.created",
        "model_version.created",
        "model_version_tag.set",
        "model_version_tag.deleted",
        "model_version_alias.created",
        "model_version_alias.deleted",
    ]
    events = [WebhookEvent.from_str(name) for name in names]
    made = client.create_webhook(name="ci", url=url, events=events, description="a test", secret=SECRET)
    assert made.secret is None and made.status == WebhookStatus.ACTIVE
    assert set(map(str, made.events)) == set(names), made.events
    assert client.get_webhook(made.webhook_id).url == url
    others = [client.create_webhook(name=f"w{at}", url=url, events=events[:1], status="DISABLED") for at in range(3)]
    page = client.list_webhooks(max_results=3)
    rest = client.list_webhooks(max_results=3, page_token=page.token)
    assert len(page) == 3 and [it.webhook_id for it in rest] == [others[2].webhook_id] and not rest.token
    changed = client.update_webhook(
        others[0].webhook_id, name="renamed", description="other", url=url + "/2", events=events[1:2], status="ACTIVE"
    )
    assert (changed.name, changed.description, str(changed.events[0])) == ("renamed", "other", names[1])
    for other in others:
        client.delete_webhook(other.webhook_id)
    try:
        client.get_webhook(others[0].webhook_id)
        raise AssertionError("it is there")
    except MlflowException as error:
        assert error.error_code == "RESOURCE_DOES_NOT_EXIST", error
    for wrong in ["http://10.0.0.1/hook", "ftp://127.0.0.1/hook", "https://169.254.169.254/latest"]:
        try:
            client.create_webhook(name="wrong", url=wrong, events=events)
            raise AssertionError(wrong)
        except MlflowException as error:
            assert error.error_code == "INVALID_PARAMETER_VALUE", error

    tried = client.test_webhook(made.webhook_id)
    assert tried.success and tried.response_status == 200 and tried.response_body == "ok", tried.error_message
    tried = client.test_webhook(made.webhook_id, event=events[2])
    assert tried.success and came[-1]["data"]["key"] == "example_key", came[-1]
    came.clear()

    client.create_registered_model("churn", tags={"team": "a"}, description="whether customers leave")
    client.create_model_version("churn", "s3://bucket/model", tags={"a": "b"}, description="the first")
    client.set_model_version_tag("churn", "1", "reviewed", "yes")
    client.set_registered_model_alias("churn", "candidate", "1")
    client.delete_registered_model_alias("churn", "candidate")
    client.delete_model_version_tag("churn", "1", "reviewed")
    end = time.time() + PATIENCE
    while len(came) < len(names) and time.time() < end:
        time.sleep(0.05)
    print(json.dumps({"mlflow": mlflow.__version__, "came": came}))


main(sys.argv[1])
