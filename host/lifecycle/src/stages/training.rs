//! Training: features become a model, which is kept with the components that it needs.

use stagewright_store::Role;

use crate::artifact::{COMPONENTS, FEATURES_TRAIN, FEATURES_VALIDATION, IMPORTANCE, MODEL, TASK};
use crate::run::RunError;
use crate::stage::Stage;
use crate::stages::weights;

/// Trains, and asks the model what counts.
pub(crate) fn run(stage: &mut Stage<'_>) -> Result<(), RunError> {
    let train = stage.open(&FEATURES_TRAIN)?;
    let validation = stage.open_if_there(&FEATURES_VALIDATION)?;
    let task = stage.open(&TASK)?;
    // Again, for what `rebalance` made, and for features that another version of this program made.
    weights::refuse_wrong(stage.world, &train, stage.watch())?;
    weights::refuse_weightless(stage.world, &task, &train, stage.watch())?;
    let context = stage.context(None);
    let model = stage.run.sandbox.train(context.clone(), &train, validation.as_ref(), &task)?;
    let inputs = train.schema().project(&train.schema().indices_with(Role::Feature));
    let importance = stage.run.sandbox.importance(context, &model, &inputs, &task)?;
    stage.put_blob(&MODEL, &model);
    stage.put_json(&IMPORTANCE, &importance)?;
    for (world, artifact) in &COMPONENTS {
        let component = stage.run.request.components[world].clone();
        let bytes = stage.run.sandbox.component_bytes(&component)?;
        stage.put_bytes(artifact, &bytes)?;
    }
    Ok(())
}
