//! Implements the lifecycle's [`ModelSessions`]: models that stay loaded, in a process of their own
//! or in this one.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::bindings::stagewright::stage::types::Batch;
use arrow_array::RecordBatch;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::{
    CallLimits, Isolation, Meter, ModelParts, ModelSession, ModelSessions, StageContext,
};
use stagewright_store::{MAX_BATCH_BYTES, Schema, packed};

use crate::batch;
use crate::export_call::{ExportCall, Reply};
use crate::predictor::{Pipeline, rows_per_batch};
use crate::predictor_outputs::PredictorOutputs;
use crate::process::model_parent::{Predicted, RemoteModel};
use crate::runtime::Runtime;
use crate::stage_host::{StageHost, contract_fault};

impl ModelSessions for Runtime {
    fn open(
        &self,
        model: &ModelParts,
        limits: CallLimits,
        isolation: Isolation,
    ) -> Result<Box<dyn ModelSession>, StageFault> {
        Ok(match self.process() {
            Some(_) => Box::new(RemoteSession::open(self, &with_own_meters(model), limits, isolation)?),
            None => Box::new(LocalSession::open(self, model.clone(), limits, isolation)?),
        })
    }
}

/// A model in a process of its own.
struct RemoteSession {
    model: RemoteModel,
    inputs: Schema,
    outputs: PredictorOutputs,
    /// The most rows of the next batch; at most `most_rows`.
    rows: usize,
    /// The number of rows whose features are expected to fit one batch.
    most_rows: usize,
    /// The bytes of the last batch, for which the next one has room.
    packed: usize,
    isolation: Isolation,
    /// Whether requests may be sent before the answers to others are received. They cannot if a
    /// component asks its parent for something while it predicts.
    may_ask_ahead: bool,
}

/// The most bytes of batches that are sent before their predictions are received. They fit the ring
/// with what else is in it, so sending does not wait.
const AHEAD: usize = 1 << 20;

impl RemoteSession {
    fn open(
        runtime: &Runtime,
        parts: &ModelParts,
        limits: CallLimits,
        isolation: Isolation,
    ) -> Result<Self, StageFault> {
        let options = runtime.options();
        let [transformation, training] = [&parts.transformation, &parts.training];
        let codes = [runtime.code(transformation)?, runtime.code(training)?];
        let process = runtime.process().ok_or_else(|| StageFault::host("stages run in this process"))?;
        let launches = [codes[0].launch(process, options), codes[1].launch(process, options)];
        let hosts = [transformation, training].map(|context| StageHost::new(context.clone(), options, None));
        let mut model = RemoteModel::start(&launches, hosts, isolation)?;
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
        model.take_checkpoint();
        model.limit_calls(limits);
        let most_rows = rows_per_batch(&features).min(outputs.rows_per_batch());
        Ok(Self {
            model,
            inputs: parts.features.clone(),
            outputs,
            rows: most_rows,
            most_rows,
            packed: 0,
            isolation,
            may_ask_ahead: true,
        })
    }

    /// Predicts each request by itself, and does not wait for one before it sends the next. Those
    /// that need several batches follow when the others are answered.
    fn predict_ahead(&mut self, requests: &[RecordBatch]) -> Result<Vec<f64>, StageFault> {
        let mut answers = vec![None; requests.len()];
        // The requests that were sent, and the bytes of each.
        let mut sent = VecDeque::<(usize, usize)>::new();
        for (place, request) in requests.iter().enumerate() {
            let rows = self.first_rows(request, 0)?;
            if rows.num_rows() == 0 || rows.num_rows() < request.num_rows() {
                continue;
            }
            let packed = batch::outgoing(&rows, &self.inputs, self.model.hosts[0].context())?;
            let bytes = packed.bytes.len();
            while bytes + sent.iter().map(|(_, bytes)| bytes).sum::<usize>() > AHEAD
                && let Some((oldest, _)) = sent.pop_front()
            {
                answers[oldest] = self.receive(requests[oldest].num_rows())?;
            }
            self.model.ask(packed, true)?;
            sent.push_back((place, bytes));
        }
        for (place, _) in sent {
            answers[place] = self.receive(requests[place].num_rows())?;
        }
        let mut numbers = Vec::new();
        for (request, known) in requests.iter().zip(answers) {
            match known {
                Some(known) => numbers.extend(known),
                None => self.predict_request(request, &mut numbers)?,
            }
        }
        Ok(numbers)
    }

