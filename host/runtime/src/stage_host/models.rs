//! WIT `models`: predictions for an evaluation stage, made in sandboxes of their own.

use std::time::Instant;

use stagewright_lifecycle::fault::{LimitKind, StageFault};
use stagewright_lifecycle::sandbox::Meter;
use stagewright_store::MAX_BATCH_BYTES;

use super::lent_model::{LentModel, PredictionSource};
use super::{HostResult, StageHost};
use crate::batch;
use crate::bindings::stagewright::stage::models::FeatureImportance;
use crate::bindings::stagewright::stage::types::{Batch, Failure, Output};
use crate::resource_types::Handle;

impl StageHost {
    /// Queries a model. The model's sandboxes run on this thread while the guest waits, so they
    /// need no further permit, and the guest's clocks are stopped.
    fn query_model<T>(
        &mut self,
        model: Handle,
        query: impl FnOnce(&mut dyn PredictionSource) -> Result<T, StageFault>,
    ) -> Result<T, StageFault> {
        let lent: &mut LentModel = self.held.get_mut(model)?;
        self.account.leave();
        let waiting = Instant::now();
        let answer = query(&mut *lent.predictions);
        Meter::add(&self.account.context.meter.waited_ns, waiting.elapsed().as_nanos() as u64);
        self.account.enter();
        answer
    }

    pub(crate) fn outputs(&mut self, model: Handle) -> Result<Vec<Output>, StageFault> {
        self.account.check_time()?;
        self.query_model(model, |model| model.outputs())
    }

    pub(crate) fn predict(&mut self, model: Handle, rows: Batch) -> HostResult<Batch> {
        self.account.check_time()?;
        let lent: &LentModel = self.held.get(model)?;
        let rows = match batch::incoming(rows, &lent.passed, &self.account.context) {
            Ok(rows) => rows.project(&lent.places).map_err(StageFault::host)?,
            Err(fault) => return Ok(Err(Failure::Internal(fault.to_string()))),
        };
        // Check the size before anything is allocated for the predictions.
        let outputs = self.query_model(model, |model| model.outputs())?.len();
        let bytes = 8 * rows.num_rows() * outputs;
        if bytes > MAX_BATCH_BYTES {
            let kind = LimitKind::Operator("bytes of one call".into());
            return Err(self.account.limit(kind, bytes as u64, MAX_BATCH_BYTES as u64));
        }
        let columns = self.query_model(model, |model| model.predict(&rows))?;
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
