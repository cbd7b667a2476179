//! Training: features become a model.

use std::collections::HashMap;

use stagewright_store::Role;

use crate::artifact::{FEATURES_TRAIN, FEATURES_VALIDATION, IMPORTANCE, MODEL, TASK};
use crate::execution::Execution;
use crate::run_error::RunError;
use crate::stages::weights;

/// Trains the model, and asks it for the importance of its features.
pub(crate) fn run(execution: &mut Execution) -> Result<(), RunError> {
    let (train, validation) = (execution.open(&FEATURES_TRAIN)?, execution.open_if_there(&FEATURES_VALIDATION)?);
    let task = execution.open(&TASK)?;
    // The weights are checked again, because `rebalance` or another version of this program may
    // have made the features.
    weights::refuse_invalid(execution.world, &train, execution.watch())?;
    weights::refuse_weightless(execution.world, &task, &train, execution.watch())?;
    let context = execution.context(HashMap::new())?;
    let model = execution.session.sandbox.train(context.clone(), &train, validation.as_ref(), &task)?;
    let inputs = train.schema().project(&train.schema().indices_with(Role::Feature));
    let importance = execution.session.sandbox.importance(context, &model, &inputs, &task)?;
    execution.put_blob(&MODEL, &model);
    execution.put_json(&IMPORTANCE, &importance)
}
