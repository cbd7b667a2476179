//! The check that a model's pooled instances answer as fresh ones do.
//!
//! During a run, `row_independence` repeats rows in an order that the host chooses. This check asks
//! a session as a server does, request after request, and compares with instances that nobody asked
//! before. It finds a component that lets one request reach the answer to another. It cannot find
//! one that waits for a certain request; fresh instances need no check.

use arrow_array::RecordBatch;

use crate::fault::StageFault;
use crate::sandbox::{CallLimits, Isolation, ModelParts, ModelSession, ModelSessions};

/// The numbers of requests that are gathered in one call, in turn.
const GATHERED: [usize; 3] = [2, 7, 64];

/// Asks pooled instances for each of these rows of raw features: in their order, in the reverse
/// order, and several at once. Returns the number of answers, if each equals that of fresh
/// instances bit for bit.
///
/// # Errors
/// [`StageFault::Contract`] names the first row whose answers differ; or a component fails.
pub fn check_isolation(
    model: &ModelParts,
    sessions: &dyn ModelSessions,
    rows: &RecordBatch,
    limits: CallLimits,
) -> Result<u64, StageFault> {
    let requests: Vec<RecordBatch> = (0..rows.num_rows()).map(|row| rows.slice(row, 1)).collect();
    let fresh = sessions.open(model, limits, Isolation::Fresh)?.predict(&requests)?;
    let mut pooled = sessions.open(model, limits, Isolation::Pooled)?;
    let order: Vec<usize> = (0..requests.len()).collect();
    let reversed: Vec<usize> = order.iter().rev().copied().collect();
    let one_by_one = order.chunks(1).chain(reversed.chunks(1));
    let gathered = GATHERED.into_iter().flat_map(|many| order.chunks(many));
    let mut answers = 0;
    for asked in one_by_one.chain(gathered) {
        compare(model, &mut *pooled, &requests, asked, &fresh)?;
        answers += asked.len() as u64;
    }
    Ok(answers)
}

/// Asks for some of the rows at once, and compares the answers with those of fresh instances.
fn compare(
    model: &ModelParts,
    session: &mut dyn ModelSession,
    requests: &[RecordBatch],
    asked: &[usize],
    fresh: &[f64],
) -> Result<(), StageFault> {
    let batches: Vec<RecordBatch> = asked.iter().map(|&row| requests[row].clone()).collect();
    let found = session.predict(&batches)?;
    let width = model.width();
    for (&row, found) in asked.iter().zip(found.chunks(width)) {
        let expected = &fresh[row * width..][..width];
        if let Some((expected, found)) =
            expected.iter().zip(found).find(|(one, other)| one.to_bits() != other.to_bits())
        {
            return Err(keeps_state(model, row, *expected, *found));
        }
    }
    Ok(())
}

fn keeps_state(model: &ModelParts, row: usize, fresh: f64, pooled: f64) -> StageFault {
    let (transformation, training) = (&model.transformation.component.name, &model.training.component.name);
    StageFault::Contract {
        stage: model.training.world.into(),
        component: training.clone(),
        export: "predictor.predict".to_owned(),
        message: format!(
            "row {row}: {fresh} from fresh instances, and {pooled} from instances that answered other rows before; this component or `{transformation}` keeps something of a request, which may reach the answer to another: serve the model with `--isolation fresh`"
        ),
    }
}
