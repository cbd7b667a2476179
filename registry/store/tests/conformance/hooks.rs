//! Hooks: what they are told of, how far they were told, and who tells them.

use stagewright_store::{ChampionChange, ChampionChangeKind, PromotionRequest};

use crate::world::World;

/// A time far in the future.
const LATE: i64 = i64::MAX / 2;

fn kinds(changes: &[ChampionChange]) -> Vec<(ChampionChangeKind, Option<u32>, Option<u32>)> {
    changes.iter().map(|change| (change.kind, change.entry.version, change.previous)).collect()
}

pub(crate) fn every_change_of_a_champion_is_told_in_order(world: &World) {
    use ChampionChangeKind::{Promoted, Retired, RolledBack};
    let registry = &world.registry;
    for _ in 0..2 {
        let version = world.approved("churn");
        world.promote("churn", version);
    }
    world.roll_back("churn").unwrap();
    registry.retire_model("churn", "nobody asks it").unwrap();
    world.roll_back("churn").unwrap();
    let changes = registry.champion_changes(0, 100).unwrap();
    let told = [
        (Promoted, Some(1), None),
        (Promoted, Some(2), Some(1)),
        (RolledBack, Some(1), Some(2)),
        (Retired, Some(1), Some(1)),
        (RolledBack, Some(1), None),
    ];
    assert_eq!(kinds(&changes), told);
    assert_eq!(changes[3].entry.reason, "nobody asks it");
    assert!(changes.is_sorted_by_key(|change| change.entry.seq));
    let after = registry.champion_changes(changes[1].entry.seq, 2).unwrap();
    assert_eq!(after, changes[2..4]);
    assert_eq!(registry.count_champion_changes(changes[1].entry.seq).unwrap(), 3);
    let first = registry.audit_of("churn", None).unwrap().first().map(|entry| entry.hash.clone());
    assert_eq!(registry.first_hash().unwrap(), first);
}

pub(crate) fn a_change_says_whether_production_locations_followed_it(world: &World) {
    let registry = &world.registry;
    let version = world.approved("churn");
    let request = PromotionRequest { destination: "file:///production".into(), ..PromotionRequest::default() };
    let promotion = registry.begin_promotion("churn", version, &request).unwrap();
    assert_eq!(registry.champion_changes(0, 10).unwrap(), [], "it is only intended");
    registry.complete_promotion(&promotion.id).unwrap();
    let at = |place: usize| {
        let changes = registry.champion_changes(0, 10).unwrap();
        let seen = changes[place].destinations.iter().map(|it| (it.uri.clone(), it.is_done));
        seen.collect::<Vec<_>>()
    };
    assert_eq!(at(0), [("file:///production".to_owned(), false)]);
    registry.finish_promotion(&promotion.id).unwrap();
    assert_eq!(at(0), [("file:///production".to_owned(), true)]);
    let removals = registry.retire_model("churn", "").unwrap();
    assert_eq!(at(1), [("file:///production".to_owned(), false)]);
    registry.finish_promotion(&removals[0].id).unwrap();
    assert_eq!(at(1), [("file:///production".to_owned(), true)]);
}

pub(crate) fn a_hook_begins_today_and_its_place_only_moves_on(world: &World) {
    let registry = &world.registry;
    let version = world.approved("churn");
    world.promote("churn", version);
    registry.begin_hooks(&["ci", "chat"], None).unwrap();
    registry.begin_hooks(&["all"], Some(0)).unwrap();
    let place = |name: &str| registry.hooks().unwrap().into_iter().find(|hook| hook.name == name).unwrap();
    let last = registry.audit_entries(1).unwrap()[0].seq;
    assert_eq!((place("all").place, place("chat").place, place("ci").place), (0, last, last));
    let version = world.approved("churn");
    world.promote("churn", version);
    registry.begin_hooks(&["ci"], None).unwrap();
    assert_eq!(place("ci").place, last, "it began before");
    let change = registry.champion_changes(place("ci").place, 10).unwrap().remove(0);

    let held = registry.hold_hook("ci", LATE).unwrap().unwrap();
    registry.hook_failed(&held, 77, &"x".repeat(1000)).unwrap();
    let failed = place("ci");
    assert_eq!((failed.failures, failed.next_ms, failed.error.map(|it| it.len())), (1, 77, Some(500)));
    registry.hook_told("ci", change.entry.seq, true).unwrap();
    let told = place("ci");
    assert_eq!((told.place, told.failures, told.next_ms, told.error), (change.entry.seq, 0, 0, None));
    assert!(told.delivered_ms.is_some());
    // Another process was slower with an earlier change.
    registry.hook_told("ci", last, true).unwrap();
    assert_eq!(place("ci").place, change.entry.seq);
    registry.hook_told("chat", change.entry.seq, false).unwrap();
    assert_eq!(place("chat").delivered_ms, None, "it was passed over");
}

pub(crate) fn a_hook_is_held_by_one_until_it_lets_go_or_its_time_is_over(world: &World) {
    let registry = &world.registry;
    assert!(registry.hold_hook("ci", LATE).unwrap().is_none(), "it was never begun");
    registry.begin_hooks(&["ci"], None).unwrap();
    let held = registry.hold_hook("ci", LATE).unwrap().unwrap();
    assert!(world.reopened().hold_hook("ci", LATE).unwrap().is_none());
    registry.release_hook(held).unwrap();
    // This one promised too little: its time is over at once.
    let slow = registry.hold_hook("ci", 1).unwrap().unwrap();
    let other = registry.hold_hook("ci", LATE).unwrap().unwrap();
    registry.hook_failed(&slow, 5, "late").unwrap();
    registry.release_hook(slow).unwrap();
    let state = registry.hooks().unwrap().remove(0);
    assert_eq!(state.failures, 0, "the other one holds it");
    // Nobody holds it for longer than two hours.
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let latest = since.as_millis() as i64 + 2 * 3_600_000;
    let until = state.held_until_ms.unwrap();
    assert!((latest - 600_000..=latest).contains(&until), "{until} is far from {latest}");
    registry.release_hook(other).unwrap();
    assert_eq!(registry.hooks().unwrap()[0].held_until_ms, None);
    // The clock of a process that died was wrong.
    world.sql(&format!("UPDATE hooks SET holder = 'x', held_until_ms = {LATE}")).unwrap();
    assert!(registry.hold_hook("ci", LATE).unwrap().is_some());
}
