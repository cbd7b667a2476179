//! Loaded transformers and predictors, which process batch after batch.
//!
//! Runs, evaluations and `predict` use the same code, so the model that is measured is the model
//! that is served.

use std::sync::Arc;

use arrow_array::RecordBatch;
use stagewright_data::Task;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::{ModelParts, StageContext};
use stagewright_store::{BatchProblem, Blob, DataType, Field, MAX_BATCH_BYTES, Schema, packed};

use crate::batch;
use crate::bindings::stagewright::stage::types::{Batch, Output};
use crate::convert;
use crate::export_call::{ExportCall, Reply};
use crate::predictor_outputs::{PredictorOutputs, numbers};
use crate::process::stage_process::Purpose;
use crate::runtime::Runtime;
use crate::stage_host::PredictionSource;
use crate::stage_host::contract_fault;
use crate::stage_instance::StageInstance;

/// An instance of a transformation component with a loaded state.
pub(crate) struct Transformer {
    instance: StageInstance,
    /// The columns of its input.
    inputs: Schema,
    schema: Schema,
    /// The most rows of the next call; at most `most_rows`.
    rows: usize,
    /// The number of rows whose features are expected to fit one batch.
    most_rows: usize,
}

/// Estimates how many rows of these columns fit one batch; at least 1. Exact for numbers without
/// nulls. If the estimate is too high, [`Transformer::transform`] reduces it.
pub(crate) fn rows_per_batch(schema: &Schema) -> usize {
    let bits = |field: &Field| {
        let values = match field.data_type {
            DataType::Boolean => 1,
            DataType::Int64 | DataType::Float64 | DataType::Timestamp => 64,
            DataType::Categorical => 32,
            // An offset and a short word.
            DataType::Utf8 => 128,
        };
        values + usize::from(field.nullable)
    };
    let row: usize = schema.fields().iter().map(bits).sum();
    (MAX_BATCH_BYTES * 8 / row.max(1)).max(1)
}

impl Transformer {
    pub(crate) fn new(
        runtime: &Runtime,
        context: &Arc<StageContext>,
        state: &Blob,
        inputs: &Schema,
    ) -> Result<Self, StageFault> {
        let instance = runtime.instance_for(context, Purpose::Transforming(state.digest()))?;
        Self::load(instance, state, inputs)
    }

    /// Replaces the instance by a fresh one, which shares no state with it.
    pub(crate) fn renewed(self, state: &Blob) -> Result<Self, StageFault> {
        Self::load(self.instance.renewed()?, state, &self.inputs)
    }

    fn load(mut instance: StageInstance, state: &Blob, inputs: &Schema) -> Result<Self, StageFault> {
        let (state, fields) = (instance.lend_blob(state)?, batch::fields_out(inputs.fields()));
        instance.call(ExportCall::LoadTransformer { state, inputs: fields })?;
        let Reply::Fields(fields) = instance.call(ExportCall::TransformerFields)? else {
            return Err(instance.unexpected_reply("transformer.fields"));
        };
        let most = instance.host().account.bounds.columns;
        let schema = instance.context().on_behalf(|| {
            batch::schema_in(fields, most).map_err(|reason| instance.contract_fault("transformer.fields", reason))
        })?;
        // The host holds the schema that the guest declares as long as the instance lives.
        instance.host().account.hold(schema.held_bytes())?;
        instance.mark_reusable();
        let most_rows = rows_per_batch(&schema);
        Ok(Self { instance, inputs: inputs.clone(), schema, rows: most_rows, most_rows })
    }

    /// Returns the columns of its output.
    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Transforms a batch of raw features and passes the results to `take`, each with the index of
    /// its first row in `rows`.
    ///
    /// Transformed features may be far larger than raw features, so the rows are transformed in as
    /// many calls as the results need to fit their batches. `transform` is row-wise, so one call
    /// would give the same. `take` returns the bytes that it holds as long as the instance lives,
    /// which are charged to the instance.
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
                    self.instance.host().account.hold(kept)?;
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

    /// Calls `transform` once. Returns `None` if the result is too large, to be tried with fewer
    /// rows.
    fn transform_part(&mut self, rows: &RecordBatch) -> Result<Option<RecordBatch>, StageFault> {
        let context = self.instance.context().clone();
        let batch = context.on_behalf(|| batch::outgoing(rows, &self.inputs, &context))?;
        let Reply::Rows(transformed) = self.instance.call(ExportCall::Transform { rows: batch })? else {
            return Err(self.instance.unexpected_reply("transformer.transform"));
        };
        let checked = context.on_behalf(|| self.checked(rows, transformed, &context))?;
        self.instance.mark_reusable();
        Ok(checked)
    }