    /// Receives the predictions of the oldest request that has none, which has `count` rows.
    /// Returns `None` if it must be sent again: by itself, or with fewer rows.
    fn receive(&mut self, count: usize) -> Result<Option<Vec<f64>>, StageFault> {
        self.model.begin_request();
        match self.model.answer()? {
            Predicted::Rows(predicted) => self.checked(predicted, count).map(Some),
            Predicted::TooLarge { .. } => Ok(None),
            Predicted::Alone => {
                self.may_ask_ahead = false;
                Ok(None)
            }
        }
    }

    /// Returns rows from `done` on, as many as are expected to fit one batch.
    fn first_rows(&self, rows: &RecordBatch, done: usize) -> Result<RecordBatch, StageFault> {
        let part = rows.slice(done, self.rows.min(rows.num_rows() - done));
        batch::within_cap(&part, &self.inputs, self.model.hosts[0].context().world, done as u64)
    }

    /// Checks predictions of `count` rows, and returns them row by row.
    fn checked(&self, predicted: Batch, count: usize) -> Result<Vec<f64>, StageFault> {
        let context = self.model.hosts[1].context();
        batch::count_out(&predicted, context);
        let predicted = self.outputs.checked(predicted, count);
        let predicted = predicted.map_err(|message| contract_fault(context, "predictor.predict", message))?;
        let mut numbers = Vec::with_capacity(count * self.outputs.width());
        self.outputs.by_row(&predicted, &mut numbers);
        Ok(numbers)
    }

    fn row_too_large(&self, bytes: usize, row: u64) -> StageFault {
        let world = self.model.hosts[0].context().world;
        batch::row_too_large(world, "the features of one row", bytes, None, row)
    }

    /// Notes how many rows at most are expected to fit the next batch. With fresh instances,
    /// nothing is noted: a component sees the size of its batches, and would see what others asked
    /// for.
    fn expect_at_most(&mut self, rows: usize) {
        if self.isolation == Isolation::Pooled {
            self.rows = rows.clamp(1, self.most_rows);
        }
    }

    /// Predicts the rows of all requests in one batch. Returns `None` if they, or their features,
    /// are more than a batch may hold.
    fn predict_at_once(&mut self, requests: &[RecordBatch]) -> Result<Option<Vec<f64>>, StageFault> {
        let rows: usize = requests.iter().map(RecordBatch::num_rows).sum();
        if rows > self.rows {
            return Ok(None);
        }
        self.model.begin_request();
        let mut packed = Batch { rows: rows as u32, bytes: Vec::with_capacity(self.packed) };
        packed::write_into(requests, &self.inputs, &mut packed.bytes).map_err(StageFault::host)?;
        self.packed = packed.bytes.len();
        if self.packed > MAX_BATCH_BYTES {
            return Ok(None);
        }
        batch::count_in(&packed, 2, self.model.hosts[0].context());
        match self.model.predict(packed)? {
            Predicted::Rows(predicted) => {
                self.expect_at_most(self.rows.max(2 * rows));
                self.checked(predicted, rows).map(Some)
            }
            Predicted::TooLarge { bytes } if rows <= 1 => Err(self.row_too_large(bytes, 0)),
            Predicted::TooLarge { .. } => {
                self.expect_at_most(rows / 2);
                Ok(None)
            }
            Predicted::Alone => Err(StageFault::host("a batch that was sent alone was not predicted")),
        }
    }

    /// Predicts the rows of a request, in as many batches as they need.
    fn predict_request(&mut self, rows: &RecordBatch, numbers: &mut Vec<f64>) -> Result<(), StageFault> {
        numbers.reserve(rows.num_rows() * self.outputs.width());
        self.model.begin_request();
        let mut done = 0;
        while done < rows.num_rows() {
            let part = self.first_rows(rows, done)?;
            self.predict_part(&part, done as u64, numbers)?;
            done += part.num_rows();
        }
        Ok(())
    }

    /// Predicts rows that fit one batch, in two halves if their features do not.
    fn predict_part(&mut self, rows: &RecordBatch, first: u64, numbers: &mut Vec<f64>) -> Result<(), StageFault> {
        let packed = batch::outgoing(rows, &self.inputs, self.model.hosts[0].context())?;
        match self.model.predict(packed).map_err(|fault| fault.counted_from(first))? {
            Predicted::Rows(predicted) => {
                self.expect_at_most(self.rows.max(2 * rows.num_rows()));
                numbers.extend(self.checked(predicted, rows.num_rows())?);
            }
            Predicted::TooLarge { bytes } if rows.num_rows() <= 1 => return Err(self.row_too_large(bytes, first)),
            Predicted::TooLarge { .. } => self.predict_halves(rows, first, numbers)?,
            Predicted::Alone => return Err(StageFault::host("a batch that was sent alone was not predicted")),
        }
        Ok(())
    }

