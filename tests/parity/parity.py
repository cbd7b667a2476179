"""Compares Stagewright's learners with the Python libraries on the same matrices.

For each table, with and without SMOTE, 5 stratified folds times 5 seeds: both sides get the same training and test
matrices (one-hot, standardised on the training rows, imblearn's SMOTE on the training rows) and the same
hyperparameters, and the mean ROC-AUC on the held-out folds must differ by at most 0.005: boosting from the nearer of
xgboost and LightGBM, the forest and the logistic regression from scikit-learn. Fit times are CPU seconds of one thread.

    python -m venv venv && venv/bin/pip install -r tests/parity/requirements.txt
    STAGEWRIGHT_TEST_DATA=DIR nice venv/bin/python tests/parity/parity.py --record tests/parity/recorded.json

Exit code 1 if a difference is larger. Builds the two examples it calls, unless --examples names their folder.
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time
import warnings

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import imblearn
import lightgbm
import numpy
import pandas
import sklearn
import xgboost
from imblearn.over_sampling import SMOTE
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOLERANCE = 0.005

BOOSTED = {"n_estimators": 200, "learning_rate": 0.05}
DEPTH_WISE = BOOSTED | {"max_depth": 4, "min_child_weight": 1.0, "lambda": 1.0}
LEAF_WISE = BOOSTED | {"max_leaves": 15, "min_samples_leaf": 20, "min_child_weight": 1e-3, "lambda": 0.0}
FOREST = {"n_estimators": 200, "max_depth": 12, "min_samples_leaf": 1}
LOGISTIC = {"c": 1.0}


def telco(folder):
    """The Telco table: features, target, and which columns are standardised."""
    table = pandas.read_csv(folder / "telco_churn.csv")
    target = (table["Churn"] == "Yes").astype(int).to_numpy()
    table["TotalCharges"] = pandas.to_numeric(table["TotalCharges"], errors="coerce").fillna(0.0)
    table = table.drop(columns=["customerID", "Churn"])
    numeric = ["tenure", "MonthlyCharges", "TotalCharges"]
    texts = [name for name in table.columns if name not in numeric + ["SeniorCitizen"]]
    encoded = pandas.get_dummies(table[texts], dtype=float)
    values = pandas.concat([table[numeric + ["SeniorCitizen"]].astype(float), encoded], axis=1)
    return values.to_numpy(), target, [0, 1, 2]


def higgs(folder):
    """The HIGGS subset's two files together."""
    parts = [pandas.read_csv(folder / f"higgs_7k.{part}.tsv", sep="\t", header=None) for part in ("train", "test")]
    table = pandas.concat(parts).to_numpy()
    return table[:, 1:], table[:, 0].astype(int), list(range(table.shape[1] - 1))


def peers(seed):
    """The Python learners by name."""
    return {
        "xgboost": xgboost.XGBClassifier(
            n_estimators=DEPTH_WISE["n_estimators"], learning_rate=DEPTH_WISE["learning_rate"],
            max_depth=DEPTH_WISE["max_depth"], min_child_weight=DEPTH_WISE["min_child_weight"],
            reg_lambda=DEPTH_WISE["lambda"], tree_method="hist", n_jobs=1, random_state=seed),
        "lightgbm": lightgbm.LGBMClassifier(
            n_estimators=LEAF_WISE["n_estimators"], learning_rate=LEAF_WISE["learning_rate"],
            num_leaves=LEAF_WISE["max_leaves"], min_child_samples=LEAF_WISE["min_samples_leaf"],
            min_child_weight=LEAF_WISE["min_child_weight"], reg_lambda=LEAF_WISE["lambda"], n_jobs=1,
            random_state=seed, verbose=-1),
        "sklearn forest": RandomForestClassifier(
            n_estimators=FOREST["n_estimators"], max_depth=FOREST["max_depth"],
            min_samples_leaf=FOREST["min_samples_leaf"], n_jobs=1, random_state=seed),
        "sklearn logistic": LogisticRegression(C=LOGISTIC["c"], max_iter=1000),
    }


