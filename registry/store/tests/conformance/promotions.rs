//! Promotions: intended, completed, finished. Whatever happens between, there is one champion.

use stagewright_store::{JudgedAgainst, NewVerdict, Promotion, PromotionRequest, PromotionState, StoreError, Verdict};

use crate::world::{World, reference, unnumbered, version};

fn to(destination: &str) -> PromotionRequest {
    PromotionRequest { destination: destination.into(), expected: None, reason: "better".into() }
}

/// Judges the version against the current champion and intends its promotion.
fn begin(world: &World, version: u32) -> Promotion {
    world.approve("churn", version);
    world.registry.begin_promotion("churn", version, &to("file:///production")).unwrap()
}

fn state(world: &World, promotion: &Promotion) -> PromotionState {
    world.registry.promotion(&promotion.id).unwrap().state
}

fn unfinished(world: &World) -> Vec<String> {
    world.registry.unfinished_promotions().unwrap().into_iter().map(|it| it.id).collect()
}

pub(crate) fn a_promotion_is_intended_then_current_then_finished(world: &World) {
    let registry = world.registry.acting_as("ada");
    world.approved("churn");
    let begun = registry.begin_promotion("churn", 1, &to("file:///production")).unwrap();
    assert_eq!((begun.state, begun.expected, begun.rollback), (PromotionState::Intended, None, false));
    assert_eq!((begun.actor.as_str(), begun.reason.as_str()), ("ada", "better"));
    assert_eq!((world.champion("churn"), unfinished(world)), (None, vec![]));
    assert_eq!(registry.promotion_of("churn", 1).unwrap(), None);

    let current = registry.complete_promotion(&begun.id).unwrap();
    assert_eq!(current, Promotion { state: PromotionState::Current, ..begun.clone() });
    assert_eq!(registry.complete_promotion(&begun.id).unwrap(), current, "once more changes nothing");
    assert_eq!((world.champion("churn"), unfinished(world)), (Some(1), vec![begun.id.clone()]));
    let undone = registry.undo_promotion(&begun.id, "").unwrap_err();
    assert_eq!(undone.to_string(), format!("promotion `{}` is current", begun.id));

    registry.finish_promotion(&begun.id).unwrap();
    assert_eq!((world.champion("churn"), unfinished(world)), (Some(1), vec![]));
    let finished = registry.promotion_of("churn", 1).unwrap().unwrap();
    assert_eq!((&finished.id, finished.state), (&begun.id, PromotionState::Finished));
    assert!(finished.ended_ms.unwrap() >= finished.began_ms);
    // If another process repaired the destination and finished it meanwhile, that is not an error.
    registry.finish_promotion(&begun.id).unwrap();
    for ended in [registry.undo_promotion(&begun.id, "late"), registry.complete_promotion(&begun.id).map(drop)] {
        assert!(matches!(ended, Err(StoreError::PromotionEnded { state: "finished", .. })));
    }
    assert!(matches!(registry.promotion("nothing"), Err(StoreError::NoPromotion { .. })));
    assert!(matches!(registry.complete_promotion("nothing"), Err(StoreError::NoPromotion { .. })));
}

pub(crate) fn a_promotion_that_is_undone_leaves_the_champion(world: &World) {
    world.approved("churn");
    world.approved("churn");
    world.promote("churn", 1);
    let begun = begin(world, 2);
    world.registry.undo_promotion(&begun.id, "the copy failed").unwrap();
    assert_eq!((state(world, &begun), world.champion("churn")), (PromotionState::Undone, Some(1)));
    assert!(matches!(
        world.registry.complete_promotion(&begun.id),
        Err(StoreError::PromotionEnded { state: "undone", .. })
    ));
    let last = &world.registry.audit_entries(1).unwrap()[0];
    assert_eq!((last.action.as_str(), last.reason.as_str()), ("promotion.undone", "the copy failed"));
    assert_eq!(world.stages_of("churn"), ["production", "none"]);
}

