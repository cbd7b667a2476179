//! The models that are served, and the bodies of requests to them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::results::clear;
use crate::build::Built;
use crate::steps::{Result, output, run};
use crate::workspace;

/// The model of `config/churn.toml`.
pub(super) const MODEL: &str = "churn-classifier";

/// The rows that models are trained on: those of the public churn table.
const TRAINED_ON: u64 = 7043;

/// The target and the identifier, which requests do not have.
const NOT_SENT: [&str; 2] = ["Churn", "customerID"];

/// The trainers, in the order of the versions that they make.
pub(super) const TRAINERS: [(&str, &[&str]); 3] = [
    (
        "boosted",
        &[
            "training.n_estimators=300",
            "training.max_depth=4",
            "training.learning_rate=0.05",
            "training.early_stopping_rounds=0",
        ],
    ),
    ("logistic", &[]),
    ("forest", &["training.n_estimators=200", "training.max_depth=12", "training.min_samples_leaf=5"]),
];

/// A home with one version of the model by each trainer.
pub(super) struct Models<'a> {
    built: &'a Built,
    work: PathBuf,
}

impl<'a> Models<'a> {
    /// Trains them.
    pub(super) fn train(built: &'a Built, work: &Path) -> Result<Self> {
        let models = Self { built, work: work.to_owned() };
        clear(&work.join("home"))?;
        for (trainer, parameters) in TRAINERS {
            let mut command = models.stagewright();
            command.args(["run", "config/churn.toml", "--json", "--set", "ingestion.component=ingest-synthetic"]);
            let rows = format!("ingestion.rows={TRAINED_ON}");
            let component = format!("training.component=train-{trainer}");
            // All of them are approved, so that each can be promoted.
            let gates = ["gates.minimum.accuracy=0.5", "gates.minimum.roc_auc=0.5", "gates.policy=no-worse"];
            let changes =
                [&rows, &component, "gates.margin=0.5"].into_iter().chain(gates).chain(parameters.iter().copied());
            command.args(changes.flat_map(|change| ["--set", change]));
            output(&mut command)?;
        }
        let mut export = models.stagewright();
        run(export.args(["artifacts", "export", "ingestion.table", "--output"]).arg(models.customers()))?;
        Ok(models)
    }

    /// Returns the version that a trainer has made.
    pub(super) fn version_of(trainer: &str) -> usize {
        1 + TRAINERS.iter().position(|(name, _)| *name == trainer).unwrap_or_default()
    }

    /// Returns the program, in this home.
    pub(super) fn stagewright(&self) -> Command {
        let mut command = Command::new(&self.built.binary);
        command.current_dir(workspace::root()).env("STAGEWRIGHT_CACHE", self.work.join("cache"));
        command.arg("--home").arg(self.work.join("home"));
        command
    }

    /// Returns the server of a model (`NAME`, `NAME/VERSION`).
    pub(super) fn server(&self, model: &str, isolation: &str) -> Command {
        let mut command = self.stagewright();
        command.args(["serve", model, "--port", "0", "--isolation", isolation]);
        command
    }

    /// Returns the customers that models were trained on, as CSV.
    pub(super) fn customers(&self) -> PathBuf {
        self.work.join("customers.csv")
    }

    /// Writes a body with so many rows. One row is an object, several are an array.
    pub(super) fn body(&self, rows: usize) -> Result<PathBuf> {
        let path = self.customers();
        let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        // Generated customers have no value that CSV or JSON would escape.
        if text.contains(['"', '\\']) {
            return Err(format!("{} has values that this benchmark does not read", path.display()));
        }
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
        let object = |line: &str| {
            let cells = names.iter().zip(line.split(',')).filter(|(name, _)| !NOT_SENT.contains(name));
            let members: Vec<String> = cells.map(|(name, cell)| format!("\"{name}\": {}", value(cell))).collect();
            format!("{{{}}}", members.join(", "))
        };
        let objects: Vec<String> = lines.take(rows).map(object).collect();
        let body = if rows == 1 { objects.concat() } else { format!("[{}]", objects.join(",\n")) };
        let file = self.work.join(format!("body-{rows}.json"));
        fs::write(&file, body).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        Ok(file)
    }
}

/// Returns a cell as a value of JSON.
fn value(cell: &str) -> String {
    match cell.trim() {
        "" => "null".to_owned(),
        number if number.parse::<f64>().is_ok() => number.to_owned(),
        text => format!("\"{text}\""),
    }
}
