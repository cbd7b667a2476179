//! Transformers and predictors as instances that answer batch after batch.
//!
//! The same code runs in a pipeline, for an evaluator and for `predict`: what is measured is what is served.

use std::sync::Arc;

use arrow_array::RecordBatch;
use stagewright_data::Task;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::model::width;
use stagewright_lifecycle::sandbox::{Meter, ModelParts, StageContext};
use stagewright_store::{BatchProblem, Blob, DataType, Field, MAX_BATCH_BYTES, Schema, batch_bytes};
use wasmtime::Store;
use wasmtime::component::ResourceAny;

use crate::batch;
use crate::bindings::exports::stagewright::stage::{predict, transform};
use crate::bindings::stagewright::stage::types::Batch;
use crate::desk::Asked;
use crate::guest::Guest;
use crate::instance;
use crate::runtime::Runtime;

/// How far the probabilities of a row may be from 1 in sum.
const SUM_TOLERANCE: f64 = 1e-6;

/// An instance of a transformation component that has loaded its state.
pub(crate) struct Transformer {
    store: Store<Guest>,
    guest: transform::Guest,
    resource: ResourceAny,
    schema: Schema,
    /// Rows that the next call takes, at most: never more than `most_rows`.
    rows: usize,
    /// Rows whose features are expected to fit one crossing.
    most_rows: usize,
}

/// Rows of a table with these columns that are expected to fit one crossing; at least 1. Exact for
/// numbers without nulls; where it is too many, [`Transformer::transform`] finds out.
pub(crate) fn rows_of_crossing(schema: &Schema) -> usize {
    let bits = |field: &Field| {
        let values = match field.data_type {
            DataType::Boolean => 1,
            DataType::Int64 | DataType::Float64 | DataType::Timestamp => 64,
            DataType::Categorical => 32,
            // An offset, and a short word.
            DataType::Utf8 => 128,
        };
        values + usize::from(field.nullable)
    };
    let row: usize = schema.fields().iter().map(bits).sum();
    (MAX_BATCH_BYTES * 8 / row.max(1)).max(1)
}

impl Transformer {
    pub(crate) fn new(runtime: &Runtime, context: &Arc<StageContext>, state: &Blob) -> Result<Self, StageFault> {
        let (mut store, pre, started) = runtime.start(context.clone(), None)?;
        let indices = transform::GuestIndices::new(&pre);
        let guest = instance::call(&mut store, "transformer", |store| Ok(Ok(indices?.load(store, &started)?)))?;
        let blob = store.data_mut().desk.lend_blob(state.clone())?;
        let resource = instance::call(&mut store, "transformer.load", |store| {
            guest.transformer().call_load(store, wasmtime::component::Resource::new_borrow(blob))
        })?;
        let fields = instance::call(&mut store, "transformer.fields", |store| {
            Ok(Ok(guest.transformer().call_fields(store, resource)?))
        })?;
        let most = store.data().desk.account.bounds.columns;
        let schema = context.on_behalf(|| {
            batch::schema_in(fields, most).map_err(|reason| contract(context, "transformer.fields", reason))
        })?;
        // A schema that a guest declares is kept as long as its instance.
        store.data_mut().desk.account.hold(schema.held_bytes())?;
        let most_rows = rows_of_crossing(&schema);
        Ok(Self { store, guest, resource, schema, rows: most_rows, most_rows })
    }

    /// The columns that it returns.
    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Transforms a batch of the raw features and hands the features to `take`, each part with the
    /// place of its first row in `rows`. Features may take far more room than what they are made
    /// of, so the rows go in as many calls as the features need to fit their crossings: `transform`
    /// is row-wise, and so the parts are what one call would have given. What `take` keeps as long
    /// as the instance lives, in bytes, is the instance's memory.
    pub(crate) fn transform(
        &mut self,
        rows: &RecordBatch,
        mut take: impl FnMut(usize, RecordBatch) -> Result<u64, StageFault>,
    ) -> Result<(), StageFault> {
        let mut done = 0;
        loop {
            let part = rows.slice(done, self.rows.min(rows.num_rows() - done));
            match self.transform_part(&part).map_err(|fault| fault.counted_from(done as u64))? {
                Some(features) => {
                    let kept = take(done, features)?;
                    self.store.data_mut().desk.account.hold(kept)?;
                    done += part.num_rows();
                    self.rows = self.most_rows.min(self.rows.saturating_mul(2));
                    if done >= rows.num_rows() {
                        return Ok(());
                    }
                }
                None => self.rows = (part.num_rows() / 2).max(1),
            }
        }
    }