// invariant: as `of_a_thousand_concurrent_promotions_one_champion_is_left`
pub(crate) fn a_promotion_is_undone_if_the_champion_moved_meanwhile(world: &World) {
    for _ in 0..3 {
        world.approved("churn");
    }
    world.promote("churn", 1);
    let (slow, fast) = (begin(world, 2), begin(world, 3));
    assert_eq!((slow.expected, fast.expected), (Some(1), Some(1)));
    world.registry.complete_promotion(&fast.id).unwrap();
    let moved = world.registry.complete_promotion(&slow.id).unwrap_err();
    assert!(matches!(moved, StoreError::AliasMoved { expected: Some(1), actual: Some(3), .. }), "{moved}");
    assert_eq!((state(world, &slow), world.champion("churn")), (PromotionState::Undone, Some(3)));
    assert_eq!(world.stages_of("churn"), ["archived", "none", "production"]);
}

pub(crate) fn a_promotion_is_undone_even_if_the_champion_it_expected_is_deleted(world: &World) {
    for _ in 0..3 {
        world.approved("churn");
    }
    world.promote("churn", 1);
    let slow = begin(world, 2);
    world.promote("churn", 3);
    world.registry.delete_version("churn", 1, "").unwrap();
    let moved = world.registry.complete_promotion(&slow.id).unwrap_err();
    assert!(matches!(moved, StoreError::AliasMoved { actual: Some(3), .. }), "{moved}");
    assert_eq!(world.champion("churn"), Some(3));
}

pub(crate) fn a_promotion_against_another_champion_than_expected_is_refused(world: &World) {
    world.approved("churn");
    world.approved("churn");
    world.promote("churn", 1);
    world.approve("churn", 2);
    let promote = |expected| world.registry.promote("churn", 2, &PromotionRequest { expected, ..to("") });
    for (expected, said) in [(Some(None), None), (Some(Some(2)), Some(2))] {
        let moved = promote(expected).unwrap_err();
        assert!(
            matches!(moved, StoreError::AliasMoved { expected, actual: Some(1), .. } if expected == said),
            "{moved}"
        );
        assert_eq!(world.champion("churn"), Some(1));
    }
    assert!(matches!(promote(Some(Some(9))), Err(StoreError::NoVersion { .. })));
    promote(Some(Some(1))).unwrap();
    assert_eq!(world.champion("churn"), Some(2));
}

pub(crate) fn promoting_the_champion_repairs_its_destination(world: &World) {
    world.approved("churn");
    world.promote("churn", 1);
    let life = world.registry.version("churn", 1).unwrap();
    let repair = begin(world, 1);
    assert_eq!(repair.expected, Some(1));
    world.registry.complete_promotion(&repair.id).unwrap();
    assert_eq!(unfinished(world), [repair.id.as_str()]);
    world.registry.finish_promotion(&repair.id).unwrap();
    assert_eq!(world.registry.version("churn", 1).unwrap(), life, "nothing else changed");
    let stale = begin(world, 1);
    let other = world.approved("churn");
    world.promote("churn", other);
    assert!(matches!(world.registry.complete_promotion(&stale.id), Err(StoreError::AliasMoved { .. })));
    assert_eq!(world.champion("churn"), Some(other));
}

pub(crate) fn finishing_a_promotion_finishes_those_before_it_at_the_same_destination(world: &World) {
    for _ in 0..4 {
        world.approved("churn");
    }
    let elsewhere = world.registry.begin_promotion("churn", 4, &to("file:///elsewhere")).unwrap();
    world.registry.complete_promotion(&elsewhere.id).unwrap();
    let complete = |version| {
        let promotion = begin(world, version);
        world.registry.complete_promotion(&promotion.id).unwrap();
        promotion
    };
    let [first, second, third] = [1, 2, 3].map(complete);
    world.registry.finish_promotion(&second.id).unwrap();
    assert_eq!(state(world, &first), PromotionState::Finished);
    // The destination may still point to the second one, so that its pointer has to be moved.
    assert_eq!(state(world, &third), PromotionState::Current);
    let mut left = [elsewhere.id, third.id];
    let mut found = unfinished(world);
    left.sort();
    found.sort();
    assert_eq!(found, left);
}

