//! Fits a learner to a CSV file and scores another one. `tests/parity` compares the scores with the
//! Python libraries, and the times show the native speed in CPU time.
//!
//! `fit_trees TRAIN.csv TEST.csv PARAMS.json SCORES.csv`: both tables have a header and numbers
//! only (empty for missing). The last column of the training table is the target; the test table
//! has the features only. The parameters are an object with `learner` (`boosted` or `forest`) and
//! the parameters of the learner. Prints the times as JSON.

use linfa::ParamGuard as _;
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use stagewright_trees::{
    BinnedMatrix, BoostedOptions, BoostedParams, ForestOptions, ForestParams, Growth, MAX_BINS, MaxFeatures,
    TrainingSet, TreeModel,
};
use std::error::Error;

/// The parameters that the comparison varies. The others have their defaults.
#[derive(Debug, Deserialize)]
#[serde(tag = "learner", rename_all = "lowercase", deny_unknown_fields)]
enum Learner {
    Boosted {
        n_estimators: u32,
        learning_rate: f64,
        leaf_wise: bool,
        max_depth: Option<u32>,
        #[serde(default)]
        max_leaves: Option<u32>,
        min_samples_leaf: u32,
        min_child_weight: f64,
        lambda: f64,
        #[serde(default = "one")]
        subsample: f64,
        #[serde(default = "one")]
        colsample: f64,
        seed: u64,
    },
    Forest {
        n_estimators: u32,
        max_depth: Option<u32>,
        min_samples_leaf: u32,
        seed: u64,
    },
}

fn one() -> f64 {
    1.0
}

/// A table, column by column.
struct Table {
    names: Vec<String>,
    columns: Vec<Vec<f64>>,
}

impl Table {
    fn read(path: &str) -> Result<Self, Box<dyn Error>> {
        let text = std::fs::read_to_string(path)?;
        let mut lines = text.lines();
        let names: Vec<String> = lines.next().ok_or("the file is empty")?.split(',').map(str::to_owned).collect();
        let mut columns = vec![Vec::new(); names.len()];
        for (number, line) in lines.enumerate() {
            let mut cells = line.split(',');
            for column in &mut columns {
                let cell = cells.next().ok_or_else(|| format!("row {number} is short"))?;
                column.push(if cell.is_empty() { f64::NAN } else { cell.parse()? });
            }
        }
        Ok(Self { names, columns })
    }

    fn views(&self) -> Vec<&[f64]> {
        self.columns.iter().map(Vec::as_slice).collect()
    }
}

/// Returns the CPU time of the thread in seconds, which excludes other work on the machine.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [train, test, params, out] = arguments.as_slice() else {
        return Err("fit_trees TRAIN.csv TEST.csv PARAMS.json SCORES.csv".into());
    };
    let mut train = Table::read(train)?;
    let targets = train.columns.pop().ok_or("the training table has no columns")?;
    train.names.pop();
    let test = Table::read(test)?;
    let learner: Learner = serde_json::from_str(&std::fs::read_to_string(params)?)?;
    let scores = fit(&train, &targets, &test, learner)?;
    let lines: Vec<String> = scores.iter().map(f64::to_string).collect();
    std::fs::write(out, lines.join("\n") + "\n")?;
    Ok(())
}

fn fit(train: &Table, targets: &[f64], test: &Table, learner: Learner) -> Result<Vec<f64>, Box<dyn Error>> {
    let start = cpu();
    let features = BinnedMatrix::from_columns(&train.names, &train.views(), MAX_BINS)?;
    let binned = cpu() - start;
    let set = TrainingSet { features: &features, targets, weights: None };
    let model: TreeModel = match learner {
        Learner::Boosted {
            n_estimators,
            learning_rate,
            leaf_wise,
            max_depth,
            max_leaves,
            min_samples_leaf,
            min_child_weight,
            lambda,
            subsample,
            colsample,
            seed,
        } => {
            let growth = if leaf_wise { Growth::LeafWise } else { Growth::DepthWise };
            let options = BoostedOptions {
                n_estimators,
                learning_rate,
                growth,
                max_depth,
                max_leaves: max_leaves.unwrap_or(31),
                min_samples_leaf,
                min_child_weight,
                lambda,
                subsample,
                colsample,
                seed,
                ..BoostedOptions::default()
            };
            stagewright_trees::boosted::train(&BoostedParams::new(options).check()?, set, None, None)?
        }
        Learner::Forest { n_estimators, max_depth, min_samples_leaf, seed } => {
            let options = ForestOptions {
                n_estimators,
                max_depth,
                min_samples_leaf,
                seed,
                max_features: MaxFeatures::SquareRoot,
                ..ForestOptions::default()
            };
            stagewright_trees::forest::train(&ForestParams::new(options).check()?, set, &mut |_| {})?
        }
    };
    let fitted = cpu() - start;
    let mut scores = Vec::new();
    model.predictor().predict(&test.views(), &mut scores)?;
    let predicted = cpu() - start;
    println!(
        "{{\"bin_s\": {:.4}, \"fit_s\": {:.4}, \"predict_s\": {:.4}, \"nodes\": {}}}",
        binned,
        fitted - binned,
        predicted - fitted,
        model.nodes()
    );
    Ok(scores)
}
