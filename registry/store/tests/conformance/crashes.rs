//! A process that dies at any step of a promotion leaves one champion: the old or the new one.

use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use stagewright_store::{PromotionRequest, PromotionState, StoreError};

use crate::world::{World, eventually, everything};

fn request() -> PromotionRequest {
    PromotionRequest { destination: "file:///production".into(), ..PromotionRequest::default() }
}

// invariant: as `a_process_that_is_killed_anywhere_leaves_one_champion`
pub(crate) fn a_promotion_whose_process_dies_is_settled_by_whoever_opens_next(world: &World) {
    if let Some(part) = World::part() {
        let steps: usize = part.parse().unwrap();
        world.approve("churn", 2);
        let promotion = world.registry.begin_promotion("churn", 2, &request()).unwrap();
        println!("\npromotion {}", promotion.id);
        if steps > 1 {
            world.registry.complete_promotion(&promotion.id).unwrap();
        }
        if steps > 2 {
            world.registry.finish_promotion(&promotion.id).unwrap();
        }
        std::process::abort();
    }
    world.approved("churn");
    world.approved("churn");
    for (steps, state, champion) in
        [("1", PromotionState::Undone, 1), ("2", PromotionState::Current, 2), ("3", PromotionState::Finished, 2)]
    {
        world.promote("churn", 1);
        let output = world.spawn(steps).wait_with_output().unwrap();
        let text = everything(&output);
        let id = text.lines().find_map(|line| line.strip_prefix("promotion ")).unwrap_or_else(|| panic!("{text}"));
        let settled = eventually(|| {
            let promotion = world.reopened().promotion(id).unwrap();
            (promotion.state != PromotionState::Intended).then_some(promotion.state)
        });
        assert_eq!((settled, world.champion("churn")), (state, Some(champion)), "after step {steps}");
        let unfinished = world.registry.unfinished_promotions().unwrap();
        assert_eq!(unfinished.len(), usize::from(state == PromotionState::Current));
        for promotion in unfinished {
            world.registry.finish_promotion(&promotion.id).unwrap();
        }
    }
    let undone = world.registry.audit_of("churn", Some(2)).unwrap();
    let undone: Vec<_> = undone.iter().filter(|entry| entry.action == "promotion.undone").collect();
    assert_eq!(undone.len(), 1);
    assert_eq!(undone[0].reason, "the process that promoted died");
    world.registry.verify_audit().unwrap();
}

/// How often a process is killed during its promotions.
const KILLS: u64 = 25;

// invariant: A process that dies at any point of a promotion leaves one champion, and the next
// process completes or undoes the promotion.
pub(crate) fn a_process_that_is_killed_anywhere_leaves_one_champion(world: &World) {
    if World::part().is_some() {
        promote_for_ever(world);
    }
    for _ in 0..3 {
        world.approved("churn");
    }
    world.promote("churn", 3);
    for kill in 0..KILLS {
        let mut child = world.spawn("promote");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = lines.find_map(|line| line.unwrap().strip_prefix("promoting").map(str::to_owned));
        assert!(told.is_some(), "{}", everything(&child.wait_with_output().unwrap()));
        // At different times, spread over several promotions.
        std::thread::sleep(Duration::from_micros(kill * 7919 % 20_000));
        child.kill().unwrap();
        child.wait().unwrap();
        eventually(|| {
            drop(world.reopened());
            world.rows("SELECT id FROM promotions WHERE state = 'intended'").is_empty().then_some(())
        });
        let champion = world.champion("churn").expect("there is a champion at all times");
        let now = world.registry.audit_entries(1).unwrap()[0].at_ms;
        assert_eq!(world.registry.champion_at("churn", now).unwrap(), Some(champion));
        // At most one promotion is unfinished, and it is the champion's.
        let unfinished = world.registry.unfinished_promotions().unwrap();
        assert!(unfinished.len() <= 1);
        for promotion in unfinished {
            assert_eq!(promotion.version, champion);
            world.registry.finish_promotion(&promotion.id).unwrap();
        }
    }
    world.registry.verify_audit().unwrap();
}

fn promote_for_ever(world: &World) -> ! {
    println!("\npromoting");
    loop {
        for version in [1, 2] {
            world.approve("churn", version);
            let promotion = world.registry.begin_promotion("churn", version, &request()).unwrap();
            world.registry.complete_promotion(&promotion.id).unwrap();
            world.registry.finish_promotion(&promotion.id).unwrap();
        }
    }
}

pub(crate) fn a_collection_whose_process_dies_blocks_no_promotion(world: &World) {
    if World::part().is_some() {
        world.registry.begin_collection("file:///production").unwrap();
        std::process::abort();
    }
    world.approved("churn");
    let output = world.spawn("collect").wait_with_output().unwrap();
    assert!(!output.status.success());
    let promotion = eventually(|| match world.reopened().begin_promotion("churn", 1, &request()) {
        Err(StoreError::CollectionRunning { .. }) => None,
        other => Some(other.unwrap()),
    });
    world.registry.complete_promotion(&promotion.id).unwrap();
}
