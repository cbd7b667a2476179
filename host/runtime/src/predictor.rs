//! Loaded transformers and predictors, which process batch after batch.
//!
//! Runs, evaluations and `predict` use the same code, so the model that is measured is the model
//! that is served.

use std::sync::Arc;

use arrow_array::RecordBatch;
use stagewright_data::Task;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::limits::CpuMark;
use stagewright_lifecycle::sandbox::{ModelParts, StageContext};
use stagewright_store::{BatchProblem, Blob, DataType, Field, MAX_BATCH_BYTES, Schema, packed};

use crate::batch;
use crate::bindings::stagewright::stage::types::{Batch, Output};
use crate::convert;
use crate::export_call::{ExportCall, Reply};
use crate::predictor_outputs::{Predictions, PredictorOutputs};
use crate::process::stage_process::Purpose;
use crate::runtime::Runtime;
use crate::stage_host::PredictionSource;
use crate::stage_host::contract_fault;
use crate::stage_instance::{PREDICT, StageInstance, TRANSFORM};
use crate::transformer_features::{FeaturesFault, TransformerFeatures};

/// An instance of a transformation component with a loaded state.
pub(crate) struct Transformer {
    instance: StageInstance,
    /// The columns of its input.
    inputs: Schema,
    features: TransformerFeatures,
    /// The most rows of the next call; at most `most_rows`.
    rows: usize,
    /// The number of rows whose features are expected to fit one batch.
    most_rows: usize,
    /// The rows of the last call, whose allocation the next one uses.
    packed: Batch,
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
        let features = TransformerFeatures::new(schema);
        let packed = Batch { rows: 0, bytes: Vec::new() };
        Ok(Self { instance, inputs: inputs.clone(), features, rows: most_rows, most_rows, packed })
    }

    /// Returns the columns of its output.
    pub(crate) fn schema(&self) -> &Schema {
        self.features.schema()
    }

    /// Transforms the rows of some batches in one call, and charges their time from `mark` on.
    /// Returns the features as a predictor takes them, or `None` if they, or the rows, are more
    /// than a batch may hold; and this moment's mark.
    fn features(&mut self, rows: &[RecordBatch], mark: CpuMark) -> (Result<Option<Batch>, StageFault>, CpuMark) {
        self.instance.host().account.enter_at(mark);
        let features = self.features_of(rows);
        let mark = self.instance.host().account.leave_for_next();
        let features = features.and_then(|features| self.instance.context().check_time().map(|()| features));
        if features.is_ok() {
            self.instance.mark_reusable();
        }
        (features, mark)
    }

    fn features_of(&mut self, batches: &[RecordBatch]) -> Result<Option<Batch>, StageFault> {
        let rows = packed::write_into(batches, &self.inputs, &mut self.packed.bytes).map_err(StageFault::host)?;
        if self.packed.bytes.len() > MAX_BATCH_BYTES {
            let [row] = batches else { return Ok(None) };
            if rows > 1 {
                return Ok(None);
            }
            batch::within_cap(row, &self.inputs, self.instance.context().world, 0)?;
            return Err(StageFault::host("a row that does not fit a batch was not refused"));
        }
        self.packed.rows = rows as u32;
        batch::count_in(&self.packed, 2, self.instance.context());
        let features = self.instance.call_rows(TRANSFORM, &mut self.packed)?;
        let context = self.instance.context();
        batch::count_out(&features, context);
        match self.features.checked(rows as u32, features) {
            Ok(features) => {
                if context.staging.is_some() {
                    // As for rows that are written into an artifact of the stage.
                    self.instance.account().charge_output(features.bytes.len() as u64)?;
                }
                Ok(Some(features))
            }
            Err(FeaturesFault::TooLarge { .. }) if rows > 1 => Ok(None),
            Err(FeaturesFault::TooLarge { bytes, .. }) if rows == 0 => {
                Err(contract_fault(context, TRANSFORM, format!("{bytes} bytes came back for no rows")))
            }
            Err(FeaturesFault::TooLarge { bytes, largest }) => {
                Err(batch::row_too_large(context.world, "the features of one row", bytes, largest, 0))
            }
            Err(FeaturesFault::Wrong(message)) => Err(contract_fault(context, TRANSFORM, message)),
        }
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
        let transformed = match batch::incoming(transformed, self.features.schema(), context) {
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
            let size = packed::batch_bytes(&transformed, self.features.schema()).map_err(StageFault::host)?;
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
        mut take: impl FnMut(&PredictorOutputs, &Predictions),
    ) -> Result<(), StageFault> {
        let most = self.outputs.rows_per_batch();
        let mut done = 0;
        loop {
            let part = rows.slice(done, most.min(rows.num_rows() - done));
            let context = self.instance.context().clone();
            let batch = context.on_behalf(|| batch::outgoing(&part, &self.inputs, &context))?;
            let (predicted, _) = self.predictions(batch, CpuMark::now());
            take(&self.outputs, &predicted.map_err(|fault| fault.counted_from(done as u64))?);
            done += part.num_rows();
            if done >= rows.num_rows() {
                return Ok(());
            }
        }
    }

    /// Predicts packed features in one call, and charges the time from `mark` on. Returns the
    /// checked predictions, and this moment's mark.
    fn predictions(&mut self, features: Batch, mark: CpuMark) -> (Result<Predictions, StageFault>, CpuMark) {
        self.instance.host().account.enter_at(mark);
        let predictions = self.predictions_of(features);
        let mark = self.instance.host().account.leave_for_next();
        let predictions = predictions.and_then(|known| self.instance.context().check_time().map(|()| known));
        if predictions.is_ok() {
            self.instance.mark_reusable();
        }
        (predictions, mark)
    }

    fn predictions_of(&mut self, mut features: Batch) -> Result<Predictions, StageFault> {
        let rows = features.rows as usize;
        let predicted = self.instance.call_rows(PREDICT, &mut features)?;
        let context = self.instance.context();
        batch::count_out(&predicted, context);
        self.outputs.checked(predicted, rows).map_err(|message| contract_fault(context, PREDICT, message))
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

    /// Predicts the raw features of some batches, in order. Appends the outputs that the task
    /// requires, row by row.
    pub(crate) fn predict(&mut self, batches: &[RecordBatch], all: &mut Vec<f64>) -> Result<(), StageFault> {
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        all.reserve(rows * self.predictor.outputs.width());
        self.predict_parts(batches, rows, |outputs, part| outputs.by_row(part, all))
    }

    /// Predicts raw features. Returns one column for each output.
    fn predict_columns(&mut self, rows: &RecordBatch) -> Result<Vec<Vec<f64>>, StageFault> {
        let mut columns = vec![Vec::with_capacity(rows.num_rows()); self.predictor.outputs.declared().len()];
        self.predict_parts(std::slice::from_ref(rows), rows.num_rows(), |_, part| {
            for (place, column) in columns.iter_mut().enumerate() {
                column.extend(part.column(place));
            }
        })?;
        Ok(columns)
    }

    /// Transforms rows alone, in one call.
    pub(crate) fn features(&mut self, batches: &[RecordBatch]) -> Result<Batch, StageFault> {
        let (features, _) = self.transformer.features(batches, CpuMark::now());
        features?.ok_or_else(|| StageFault::host("the features of these rows are more than a batch may hold"))
    }

    /// Predicts features alone, in one call.
    pub(crate) fn predictions(&mut self, features: Batch) -> Result<Vec<f64>, StageFault> {
        let (predictions, _) = self.predictor.predictions(features, CpuMark::now());
        let mut numbers = Vec::new();
        self.predictor.outputs.by_row(&predictions?, &mut numbers);
        Ok(numbers)
    }

    /// Passes the predictions to `take`, in order. All rows go through both components in one call
    /// of each, if they and their features are expected to fit a batch; otherwise in as many as
    /// they need. Both exports are row-wise, so this makes no difference.
    fn predict_parts(
        &mut self,
        batches: &[RecordBatch],
        rows: usize,
        mut take: impl FnMut(&PredictorOutputs, &Predictions),
    ) -> Result<(), StageFault> {
        if rows <= self.most_rows() && self.predict_at_once(batches, &mut take)? {
            return Ok(());
        }
        let mut first = 0;
        for batch in batches {
            let counted = |fault: StageFault| fault.counted_from(first);
            self.predict_in_parts(batch, &mut take).map_err(counted)?;
            first += batch.num_rows() as u64;
        }
        Ok(())
    }

    fn predict_in_parts(
        &mut self,
        rows: &RecordBatch,
        take: &mut impl FnMut(&PredictorOutputs, &Predictions),
    ) -> Result<(), StageFault> {
        let mut done = 0;
        while done < rows.num_rows() {
            let part = rows.slice(done, self.most_rows().min(rows.num_rows() - done));
            let is_done = self.predict_at_once(std::slice::from_ref(&part), take);
            let transformer = &mut self.transformer;
            if is_done.map_err(|fault| fault.counted_from(done as u64))? {
                done += part.num_rows();
                transformer.rows = transformer.most_rows.min(transformer.rows.saturating_mul(2));
            } else {
                transformer.rows = (part.num_rows() / 2).max(1);
            }
        }
        Ok(())
    }

    /// Returns the most rows of one call.
    fn most_rows(&self) -> usize {
        self.transformer.rows.min(self.predictor.outputs.rows_per_batch())
    }

    /// Predicts rows in one call of each component. The CPU clock is read before, between and
    /// after. Returns `false` if the rows or their features are more than a batch may hold.
    fn predict_at_once(
        &mut self,
        batches: &[RecordBatch],
        take: &mut impl FnMut(&PredictorOutputs, &Predictions),
    ) -> Result<bool, StageFault> {
        let (features, mark) = self.transformer.features(batches, CpuMark::now());
        let Some(features) = features? else { return Ok(false) };
        batch::count_in(&features, 1, self.predictor.instance.context());
        let (predictions, _) = self.predictor.predictions(features, mark);
        take(&self.predictor.outputs, &predictions?);
        Ok(true)
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