    /// Checks the result of a call. Returns `None` if it is too large.
    fn checked(
        &self,
        rows: &RecordBatch,
        transformed: Batch,
        context: &StageContext,
    ) -> Result<Option<RecordBatch>, StageFault> {
        let transformed = match batch::incoming(transformed, &self.schema, context) {
            Ok(transformed) => transformed,
            Err(fault) => match fault.problem {
                BatchProblem::TooLarge { .. } if rows.num_rows() > 1 => return Ok(None),
                BatchProblem::TooLarge { bytes, largest } if rows.num_rows() == 1 => {
                    let what = "the features of one row";
                    return Err(batch::row_too_large(context.world, what, bytes, largest, 0));
                }
                _ => return Err(contract_fault(context, "transformer.transform", fault)),
            },
        };
        if transformed.num_rows() != rows.num_rows() {
            let message = format!("{} rows came back for {}", transformed.num_rows(), rows.num_rows());
            return Err(contract_fault(context, "transformer.transform", message));
        }
        if context.staging.is_some() {
            // The host will write these rows into an artifact of the stage.
            let size = packed::batch_bytes(&transformed, &self.schema).map_err(StageFault::host)?;
            self.instance.account().charge_output(size as u64)?;
        }
        Ok(Some(transformed))
    }
}

/// An instance of a training component with a loaded model.
pub(crate) struct Predictor {
    instance: StageInstance,
    /// The columns of its input.
    inputs: Schema,
    pub(crate) outputs: PredictorOutputs,
}

impl Predictor {
    pub(crate) fn new(
        runtime: &Runtime,
        context: &Arc<StageContext>,
        model: &Blob,
        inputs: &Schema,
        task: &Task,
    ) -> Result<Self, StageFault> {
        let instance = runtime.instance_for(context, Purpose::Predicting(model.digest()))?;
        Self::load(instance, model, inputs, task)
    }

    /// Replaces the instance by a fresh one, which shares no state with it.
    fn renewed(self, model: &Blob, task: &Task) -> Result<Self, StageFault> {
        Self::load(self.instance.renewed()?, model, &self.inputs, task)
    }

    fn load(mut instance: StageInstance, model: &Blob, inputs: &Schema, task: &Task) -> Result<Self, StageFault> {
        let (model, fields) = (instance.lend_blob(model)?, batch::fields_out(inputs.fields()));
        instance.call(ExportCall::LoadPredictor { model, inputs: fields })?;
        let Reply::Outputs(outputs) = instance.call(ExportCall::PredictorOutputs)? else {
            return Err(instance.unexpected_reply("predictor.outputs"));
        };
        let outputs = instance.context().on_behalf(|| {
            PredictorOutputs::new(outputs, task).map_err(|reason| instance.contract_fault("predictor.outputs", reason))
        })?;
        instance.mark_reusable();
        Ok(Self { instance, inputs: inputs.clone(), outputs })
    }

    /// Returns the importance of each input in the whole model. The importances sum to 1, or there
    /// are none.
    pub(crate) fn importance(&mut self) -> Result<Vec<(String, f64)>, StageFault> {
        let context = self.instance.context().clone();
        let Reply::Importance(importance) = self.instance.call(ExportCall::PredictorImportance)? else {
            return Err(self.instance.unexpected_reply("predictor.importance"));
        };
        let importance = context.on_behalf(|| {
            convert::importance_in(&importance, &self.inputs)
                .map_err(|message| contract_fault(&context, "predictor.importance", message))
        })?;
        self.instance.mark_reusable();
        Ok(importance)
    }

    /// Predicts a batch of transformed features and passes the checked results, one column for each
    /// output, to `take`. Makes as many calls as the results need to fit their batches; `predict`
    /// is row-wise, so one call would give the same.
    pub(crate) fn predict(
        &mut self,
        rows: &RecordBatch,
        mut take: impl FnMut(&Self, RecordBatch),
    ) -> Result<(), StageFault> {
        let most = self.outputs.rows_per_batch();
        let mut done = 0;
        loop {
            let part = rows.slice(done, most.min(rows.num_rows() - done));
            let predicted = self.predict_part(&part).map_err(|fault| fault.counted_from(done as u64))?;
            take(self, predicted);
            done += part.num_rows();
            if done >= rows.num_rows() {
                return Ok(());
            }
        }
    }