    /// One call; `None` if fewer rows should be tried.
    fn transform_part(&mut self, rows: &RecordBatch) -> Result<Option<RecordBatch>, StageFault> {
        let context = self.store.data().desk.context().clone();
        let batch = context.on_behalf(|| batch::outgoing(rows, &context))?;
        let (guest, resource) = (&self.guest, self.resource);
        let transformed = instance::call(&mut self.store, "transformer.transform", |store| {
            guest.transformer().call_transform(store, resource, &batch)
        })?;
        drop(batch);
        context.clone().on_behalf(|| self.checked(rows, transformed, &context))
    }

    /// Checks what came back for some rows; `None` if fewer rows should be tried.
    fn checked(
        &self,
        rows: &RecordBatch,
        transformed: Batch,
        context: &StageContext,
    ) -> Result<Option<RecordBatch>, StageFault> {
        let largest = (rows.num_rows() == 1).then(|| batch::largest(&transformed)).flatten();
        let transformed = match batch::incoming(transformed, &self.schema, context) {
            Ok(transformed) => transformed,
            Err(fault) => match fault.problem {
                BatchProblem::TooLarge { .. } if rows.num_rows() > 1 => return Ok(None),
                BatchProblem::TooLarge { bytes } if rows.num_rows() == 1 => {
                    let name = largest.and_then(|column| Some(self.schema.fields().get(column)?.name.clone()));
                    return Err(batch::row_too_large(
                        context.world.as_str(),
                        "the features of one row",
                        bytes,
                        name,
                        0,
                    ));
                }
                _ => return Err(contract(context, "transformer.transform", fault)),
            },
        };
        if transformed.num_rows() != rows.num_rows() {
            let message = format!("{} rows came back for {}", transformed.num_rows(), rows.num_rows());
            return Err(contract(context, "transformer.transform", message));
        }
        if context.staging.is_some() {
            // The host writes the rows into an artifact of the stage.
            let size = batch_bytes(&transformed, transformed.num_rows()).map_err(StageFault::host)?;
            self.store.data().desk.account.charge_output(size as u64)?;
        }
        Ok(Some(transformed))
    }
}

/// An instance of a training component that has loaded a model.
pub(crate) struct Predictor {
    store: Store<Guest>,
    guest: predict::Guest,
    resource: ResourceAny,
    output: predict::Output,
    width: usize,
}

impl Predictor {
    pub(crate) fn new(
        runtime: &Runtime,
        context: &Arc<StageContext>,
        model: &Blob,
        task: &Task,
    ) -> Result<Self, StageFault> {
        let (mut store, pre, started) = runtime.start(context.clone(), None)?;
        let indices = predict::GuestIndices::new(&pre);
        let guest = instance::call(&mut store, "predictor", |store| Ok(Ok(indices?.load(store, &started)?)))?;
        let blob = store.data_mut().desk.lend_blob(model.clone())?;
        let resource = instance::call(&mut store, "predictor.load", |store| {
            guest.predictor().call_load(store, wasmtime::component::Resource::new_borrow(blob))
        })?;
        let output = instance::call(&mut store, "predictor.output", |store| {
            Ok(Ok(guest.predictor().call_output(store, resource)?))
        })?;
        let fitting = match task {
            Task::Binary { .. } => predict::Output::Score,
            Task::MultiClass { .. } => predict::Output::ClassProbabilities,
            Task::Regression => predict::Output::Value,
        };
        if output != fitting {
            let message = format!("it predicts `{}`, and the task wants `{}`", name(output), name(fitting));
            return Err(contract(context, "predictor.output", message));
        }
        Ok(Self { store, guest, resource, output, width: width(task) })
    }

    /// Predicts a batch of transformed features; `width` numbers per row, checked.
    pub(crate) fn predict(&mut self, rows: &RecordBatch) -> Result<Vec<f64>, StageFault> {
        let context = self.store.data().desk.context().clone();
        let batch = context.on_behalf(|| batch::outgoing(rows, &context))?;
        let (guest, resource) = (&self.guest, self.resource);
        let numbers = instance::call(&mut self.store, "predictor.predict", |store| {
            guest.predictor().call_predict(store, resource, &batch)
        })?;
        Meter::add(&context.meter.rows_out, rows.num_rows() as u64);
        Meter::add(&context.meter.bytes_out, numbers.len() as u64 * 8);
        context.on_behalf(|| {
            self.check(&numbers, rows.num_rows()).map_err(|message| contract(&context, "predictor.predict", message))
        })?;
        Ok(numbers)
    }