class Ours:
    """Runs the two native examples on matrices."""

    def __init__(self, examples, folder):
        self.trees = examples / "fit_trees"
        self.logistic = examples / "fit_csv"
        self.folder = pathlib.Path(folder)

    def score(self, train, target, test, seed):
        """Scores of the test rows and fit seconds, by learner."""
        names = [f"f{i}" for i in range(train.shape[1])]
        paths = {name: self.folder / name for name in ("train.csv", "test.csv", "params.json", "scores.csv", "bare.csv")}
        whole = pandas.DataFrame(train, columns=names).assign(target=target)
        whole.to_csv(paths["train.csv"], index=False)
        whole.to_csv(paths["bare.csv"], index=False, header=False)
        pandas.DataFrame(test, columns=names).to_csv(paths["test.csv"], index=False)
        depth_wise = DEPTH_WISE | {"learner": "boosted", "leaf_wise": False, "min_samples_leaf": 1}
        leaf_wise = LEAF_WISE | {"learner": "boosted", "leaf_wise": True, "max_depth": None}
        results = {}
        for name, parameters in [("boosted depth-wise", depth_wise), ("boosted leaf-wise", leaf_wise),
                                 ("forest", FOREST | {"learner": "forest"})]:
            paths["params.json"].write_text(json.dumps(parameters | {"seed": seed}))
            order = ["train.csv", "test.csv", "params.json", "scores.csv"]
            times = json.loads(self.run(self.trees, *(paths[name] for name in order)))
            results[name] = numpy.loadtxt(paths["scores.csv"]), times["bin_s"] + times["fit_s"]
        coefficients = numpy.array(json.loads(self.run(self.logistic, paths["bare.csv"], str(LOGISTIC["c"]))))
        results["logistic"] = test @ coefficients[:-1] + coefficients[-1], None
        return results

    @staticmethod
    def run(*command):
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def measure(values, target, scaled, smote, ours, seeds, folds):
    """Mean and standard deviation of AUC, and mean fit seconds, by learner."""
    found = {}
    for seed in range(seeds):
        for train_rows, test_rows in StratifiedKFold(folds, shuffle=True, random_state=seed).split(values, target):
            train, test, labels = values[train_rows].copy(), values[test_rows].copy(), target[train_rows]
            scaler = StandardScaler().fit(train[:, scaled])
            train[:, scaled], test[:, scaled] = scaler.transform(train[:, scaled]), scaler.transform(test[:, scaled])
            if smote:
                train, labels = SMOTE(random_state=seed, k_neighbors=5).fit_resample(train, labels)
            results = ours.score(train, labels, test, seed)
            for name, model in peers(seed).items():
                start = time.thread_time()
                model.fit(train, labels)
                seconds = time.thread_time() - start
                results[name] = model.predict_proba(test)[:, 1], seconds
            for name, (scores, seconds) in results.items():
                found.setdefault(name, []).append((roc_auc_score(target[test_rows], scores), seconds))
        print(f"  seed {seed} done", file=sys.stderr, flush=True)
    summary = {}
    for name, pairs in found.items():
        aucs, times = zip(*pairs)
        summary[name] = {"roc_auc": round(float(numpy.mean(aucs)), 6), "deviation": round(float(numpy.std(aucs)), 6)}
        if None not in times:
            summary[name]["fit_cpu_s"] = round(float(numpy.mean(times)), 4)
    return summary


def differences(summary):
    """How far each learner is from its peer (for boosting, the nearer one)."""
    auc = {name: entry["roc_auc"] for name, entry in summary.items()}
    rivals = {
        "boosted depth-wise": ["xgboost", "lightgbm"], "boosted leaf-wise": ["xgboost", "lightgbm"],
        "forest": ["sklearn forest"], "logistic": ["sklearn logistic"],
    }
    nearest = {name: min((auc[name] - auc[rival] for rival in others), key=abs) for name, others in rivals.items()}
    return {name: round(difference, 6) for name, difference in nearest.items()}


def examples_folder(given):
    """The folder of the two examples, built if none was given."""
    if given:
        return given
    for package, example in [("stagewright-trees", "fit_trees"), ("train-logistic", "fit_csv")]:
        command = ["cargo", "build", "--release", "--quiet", "-p", package, "--example", example]
        subprocess.run(command, check=True, cwd=ROOT)
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "examples"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, default=os.environ.get("STAGEWRIGHT_TEST_DATA"),
                        help="the folder of telco_churn.csv and higgs_7k.*.tsv (default: $STAGEWRIGHT_TEST_DATA)")
    parser.add_argument("--examples", type=pathlib.Path, help="where fit_trees and fit_csv are")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--record", type=pathlib.Path, help="write the figures here as JSON")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("name the folder of the tables: --data or STAGEWRIGHT_TEST_DATA")
    warnings.filterwarnings("ignore", category=UserWarning)
    record = {
        "versions": {"python": platform.python_version(), "scikit-learn": sklearn.__version__,
                     "xgboost": xgboost.__version__, "lightgbm": lightgbm.__version__,
                     "imbalanced-learn": imblearn.__version__, "numpy": numpy.__version__},
        "seeds": arguments.seeds, "folds": arguments.folds, "tolerance": TOLERANCE,
        "hyperparameters": {"boosted depth-wise": DEPTH_WISE, "boosted leaf-wise": LEAF_WISE, "forest": FOREST,
                            "logistic": LOGISTIC},
        "tables": [],
    }
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        ours = Ours(examples_folder(arguments.examples), folder)
        for name, load in [("telco", telco), ("higgs", higgs)]:
            values, target, scaled = load(arguments.data)
            for smote in (False, True):
                summary = measure(values, target, scaled, smote, ours, arguments.seeds, arguments.folds)
                apart = differences(summary)
                record["tables"].append({"table": name, "smote": smote, "learners": summary, "differences": apart})
                print(json.dumps(record["tables"][-1], indent=1), flush=True)
                failed |= any(abs(difference) > TOLERANCE for difference in apart.values())
    if arguments.record:
        arguments.record.write_text(json.dumps(record, indent=1) + "\n")
    sys.exit("a learner is further from its peer than allowed" if failed else 0)


if __name__ == "__main__":
    main()
