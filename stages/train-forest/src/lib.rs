//! The training stage `train-forest`: a random forest, for binary targets.
//!
//! This defines the parameters, with scikit-learn's names, and the division into shards;
//! `stagewright-trees` grows the trees. A forest trained in shards has the same bytes as one
//! trained whole.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stagewright_kit::{
    Batch, Blob, BlobReader, BlobWriter, Failure, Field, MatrixView, Output, Settings, Sharding, Table, Task, TaskKind,
    Training, tracking,
};
use stagewright_tree_training::{BinnedTable, LoadedTrees, failure, read_model, write_model};
use stagewright_trees::{ForestOptions, ForestValidParams, MaxFeatures, Objective, forest};
use std::ops::Range;

/// The least number of trees of a shard. Each shard reads and bins the table, which must remain a
/// small part of its work.
const TREES_PER_SHARD: u32 = 50;

/// The most shards. Few machines would benefit from more.
const MOST_SHARDS: u32 = 16;

/// The number of features that each split considers, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NamedMaxFeatures {
    /// The square root of the number of features.
    Sqrt,
    /// The base-2 logarithm of the number of features.
    Log2,
    /// All features.
    All,
}

/// The number of features that each split considers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum MaxFeaturesParameter {
    /// `sqrt`, `log2` or `all`.
    Named(NamedMaxFeatures),
    /// An integer: this number.
    Number(#[schemars(range(min = 1))] u32),
    /// A fraction up to 1: this share of the features.
    Share(#[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))] f64),
}

/// The stage's parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// The number of trees.
    #[schemars(range(min = 1, max = 10_000))]
    pub n_estimators: u32,
    /// The most splits between the root and a leaf; null for no limit.
    #[schemars(range(min = 1))]
    pub max_depth: Option<u32>,
    /// The least number of rows of a node that is split.
    #[schemars(range(min = 2))]
    pub min_samples_split: u32,
    /// The least number of rows of a leaf.
    #[schemars(range(min = 1))]
    pub min_samples_leaf: u32,
    /// The number of features that each split considers: `sqrt`, `log2`, `all`, a number, or a
    /// fraction.
    pub max_features: MaxFeaturesParameter,
    /// Whether each tree draws its rows with replacement.
    pub bootstrap: bool,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            n_estimators: 200,
            max_depth: Some(12),
            min_samples_split: 2,
            min_samples_leaf: 5,
            max_features: MaxFeaturesParameter::Named(NamedMaxFeatures::Sqrt),
            bootstrap: true,
        }
    }
}

impl Parameters {
    /// Returns the options of the library.
    fn check(&self, seed: u64) -> Result<ForestValidParams, Failure> {
        let max_features = match self.max_features {
            MaxFeaturesParameter::Named(NamedMaxFeatures::Sqrt) => MaxFeatures::SquareRoot,
            MaxFeaturesParameter::Named(NamedMaxFeatures::Log2) => MaxFeatures::Logarithm,
            MaxFeaturesParameter::Named(NamedMaxFeatures::All) => MaxFeatures::All,
            MaxFeaturesParameter::Number(number) => MaxFeatures::Number(number),
            MaxFeaturesParameter::Share(share) => MaxFeatures::Share(share),
        };
        let options = ForestOptions {
            n_estimators: self.n_estimators,
            max_depth: self.max_depth,
            min_samples_split: self.min_samples_split,
            min_samples_leaf: self.min_samples_leaf,
            max_features,
            bootstrap: self.bootstrap,
            seed,
        };
        options.check().map_err(failure)
    }
}

/// The stage, and the forest that it grows.
pub struct TrainForest(LoadedTrees);

impl Training for TrainForest {
    type Parameters = Parameters;
    const TASKS: &'static [TaskKind] = &[TaskKind::Binary];

    fn train(
        train: &dyn Table,
        _validation: Option<&dyn Table>,
        task: &Task,
        settings: &Settings<Parameters>,
        model: &mut BlobWriter,
    ) -> Result<(), Failure> {
        let table = binned(train, task)?;
        grow(&table, settings, 0..settings.parameters.n_estimators, model)
    }

    fn load(model: &mut BlobReader<'_>, _inputs: &[Field]) -> Result<Self, Failure> {
        LoadedTrees::read(model, &[Objective::MeanProbability]).map(Self)
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

impl Sharding for TrainForest {
    fn plan_shards(
        train: &dyn Table,
        _validation: Option<&dyn Table>,
        task: &Task,
        settings: &Settings<Parameters>,
        common: &mut BlobWriter,
    ) -> Result<u32, Failure> {
        let shards = (settings.parameters.n_estimators / TREES_PER_SHARD).clamp(1, MOST_SHARDS);
        if shards > 1 {
            binned(train, task)?.write(common)?;
        }
        Ok(shards)
    }

    fn train_shard(
        _train: &dyn Table,
        _validation: Option<&dyn Table>,
        _task: &Task,
        settings: &Settings<Parameters>,
        common: &dyn Blob,
        shard: (u32, u32),
        part: &mut BlobWriter,
    ) -> Result<(), Failure> {
        let table = BinnedTable::read_binned(&mut BlobReader::new(common))?;
        grow(&table, settings, trees_of(shard, settings.parameters.n_estimators)?, part)
    }

    fn merge(
        parts: &[&dyn Blob],
        settings: &Settings<Parameters>,
        _common: &dyn Blob,
        model: &mut BlobWriter,
    ) -> Result<(), Failure> {
        let parts: Vec<_> =
            parts.iter().map(|part| read_model(&mut BlobReader::new(*part))).collect::<Result<_, _>>()?;
        let whole = forest::merge(parts).map_err(failure)?;
        if whole.trees() != settings.parameters.n_estimators as usize {
            let (found, wanted) = (whole.trees(), settings.parameters.n_estimators);
            return Err(Failure::internal(format!("the parts hold {found} trees of {wanted}")));
        }
        write_model(&whole, model)
    }
}

stagewright_kit::sharded_training!(TrainForest);

/// Returns the trees of a shard. The shards together have all trees, and their numbers of trees
/// differ by at most one.
fn trees_of((shard, shards): (u32, u32), trees: u32) -> Result<Range<u32>, Failure> {
    if shard >= shards || shards > trees {
        return Err(Failure::internal(format!("shard {shard} of {shards} is none of {trees} trees")));
    }
    let bound = |number: u32| (u64::from(trees) * u64::from(number) / u64::from(shards)) as u32;
    Ok(bound(shard)..bound(shard + 1))
}

/// Bins the training table.
fn binned(train: &dyn Table, task: &Task) -> Result<BinnedTable, Failure> {
    if !matches!(task, Task::Binary(_)) {
        return Err(Failure::parameter("task", "train-forest learns binary targets only"));
    }
    BinnedTable::read(train)
}

fn grow(
    table: &BinnedTable,
    settings: &Settings<Parameters>,
    trees: Range<u32>,
    model: &mut BlobWriter,
) -> Result<(), Failure> {
    let params = settings.parameters.check(settings.seed)?;
    let total = u64::from(trees.end - trees.start);
    let grown =
        forest::train_trees(&params, table.set(), trees, &mut |done| tracking::progress(u64::from(done), total));
    write_model(&grown.map_err(failure)?, model)
}

#[cfg(test)]
mod tests;