    fn predict_part(&mut self, rows: &RecordBatch) -> Result<RecordBatch, StageFault> {
        let context = self.instance.context().clone();
        let batch = context.on_behalf(|| batch::outgoing(rows, &self.inputs, &context))?;
        let Reply::Rows(predicted) = self.instance.call(ExportCall::Predict { rows: batch })? else {
            return Err(self.instance.unexpected_reply("predictor.predict"));
        };
        let checked = context.on_behalf(|| {
            self.outputs
                .checked(predicted, rows.num_rows(), &context)
                .map_err(|message| contract_fault(&context, "predictor.predict", message))
        })?;
        self.instance.mark_reusable();
        Ok(checked)
    }
}

/// A loaded model: a transformer and a predictor.
pub(crate) struct Pipeline {
    transformer: Transformer,
    predictor: Predictor,
}

impl Pipeline {
    /// Starts both instances. `inputs` are the columns of the raw features.
    pub(crate) fn new(runtime: &Runtime, parts: &ModelParts, inputs: &Schema) -> Result<Self, StageFault> {
        let transformer = Transformer::new(runtime, &parts.transformation, &parts.state, inputs)?;
        let features = transformer.schema();
        let predictor = Predictor::new(runtime, &parts.training, &parts.model, features, &parts.task)?;
        Ok(Self { transformer, predictor })
    }

    /// Replaces both instances by fresh ones, which share no state with them.
    pub(crate) fn renewed(self, parts: &ModelParts) -> Result<Self, StageFault> {
        let transformer = self.transformer.renewed(&parts.state)?;
        Ok(Self { transformer, predictor: self.predictor.renewed(&parts.model, &parts.task)? })
    }

    /// Replaces the contexts of both instances, for other limits of the calls that follow.
    pub(crate) fn set_contexts(&mut self, transformation: Arc<StageContext>, training: Arc<StageContext>) {
        self.transformer.instance.host().account.context = transformation;
        self.predictor.instance.host().account.context = training;
    }

    /// Predicts raw features. Appends the outputs that the task requires, row by row.
    pub(crate) fn predict(&mut self, rows: &RecordBatch, all: &mut Vec<f64>) -> Result<(), StageFault> {
        self.predict_parts(rows, |predictor, part| all.extend(predictor.outputs.by_row(&part)))
    }

    /// Predicts raw features. Returns one column for each output.
    fn predict_columns(&mut self, rows: &RecordBatch) -> Result<Vec<Vec<f64>>, StageFault> {
        let mut columns = vec![Vec::with_capacity(rows.num_rows()); self.predictor.outputs.declared().len()];
        self.predict_parts(rows, |_, part| {
            for (place, column) in columns.iter_mut().enumerate() {
                column.extend_from_slice(numbers(&part, place));
            }
        })?;
        Ok(columns)
    }

    fn predict_parts(
        &mut self,
        rows: &RecordBatch,
        mut take: impl FnMut(&Predictor, RecordBatch),
    ) -> Result<(), StageFault> {
        let Self { transformer, predictor } = self;
        transformer.transform(rows, |first, features| {
            predictor.predict(&features, &mut take).map_err(|fault| fault.counted_from(first as u64))?;
            Ok(0)
        })
    }
}

/// A model whose instances start at the first call.
pub(crate) struct LazyPipeline {
    runtime: Runtime,
    parts: ModelParts,
    inputs: Schema,
    started: Option<Pipeline>,
}

impl LazyPipeline {
    pub(crate) fn new(runtime: Runtime, parts: ModelParts, inputs: Schema) -> Self {
        Self { runtime, parts, inputs, started: None }
    }

    fn pipeline(&mut self) -> Result<&mut Pipeline, StageFault> {
        match &mut self.started {
            Some(pipeline) => Ok(pipeline),
            none => Ok(none.insert(Pipeline::new(&self.runtime, &self.parts, &self.inputs)?)),
        }
    }
}

impl PredictionSource for LazyPipeline {
    fn outputs(&mut self) -> Result<Vec<Output>, StageFault> {
        Ok(self.pipeline()?.predictor.outputs.declared().to_vec())
    }

    fn predict(&mut self, rows: &RecordBatch) -> Result<Vec<Vec<f64>>, StageFault> {
        self.pipeline()?.predict_columns(rows)
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
    fn the_estimate_of_rows_per_batch_is_exact_for_numbers() {
        for columns in [1, 40, 128, 129, 150, 10_000, 65_536] {
            let rows = rows_per_batch(&floats(columns));
            assert!(rows * columns * 8 <= MAX_BATCH_BYTES, "{columns}");
            assert!((rows + 1) * columns * 8 > MAX_BATCH_BYTES, "{columns}");
        }
        assert!(rows_per_batch(&floats(0)) > 0);
    }
}
