//! Experiments are created by name, renamed, tagged, deleted and restored.

use stagewright_store::search::{Filter, OrderBy};
use stagewright_store::{MetricPoint, Page, RunStatus, RunUpdate, StoreError, ViewType};

use crate::client_files::uploaded;
use crate::client_runs::begun;
use crate::world::{World, new_run, pairs};

pub(crate) fn an_experiment_is_made_by_hand_or_by_its_first_run(world: &World) {
    let registry = &world.registry;
    let id = registry.create_experiment("by hand", &pairs(&[("b", "2"), ("a", "1")])).unwrap();
    registry.begin_run(&new_run("churn")).unwrap();
    registry.begin_run(&new_run("churn")).unwrap();
    let all = registry.experiments().unwrap();
    assert_eq!(all.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["by hand", "churn"]);
    assert_eq!((all[0].id, &all[0].tags), (id, &pairs(&[("a", "1"), ("b", "2")])));
    assert_eq!(all[0].created_ms, all[0].updated_ms);
    assert_eq!(registry.experiment("churn").unwrap().as_ref(), Some(&all[1]));
    assert_eq!(registry.experiment("Churn").unwrap(), None);
    let again = registry.create_experiment("churn", &[]).unwrap_err();
    assert_eq!(again.to_string(), "experiment `churn` exists already");
}

pub(crate) fn an_experiment_is_renamed_with_its_runs(world: &World) {
    let registry = &world.registry;
    let run = registry.begin_run(&new_run("churn")).unwrap();
    registry.create_experiment("taken", &[]).unwrap();
    assert!(matches!(registry.rename_experiment("churn", "taken"), Err(StoreError::ExperimentExists { .. })));
    assert!(matches!(registry.rename_experiment("nothing", "new"), Err(StoreError::NoExperiment { .. })));
    registry.rename_experiment("churn", "retention").unwrap();
    registry.rename_experiment("retention", "retention").unwrap();
    assert_eq!(registry.run(run.as_str()).unwrap().experiment, "retention");
}

pub(crate) fn a_deleted_experiment_takes_no_runs_until_it_is_restored(world: &World) {
    let registry = &world.registry;
    registry.create_experiment("churn", &[]).unwrap();
    registry.delete_experiment("churn", true).unwrap();
    assert!(registry.experiment("churn").unwrap().unwrap().deleted_ms.is_some());
    let refused = registry.begin_run(&new_run("churn")).unwrap_err();
    assert_eq!(refused.to_string(), "experiment `churn` is deleted\nhint: restore it, or use another name");
    assert!(matches!(registry.create_experiment("churn", &[]), Err(StoreError::ExperimentExists { .. })));
    registry.delete_experiment("churn", false).unwrap();
    registry.begin_run(&new_run("churn")).unwrap();
    assert!(matches!(registry.delete_experiment("nothing", true), Err(StoreError::NoExperiment { .. })));
}

pub(crate) fn runs_of_a_deleted_experiment_count_as_deleted_until_it_is_restored(world: &World) {
    let registry = &world.registry;
    let (kept, deleted) = (begun(world, "churn"), begun(world, "churn"));
    let ours = registry.begin_run(&new_run("churn")).unwrap();
    registry.delete_run(&deleted.run_id, true).unwrap();
    let file = uploaded(world, &format!("{}/{}/artifacts/a", kept.experiment_id, kept.run_id), b"a");
    let named = |name: &str| RunUpdate { name: Some(name.to_owned()), ..RunUpdate::default() };
    let point = MetricPoint { name: "loss".into(), ..MetricPoint::default() };
    let found = |view| {
        let (filter, order, page) = (Filter::default(), OrderBy::default(), Page { limit: 10, offset: 0 });
        registry.search_runs_in(&[kept.experiment_id], &filter, &order, view, page).unwrap().len()
    };
    let views = || [ViewType::Active, ViewType::Deleted, ViewType::All].map(found);
    assert_eq!(views(), [2, 1, 3]);
    registry.delete_experiment_numbered(kept.experiment_id, true).unwrap();
    assert_eq!(views(), [0, 3, 3]);
    assert!(registry.run(kept.run_id.as_str()).unwrap().deleted_ms.is_some());
    assert_eq!((registry.list_runs(9).unwrap(), registry.last_run("churn").unwrap()), (vec![], None));
    let tags = pairs(&[("a", "1")]);
    for refused in [
        registry.log_client_batch(&kept.run_id, &[], &[], &tags),
        registry.log_metric(&kept.run_id, &point),
        registry.log_outputs(&kept.run_id, &[]),
        registry.update_run(&kept.run_id, &named("late")).map(drop),
    ] {
        assert!(matches!(refused, Err(StoreError::NoRun { .. })));
    }
    // A process ends its run as it began it, and no file is garbage.
    registry.log_metric(&ours, &point).unwrap();
    registry.finish_run(&ours, RunStatus::Finished, None).unwrap();
    assert!(registry.reachable().unwrap().contains(&file.digest));
    registry.delete_experiment_numbered(kept.experiment_id, false).unwrap();
    assert_eq!(views(), [2, 1, 3]);
    assert_eq!(registry.run(kept.run_id.as_str()).unwrap(), kept);
    registry.log_metric(&kept.run_id, &point).unwrap();
    assert_eq!(registry.update_run(&kept.run_id, &named("late")).unwrap().name, "late");
}

pub(crate) fn tags_of_experiments_are_replaced(world: &World) {
    let registry = &world.registry;
    registry.create_experiment("churn", &pairs(&[("owner", "ada")])).unwrap();
    registry.tag_experiment("churn", "owner", "grace").unwrap();
    assert_eq!(registry.experiment("churn").unwrap().unwrap().tags, pairs(&[("owner", "grace")]));
    assert!(matches!(registry.tag_experiment("nothing", "owner", ""), Err(StoreError::NoExperiment { .. })));
    assert!(matches!(registry.tag_experiment("churn", "", ""), Err(StoreError::BadKey { .. })));
    assert!(matches!(registry.create_experiment("other", &pairs(&[("", "")])), Err(StoreError::BadKey { .. })));
    assert_eq!(registry.experiment("other").unwrap(), None);
}

pub(crate) fn names_of_experiments_are_text_within_limits(world: &World) {
    for bad in ["", " ", "a\nb", "a\0b", &"x".repeat(501)] {
        let refused = world.registry.create_experiment(bad, &[]);
        assert!(matches!(refused, Err(StoreError::BadExperimentName { .. })), "{bad}");
    }
    world.registry.create_experiment("/Users/ada/Kündigungen 2026", &[]).unwrap();
    world.registry.create_experiment(&"x".repeat(500), &[]).unwrap();
}
