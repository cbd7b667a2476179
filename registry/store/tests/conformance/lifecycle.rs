//! The lifecycle of a version: none, staging, production, archived; production is the champion.

use stagewright_store::{LifecycleStage, PromotionRequest, StoreError, Verdict};

use crate::world::World;

pub(crate) fn versions_go_through_stages(world: &World) {
    let registry = &world.registry;
    world.unjudged("churn");
    for stage in [LifecycleStage::Staging, LifecycleStage::Archived, LifecycleStage::None, LifecycleStage::Staging] {
        registry.acting_as("ada").transition("churn", 1, stage, "because").unwrap();
        let found = registry.version("churn", 1).unwrap();
        assert_eq!(found.stage, stage);
        assert!(found.stage_ms.unwrap() >= found.created_ms);
    }
    let head = registry.audit_head().unwrap();
    registry.transition("churn", 1, LifecycleStage::Staging, "again").unwrap();
    assert_eq!(registry.audit_head().unwrap(), head, "no change, no entry");
    let last = &registry.audit_entries(1).unwrap()[0];
    assert_eq!((last.action.as_str(), last.actor.as_str(), last.reason.as_str()), (
        "version.transitioned",
        "ada",
        "because"
    ));
    assert_eq!((last.old_state.as_deref(), last.new_state.as_deref()), (Some("none"), Some("staging")));
    let nothing = registry.transition("churn", 9, LifecycleStage::Staging, "");
    assert!(matches!(nothing, Err(StoreError::NoVersion { .. })));
}

// invariant: as `of_a_thousand_concurrent_promotions_one_champion_is_left`
pub(crate) fn production_is_reached_by_promotion_alone(world: &World) {
    world.approved("churn");
    let refused = world.registry.transition("churn", 1, LifecycleStage::Production, "").unwrap_err();
    let text = "version 1 of model `churn` comes to production by promotion alone\n\
                hint: stagewright models promote churn/1";
    assert_eq!(refused.to_string(), text);
    assert_eq!(world.champion("churn"), None);
    // The database refuses a second champion, whoever inserts it.
    world.promote("churn", 1);
    world.approved("churn");
    assert!(world.sql("UPDATE versions SET stage = 'production'").is_err());
    assert_eq!(world.champion("churn"), Some(1));
}

pub(crate) fn the_champion_is_not_set_aside_without_another(world: &World) {
    let version = world.approved("churn");
    world.promote("churn", version);
    for stage in [LifecycleStage::None, LifecycleStage::Staging, LifecycleStage::Archived] {
        let refused = world.registry.transition("churn", version, stage, "");
        assert!(matches!(refused, Err(StoreError::IsChampion { .. })), "{stage}");
    }
    let refused = world.registry.delete_version("churn", version, "");
    assert!(matches!(refused, Err(StoreError::IsChampion { action: "deleted", .. })));
    assert_eq!(world.champion("churn"), Some(version));
}

// invariant: as `of_a_thousand_concurrent_promotions_one_champion_is_left`
pub(crate) fn only_an_approved_version_becomes_champion(world: &World) {
    world.unjudged("churn");
    world.rejected("churn");
    let promote = |version| world.registry.promote("churn", version, &PromotionRequest::default()).unwrap_err();
    let text = "version 1 of model `churn` cannot become `champion`: it is not judged\n\
                hint: only a version that passed its gates is promoted; `stagewright models show churn/1` tells why";
    assert_eq!(promote(1).to_string(), text);
    assert!(matches!(promote(2), StoreError::NotApproved { version: 2, state, .. } if state == "rejected"));
    assert!(matches!(promote(9), StoreError::NoVersion { .. }));
    assert!(matches!(
        world.registry.promote("nothing", 1, &PromotionRequest::default()),
        Err(StoreError::NoModel { .. })
    ));
    assert_eq!((world.champion("churn"), world.stages_of("churn")), (None, vec!["none", "none"]));
}

pub(crate) fn a_promotion_archives_the_champion_before(world: &World) {
    for version in [world.approved("churn"), world.approved("churn"), world.approved("churn")] {
        world.promote("churn", version);
        assert_eq!(world.champion("churn"), Some(version));
    }
    assert_eq!(world.stages_of("churn"), ["archived", "archived", "production"]);
    let champion = world.registry.version("churn", 3).unwrap();
    assert_eq!((champion.aliases, champion.verdict), (vec!["champion".to_owned()], Some(Verdict::Approved)));
    assert_eq!(world.registry.version("churn", 2).unwrap().aliases, [""; 0]);
    let model = world.registry.model("churn").unwrap();
    assert_eq!((model.champion, model.aliases), (Some(3), vec![("champion".to_owned(), 3)]));
}

// invariant: Each further rollback leads to an earlier champion.
pub(crate) fn one_rollback_after_another_leads_further_back(world: &World) {
    for _ in 0..4 {
        let version = world.approved("churn");
        world.promote("churn", version);
    }
    for expected in [3, 2, 1] {
        assert_eq!(world.registry.rollback_target("churn").unwrap(), expected);
        assert_eq!(world.roll_back("churn").unwrap(), expected);
        assert_eq!(world.champion("churn"), Some(expected));
    }
    let withdrawn: Vec<_> = world.registry.versions("churn").unwrap().iter().map(|it| it.withdrawn).collect();
    assert_eq!(withdrawn, [false, true, true, true]);
    let nothing = world.roll_back("churn").unwrap_err();
    let text = "No archived version available for rollback of model `churn`\n\
                hint: a version is archived when another one follows it as champion; `stagewright models promote` takes \
                any approved version";
    assert_eq!(nothing.to_string(), text);
    // Once promoted again, a version is a target of rollbacks again.
    world.promote("churn", 3);
    assert_eq!(world.registry.rollback_target("churn").unwrap(), 1);
    world.promote("churn", 4);
    assert_eq!(world.roll_back("churn").unwrap(), 3);
}

pub(crate) fn a_rollback_goes_to_the_version_archived_last_and_not_to_the_newest(world: &World) {
    for _ in 0..4 {
        world.approved("churn");
    }
    // The order of the transitions counts, not the clock: they may happen within a millisecond.
    for version in [3, 4, 1, 2] {
        world.promote("churn", version);
    }
    world.sql("UPDATE versions SET stage_ms = 7").unwrap();
    assert_eq!(world.roll_back("churn").unwrap(), 1);
    assert_eq!(world.roll_back("churn").unwrap(), 4);
    assert_eq!(world.roll_back("churn").unwrap(), 3);
}

pub(crate) fn a_version_that_never_was_champion_is_no_target_of_a_rollback(world: &World) {
    world.approved("churn");
    let champion = world.approved("churn");
    world.promote("churn", champion);
    world.registry.transition("churn", 1, LifecycleStage::Archived, "set aside").unwrap();
    let nothing = world.registry.rollback_target("churn").unwrap_err();
    assert!(nothing.to_string().starts_with("No archived version available for rollback"), "{nothing}");
    assert!(matches!(world.registry.rollback_target("nothing"), Err(StoreError::NoModel { .. })));
}

pub(crate) fn a_deleted_version_is_no_target_of_a_rollback(world: &World) {
    for _ in 0..3 {
        let version = world.approved("churn");
        world.promote("churn", version);
    }
    world.registry.delete_version("churn", 2, "").unwrap();
    assert_eq!(world.roll_back("churn").unwrap(), 1);
}