    fn check(&self, numbers: &[f64], rows: usize) -> Result<(), String> {
        if numbers.len() != rows * self.width {
            return Err(format!("{} numbers came back for {rows} rows of {}", numbers.len(), self.width));
        }
        let allowed = |number: &f64| match self.output {
            predict::Output::Value => number.is_finite(),
            predict::Output::Score | predict::Output::ClassProbabilities => (0.0..=1.0).contains(number),
        };
        if let Some(at) = numbers.iter().position(|number| !allowed(number)) {
            return Err(format!("row {}: {} is not a {}", at / self.width, numbers[at], self.output_name()));
        }
        if self.output == predict::Output::ClassProbabilities {
            let off = |row: &[f64]| (row.iter().sum::<f64>() - 1.0).abs() > SUM_TOLERANCE;
            if let Some(row) = numbers.chunks_exact(self.width).position(off) {
                return Err(format!("row {row}: the probabilities do not sum to 1"));
            }
        }
        Ok(())
    }

    fn output_name(&self) -> &'static str {
        match self.output {
            predict::Output::Value => "finite value",
            predict::Output::Score | predict::Output::ClassProbabilities => "probability",
        }
    }
}

/// An output's name in the contract.
fn name(output: predict::Output) -> &'static str {
    match output {
        predict::Output::Score => "score",
        predict::Output::ClassProbabilities => "class-probabilities",
        predict::Output::Value => "value",
    }
}

/// A transformer and a predictor behind each other.
pub(crate) struct Pipeline {
    transformer: Transformer,
    predictor: Predictor,
}

impl Pipeline {
    pub(crate) fn new(runtime: &Runtime, parts: &ModelParts) -> Result<Self, StageFault> {
        Ok(Self {
            transformer: Transformer::new(runtime, &parts.transformation, &parts.state)?,
            predictor: Predictor::new(runtime, &parts.training, &parts.model, &parts.task)?,
        })
    }

    /// From raw features to predictions.
    pub(crate) fn predict(&mut self, rows: &RecordBatch) -> Result<Vec<f64>, StageFault> {
        let Self { transformer, predictor } = self;
        let mut numbers = Vec::with_capacity(rows.num_rows() * predictor.width);
        transformer.transform(rows, |first, features| {
            let part = predictor.predict(&features).map_err(|fault| fault.counted_from(first as u64))?;
            numbers.extend(part);
            Ok(0)
        })?;
        Ok(numbers)
    }
}

/// A model whose instances start at the first question.
pub(crate) struct LazyPipeline {
    runtime: Runtime,
    parts: ModelParts,
    started: Option<Pipeline>,
}

impl LazyPipeline {
    pub(crate) fn new(runtime: Runtime, parts: ModelParts) -> Self {
        Self { runtime, parts, started: None }
    }
}

impl Asked for LazyPipeline {
    fn predict(&mut self, rows: &RecordBatch) -> Result<Vec<f64>, StageFault> {
        let pipeline = match &mut self.started {
            Some(pipeline) => pipeline,
            none => none.insert(Pipeline::new(&self.runtime, &self.parts)?),
        };
        pipeline.predict(rows)
    }
}

/// A fault of the component against the contract.
pub(crate) fn contract(context: &StageContext, export: &str, message: impl std::fmt::Display) -> StageFault {
    StageFault::Contract {
        stage: context.world.as_str(),
        component: context.component.name.clone(),
        export: export.into(),
        message: stagewright_lifecycle::fault::guest_text(&message.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(columns: usize) -> Schema {
        let field = |column| Field::new(format!("f{column}"), DataType::Float64).with_nullable(false);
        Schema::new((0..columns).map(field).collect()).expect("distinct names")
    }

    #[test]
    fn as_many_rows_of_numbers_are_tried_as_a_crossing_holds() {
        for columns in [1, 40, 128, 129, 150, 10_000, 65_536] {
            let rows = rows_of_crossing(&floats(columns));
            assert!(rows * columns * 8 <= MAX_BATCH_BYTES, "{columns}");
            assert!((rows + 1) * columns * 8 > MAX_BATCH_BYTES, "{columns}");
        }
        assert!(rows_of_crossing(&floats(0)) > 0);
    }
}
