//! Training: features become a model.

use std::collections::HashMap;

use stagewright_store::Role;

use crate::artifact::{FEATURES_TRAIN, FEATURES_VALIDATION, IMPORTANCE, MODEL, TASK};
use crate::bench::Bench;
use crate::run::RunError;
use crate::stages::weights;

/// Trains, and asks the model what counts.
pub(crate) fn run(bench: &mut Bench) -> Result<(), RunError> {
    let (train, validation) = (bench.open(&FEATURES_TRAIN)?, bench.open_if_there(&FEATURES_VALIDATION)?);
    let task = bench.open(&TASK)?;
    // Again, for what `rebalance` made, and for features that another version of this program made.
    weights::refuse_wrong(bench.world, &train, bench.watch())?;
    weights::refuse_weightless(bench.world, &task, &train, bench.watch())?;
    let context = bench.context(HashMap::new())?;
    let model = bench.session.sandbox.train(context.clone(), &train, validation.as_ref(), &task)?;
    let inputs = train.schema().project(&train.schema().indices_with(Role::Feature));
    let importance = bench.session.sandbox.importance(context, &model, &inputs, &task)?;
    bench.put_blob(&MODEL, &model);
    bench.put_json(&IMPORTANCE, &importance)
}
