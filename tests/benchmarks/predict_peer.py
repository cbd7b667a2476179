"""The peer of `cargo xtask bench predict --peer`: a scikit-learn pipeline that reads Parquet and writes CSV.

With `--train` it fits the pipeline on a table and pickles it; with `--predict` it predicts another table.
`cargo xtask bench serving --peer` has `peer/serve.py` serve the same pickle.
"""

import argparse
import pickle

TARGET, POSITIVE, IDENTIFIER, SEED = "Churn", "Yes", "customerID", 42
NUMBERS = ["SeniorCitizen", "tenure", "MonthlyCharges", "TotalCharges"]


def learner(options):
    model = options.model
    if model == "logistic":
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(max_iter=1000)
    if model == "forest":
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(
            n_estimators=200,
            max_depth=options.max_depth or 12,
            min_samples_leaf=5,
            n_jobs=options.threads,
            random_state=SEED,
        )
    from lightgbm import LGBMClassifier

    return LGBMClassifier(
        n_estimators=300,
        max_depth=options.max_depth or 6,
        learning_rate=0.05,
        min_child_weight=5,
        reg_lambda=5,
        subsample=0.8,
        subsample_freq=1,
        colsample_bytree=0.8,
        n_jobs=options.threads,
        random_state=SEED,
        verbosity=-1,
    )


def pipeline(columns, options):
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    words = [column for column in columns if column not in NUMBERS]
    features = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), NUMBERS),
            ("words", OneHotEncoder(handle_unknown="ignore", sparse_output=False), words),
        ]
    )
    return make_pipeline(features, learner(options))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=["logistic", "forest", "boosted"], required=True)
    parser.add_argument("--pickle", required=True, help="the file of the fitted pipeline")
    parser.add_argument("--max-depth", type=int, help="of trees, if it is not that of the benchmark `predict`")
    parser.add_argument("--threads", type=int, default=2, help="of the learner")
    parser.add_argument("--train", help="a Parquet file to fit it on")
    parser.add_argument("--predict", help="a Parquet file to predict")
    parser.add_argument("--output", help="the CSV file for the predictions")
    options = parser.parse_args()
    import pandas as pd

    if options.train:
        table = pd.read_parquet(options.train)
        raw = table.drop(columns=[TARGET, IDENTIFIER])
        fitted = pipeline(raw.columns, options).fit(raw, (table[TARGET] == POSITIVE).astype(int))
        with open(options.pickle, "wb") as file:
            pickle.dump(fitted, file)
    if options.predict:
        with open(options.pickle, "rb") as file:
            fitted = pickle.load(file)
        table = pd.read_parquet(options.predict)
        scores = fitted.predict_proba(table.drop(columns=[TARGET, IDENTIFIER]))[:, 1]
        labels = ["Yes" if score >= 0.5 else "No" for score in scores]
        predictions = pd.DataFrame({IDENTIFIER: table[IDENTIFIER], "label": labels, "probability": scores})
        predictions.to_csv(options.output, index=False)


if __name__ == "__main__":
    main()