pub(crate) fn a_rollback_is_recorded_as_one(world: &World) {
    for _ in 0..2 {
        let version = world.approved("churn");
        world.promote("churn", version);
    }
    let begun = world.registry.begin_rollback("churn", &to("file:///production")).unwrap();
    assert_eq!((begun.version, begun.expected, begun.rollback), (1, Some(2), true));
    world.registry.complete_promotion(&begun.id).unwrap();
    let all = world.registry.promotions_of_model("churn", 10).unwrap();
    assert_eq!(all.iter().filter(|it| it.rollback).map(|it| &it.id).collect::<Vec<_>>(), [&begun.id]);
    let mut versions: Vec<u32> = all.iter().map(|it| it.version).collect();
    versions.sort_unstable();
    assert_eq!(versions, [1, 1, 2]);
    assert_eq!(world.registry.promotions_of_model("churn", 2).unwrap(), all[..2]);
    assert!(matches!(world.registry.promotions_of_model("none", 1), Err(StoreError::NoModel { .. })));
    let audit = world.registry.audit_of("churn", Some(2)).unwrap();
    assert_eq!(audit.last().unwrap().reason, "rolled back to version 1");
    assert_eq!(world.registry.audit_of("churn", Some(1)).unwrap().last().unwrap().reason, "better");
}

// invariant: as `artifacts_of_deleted_runs_are_not_reachable`
pub(crate) fn garbage_is_not_collected_where_somebody_promotes_to(world: &World) {
    let registry = &world.registry;
    world.approved("churn");
    let begun = begin(world, 1);
    let busy = registry.begin_collection("file:///production").unwrap_err();
    assert!(matches!(&busy, StoreError::PromotionRunning { promotion, .. } if *promotion == begun.id), "{busy}");
    registry.begin_collection("file:///elsewhere").unwrap();
    registry.complete_promotion(&begun.id).unwrap();
    assert!(registry.begin_collection("file:///production").is_err(), "its pointer is not moved yet");
    registry.finish_promotion(&begun.id).unwrap();
    registry.begin_collection("file:///production").unwrap();
    let again = registry.begin_collection("file:///production").unwrap_err();
    assert!(matches!(again, StoreError::CollectionRunning { .. }), "{again}");
    let refused = registry.begin_promotion("churn", 1, &to("file:///production")).unwrap_err();
    assert!(matches!(refused, StoreError::CollectionRunning { .. }), "{refused}");
    registry.end_collection("file:///production").unwrap();
    registry.begin_promotion("churn", 1, &to("file:///production")).unwrap();
}

// invariant: as `artifacts_of_deleted_runs_are_not_reachable`
pub(crate) fn what_a_promotion_copies_is_needed_until_it_is_finished(world: &World) {
    let (model, report) = (world.blob(b"model"), world.blob(b"report"));
    let mut new = version();
    new.references = vec![reference("model", model), reference("report", report)];
    new.references[1].needed = false;
    let destination = "file:///production";
    world.registry.create_version(&world.artifacts, "churn", &new, &unnumbered).unwrap();
    let promotion = begin(world, 1);
    assert_eq!((promotion.version, promotion.expected), (1, None));
    assert_eq!(world.registry.needed_by_promotions(destination).unwrap(), [model].into());
    assert!(world.registry.needed_by_promotions("file:///elsewhere").unwrap().is_empty());
    world.registry.complete_promotion(&promotion.id).unwrap();
    world.registry.finish_promotion(&promotion.id).unwrap();
    assert!(world.registry.needed_by_promotions(destination).unwrap().is_empty());
}

