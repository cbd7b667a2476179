//! Predictions of new rows by a registered model.
//!
//! They use the same components and the same decoder as the model's evaluation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use stagewright_data::Task;
use stagewright_manifest::{Limits, World};
use stagewright_store::{ArtifactStore, DataType, Field, Table};

use crate::fault::StageFault;
use crate::isolation_check::check_isolation;
use crate::limits::{Cancel, Meter};
use crate::model::{ModelComponent, RegisteredModel};
use crate::row_independence::predict_checked;
use crate::sandbox::{
    CallLimits, Component, ComponentSource, Isolation, ModelParts, ModelRunner, ModelSession, ModelSessions,
    PredictionSink, RowStream, Shelf, StageContext, Tracker, View, stage_seed,
};

/// The rows for which a model's limits of time and log lines count as for one run: more than most
/// tables have. A longer stream of rows exceeds no limit because of its length.
pub const ROWS_PER_LIMIT: u64 = 1 << 20;

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

/// Returns the label of a row's values: the positive class from a probability of one half on, or
/// the most probable class. `None` for a regression.
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
    /// The rows with a category that training did not see, by the column's index, of streams.
    unseen: Mutex<BTreeMap<usize, u64>>,
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
        Ok(Self { parts, unseen: Mutex::default() })
    }

    /// Predicts decoded rows, which have the features of the signature and come piece by piece.
    /// `take` receives the values of each piece, in order: one for each row, or one for each class.
    ///
    /// The model's limits of CPU and wall time and of log lines count for each [`ROWS_PER_LIMIT`]
    /// rows.
    ///
    /// # Errors
    /// A component fails or breaks the contract; the errors of `rows` and `take`.
    pub fn predict_stream(
        &self,
        models: &dyn ModelRunner,
        rows: &mut dyn RowStream,
        take: PredictionSink<'_>,
    ) -> Result<(), StageFault> {
        let mut before = 0;
        loop {
            let parts = self.unmetered();
            let mut part = StreamPart { rows: &mut *rows, given: 0, is_last: false };
            models.predict_stream(&parts, &mut part, take).map_err(|fault| fault.counted_from(before))?;
            before += part.given;
            let mut unseen = self.unseen.lock().unwrap_or_else(PoisonError::into_inner);
            for (column, rows) in parts.transformation.meter.unseen() {
                *unseen.entry(column).or_default() += rows;
            }
            if part.is_last {
                return Ok(());
            }
        }
    }

    /// Returns the parts of the model with meters that have counted nothing.
    fn unmetered(&self) -> ModelParts {
        let anew = |context: &StageContext| Arc::new(context.with(context.limits, Arc::new(Meter::while_called())));
        let (transformation, training) = (anew(&self.parts.transformation), anew(&self.parts.training));
        ModelParts { transformation, training, ..self.parts.clone() }
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

    /// Checks that pooled instances of the model answer these rows as fresh ones do. Returns the
    /// number of answers that were compared.
    ///
    /// # Errors
    /// See [`check_isolation`].
    pub fn check_isolation(
        &self,
        sessions: &dyn ModelSessions,
        rows: &RecordBatch,
        limits: CallLimits,
    ) -> Result<u64, StageFault> {
        check_isolation(&self.parts, sessions, rows, limits)
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
        let mut counts = self.parts.transformation.meter.unseen();
        for (&column, &rows) in &*self.unseen.lock().unwrap_or_else(PoisonError::into_inner) {
            *counts.entry(column).or_default() += rows;
        }
        let named = counts.into_iter().filter_map(|(place, rows)| Some((features.get(place)?.name.clone(), rows)));
        let named: Vec<_> = named.collect();
        let is_text = |field: &Field| matches!(field.data_type, DataType::Utf8 | DataType::Categorical);
        (!named.is_empty() || !features.iter().any(is_text)).then_some(named)
    }
}

/// The part of a stream for which the limits count.
struct StreamPart<'a> {
    rows: &'a mut dyn RowStream,
    /// The rows so far. The last piece may exceed the number of rows, since it is not divided.
    given: u64,
    /// Whether the stream has ended.
    is_last: bool,
}

impl RowStream for StreamPart<'_> {
    fn next(&mut self) -> Result<Option<RecordBatch>, StageFault> {
        if self.given >= ROWS_PER_LIMIT {
            return Ok(None);
        }
        let batch = self.rows.next()?;
        match &batch {
            Some(batch) => self.given += batch.num_rows() as u64,
            None => self.is_last = true,
        }
        Ok(batch)
    }

    fn stopper(&self) -> Box<dyn Fn() + Send + Sync> {
        self.rows.stopper()
    }
}
