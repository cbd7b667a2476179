//! Training: features become a model.

use std::collections::HashMap;

use stagewright_store::Role;

use crate::artifact::{FEATURES_TRAIN, FEATURES_VALIDATION, IMPORTANCE, MODEL, TASK};
use crate::execution::Execution;
use crate::run_error::RunError;
use crate::stages::weights;

/// Trains, and asks the model what counts.
pub(crate) fn run(execution: &mut Execution) -> Result<(), RunError> {
    let (train, validation) = (execution.open(&FEATURES_TRAIN)?, execution.open_if_there(&FEATURES_VALIDATION)?);
    let task = execution.open(&TASK)?;
    // Again, for what `rebalance` made, and for features that another version of this program made.
    weights::refuse_wrong(execution.world, &train, execution.watch())?;
    weights::refuse_weightless(execution.world, &task, &train, execution.watch())?;
    let context = execution.context(HashMap::new())?;
    let model = execution.session.sandbox.train(context.clone(), &train, validation.as_ref(), &task)?;
    let inputs = train.schema().project(&train.schema().indices_with(Role::Feature));
    let importance = execution.session.sandbox.importance(context, &model, &inputs, &task)?;
    execution.put_blob(&MODEL, &model);
    execution.put_json(&IMPORTANCE, &importance)
}
