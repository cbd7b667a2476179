//! Predictions of new rows by a registered model.
//!
//! They use the same components and the same decoder as the model's evaluation.

use std::sync::Arc;

use arrow_array::RecordBatch;
use stagewright_data::Task;
use stagewright_manifest::{Limits, World};
use stagewright_store::{ArtifactStore, DataType, Field, Table};

use crate::fault::StageFault;
use crate::limits::{Cancel, Meter};
use crate::model::{ModelComponent, RegisteredModel};
use crate::row_independence::predict_checked;
use crate::sandbox::{
    CallLimits, Component, ComponentSource, Isolation, ModelParts, ModelRunner, ModelSession, ModelSessions, Shelf,
    StageContext, Tracker, View, stage_seed,
};

/// Returns the columns that a model reads, wherever they are in the table.
///
/// # Errors
/// The table lacks one of them.
pub(crate) fn view_for(parts: &ModelParts, table: &Table) -> Result<View, StageFault> {
    let place = |field: &Field| {
        table
            .schema()
            .index_of(&field.name)
            .ok_or_else(|| StageFault::host(format!("the table has no column `{}`", field.name)))
    };
    let columns = parts.features.fields().iter().map(place).collect::<Result<Vec<_>, _>>()?;
    Ok(View { table: table.clone(), schema: table.schema().project(&columns), columns })
}

/// Loads the components of a registered model: transformation and training.
///
/// # Errors
/// A component is missing, does not match its digest, or is refused by this host.
pub(crate) fn components(
    model: &RegisteredModel,
    source: &dyn ComponentSource,
    artifacts: &ArtifactStore,
) -> Result<(Arc<Component>, Arc<Component>), StageFault> {
    let ready = |world, component: &ModelComponent| source.restore(world, component, artifacts).map(Arc::new);
    Ok((ready(World::Transformation, &model.transformation)?, ready(World::Training, &model.training)?))
}

/// Returns the label of a row's values: the positive class from a probability of one half on, or the
/// most probable class. `None` for a regression.
pub fn label<'a>(task: &'a Task, values: &[f64]) -> Option<&'a str> {
    match task {
        Task::Binary { negative, positive } => Some(if values[0] >= 0.5 { positive } else { negative }),
        Task::MultiClass { classes } => {
            let best = values.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(class, _)| class)?;
            classes.get(best).map(String::as_str)
        }
        Task::Regression => None,
    }
}

/// A registered model, loaded and ready to predict.
pub struct LoadedModel {
    parts: ModelParts,
}

impl LoadedModel {
    /// Verifies the model's blobs and loads its components. `limits` are the limits of
    /// transformation and training.
    ///
    /// # Errors
    /// A blob or a component is missing or does not match its digest.
    pub fn new(
        model: &RegisteredModel,
        source: &dyn ComponentSource,
        artifacts: &ArtifactStore,
        limits: [(World, Limits); 2],
        tracker: Arc<dyn Tracker>,
        workers: usize,
        cancel: &Cancel,
    ) -> Result<Self, StageFault> {
        let (state, blob) = model.blobs(artifacts)?;
        let (transformation, training) = components(model, source, artifacts)?;
        let context = |component: Arc<Component>, parameters: &serde_json::Value, world: World| {
            let limits =
                limits.iter().find(|(of, _)| *of == world).map_or(world.default_limits(), |(_, limits)| *limits);
            Arc::new(StageContext {
                world,
                component,
                parameters: parameters.to_string(),
                seed: stage_seed(model.seed, world),
                roles: std::collections::HashMap::new(),
                as_of: model.as_of,
                limits,
                staging: None,
                meter: Arc::new(Meter::while_called()),
                tracker: tracker.clone(),
                workers,
                cancel: cancel.clone(),
                shelf: Shelf::default(),
            })
        };
        let parts = ModelParts {
            transformation: context(transformation, &model.transformation.parameters, World::Transformation),
            state,
            training: context(training, &model.training.parameters, World::Training),
            model: blob,
            features: model.features(),
            task: model.task.clone(),
            importance: model.importance.clone(),
        };
        Ok(Self { parts })
    }

    /// Predicts decoded rows, which are the features of the signature, in order. Returns one value
    /// for each row, or one for each class.
    ///
    /// # Errors
    /// A component fails or breaks the contract.
    pub fn predict(&self, models: &dyn ModelRunner, rows: &RecordBatch) -> Result<Vec<f64>, StageFault> {
        models.predict_batch(&self.parts, rows)
    }

    /// Opens a session of the model, which stays loaded and answers batch after batch.
    ///
    /// # Errors
    /// A component cannot be started, or does not load its state.
    pub fn session(
        &self,
        sessions: &dyn ModelSessions,
        limits: CallLimits,
        isolation: Isolation,
    ) -> Result<Box<dyn ModelSession>, StageFault> {
        sessions.open(&self.parts, limits, isolation)
    }

    /// Predicts the rows of a table that has at least the columns that the model reads. As in an
    /// evaluation, it checks that each answer depends on its row alone.
    ///
    /// # Errors
    /// A component fails or breaks the contract, or the table lacks a column.
    pub fn predict_table(&self, models: &dyn ModelRunner, table: &Table) -> Result<Vec<f64>, StageFault> {
        predict_checked(models, &self.parts, &view_for(&self.parts, table)?)
    }

    /// Returns the number of rows predicted so far that have a category which training did not see,
    /// for each column that the transformation counts, in the order of the features. `None` if
    /// there are text columns and the transformation counts none of them.
    pub fn unseen(&self) -> Option<Vec<(String, u64)>> {
        let features = self.parts.features.fields();
        let counts = self.parts.transformation.meter.unseen();
        let named = counts.into_iter().filter_map(|(place, rows)| Some((features.get(place)?.name.clone(), rows)));
        let named: Vec<_> = named.collect();
        let is_text = |field: &Field| matches!(field.data_type, DataType::Utf8 | DataType::Categorical);
        (!named.is_empty() || !features.iter().any(is_text)).then_some(named)
    }
}
