//! WIT `models`: predictions for an evaluation stage, from sandboxes of their own.

use stagewright_lifecycle::fault::{LimitKind, StageFault};
use stagewright_lifecycle::sandbox::{Meter, ModelParts};
use stagewright_store::{Field, Role, Schema};
use wasmtime::component::Resource;

use crate::batch;
use crate::bindings::stagewright::stage::models::{Host, HostModel};
use crate::bindings::stagewright::stage::types::{Batch, Failure, FeatureImportance};
use crate::guest::Guest;
use crate::predictor::Pipeline;
use crate::runtime::Runtime;

/// A model that a guest may ask. Its instances start at the first question.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct ModelHandle {
    runtime: Runtime,
    parts: ModelParts,
    /// The columns that the guest passes: the features of the table that it looks at, in their
    /// order.
    passed: Schema,
    /// For each column that the model reads, its place among those.
    places: Vec<usize>,
    pipeline: Option<Pipeline>,
}

impl ModelHandle {
    /// A model for a guest that looks at a table with these columns. The guest passes the table's
    /// features in the table's order; an older model may read fewer of them, or in another order,
    /// and finds its own by name.
    ///
    /// # Errors
    /// A fault of the host if the table lacks a column of the model, or has it in another type:
    /// such a model must not be lent.
    pub(crate) fn new(runtime: Runtime, parts: ModelParts, table: &Schema) -> Result<Self, StageFault> {
        let passed = table.project(&table.indices_with(Role::Feature));
        let place = |wanted: &Field| match passed.index_of(&wanted.name) {
            Some(place) if passed.fields()[place].data_type == wanted.data_type => Ok(place),
            _ => Err(StageFault::host(format!("the test table has no {} column `{}`", wanted.data_type, wanted.name))),
        };
        let places = parts.features.fields().iter().map(place).collect::<Result<_, _>>()?;
        Ok(Self { runtime, parts, passed, places, pipeline: None })
    }
}

impl Host for Guest {}

impl HostModel for Guest {
    fn predict(&mut self, model: Resource<ModelHandle>, rows: Batch) -> wasmtime::Result<Result<Vec<f64>, Failure>> {
        self.check_time()?;
        let handle = self.table.get_mut(&model)?;
        let rows = match batch::incoming(rows, &handle.passed, &self.context) {
            Ok(rows) => rows.project(&handle.places).map_err(StageFault::host)?,
            Err(fault) => return Ok(Err(Failure::Internal(fault.to_string()))),
        };
        self.leave();
        let waiting = std::time::Instant::now();
        let scores = self.ask(&model, &rows);
        Meter::add(&self.context.meter.waited_ns, waiting.elapsed().as_nanos() as u64);
        self.enter();
        let scores = scores?;
        if scores.len() * 8 > stagewright_store::MAX_BATCH_BYTES {
            let kind = LimitKind::Operator("bytes of one call");
            return Err(self.limit(kind, scores.len() as u64 * 8, stagewright_store::MAX_BATCH_BYTES as u64).into());
        }
        Meter::add(&self.context.meter.bytes_in, scores.len() as u64 * 8);
        Ok(Ok(scores))
    }

    fn importance(&mut self, model: Resource<ModelHandle>) -> wasmtime::Result<Vec<FeatureImportance>> {
        let importance = &self.table.get(&model)?.parts.importance;
        Ok(importance
            .iter()
            .map(|(feature, importance)| FeatureImportance { feature: feature.clone(), importance: *importance })
            .collect())
    }

    fn drop(&mut self, model: Resource<ModelHandle>) -> wasmtime::Result<()> {
        self.table.delete(model)?;
        Ok(())
    }
}

impl Guest {
    /// Runs the model's own sandboxes on this thread, while this guest waits: no other permit is needed.
    fn ask(&mut self, model: &Resource<ModelHandle>, rows: &arrow_array::RecordBatch) -> wasmtime::Result<Vec<f64>> {
        let handle = self.table.get_mut(model)?;
        if handle.pipeline.is_none() {
            handle.pipeline = Some(Pipeline::new(&handle.runtime, &handle.parts)?);
        }
        let pipeline = handle.pipeline.as_mut().ok_or_else(|| StageFault::host("the model has no instance"))?;
        Ok(pipeline.predict(rows)?)
    }
}
