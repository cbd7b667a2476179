//! The training stage `train-boosted`: gradient boosting on histograms, for binary targets and
//! regression.
//!
//! This defines the parameters; `stagewright-trees` grows the trees. `growth = "depth-wise"`
//! corresponds to XGBoost's `hist` method, `"leaf-wise"` to LightGBM. With a validation table,
//! training stops when its loss no longer improves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stagewright_kit::{
    Batch, BlobReader, BlobWriter, Failure, Field, MatrixView, Output, Settings, Table, Task, TaskKind, Training, info,
    tracking,
};
use stagewright_tree_training::{BinnedTable, LoadedTrees, failure, write_model};
use stagewright_trees::boosted::{RoundReport, Watcher};
use stagewright_trees::{BoostedOptions, BoostedValidParams, Loss, Objective, boosted};

/// The order in which leaves are split.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Growth {
    /// All leaves, down to `max_depth`, as in XGBoost.
    #[default]
    DepthWise,
    /// The leaf with the largest gain, until there are `max_leaves`, as in LightGBM.
    LeafWise,
}

/// The stage's parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// The most trees.
    #[schemars(range(min = 1, max = 100_000))]
    pub n_estimators: u32,
    /// The factor by which the values of each tree are multiplied. A smaller factor needs more
    /// trees.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub learning_rate: f64,
    /// The order in which leaves are split.
    pub growth: Growth,
    /// The most splits between the root and a leaf; null for no limit (leaf-wise growth only).
    #[schemars(range(min = 1, max = 30))]
    pub max_depth: Option<u32>,
    /// The most leaves of a tree grown leaf-wise.
    #[schemars(range(min = 2, max = 65_536))]
    pub max_leaves: u32,
    /// The least number of rows of a leaf, estimated from their hessians as LightGBM does.
    #[schemars(range(min = 1))]
    pub min_samples_leaf: u32,
    /// The least sum of hessians of a leaf.
    #[schemars(range(min = 0))]
    pub min_child_weight: f64,
    /// L2 regularisation of leaf values.
    #[schemars(range(min = 0))]
    pub lambda: f64,
    /// L1 regularisation of leaf values.
    #[schemars(range(min = 0))]
    pub alpha: f64,
    /// The least gain of a split.
    #[schemars(range(min = 0))]
    pub min_split_gain: f64,
    /// The share of the rows that each tree is grown on.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub subsample: f64,
    /// The share of the features that each tree may use.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub colsample: f64,
    /// The factor by which the weights of positive rows are multiplied (binary targets).
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub scale_pos_weight: f64,
    /// The number of rounds without an improvement of the validation loss after which training
    /// stops, keeping the best round; 0 for never. Without a validation table, this has no effect.
    pub early_stopping_rounds: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            n_estimators: 200,
            learning_rate: 0.05,
            growth: Growth::DepthWise,
            max_depth: Some(4),
            max_leaves: 31,
            min_samples_leaf: 1,
            min_child_weight: 1.0,
            lambda: 1.0,
            alpha: 0.0,
            min_split_gain: 0.0,
            subsample: 1.0,
            colsample: 1.0,
            scale_pos_weight: 1.0,
            early_stopping_rounds: 30,
        }
    }
}

impl Parameters {
    /// Returns the options of the library.
    fn check(&self, loss: Loss, validated: bool, seed: u64) -> Result<BoostedValidParams, Failure> {
        let options = BoostedOptions {
            loss,
            n_estimators: self.n_estimators,
            learning_rate: self.learning_rate,
            growth: match self.growth {
                Growth::DepthWise => stagewright_trees::Growth::DepthWise,
                Growth::LeafWise => stagewright_trees::Growth::LeafWise,
            },
            max_depth: self.max_depth,
            max_leaves: self.max_leaves,
            min_samples_leaf: self.min_samples_leaf,
            min_child_weight: self.min_child_weight,
            lambda: self.lambda,
            alpha: self.alpha,
            min_split_gain: self.min_split_gain,
            subsample: self.subsample,
            colsample: self.colsample,
            scale_pos_weight: self.scale_pos_weight,
            early_stopping_rounds: Some(self.early_stopping_rounds).filter(|rounds| validated && *rounds > 0),
            seed,
        };
        options.check().map_err(failure)
    }
}

/// The stage, and the model that it trains.
pub struct TrainBoosted(LoadedTrees);

impl Training for TrainBoosted {
    type Parameters = Parameters;
    const TASKS: &'static [TaskKind] = &[TaskKind::Binary, TaskKind::Regression];

    fn train(
        train: &dyn Table,
        validation: Option<&dyn Table>,
        task: &Task,
        settings: &Settings<Parameters>,
        model: &mut BlobWriter,
    ) -> Result<(), Failure> {
        let loss = match task {
            Task::Binary(_) => Loss::Logistic,
            Task::Regression => Loss::SquaredError,
            Task::MultiClass(_) => {
                return Err(Failure::parameter(
                    "task",
                    "train-boosted learns binary targets and regressions, not several classes",
                ));
            }
        };
        let params = settings.parameters.check(loss, validation.is_some(), settings.seed)?;
        let table = BinnedTable::read(train)?;
        let validation = validation.map(|rows| table.read_alike(rows)).transpose()?;
        let total = u64::from(params.n_estimators);
        let mut after_round = |report: RoundReport| {
            tracking::progress(u64::from(report.round) + 1, total);
            if let Some(loss) = report.validation_loss {
                tracking::metric("validation_loss", loss, u64::from(report.round));
            }
        };
        let watcher = Watcher { training_loss: false, after_round: &mut after_round };
        let validation = validation.as_ref().map(BinnedTable::set);
        let trained = boosted::train(&params, table.set(), validation, Some(watcher)).map_err(failure)?;
        info!("kept {} of at most {total} trees", trained.trees());
        write_model(&trained, model)
    }

    fn load(model: &mut BlobReader<'_>, _inputs: &[Field]) -> Result<Self, Failure> {
        LoadedTrees::read(model, &[Objective::Logistic, Objective::Value]).map(Self)
    }

    fn outputs(&self) -> Vec<Output> {
        self.0.outputs()
    }

    fn predict(&self, rows: Batch) -> Result<Vec<f64>, Failure> {
        self.0.predict(rows)
    }

    fn predict_into(&self, rows: MatrixView<'_>, predictions: &mut [f64]) -> Result<(), Failure> {
        self.0.predict_into(rows, predictions)
    }

    fn importance(&self) -> Vec<f64> {
        self.0.importance()
    }
}

stagewright_kit::training!(TrainBoosted);

#[cfg(test)]
mod tests;
