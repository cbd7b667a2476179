//! Training: features become a model. Only a candidate: nothing is registered here.

use stagewright_data::Task;
use stagewright_manifest::World;

use crate::run::RunError;
use crate::stage::Stage;

/// Trains, and asks the model what counts.
pub(crate) fn run(stage: &mut Stage<'_>) -> Result<(), RunError> {
    let train = stage.table(World::Transformation, "features-train")?;
    let validation = stage.optional_table(World::Transformation, "features-validation")?;
    let task: Task = stage.json(World::Transformation, "task")?;
    let context = stage.context(None);
    let model = stage.run.sandbox.train(context.clone(), &train, validation.as_ref(), &task)?;
    let importance = stage.run.sandbox.importance(context, &model)?;
    stage.put_blob("model", &model);
    stage.put_json("importance", &importance)
}
