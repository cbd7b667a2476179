//! Inputs and outputs of runs: datasets with their tags, logged models, and the table of a
//! pipeline.

use stagewright_store::{
    Dataset, DatasetInput, DatasetName, DatasetSummary, ModelOutput, NewLoggedModel, Page, StageRecord, StoreError,
    TrackingError, ViewType,
};
use stagewright_store::search::{Entity, Filter, OrderBy};

use crate::client_runs::begun;
use crate::stages::stage;
use crate::world::{World, new_run, nobody, pairs};

fn dataset(name: &str, digest: &str) -> Dataset {
    Dataset {
        name: name.into(),
        digest: digest.into(),
        source_type: "code".into(),
        source: "{}".into(),
        schema: Some("{\"columns\": []}".into()),
        profile: None,
    }
}

fn used(name: &str, digest: &str, context: &str) -> DatasetInput {
    DatasetInput { dataset: dataset(name, digest), tags: pairs(&[("mlflow.data.context", context)]) }
}

pub(crate) fn datasets_and_models_of_a_run_are_read_back(world: &World) {
    let registry = &world.registry;
    let run = begun(world, "demo");
    let model = |name: &str| {
        let new = NewLoggedModel { experiment_id: run.experiment_id, name: name.into(), ..NewLoggedModel::default() };
        registry.create_logged_model(&new).unwrap().model_id
    };
    let (input, early, late) = (model("input"), model("early"), model("late"));
    let datasets = [used("rows", "d1", "train"), used("rows", "d2", "eval")];
    registry.log_inputs(&run.run_id, &datasets, std::slice::from_ref(&input)).unwrap();
    // Again, with another tag.
    registry.log_inputs(&run.run_id, &[used("rows", "d1", "test")], std::slice::from_ref(&input)).unwrap();
    let made = |model_id: &str, step| ModelOutput { model_id: model_id.into(), step };
    registry.log_outputs(&run.run_id, &[made(&late, 20), made(&early, 10)]).unwrap();
    let found = registry.run(run.run_id.as_str()).unwrap().inputs;
    assert_eq!(found.datasets, [used("rows", "d1", "test"), used("rows", "d2", "eval")]);
    assert_eq!((found.models, found.outputs), (vec![input], vec![made(&early, 10), made(&late, 20)]));
    assert_eq!(world.rows("SELECT count(*) FROM datasets"), ["2"]);
    let lost = registry.log_outputs(&run.run_id, &[made("m-none", 0)]).unwrap_err();
    assert!(matches!(lost, StoreError::Tracking(TrackingError::NoLoggedModel { .. })));
    assert!(matches!(registry.log_inputs(&nobody(), &datasets, &[]), Err(StoreError::NoRun { .. })));
    let nameless = registry.log_inputs(&run.run_id, &[used("", "d", "train")], &[]);
    assert!(matches!(nameless, Err(StoreError::BadKey { .. })));
}

pub(crate) fn the_table_that_a_pipeline_ingested_is_its_dataset(world: &World) {
    let registry = &world.registry;
    let run = registry.begin_run(&new_run("churn")).unwrap();
    let mut ingestion = StageRecord { name: "ingestion".into(), ..stage() };
    ingestion.outputs[1].name = "table".into();
    registry.record_stage(&run, &ingestion, &[]).unwrap();
    let table = &ingestion.outputs[1];
    let found = registry.run(run.as_str()).unwrap().inputs.datasets;
    assert_eq!((found.len(), found[0].dataset.name.as_str()), (1, "churn"));
    assert_eq!(found[0].dataset.digest, table.digest.to_string());
    assert_eq!(found[0].tags, pairs(&[("mlflow.data.context", "train")]));
}

pub(crate) fn runs_are_found_by_the_datasets_that_clients_logged(world: &World) {
    let registry = &world.registry;
    let (one, other) = (begun(world, "demo"), begun(world, "demo"));
    registry.log_inputs(&one.run_id, &[used("rows", "d1", "train")], &[]).unwrap();
    registry.log_inputs(&other.run_id, &[used("rows", "d2", "eval")], &[]).unwrap();
    let page = Page { limit: 10, offset: 0 };
    let find = |filter: &str| -> Vec<bool> {
        let filter = Filter::parse(Entity::Runs, filter).unwrap();
        let experiments = [one.experiment_id];
        let found = registry.search_runs_in(&experiments, &filter, &OrderBy::default(), ViewType::Active, page).unwrap();
        found.iter().map(|run| run.run_id == one.run_id).collect()
    };
    assert_eq!(find("datasets.name = 'rows'").len(), 2);
    assert_eq!(find("datasets.digest = 'd1'"), [true]);
    assert_eq!(find("datasets.context LIKE 'ev%'"), [false]);
    assert_eq!(find("datasets.name = 'other'"), [false; 0]);
    let uri = format!("artifact_uri = '{}'", one.artifact_uri);
    assert_eq!(find(&uri), [true]);
    // No experiment, no run; those of a deleted one are deleted.
    let filter = Filter::default();
    let none = registry.search_runs_in(&[], &filter, &OrderBy::default(), ViewType::All, page).unwrap();
    assert_eq!(none, []);
    registry.delete_experiment("demo", true).unwrap();
    assert_eq!(find("datasets.name = 'rows'"), [false; 0]);
    assert_eq!(registry.search_datasets(&[one.experiment_id], 10).unwrap(), []);
}

pub(crate) fn datasets_of_experiments_are_listed_once(world: &World) {
    let registry = &world.registry;
    let (one, other, elsewhere) = (begun(world, "demo"), begun(world, "demo"), begun(world, "else"));
    for run in [&one, &other] {
        registry.log_inputs(&run.run_id, &[used("rows", "d1", "train")], &[]).unwrap();
    }
    let untagged = DatasetInput { dataset: dataset("a", "d2"), tags: vec![] };
    registry.log_inputs(&other.run_id, &[untagged], &[]).unwrap();
    registry.log_inputs(&elsewhere.run_id, &[used("z", "d3", "eval")], &[]).unwrap();
    let summary = |run: &stagewright_store::Run, name: &str, digest: &str, context: Option<&str>| DatasetSummary {
        experiment_id: run.experiment_id,
        dataset: DatasetName { name: name.into(), digest: digest.into() },
        context: context.map(str::to_owned),
    };
    let found = registry.search_datasets(&[one.experiment_id], 10).unwrap();
    assert_eq!(found, [summary(&one, "a", "d2", None), summary(&one, "rows", "d1", Some("train"))]);
    let both = registry.search_datasets(&[one.experiment_id, elsewhere.experiment_id], 10).unwrap();
    assert_eq!(both.last(), Some(&summary(&elsewhere, "z", "d3", Some("eval"))));
    assert_eq!(registry.search_datasets(&[one.experiment_id], 1).unwrap().len(), 1);
    assert_eq!(registry.search_datasets(&[], 10).unwrap(), []);
}
