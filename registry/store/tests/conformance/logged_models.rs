//! Logged models: created, finalized, tagged, found by what was measured of them, deleted.

use stagewright_store::search::{Entity, Filter, OrderBy};
use stagewright_store::{
    DatasetName, LoggedModel, LoggedModelOrder, LoggedModelSearch, LoggedModelStatus, MetricPoint, NewForeignVersion,
    NewLoggedModel, NewModel, Page, Run, StoreError, TrackingError,
};

use crate::client_files::uploaded;
use crate::client_runs::begun;
use crate::world::{World, nobody, pairs};

fn created(world: &World, run: &Run, name: &str) -> LoggedModel {
    let new = NewLoggedModel {
        experiment_id: run.experiment_id,
        name: name.into(),
        model_type: Some("sklearn".into()),
        source_run: Some(run.run_id.clone()),
        parameters: pairs(&[("depth", "3")]),
        tags: pairs(&[("team", "growth")]),
    };
    world.registry.create_logged_model(&new).unwrap()
}

fn is_lost<T>(result: Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Tracking(TrackingError::NoLoggedModel { .. })))
}

pub(crate) fn a_logged_model_goes_from_pending_to_ready(world: &World) {
    let registry = &world.registry;
    let run = begun(world, "demo");
    let model = created(world, &run, "forest");
    assert!(model.model_id.len() == 34 && model.model_id.starts_with("m-"), "{}", model.model_id);
    assert_eq!((model.status, model.name.as_str()), (LoggedModelStatus::Pending, "forest"));
    assert_eq!(model.artifact_uri, format!("mlflow-artifacts:/{}/models/{}/artifacts", run.experiment_id, model.model_id));
    assert_eq!(registry.logged_model(&model.model_id).unwrap(), model);
    let ready = registry.finalize_logged_model(&model.model_id, LoggedModelStatus::Ready, None).unwrap();
    assert_eq!((ready.status, ready.created_ms), (LoggedModelStatus::Ready, model.created_ms));
    let failed = registry.finalize_logged_model(&model.model_id, LoggedModelStatus::Failed, Some("no disk")).unwrap();
    assert_eq!((failed.status, failed.status_message.as_deref()), (LoggedModelStatus::Failed, Some("no disk")));
    let tagged = registry.tag_logged_model(&model.model_id, &pairs(&[("team", "core"), ("a", "1")])).unwrap();
    assert_eq!(tagged.tags, pairs(&[("a", "1"), ("team", "core")]));
    registry.delete_logged_model_tag(&model.model_id, "a").unwrap();
    assert!(matches!(registry.delete_logged_model_tag(&model.model_id, "a"), Err(StoreError::NoTag { .. })));
    registry.log_logged_model_parameters(&model.model_id, &pairs(&[("depth", "3"), ("trees", "9")])).unwrap();
    let changed = registry.log_logged_model_parameters(&model.model_id, &pairs(&[("depth", "4")]));
    assert!(matches!(changed, Err(StoreError::ParameterChanged { .. })));
    let found = registry.logged_model(&model.model_id).unwrap();
    assert_eq!((found.parameters, found.tags), (pairs(&[("depth", "3"), ("trees", "9")]), pairs(&[("team", "core")])));
}

pub(crate) fn what_is_no_logged_model_is_refused(world: &World) {
    let registry = &world.registry;
    let run = begun(world, "demo");
    let new = |name: &str| NewLoggedModel { experiment_id: run.experiment_id, name: name.into(), ..Default::default() };
    for bad in ["", "a/b", "a:b", "a.b", "100%", "a'b", "a\nb", &"x".repeat(501)] {
        let refused = registry.create_logged_model(&new(bad));
        assert!(matches!(refused, Err(StoreError::Tracking(TrackingError::BadLoggedModelName { .. }))), "{bad}");
    }
    let lost = registry.create_logged_model(&NewLoggedModel { source_run: Some(nobody()), ..new("a") });
    assert!(matches!(lost, Err(StoreError::NoRun { .. })));
    let lost = registry.create_logged_model(&NewLoggedModel { experiment_id: 99, ..new("a") });
    assert!(matches!(lost, Err(StoreError::NoExperiment { .. })));
    let model = created(world, &run, "forest").model_id;
    registry.delete_logged_model(&model).unwrap();
    assert!(is_lost(registry.logged_model(&model)) && is_lost(registry.delete_logged_model(&model)));
    assert!(is_lost(registry.finalize_logged_model(&model, LoggedModelStatus::Ready, None)));
    assert!(is_lost(registry.tag_logged_model(&model, &[])) && is_lost(registry.delete_logged_model_tag(&model, "a")));
    assert!(is_lost(registry.log_logged_model_parameters(&model, &[])));
    let point = MetricPoint { name: "auc".into(), model_id: Some(model), ..MetricPoint::default() };
    assert!(is_lost(registry.log_metric(&run.run_id, &point)));
    assert_eq!(registry.run(run.run_id.as_str()).unwrap().metrics, []);
}

fn measured(world: &World, run: &Run, model: &str, dataset: Option<&str>, (value, step): (f64, i64)) {
    let point = MetricPoint {
        name: "auc".into(),
        value,
        step,
        at_ms: Some(step),
        model_id: Some(model.into()),
        dataset: dataset.map(|name| DatasetName { name: name.into(), digest: format!("{name}-digest") }),
    };
    world.registry.log_batch(&run.run_id, std::slice::from_ref(&point), &[], &[]).unwrap();
}

