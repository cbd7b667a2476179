"""The peer of `cargo xtask bench serving --peer`: FastAPI over a scikit-learn pipeline, one worker.

It serves what `predict_peer.py --train` has pickled, as most services in Python do: a data frame of the rows
of a request goes through the pipeline. It prints its URL, and ends when it is killed.
"""

import argparse
import pickle
import socket
from typing import Any

import pandas as pd
import uvicorn
from fastapi import FastAPI


def app(fitted):
    app = FastAPI()

    # Not `async`: FastAPI runs it on a thread, so that a long prediction does not stop the server.
    @app.post("/predict")
    def predict(rows: dict[str, Any] | list[dict[str, Any]]):
        table = pd.DataFrame([rows] if isinstance(rows, dict) else rows)
        scores = fitted.predict_proba(table)[:, 1]
        return {
            "predictions": [
                {"label": "Yes" if score >= 0.5 else "No", "probability": float(score)} for score in scores
            ]
        }

    return app


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pickle", required=True, help="the file of the fitted pipeline")
    options = parser.parse_args()
    # A file that this machine has just written.
    with open(options.pickle, "rb") as file:
        fitted = pickle.load(file)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app(fitted), log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main()
