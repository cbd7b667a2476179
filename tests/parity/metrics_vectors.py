"""Writes the vectors that host/evaluation's metrics are compared with: scikit-learn's numbers on fixed inputs.

    python3 -m venv venv && venv/bin/pip install scikit-learn numpy
    venv/bin/python tests/parity/metrics_vectors.py

The result, host/evaluation/tests/metrics_vectors.json, is checked in and records the versions that made it.
"""

import json
import pathlib
import sys
import warnings

import numpy as np
import sklearn
from sklearn import metrics
from sklearn.calibration import calibration_curve

OUT = pathlib.Path(__file__).resolve().parents[2] / "host/evaluation/tests/metrics_vectors.json"


def number(value):
    return None if np.isnan(value) else float(value)


def binary(name, labels, scores, curves=True):
    y, p = np.asarray(labels, dtype=int), np.asarray(scores, dtype=float)
    predicted = (p >= 0.5).astype(int)
    precision, recall, _ = metrics.precision_recall_curve(y, p)
    one_class = len(np.unique(y)) < 2
    case = {
        "name": name,
        "labels": y.tolist(),
        "scores": p.tolist(),
        "metrics": {
            "roc_auc": None if one_class else number(metrics.roc_auc_score(y, p)),
            "accuracy": number(metrics.accuracy_score(y, predicted)),
            "precision": number(metrics.precision_score(y, predicted, zero_division=0)),
            "recall": number(metrics.recall_score(y, predicted, zero_division=0)),
            "f1": number(metrics.f1_score(y, predicted, zero_division=0)),
            "log_loss": number(metrics.log_loss(y, p, labels=[0, 1])),
            "precision_at_recall_80": number(precision[recall >= 0.80].max()),
            "average_precision": number(metrics.average_precision_score(y, p)),
            "brier": number(np.mean((p - y) ** 2)),
        },
        "confusion": metrics.confusion_matrix(y, predicted, labels=[0, 1]).ravel().tolist(),
    }
    if curves and not one_class:
        fpr, tpr, _ = metrics.roc_curve(y, p, drop_intermediate=False)
        case["roc"] = {"x": fpr.tolist(), "y": tpr.tolist()}
        case["precision_recall"] = {"x": recall[::-1].tolist(), "y": precision[::-1].tolist()}
        for strategy in ["uniform", "quantile"]:
            observed, mean = calibration_curve(y, p, n_bins=10, strategy=strategy)
            case[strategy] = {"x": mean.tolist(), "y": observed.tolist()}
    return case


def binary_cases():
    rng = np.random.default_rng(42)
    n = 150
    y = (rng.random(n) < 0.265).astype(int)
    p = np.clip(0.35 * y + 0.65 * rng.random(n), 0, 1)
    yield binary("random scores", y, p)
    yield binary("scores with many ties", y, np.round(p, 1))
    yield binary("scores with ties at the threshold", [0, 1, 0, 1, 1, 0], [0.5, 0.5, 0.5, 0.5, 0.2, 0.1])
    yield binary("constant scores", y, np.full(n, 0.3))
    yield binary("constant scores at the threshold", y, np.full(n, 0.5))
    yield binary("all predictions zero", y, np.zeros(n))
    yield binary("all predictions one", y, np.ones(n))
    yield binary("perfect and certain", y, y.astype(float))
    yield binary("wrong and certain", y, 1.0 - y)
    yield binary("scores that differ in the last bit", [0, 1, 0, 1], [0.3, np.nextafter(0.3, 1), np.nextafter(0.3, 0), 0.3])
    yield binary("tiny scores", y, p * 1e-12)
    yield binary("scores near one", y, 1.0 - (1.0 - p) * 1e-14)
    yield binary("only positives", [1, 1, 1], [0.2, 0.5, 0.9])
    yield binary("only negatives", [0, 0, 0], [0.2, 0.5, 0.9])
    yield binary("one row", [1], [0.7])
    yield binary("recall of exactly 0.8", [1, 1, 1, 1, 1, 0, 0, 0], [0.9, 0.8, 0.7, 0.6, 0.1, 0.65, 0.3, 0.2])


def multi_class(name, y, p):
    y, p = np.asarray(y, dtype=int), np.asarray(p, dtype=float)
    classes = p.shape[1]
    predicted = p.argmax(axis=1)
    every_class = len(np.unique(y)) == classes
    return {
        "name": name,
        "labels": y.tolist(),
        "classes": classes,
        "probabilities": p.ravel().tolist(),
        "metrics": {
            "roc_auc_ovr": number(metrics.roc_auc_score(y, p, multi_class="ovr", average="macro")) if every_class else None,
            "accuracy": number(metrics.accuracy_score(y, predicted)),
            "f1_macro": number(metrics.f1_score(y, predicted, average="macro", zero_division=0)),
            "log_loss": number(metrics.log_loss(y, p, labels=list(range(classes)))),
        },
        "confusion": metrics.confusion_matrix(y, predicted, labels=range(classes)).ravel().tolist(),
    }


def multi_class_cases():
    rng = np.random.default_rng(7)
    y = rng.integers(0, 4, 100)
    p = rng.dirichlet(np.ones(4), 100) + 0.7 * np.eye(4)[y]
    p = p / p.sum(axis=1, keepdims=True)
    yield multi_class("four classes", y, p)
    yield multi_class("equal probabilities", y, np.full((100, 4), 0.25))
    yield multi_class("certain", y, np.eye(4)[y])
    yield multi_class("a class that never occurs", np.minimum(y, 2), p)


def regression(name, y, p):
    y, p = np.asarray(y, dtype=float), np.asarray(p, dtype=float)
    return {
        "name": name,
        "actual": y.tolist(),
        "predicted": p.tolist(),
        "metrics": {
            "rmse": number(metrics.root_mean_squared_error(y, p)),
            "mae": number(metrics.mean_absolute_error(y, p)),
            "r2": number(metrics.r2_score(y, p)),
        },
    }


def regression_cases():
    rng = np.random.default_rng(3)
    y = rng.normal(50, 20, 100)
    yield regression("noisy", y, y + rng.normal(0, 5, 100))
    yield regression("worse than the mean", y, -y)
    yield regression("constant target, exact", [2.0, 2.0], [2.0, 2.0])
    yield regression("constant target, missed", [2.0, 2.0], [2.0, 3.0])
    yield regression("one row", [2.0], [3.0])


def main():
    warnings.simplefilter("ignore")
    result = {
        "made_by": {
            "python": sys.version.split()[0],
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
        },
        "binary": list(binary_cases()),
        "multi_class": list(multi_class_cases()),
        "regression": list(regression_cases()),
    }
    OUT.write_text(json.dumps(result, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n")
    print(f"wrote {OUT}")


if __name__ == "__main__":
    main()