pub(crate) fn the_last_metric_of_a_logged_model_is_kept_by_dataset_and_run(world: &World) {
    let (run, other) = (begun(world, "demo"), begun(world, "demo"));
    let model = created(world, &run, "forest").model_id;
    measured(world, &run, &model, None, (0.5, 1));
    measured(world, &run, &model, None, (0.7, 3));
    measured(world, &run, &model, None, (0.6, 2));
    measured(world, &run, &model, Some("eval"), (f64::NAN, 0));
    measured(world, &run, &model, Some("eval"), (0.8, 0));
    measured(world, &other, &model, None, (0.9, 0));
    let metrics = world.registry.logged_model(&model).unwrap().metrics;
    let mut found: Vec<_> = metrics
        .iter()
        .map(|it| (it.dataset.as_ref().map(|it| it.name.as_str()), it.run_id == run.run_id, it.metric.value))
        .collect();
    found.sort_by(|one, two| one.partial_cmp(two).unwrap());
    assert_eq!(found, [(None, false, 0.9), (None, true, 0.7), (Some("eval"), true, 0.8)]);
    // The run has them too.
    assert_eq!(world.registry.metric_history(&run.run_id, "auc").unwrap().len(), 5);
}

pub(crate) fn logged_models_are_found_by_metrics_parameters_tags_and_attributes(world: &World) {
    let registry = &world.registry;
    let (run, elsewhere) = (begun(world, "demo"), begun(world, "else"));
    let names = ["a", "b", "c"];
    let ids: Vec<String> = names.iter().map(|name| created(world, &run, name).model_id).collect();
    created(world, &elsewhere, "d");
    let deleted = created(world, &run, "e").model_id;
    registry.delete_logged_model(&deleted).unwrap();
    measured(world, &run, &ids[0], Some("eval"), (0.7, 1));
    measured(world, &run, &ids[0], Some("train"), (0.99, 1));
    measured(world, &run, &ids[1], Some("eval"), (0.8, 1));
    registry.finalize_logged_model(&ids[1], LoggedModelStatus::Failed, None).unwrap();
    registry.tag_logged_model(&ids[2], &pairs(&[("team", "core")])).unwrap();
    let eval = [("eval".to_owned(), None)];
    let search = |filter: &str, datasets: &[(String, Option<String>)], order: &[LoggedModelOrder]| -> String {
        let filter = Filter::parse(Entity::LoggedModels, filter).unwrap();
        let experiments = [run.experiment_id];
        let page = Page { limit: 10, offset: 0 };
        let found = registry
            .search_logged_models(&LoggedModelSearch { experiments: &experiments, filter: &filter, datasets, order, page })
            .unwrap();
        found.iter().map(|model| model.name.as_str()).collect()
    };
    let by = |key: &str, descending, dataset: Option<&str>| LoggedModelOrder {
        key: OrderBy::parse(Entity::LoggedModels, &[key]).unwrap().keys()[0].key.clone(),
        descending,
        dataset: dataset.map(|name| (name.to_owned(), None)),
    };
    let by_name = [by("name", false, None)];
    for (filter, found) in [
        ("", "abc"),
        ("metrics.auc > 0.75", "ab"),
        ("metrics.auc > 0.75 AND metrics.auc < 0.75", "a"),
        ("params.depth = '3' AND tags.team = 'growth'", "ab"),
        ("status = 'UPLOAD_FAILED'", "b"),
        ("status IN ('PENDING', 'READY')", "ac"),
        ("model_type = 'sklearn' AND name != 'a'", "bc"),
        ("model_type IS NULL", ""),
        ("creation_timestamp > 0", "abc"),
    ] {
        assert_eq!(search(filter, &[], &by_name), found, "{filter}");
    }
    assert_eq!(search(&format!("source_run_id = '{}'", run.run_id), &[], &by_name), "abc");
    assert_eq!(search(&format!("model_id IN ('{}')", ids[2]), &[], &by_name), "c");
    // A condition on metrics is about the datasets, of which each model must have one.
    assert_eq!(search("metrics.auc > 0.75", &eval, &by_name), "b");
    assert_eq!(search("", &eval, &by_name), "ab");
    let exact = [("eval".to_owned(), Some("eval-digest".to_owned())), ("none".to_owned(), None)];
    assert_eq!(search("", &exact, &by_name), "ab");
    assert_eq!(search("", &[("eval".to_owned(), Some("other".to_owned()))], &by_name), "");
    assert_eq!(search("", &[], &[by("metrics.auc", true, Some("eval")), by("name", false, None)]), "bac");
    assert_eq!(search("", &[], &[by("metrics.auc", false, Some("train")), by("name", true, None)]), "acb");
    assert_eq!(search("", &[], &[by("params.depth", false, None), by("name", true, None)]), "cba");
}

pub(crate) fn a_logged_model_knows_the_versions_that_it_was_registered_as(world: &World) {
    let registry = &world.registry;
    let run = begun(world, "demo");
    let model = created(world, &run, "forest");
    registry.create_foreign_model("churn", &NewModel::default()).unwrap();
    let source = format!("models:/{}", model.model_id);
    let new = NewForeignVersion { source, model_id: Some(model.model_id.clone()), ..NewForeignVersion::default() };
    let version = registry.create_foreign_version("churn", &new).unwrap();
    assert!(!version.foreign.unwrap().is_verified(), "no file was uploaded");
    let folder = stagewright_store::proxied_path(&model.artifact_uri).unwrap();
    uploaded(world, &format!("{folder}/MLmodel"), b"flavors:");
    let ready = registry.finalize_logged_model(&model.model_id, LoggedModelStatus::Ready, None).unwrap();
    assert_eq!(ready.registrations, [("churn".to_owned(), 1)]);
    assert!(registry.version("churn", 1).unwrap().foreign.unwrap().is_verified(), "its files are complete");
}
