//! WIT `models`: predictions for an evaluation stage, from sandboxes of their own.

use std::time::Instant;

use arrow_array::RecordBatch;
use stagewright_lifecycle::fault::{LimitKind, StageFault};
use stagewright_lifecycle::sandbox::Meter;
use stagewright_store::{Field, MAX_BATCH_BYTES, Role, Schema};

use super::{Answer, Desk, Handle};
use crate::batch;
use crate::bindings::stagewright::stage::models::FeatureImportance;
use crate::bindings::stagewright::stage::types::{Batch, Failure, Output};

/// Answers questions to a model, in sandboxes of the model's own.
pub(crate) trait Asked: Send {
    /// Returns what the model predicts for each row.
    fn outputs(&mut self) -> Result<Vec<Output>, StageFault>;
    /// Predicts rows of the features that the model reads, in its order; a column for each output.
    fn predict(&mut self, rows: &RecordBatch) -> Result<Vec<Vec<f64>>, StageFault>;
}

/// A model that a guest may ask.
pub(crate) struct LentModel {
    asked: Box<dyn Asked>,
    /// The columns that the guest passes: the features of the table that it looks at, in their
    /// order.
    passed: Schema,
    /// For each column that the model reads, its place among those.
    places: Vec<usize>,
    importance: Vec<(String, f64)>,
}

impl LentModel {
    /// A model that reads `features`, for a guest that looks at a table with these columns. The
    /// guest passes the table's features in the table's order; an older model may read fewer of
    /// them, or in another order, and finds its own by name. `asked` makes the answers, from the
    /// table's columns that the model reads.
    ///
    /// # Errors
    /// A fault of the host if the table lacks a column of the model, or has it in another type:
    /// such a model must not be lent.
    pub(crate) fn new(
        features: &Schema,
        importance: Vec<(String, f64)>,
        table: &Schema,
        asked: impl FnOnce(Schema) -> Box<dyn Asked>,
    ) -> Result<Self, StageFault> {
        let passed = table.project(&table.indices_with(Role::Feature));
        let place = |wanted: &Field| match passed.index_of(&wanted.name) {
            Some(place) if passed.fields()[place].data_type == wanted.data_type => Ok(place),
            _ => Err(StageFault::host(format!("the test table has no {} column `{}`", wanted.data_type, wanted.name))),
        };
        let places: Vec<usize> = features.fields().iter().map(place).collect::<Result<_, _>>()?;
        let asked = asked(passed.project(&places));
        Ok(Self { asked, passed, places, importance })
    }
}

impl Desk {
    /// Asks a model. Its sandboxes run on this thread while the guest waits: no other permit is
    /// needed, and the guest's own time stands still.
    fn ask<T>(
        &mut self,
        model: Handle,
        question: impl FnOnce(&mut dyn Asked) -> Result<T, StageFault>,
    ) -> Result<T, StageFault> {
        let lent: &mut LentModel = self.held.get_mut(model)?;
        self.account.leave();
        let waiting = Instant::now();
        let answer = question(&mut *lent.asked);
        Meter::add(&self.account.context.meter.waited_ns, waiting.elapsed().as_nanos() as u64);
        self.account.enter();
        answer
    }

    pub(crate) fn outputs(&mut self, model: Handle) -> Result<Vec<Output>, StageFault> {
        self.account.check_time()?;
        self.ask(model, |asked| asked.outputs())
    }

    pub(crate) fn predict(&mut self, model: Handle, rows: Batch) -> Answer<Batch> {
        self.account.check_time()?;
        let lent: &LentModel = self.held.get(model)?;
        let rows = match batch::incoming(rows, &lent.passed, &self.account.context) {
            Ok(rows) => rows.project(&lent.places).map_err(StageFault::host)?,
            Err(fault) => return Ok(Err(Failure::Internal(fault.to_string()))),
        };
        // Before anybody makes room for them.
        let outputs = self.ask(model, |asked| asked.outputs())?.len();
        let bytes = 8 * rows.num_rows() * outputs;
        if bytes > MAX_BATCH_BYTES {
            let kind = LimitKind::Operator("bytes of one call".into());
            return Err(self.account.limit(kind, bytes as u64, MAX_BATCH_BYTES as u64));
        }
        let columns = self.ask(model, |asked| asked.predict(&rows))?;
        Meter::add(&self.account.context.meter.bytes_in, bytes as u64);
        Ok(Ok(batch::numbers_out(rows.num_rows(), &columns)))
    }

    pub(crate) fn importance(&self, model: Handle) -> Result<Vec<FeatureImportance>, StageFault> {
        let importance = &self.held.get::<LentModel>(model)?.importance;
        let entry = |(feature, importance): &(String, f64)| FeatureImportance {
            feature: feature.clone(),
            importance: *importance,
        };
        Ok(importance.iter().map(entry).collect())
    }

    pub(crate) fn drop_model(&mut self, model: Handle) -> Result<(), StageFault> {
        self.held.take::<LentModel>(model)?;
        Ok(())
    }
}
