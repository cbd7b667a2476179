"""Writes the vectors that host/evaluation's intervals are compared with: MLstatkit's DeLong test and scipy's bootstrap.

    python3 -m venv venv && venv/bin/pip install MLstatkit numpy scipy scikit-learn
    venv/bin/python tests/parity/difference_vectors.py

The result, host/evaluation/tests/difference_vectors.json, is checked in and records the versions that made it.
"""

import json
import pathlib
import sys
from importlib import metadata

import numpy as np
from MLstatkit import Delong_test
from scipy import stats
from sklearn import metrics

OUT = pathlib.Path(__file__).resolve().parents[2] / "host/evaluation/tests/difference_vectors.json"
DRAWS = 10_000


def delong(name, labels, candidate, champion):
    # Its z is that of the second model less the first.
    z, p, _, _, theirs, ours, info = Delong_test(labels, champion, candidate)
    assert info["method"] == "delong", info
    error = float(np.sqrt(info["var_diff"]))
    half = float(stats.norm.ppf(0.975)) * error
    value = float(ours - theirs)
    return {
        "name": name,
        "labels": labels.tolist(),
        "candidate": candidate.tolist(),
        "champion": champion.tolist(),
        "value": value,
        "low": value - half,
        "high": value + half,
        "p": float(p),
    }


def bootstrap(name, labels, candidate, champion, metric, confidence):
    of = {
        "accuracy": lambda y, p: np.mean((p >= 0.5) == y),
        "f1": lambda y, p: metrics.f1_score(y, p >= 0.5),
        "log_loss": lambda y, p: metrics.log_loss(y, p, labels=[0, 1]),
        "average_precision": metrics.average_precision_score,
    }[metric]

    def difference(y, ours, theirs):
        return of(y, ours) - of(y, theirs)

    found = stats.bootstrap(
        (labels, candidate, champion),
        difference,
        paired=True,
        vectorized=False,
        n_resamples=DRAWS,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(7),
    )
    return {
        "name": name,
        "metric": metric,
        "confidence": confidence,
        "labels": labels.tolist(),
        "candidate": candidate.tolist(),
        "champion": champion.tolist(),
        "value": float(difference(labels, candidate, champion)),
        "low": float(found.confidence_interval.low),
        "high": float(found.confidence_interval.high),
    }


def table(rng, rows, positive, decimals=None):
    labels = (rng.random(rows) < positive).astype(int)
    common = rng.normal(size=rows)
    scores = []
    for strength in [1.0, 0.8]:
        logit = strength * (2 * labels - 1) + common + rng.normal(size=rows)
        score = 1 / (1 + np.exp(-logit))
        scores.append(score if decimals is None else np.round(score, decimals))
    return labels, scores[0], scores[1]


def main():
    rng = np.random.default_rng(42)
    delongs = [
        delong("balanced", *table(rng, 200, 0.5)),
        delong("rare positives", *table(rng, 300, 0.06)),
        delong("many ties", *table(rng, 250, 0.3, decimals=1)),
        delong("few rows", *table(rng, 24, 0.4)),
    ]
    labels, candidate, champion = table(rng, 400, 0.3)
    bootstraps = [
        bootstrap("400 rows", labels, candidate, champion, metric, confidence)
        for metric, confidence in [("accuracy", 0.95), ("f1", 0.9), ("log_loss", 0.95), ("average_precision", 0.95)]
    ]
    made_by = {name: metadata.version(name) for name in ["MLstatkit", "scipy", "scikit-learn", "numpy"]}
    made_by["python"] = sys.version.split()[0]
    OUT.write_text(json.dumps({"made_by": made_by, "delong": delongs, "bootstrap": bootstraps}) + "\n")


if __name__ == "__main__":
    main()
