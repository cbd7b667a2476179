"""The same job in Python, for `cargo xtask bench lifecycle --peer`: six stages in one process, one thread, from a SQLite table.

pandas, scikit-learn, imbalanced-learn, xgboost or LightGBM; the hyperparameters are those that the benchmark gives to Stagewright.
Prints one JSON object: seconds by stage, the ROC-AUC on the test rows, the versions.
"""

import time

STARTED = time.perf_counter()

import argparse
import json
import pickle
import sqlite3
import sys
import tempfile
from importlib.metadata import version

TARGET, POSITIVE, IDENTIFIER, SEED = "Churn", "Yes", "customerID", 42
PACKAGES = {
    "logistic": ["scikit-learn"],
    "forest": ["scikit-learn"],
    "xgboost": ["scikit-learn", "xgboost"],
    "lightgbm": ["scikit-learn", "lightgbm"],
}


class Clock:
    """Seconds by stage."""

    def __init__(self):
        self.seconds, self.last = {}, STARTED

    def stage(self, name):
        now = time.perf_counter()
        self.seconds[name] = round(now - self.last, 4)
        self.last = now


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", required=True, help="a SQLite file with a table `customers`")
    parser.add_argument("--model", choices=sorted(PACKAGES), required=True)
    parser.add_argument("--smote", action="store_true")
    parser.add_argument("--check", action="store_true", help="only say which packages are missing")
    return parser.parse_args()


def missing(model, smote):
    """Packages that the run needs and this Python does not have."""
    from importlib.metadata import PackageNotFoundError

    # xgboost without CUDA is a package of its own.
    alternatives = {"xgboost": ["xgboost", "xgboost-cpu"]}
    absent = []
    for package in ["pandas", *PACKAGES[model], *(["imbalanced-learn"] if smote else [])]:
        for name in alternatives.get(package, [package]):
            try:
                version(name)
                break
            except PackageNotFoundError:
                continue
        else:
            absent.append(package)
    return absent


def learner(model):
    if model == "logistic":
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(max_iter=1000)
    if model == "forest":
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(n_estimators=200, max_depth=12, min_samples_leaf=5, n_jobs=1, random_state=SEED)
    if model == "xgboost":
        from xgboost import XGBClassifier

        return XGBClassifier(
            n_estimators=300,
            max_depth=6,
            learning_rate=0.05,
            min_child_weight=5,
            reg_lambda=5,
            subsample=0.8,
            colsample_bytree=0.8,
            tree_method="hist",
            n_jobs=1,
            random_state=SEED,
        )
    from lightgbm import LGBMClassifier

    return LGBMClassifier(
        n_estimators=300,
        num_leaves=31,
        learning_rate=0.05,
        min_child_weight=5,
        reg_lambda=5,
        subsample=0.8,
        subsample_freq=1,
        colsample_bytree=0.8,
        n_jobs=1,
        random_state=SEED,
        verbosity=-1,
    )


def main():
    options = arguments()
    absent = missing(options.model, options.smote)
    if absent or options.check:
        print(json.dumps({"missing": absent}))
        return 1 if absent else 0
    clock = Clock()
    import pandas as pd
    from sklearn import metrics
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    model = learner(options.model)
    if options.smote:
        from imblearn.over_sampling import SMOTE
    clock.stage("import")

    with sqlite3.connect(options.database) as connection:
        table = pd.read_sql_query("SELECT * FROM customers", connection)
    numbers = ["SeniorCitizen", "tenure", "MonthlyCharges", "TotalCharges"]
    table[numbers] = table[numbers].apply(pd.to_numeric, errors="coerce")
    clock.stage("ingestion")

    checks = [
        len(table) > 100,
        bool((table.isna().mean() < 0.1).all()),
        bool((table[["tenure", "MonthlyCharges"]] >= 0).all().all()),
        bool(table[TARGET].isin(["Yes", "No"]).all()),
        bool(table["SeniorCitizen"].isin([0, 1]).all()),
    ]
    if not all(checks):
        raise SystemExit(f"the data failed its checks: {checks}")
    clock.stage("validation")

    target = (table[TARGET] == POSITIVE).astype(int)
    raw = table.drop(columns=[TARGET, IDENTIFIER])
    raw_train, raw_test, y, y_test = train_test_split(raw, target, test_size=0.2, stratify=target, random_state=SEED)
    medians = raw_train[numbers].median()
    categories = [column for column in raw.columns if column not in numbers]
    scaler = StandardScaler().fit(raw_train[numbers].fillna(medians))

    def features(rows):
        scaled = pd.DataFrame(scaler.transform(rows[numbers].fillna(medians)), columns=numbers, index=rows.index)
        return pd.concat([scaled, pd.get_dummies(rows[categories], dtype=float)], axis=1)

    x, x_test = features(raw_train), features(raw_test)
    x_test = x_test.reindex(columns=x.columns, fill_value=0.0)
    if options.smote:
        x, y = SMOTE(k_neighbors=5, random_state=SEED).fit_resample(x, y)
    clock.stage("transformation")

    model.fit(x, y)
    clock.stage("training")

    scores = model.predict_proba(x_test)[:, 1]
    labels = scores >= 0.5
    found = {
        "roc_auc": metrics.roc_auc_score(y_test, scores),
        "accuracy": metrics.accuracy_score(y_test, labels),
        "precision": metrics.precision_score(y_test, labels),
        "recall": metrics.recall_score(y_test, labels),
        "f1": metrics.f1_score(y_test, labels),
        "log_loss": metrics.log_loss(y_test, scores),
    }
    metrics.confusion_matrix(y_test, labels)
    clock.stage("evaluation")

    with tempfile.TemporaryFile() as file:
        pickle.dump({"model": model, "metrics": found, "approved": found["roc_auc"] > 0.8}, file)
    clock.stage("promotion")

    versions = {"python": sys.version.split()[0]}
    for package in ["pandas", "scikit-learn", "imbalanced-learn", "xgboost", "xgboost-cpu", "lightgbm"]:
        try:
            versions[package] = version(package)
        except Exception:
            continue
    print(json.dumps({"seconds": clock.seconds, "roc_auc": found["roc_auc"], "versions": versions}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
