//! The check that a model's pooled instances answer as fresh ones do.
//!
//! During a run, `row_independence` repeats rows in an order that the host chooses. This check asks
//! a session as a server does, request after request, and compares with instances that nobody asked
//! before. It finds a component that lets one request reach the answer to another. It cannot find
//! one that waits for a certain request; fresh instances need no check.

use arrow_array::RecordBatch;

use crate::fault::StageFault;
use crate::predict::LoadedModel;
use crate::sandbox::{CallLimits, Isolation, ModelSession, ModelSessions};

/// The numbers of requests that are gathered in one call, in turn.
const GATHERED: [usize; 3] = [2, 7, 64];

impl LoadedModel {
    /// Asks pooled instances for each of these rows, which are the features of the signature: in
    /// their order, in the reverse order, and several at once. Returns the number of answers, if
    /// each equals that of fresh instances bit for bit.
    ///
    /// # Errors
    /// [`StageFault::Contract`] names the first row whose answers differ; or a component fails.
    pub fn check_isolation(
        &self,
        sessions: &dyn ModelSessions,
        rows: &RecordBatch,
        limits: CallLimits,
    ) -> Result<u64, StageFault> {
        let requests: Vec<RecordBatch> = (0..rows.num_rows()).map(|row| rows.slice(row, 1)).collect();
        let fresh = self.session(sessions, limits, Isolation::Fresh)?.predict(&requests)?;
        let width = self.width();
        let mut pooled = self.session(sessions, limits, Isolation::Pooled)?;
        let mut answers = 0;
        let mut ask = |order: &[usize], session: &mut dyn ModelSession| -> Result<(), StageFault> {
            let asked: Vec<RecordBatch> = order.iter().map(|&row| requests[row].clone()).collect();
            let found = session.predict(&asked)?;
            answers += asked.len() as u64;
            for (&row, found) in order.iter().zip(found.chunks(width)) {
                let expected = &fresh[row * width..][..width];
                if let Some(at) = (0..width).find(|&at| expected[at].to_bits() != found[at].to_bits()) {
                    return Err(self.keeps_state(row, expected[at], found[at]));
                }
            }
            Ok(())
        };
        let order: Vec<usize> = (0..requests.len()).collect();
        let reversed: Vec<usize> = order.iter().rev().copied().collect();
        for row in order.chunks(1).chain(reversed.chunks(1)) {
            ask(row, &mut *pooled)?;
        }
        for many in GATHERED {
            for rows in order.chunks(many) {
                ask(rows, &mut *pooled)?;
            }
        }
        Ok(answers)
    }

    fn keeps_state(&self, row: usize, fresh: f64, pooled: f64) -> StageFault {
        let [transformation, training] = self.components();
        StageFault::Contract {
            stage: training.world.into(),
            component: training.name.clone(),
            export: "predictor.predict".to_owned(),
            message: format!(
                "row {row}: {fresh} from fresh instances, and {pooled} from instances that answered other rows before; this component or `{}` keeps something of a request, which may reach the answer to another: serve the model with `--isolation fresh`",
                transformation.name
            ),
        }
    }
}
