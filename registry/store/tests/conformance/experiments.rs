//! Experiments are created by name, renamed, tagged, deleted and restored.

use stagewright_store::StoreError;

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