    fn predict_halves(&mut self, rows: &RecordBatch, first: u64, numbers: &mut Vec<f64>) -> Result<(), StageFault> {
        let half = rows.num_rows() / 2;
        self.expect_at_most(half);
        self.predict_part(&rows.slice(0, half), first, numbers)?;
        self.predict_part(&rows.slice(half, rows.num_rows() - half), first + half as u64, numbers)
    }
}

impl ModelSession for RemoteSession {
    fn predict(&mut self, rows: &[RecordBatch]) -> Result<Vec<f64>, StageFault> {
        if self.isolation == Isolation::Pooled {
            if let Some(numbers) = self.predict_at_once(rows)? {
                return Ok(numbers);
            }
            let (mut numbers, mut first) = (Vec::new(), 0);
            for request in rows {
                self.predict_request(request, &mut numbers).map_err(|fault| fault.counted_from(first))?;
                first += request.num_rows() as u64;
            }
            return Ok(numbers);
        }
        if rows.len() > 1 && self.may_ask_ahead {
            let result = self.predict_ahead(rows);
            // After a fault, those of other requests may still arrive.
            self.model.discard_answers();
            return result;
        }
        let mut numbers = Vec::new();
        rows.iter().try_for_each(|request| self.predict_request(request, &mut numbers))?;
        Ok(numbers)
    }

    fn is_alive(&self) -> bool {
        self.model.is_alive()
    }
}

/// A model in this process, where the engine's sandbox is the only wall.
struct LocalSession {
    runtime: Runtime,
    /// `None` after a fault, and after each request if they are isolated.
    pipeline: Option<Pipeline>,
    parts: ModelParts,
    limits: CallLimits,
    isolation: Isolation,
}

impl LocalSession {
    fn open(
        runtime: &Runtime,
        parts: ModelParts,
        limits: CallLimits,
        isolation: Isolation,
    ) -> Result<Self, StageFault> {
        let mut session = Self { runtime: runtime.clone(), pipeline: None, parts, limits, isolation };
        session.load()?;
        Ok(session)
    }

    /// Loads the model in fresh instances, with meters of their own.
    fn load(&mut self) -> Result<(), StageFault> {
        let parts = with_own_meters(&self.parts);
        let mut pipeline = Pipeline::new(&self.runtime, &parts, &parts.features)?;
        let changed =
            |context: &StageContext| Arc::new(context.with(self.limits.of_call(context.limits), context.meter.clone()));
        pipeline.set_contexts(changed(&parts.transformation), changed(&parts.training));
        (self.parts, self.pipeline) = (parts, Some(pipeline));
        Ok(())
    }

    /// Predicts rows in the instances that are loaded, which do not answer again after a fault.
    fn predict_together(&mut self, rows: &[RecordBatch], numbers: &mut Vec<f64>) -> Result<(), StageFault> {
        // The limits count per call.
        self.parts.transformation.meter.restart();
        self.parts.training.meter.restart();
        let mut pipeline =
            self.pipeline.take().ok_or_else(|| StageFault::host("a model was called after its fault"))?;
        pipeline.predict(rows, numbers)?;
        self.pipeline = Some(pipeline);
        Ok(())
    }
}

impl ModelSession for LocalSession {
    fn predict(&mut self, rows: &[RecordBatch]) -> Result<Vec<f64>, StageFault> {
        let mut numbers = Vec::new();
        if self.isolation == Isolation::Pooled {
            self.predict_together(rows, &mut numbers)?;
            return Ok(numbers);
        }
        for request in rows {
            if self.pipeline.is_none() {
                self.load()?;
            }
            let result = self.predict_together(std::slice::from_ref(request), &mut numbers);
            self.pipeline = None;
            result?;
        }
        Ok(numbers)
    }

    fn is_alive(&self) -> bool {
        self.pipeline.is_some() || self.isolation == Isolation::Fresh
    }
}

/// Returns the parts with meters of their own, which limits of calls need. Both components share
/// the time of a call.
fn with_own_meters(model: &ModelParts) -> ModelParts {
    let [first, second] = own_meters();
    let own = |context: &StageContext, meter| Arc::new(context.with(context.limits, Arc::new(meter)));
    ModelParts {
        transformation: own(&model.transformation, first),
        training: own(&model.training, second),
        ..model.clone()
    }
}

fn own_meters() -> [Meter; 2] {
    let meter = Meter::while_called();
    [meter.sharing_time(), meter]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_components_of_a_model_share_the_time_of_a_call() {
        let [transformation, training] = own_meters();
        Meter::add(&transformation.cpu_ns, 3);
        Meter::add(&training.cpu_ns, 4);
        training.wall.enter();
        assert_eq!([&transformation, &training].map(|meter| Meter::get(&meter.cpu_ns)), [7, 7]);
        assert!(transformation.wall.is_running());
    }
}
