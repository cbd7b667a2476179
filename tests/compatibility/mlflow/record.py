"""Records how `mlflow models serve` answers to the requests of cases.json, in recorded.json.

    python3 -m venv mlflow-venv
    mlflow-venv/bin/pip install -r requirements.txt
    mlflow-venv/bin/python record.py

The model is a scikit-learn pipeline over customers.csv, with a signature, as mlflow's documents
recommend. `tests/end-to-end/tests/serving/mlflow.rs` trains a model on the same table, sends the
same requests, and compares.
"""

import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

import mlflow
import pandas
import sklearn
from mlflow.models import infer_signature
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

FOLDER = pathlib.Path(__file__).parent
FEATURES = ["tenure", "charges", "contract"]


def save_model(folder):
    table = pandas.read_csv(FOLDER / "customers.csv")
    prepared = make_column_transformer(
        (SimpleImputer(), ["tenure", "charges"]),
        (OneHotEncoder(handle_unknown="ignore"), ["contract"]),
    )
    model = make_pipeline(prepared, LogisticRegression(max_iter=10_000)).fit(table[FEATURES], table["churn"])
    signature = infer_signature(table[FEATURES], model.predict(table[FEATURES]))
    mlflow.sklearn.save_model(model, folder, signature=signature, serialization_format="pickle")


def ask(port, case):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Content-Type": case["content_type"]} if "content_type" in case else {}
    body = case["body"].encode() if "body" in case else None
    connection.request(case.get("method", "POST"), case.get("path", "/invocations"), body=body, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    try:
        shown = json.loads(text)
        if isinstance(shown, dict) and "stack_trace" in shown:
            shown["stack_trace"] = "..."
        if isinstance(shown, dict) and isinstance(shown.get("message"), str):
            shown["message"] = shown["message"][:300]
    except ValueError:
        shown = text
    return {"status": answer.status, "content_type": answer.getheader("Content-Type"), "body": shown}


def main():
    with tempfile.TemporaryDirectory() as folder:
        model = pathlib.Path(folder) / "model"
        save_model(model)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(model), "-p", str(port)]
        path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
        server = subprocess.Popen(
            [*command, "--env-manager", "local"], cwd=folder, env={**os.environ, "PATH": path}, start_new_session=True
        )
        try:
            for _ in range(240):
                try:
                    ask(port, {"method": "GET", "path": "/ping"})
                    break
                except OSError:
                    time.sleep(0.5)
            cases = json.loads((FOLDER / "cases.json").read_text())
            answers = {case["name"]: ask(port, case) for case in cases}
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()
    versions = {"mlflow": mlflow.__version__, "scikit-learn": sklearn.__version__, "pandas": pandas.__version__}
    recorded = {"versions": versions, "answers": answers}
    (FOLDER / "recorded.json").write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    main()
