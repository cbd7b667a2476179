//! Training: features become a model, which is kept with the components that it needs.

use stagewright_data::Task;
use stagewright_manifest::World;
use stagewright_store::Role;

use crate::run::RunError;
use crate::stage::Stage;
use crate::stages::weights;

/// Trains, and asks the model what counts.
pub(crate) fn run(stage: &mut Stage<'_>) -> Result<(), RunError> {
    let train = stage.table(World::Transformation, "features-train")?;
    let validation = stage.optional_table(World::Transformation, "features-validation")?;
    let task: Task = stage.json(World::Transformation, "task")?;
    // Again, for what `rebalance` made, and for features that another version of this program made.
    weights::refuse_wrong(stage.world, &train, stage.watch())?;
    weights::refuse_weightless(stage.world, &task, &train, stage.watch())?;
    let context = stage.context(None);
    let model = stage.run.sandbox.train(context.clone(), &train, validation.as_ref(), &task)?;
    let inputs = train.schema().project(&train.schema().indices_with(Role::Feature));
    let importance = stage.run.sandbox.importance(context, &model, &inputs, &task)?;
    stage.put_blob("model", &model);
    stage.put_json("importance", &importance)?;
    // Kept with the model: a version is whole from the end of training on.
    for world in [World::Transformation, World::Training] {
        let component = stage.run.request.components[&world].clone();
        let bytes = stage.run.sandbox.component_bytes(&component)?;
        stage.put_bytes(&format!("{world}-component"), &bytes)?;
    }
    Ok(())
}