// invariant: A version becomes champion only if it was approved against the champion that it
// replaces.
pub(crate) fn a_version_is_promoted_only_against_the_champion_that_it_was_judged_against(world: &World) {
    let registry = &world.registry;
    let [old, first] = [world.approved("churn"), world.approved("churn")];
    registry.promote("churn", first, &to("")).unwrap();
    // It was approved while there was no champion, which says nothing about this one.
    let promote = |version| registry.promote("churn", version, &to("")).unwrap_err();
    let begin_promotion = |version| registry.begin_promotion("churn", version, &to("")).unwrap_err();
    for refused in [promote(old), begin_promotion(old)] {
        let text = "version 1 of model `churn` was approved against no champion, and version 2 is champion now\n\
                    hint: `stagewright gate churn/1 --promote` judges it again";
        assert_eq!(refused.to_string(), text);
    }
    assert_eq!(world.champion("churn"), Some(first));
    world.approve("churn", old);
    registry.promote("churn", old, &to("")).unwrap();
    // A former champion is judged again too, unless a rollback leads to it.
    let stale = promote(first);
    assert!(matches!(
        stale,
        StoreError::StaleVerdict { version: 2, judged_against: JudgedAgainst::NoChampion, champion: Some(1), .. }
    ));
    assert_eq!(world.roll_back("churn").unwrap(), first);
    // It was approved against this very champion, but a rollback went away from it since.
    let withdrawn = promote(old);
    assert!(matches!(withdrawn, StoreError::StaleVerdict { version: 1, champion: Some(2), .. }), "{withdrawn}");
    world.approve("churn", old);
    registry.promote("churn", old, &to("")).unwrap();
    // A person's approval becomes stale as any other.
    let decided = NewVerdict::by_person(Verdict::Approved, JudgedAgainst::Champion(old), "I know better");
    registry.record_verdict(&world.artifacts, "churn", first, &decided).unwrap();
    let third = world.approved("churn");
    registry.promote("churn", third, &to("")).unwrap();
    assert!(matches!(promote(first), StoreError::StaleVerdict { champion: Some(3), .. }));
    assert_eq!(world.champion("churn"), Some(third));
}

pub(crate) fn what_is_rejected_or_undecided_is_not_promoted_until_it_is_judged_again(world: &World) {
    let registry = &world.registry;
    let champion = world.approved("churn");
    registry.promote("churn", champion, &to("")).unwrap();
    let candidate = world.approved("churn");
    for verdict in [Verdict::Rejected, Verdict::Undecided] {
        world.judge("churn", candidate, verdict, "not good enough");
        let refused = registry.begin_promotion("churn", candidate, &to("")).unwrap_err();
        assert!(matches!(&refused, StoreError::NotApproved { state, .. } if state == verdict.name()), "{refused}");
    }
    world.approve("churn", candidate);
    registry.promote("churn", candidate, &to("")).unwrap();
    // A version that was rejected since is not a target of a rollback.
    world.judge("churn", champion, Verdict::Rejected, "it leaks the target");
    assert!(matches!(world.roll_back("churn"), Err(StoreError::NoArchivedVersion { .. })));
}

// The clock of a fast machine, or one that was set back, does not tell two promotions apart.
pub(crate) fn promotions_of_one_millisecond_are_in_the_order_of_their_completion(world: &World) {
    for _ in 0..3 {
        world.unjudged("churn");
    }
    let promote = |version: u32, reason: &str| {
        world.approve("churn", version);
        let request = PromotionRequest { reason: reason.into(), ..to("file:///production") };
        world.registry.promote("churn", version, &request).unwrap();
    };
    let complete = |version: u32, reason: &str| {
        world.approve("churn", version);
        let request = PromotionRequest { reason: reason.into(), ..to("file:///production") };
        let begun = world.registry.begin_promotion("churn", version, &request).unwrap();
        world.registry.complete_promotion(&begun.id).unwrap();
        begun.id
    };
    let mut completed = Vec::new();
    for round in 0..6 {
        promote(1, &format!("first {round}"));
        completed.push(complete(2, &format!("second {round}")));
        promote(3, &format!("third {round}"));
    }
    // The last one began first.
    world
        .sql("UPDATE promotions SET began_ms = 5; UPDATE promotions SET began_ms = 4 WHERE reason LIKE '% 5'")
        .unwrap();
    let reason_of = |version| world.registry.promotion_of("churn", version).unwrap().unwrap().reason;
    assert_eq!([1, 2, 3].map(reason_of), ["first 5", "second 5", "third 5"]);
    assert_eq!(world.registry.last_promotion("churn").unwrap().unwrap().reason, "third 5");
    assert_eq!(unfinished(world), completed);
}
