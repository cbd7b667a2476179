//! Implements the lifecycle's [`ModelSessions`]: models that stay loaded, in a process of their own
//! or in this one.

use std::sync::Arc;

use arrow_array::RecordBatch;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::{CallLimits, Meter, ModelParts, ModelSession, ModelSessions, StageContext};
use stagewright_store::Schema;

use crate::batch;
use crate::export_call::{ExportCall, Reply};
use crate::predictor::{Pipeline, rows_per_batch};
use crate::predictor_outputs::PredictorOutputs;
use crate::process::model_parent::{Predicted, RemoteModel};
use crate::runtime::Runtime;
use crate::stage_host::{StageHost, contract_fault};

impl ModelSessions for Runtime {
    fn open(&self, model: &ModelParts, limits: CallLimits) -> Result<Box<dyn ModelSession>, StageFault> {
        // Limits of calls need meters of the session's own.
        let own = |context: &StageContext| Arc::new(context.with(context.limits, Arc::new(Meter::while_called())));
        let model =
            ModelParts { transformation: own(&model.transformation), training: own(&model.training), ..model.clone() };
        Ok(match self.process() {
            Some(_) => Box::new(RemoteSession::open(self, &model, limits)?),
            None => Box::new(LocalSession::open(self, model, limits)?),
        })
    }
}

/// A model in a process of its own.
struct RemoteSession {
    model: RemoteModel,
    inputs: Schema,
    outputs: PredictorOutputs,
    /// The number of rows whose features are expected to fit one batch.
    most_rows: usize,
}

impl RemoteSession {
    fn open(runtime: &Runtime, parts: &ModelParts, limits: CallLimits) -> Result<Self, StageFault> {
        let options = runtime.options();
        let [transformation, training] = [&parts.transformation, &parts.training];
        let codes = [runtime.code(transformation)?, runtime.code(training)?];
        let process = runtime.process().ok_or_else(|| StageFault::host("stages run in this process"))?;
        let launches = [codes[0].launch(process, options), codes[1].launch(process, options)];
        let hosts = [transformation, training].map(|context| StageHost::new(context.clone(), options, None));
        let mut model = RemoteModel::start(&launches, hosts)?;
        let state = model.hosts[0].lend_blob(parts.state.clone())?;
        let inputs = batch::fields_out(parts.features.fields());
        model.call(0, ExportCall::LoadTransformer { state, inputs })?;
        let Reply::Fields(fields) = model.call(0, ExportCall::TransformerFields)? else {
            return Err(contract_fault(transformation, "transformer.fields", "another export's value came back"));
        };
        let features = batch::schema_in(fields.clone(), options.bounds.columns)
            .map_err(|reason| contract_fault(transformation, "transformer.fields", reason))?;
        model.hosts[0].account.hold(features.held_bytes())?;
        let blob = model.hosts[1].lend_blob(parts.model.clone())?;
        model.call(1, ExportCall::LoadPredictor { model: blob, inputs: fields })?;
        let Reply::Outputs(declared) = model.call(1, ExportCall::PredictorOutputs)? else {
            return Err(contract_fault(training, "predictor.outputs", "another export's value came back"));
        };
        let outputs = PredictorOutputs::new(declared, &parts.task)
            .map_err(|reason| contract_fault(training, "predictor.outputs", reason))?;
        model.limit_calls(limits);
        let most_rows = rows_per_batch(&features).min(outputs.rows_per_batch());
        Ok(Self { model, inputs: parts.features.clone(), outputs, most_rows })
    }

    /// Predicts rows that fit one batch, in two halves if their features do not.
    fn predict_part(&mut self, rows: &RecordBatch, first: u64, numbers: &mut Vec<f64>) -> Result<(), StageFault> {
        let context = self.model.hosts[0].context().clone();
        let packed = batch::outgoing(rows, &self.inputs, &context)?;
        match self.model.predict(packed).map_err(|fault| fault.counted_from(first))? {
            Predicted::Rows(predicted) => {
                let context = self.model.hosts[1].context();
                let predicted = self
                    .outputs
                    .checked(predicted, rows.num_rows(), context)
                    .map_err(|message| contract_fault(context, "predictor.predict", message))?;
                numbers.extend(self.outputs.by_row(&predicted));
                Ok(())
            }
            Predicted::TooLarge { bytes } if rows.num_rows() <= 1 => {
                Err(batch::row_too_large(context.world, "the features of one row", bytes, None, first))
            }
            Predicted::TooLarge { .. } => {
                let half = rows.num_rows() / 2;
                self.most_rows = self.most_rows.min(half.max(1));
                self.predict_part(&rows.slice(0, half), first, numbers)?;
                self.predict_part(&rows.slice(half, rows.num_rows() - half), first + half as u64, numbers)
            }
        }
    }
}

impl ModelSession for RemoteSession {
    fn predict(&mut self, rows: &[RecordBatch]) -> Result<Vec<f64>, StageFault> {
        let rows = together(rows, &self.inputs)?;
        let mut numbers = Vec::with_capacity(rows.num_rows() * self.outputs.width());
        let mut done = 0;
        while done < rows.num_rows() {
            let part = rows.slice(done, self.most_rows.min(rows.num_rows() - done));
            let world = self.model.hosts[0].context().world;
            let part = batch::within_cap(&part, &self.inputs, world, done as u64)?;
            self.predict_part(&part, done as u64, &mut numbers)?;
            done += part.num_rows();
        }
        Ok(numbers)
    }

    fn is_alive(&self) -> bool {
        self.model.is_alive()
    }
}

/// A model in this process, where the engine's sandbox is the only wall.
struct LocalSession {
    pipeline: Pipeline,
    inputs: Schema,
    parts: ModelParts,
}

impl LocalSession {
    fn open(runtime: &Runtime, parts: ModelParts, limits: CallLimits) -> Result<Self, StageFault> {
        let mut pipeline = Pipeline::new(runtime, &parts, &parts.features)?;
        let changed =
            |context: &StageContext| Arc::new(context.with(limits.of_call(context.limits), context.meter.clone()));
        pipeline.set_contexts(changed(&parts.transformation), changed(&parts.training));
        Ok(Self { pipeline, inputs: parts.features.clone(), parts })
    }
}

impl ModelSession for LocalSession {
    fn predict(&mut self, rows: &[RecordBatch]) -> Result<Vec<f64>, StageFault> {
        // The limits count per call.
        self.parts.transformation.meter.restart();
        self.parts.training.meter.restart();
        let rows = together(rows, &self.inputs)?;
        let mut numbers = Vec::new();
        let mut done = 0;
        while done < rows.num_rows() {
            let rest = rows.slice(done, rows.num_rows() - done);
            let part = batch::within_cap(&rest, &self.inputs, self.parts.transformation.world, done as u64)?;
            numbers.extend(self.pipeline.predict(&part).map_err(|fault| fault.counted_from(done as u64))?);
            done += part.num_rows();
        }
        Ok(numbers)
    }

    fn is_alive(&self) -> bool {
        true
    }
}

/// Returns the rows of several batches in one.
fn together(batches: &[RecordBatch], schema: &Schema) -> Result<RecordBatch, StageFault> {
    match batches {
        [one] => Ok(one.clone()),
        several => arrow_select::concat::concat_batches(&schema.to_arrow(), several).map_err(StageFault::host),
    }
}
