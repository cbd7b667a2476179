//! The stages: the host's work around each call into the sandbox.
//!
//! There is one file for each world, in the order of the lifecycle. `segments` is work of the host
//! alone. `weights` has checks for several stages.
//!
//! A stage gets its part of an [`Invocation`], and an [`Execution`] that opens what the invocation
//! declares. It knows no manifest and no registry.

pub(crate) mod evaluation;
pub(crate) mod ingestion;
pub(crate) mod preparation;
pub(crate) mod promotion;
pub(crate) mod requirements;
pub(crate) mod segments;
pub(crate) mod training;
pub(crate) mod transformation;
pub(crate) mod validation;
pub(crate) mod weights;

use stagewright_store::Staging;

use crate::execution::{Execution, Session};
use crate::fault::StageFault;
use crate::invocation::{Invocation, Outcome, Work};
use crate::run_error::RunError;

/// Does the work of a step.
pub(crate) fn work(invocation: &Invocation, execution: &mut Execution) -> Result<(), RunError> {
    execution.declare(invocation);
    match &invocation.work {
        Work::Ingestion(work) => ingestion::run(work, execution),
        Work::Preparation(work) => preparation::run(work, execution),
        Work::Segments(work) => segments::run(work, execution),
        Work::Validation => validation::run(execution),
        Work::Transformation(work) => transformation::run(work, execution),
        Work::Training => training::run(execution),
        Work::Evaluation(work) => evaluation::run(work, execution),
        Work::Promotion { gates } => promotion::run(gates, execution),
    }
}

/// Executes a step outside any run. It reads the inputs that its invocation declares from the
/// session's store. Nothing is published or recorded.
///
/// # Errors
/// The session lacks the step's component. A step that fails is an outcome.
pub fn execute(invocation: &Invocation, session: Session) -> Result<Outcome, StageFault> {
    Ok(execute_unpublished(invocation, session)?.0)
}

/// Executes a step outside any run, and returns its unpublished artifacts, too.
pub(crate) fn execute_unpublished(invocation: &Invocation, session: Session) -> Result<(Outcome, Staging), StageFault> {
    let guest = &invocation.guest;
    let component = session.components.iter().find(|it| it.world == guest.world && it.digest == guest.component);
    let missing = || StageFault::host(format!("the component `{}` is not available", guest.component));
    let component = component.ok_or_else(missing)?.clone();
    let mut execution = Execution::begin(invocation.step.clone(), component, guest.limits, session);
    let result = work(invocation, &mut execution);
    let result = execution.final_result(result);
    let outcome = execution.outcome(result.as_ref().err());
    Ok((outcome, execution.staging()))
}
