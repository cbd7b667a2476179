//! A champion retires without a successor: the database records it first, then the destinations
//! follow; a rollback restores it.

use stagewright_store::{LifecycleStage, PromotionRequest, PromotionState, StoreError};

use crate::world::World;

fn promote_to(world: &World, version: u32, destination: &str) {
    let request = PromotionRequest { destination: destination.into(), ..PromotionRequest::default() };
    world.approve("churn", version);
    let promotion = world.registry.begin_promotion("churn", version, &request).unwrap();
    world.registry.complete_promotion(&promotion.id).unwrap();
    world.registry.finish_promotion(&promotion.id).unwrap();
}

pub(crate) fn a_model_retires_and_is_deleted(world: &World) {
    let registry = world.registry.acting_as("ada");
    assert!(matches!(registry.retire_model("churn", ""), Err(StoreError::NoModel { .. })));
    world.approved("churn");
    let nothing = registry.retire_model("churn", "").unwrap_err();
    assert!(matches!(nothing, StoreError::NothingToRetire { .. }), "{nothing}");
    for version in [1, world.approved("churn")] {
        promote_to(world, version, "file:///production");
    }
    // Promotions of one millisecond have no order.
    std::thread::sleep(std::time::Duration::from_millis(2));
    promote_to(world, 2, "file:///elsewhere");
    let removals = registry.retire_model("churn", "nobody asks it").unwrap();
    let told: Vec<_> = removals.iter().map(|it| (it.version, it.destination.as_str(), it.retirement, it.state)).collect();
    let current = PromotionState::Current;
    assert_eq!(told, [(2, "file:///elsewhere", true, current), (2, "file:///production", true, current)]);
    assert_eq!((world.champion("churn"), world.stages_of("churn")), (None, vec!["archived", "archived"]));
    assert_eq!(registry.version("churn", 2).unwrap().stage, LifecycleStage::Archived);
    let mut unfinished = registry.unfinished_promotions().unwrap();
    unfinished.sort_by(|one, two| one.destination.cmp(&two.destination));
    assert_eq!(unfinished, removals);
    let audit = registry.audit_of("churn", Some(2)).unwrap();
    let retired = audit.iter().find(|entry| entry.action == "model.retired").unwrap();
    assert_eq!((retired.actor.as_str(), retired.reason.as_str()), ("ada", "nobody asks it"));
    assert_eq!(registry.champion_at("churn", audit.last().unwrap().at_ms).unwrap(), None);
    // The destinations that still have a pointer are remembered.
    assert_eq!(registry.retire_model("churn", "again").unwrap(), removals, "what is left to do");
    let busy = registry.begin_collection("file:///production").unwrap_err();
    assert!(matches!(busy, StoreError::RetirementUnfinished { version: 2, .. }), "{busy}");
    for refused in [registry.delete_model("churn", ""), registry.delete_version("churn", 2, "")] {
        assert!(matches!(refused, Err(StoreError::RetirementUnfinished { .. })), "{refused:?}");
    }
    for removal in &removals {
        registry.finish_promotion(&removal.id).unwrap();
    }
    assert!(matches!(registry.retire_model("churn", ""), Err(StoreError::NothingToRetire { .. })));
    assert_eq!(registry.last_promotion("churn").unwrap().unwrap().destination, "file:///elsewhere");
    assert_eq!(registry.promotion_of("churn", 2).unwrap().unwrap().destination, "file:///elsewhere");
    registry.delete_model("churn", "").unwrap();
    registry.verify_audit().unwrap();
}

pub(crate) fn a_retired_champion_comes_back_by_rollback_or_by_a_new_verdict(world: &World) {
    let registry = &world.registry;
    for _ in 0..2 {
        let version = world.approved("churn");
        world.promote("churn", version);
    }
    assert_eq!(registry.retire_model("churn", "").unwrap(), [], "it was copied nowhere");
    assert_eq!(world.roll_back("churn").unwrap(), 2);
    registry.retire_model("churn", "").unwrap();
    // An approval against the former champion is not one against none.
    let stale = registry.promote("churn", 2, &PromotionRequest::default()).unwrap_err();
    assert!(matches!(stale, StoreError::StaleVerdict { champion: None, .. }), "{stale}");
    assert!(stale.to_string().contains("approved against version 1, and there is no champion now"), "{stale}");
    world.promote("churn", 2);
    assert_eq!(world.champion("churn"), Some(2));
}

pub(crate) fn a_promotion_that_expected_the_retired_champion_is_undone(world: &World) {
    for _ in 0..2 {
        world.approved("churn");
    }
    promote_to(world, 1, "file:///production");
    world.approve("churn", 2);
    let request = PromotionRequest { destination: "file:///production".into(), ..PromotionRequest::default() };
    let [repair, next] = [1, 2].map(|version| world.registry.begin_promotion("churn", version, &request).unwrap());
    world.registry.retire_model("churn", "").unwrap();
    for late in [repair, next] {
        let moved = world.registry.complete_promotion(&late.id).unwrap_err();
        assert!(matches!(moved, StoreError::AliasMoved { expected: Some(1), actual: None, .. }), "{moved}");
    }
    assert_eq!(world.champion("churn"), None);
    // The next champion's pointer replaces the old one.
    promote_to(world, 2, "file:///production");
    assert_eq!(world.registry.unfinished_promotions().unwrap(), []);
}
