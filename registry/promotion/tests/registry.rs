//! Promotions and retirements with a registry: database, messages and destination agree, even if
//! the registry fails between two steps.
//!
//! Triggers in the registry's database cause its faults, so that everything else is real.

// invariant: When the registry fails during a promotion, the error says what was done, or that it
// is in doubt.

use std::path::Path;

use serde_json::json;
use stagewright_promotion::promote::{PromoteError, carry_out, repair, version_upload, withdraw};
use stagewright_promotion::{Destination, PromotionError, Settings};
use stagewright_store::{
    ArtifactKind, CHAMPION, Home, JudgedAgainst, NewVerdict, NewVersion, Promotion, PromotionRequest, PromotionState,
    Reference, StoreError, Verdict,
};
use tempfile::TempDir;

struct World {
    folder: TempDir,
    home: Home,
    destination: Destination,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::open(folder.path().join("home")).expect("a home");
        let uri = folder.path().join("production").display().to_string();
        let destination = Destination::open(&uri, &Settings::default()).expect("a destination");
        Self { folder, home, destination }
    }

    /// Registers a version without a verdict.
    fn trained(&self, content: &[u8]) -> u32 {
        let staging = self.home.artifacts.stage();
        let mut writer = staging.create_blob().expect("a blob");
        writer.write(content).expect("written");
        let digest = writer.finish().expect("written").digest();
        staging.publish().expect("published");
        let reference = Reference { role: "model".into(), kind: ArtifactKind::Blob, digest, needed: true };
        let new = NewVersion { contents: json!({}), references: vec![reference], ..NewVersion::default() };
        self.home
            .registry
            .register_candidate(&self.home.artifacts, "churn", &new, &|_| None)
            .expect("registered")
            .version
    }

    /// Approves a version against the current champion, with this measured metric.
    fn approve(&self, version: u32, auc: f64) {
        let registry = &self.home.registry;
        let against = JudgedAgainst::from(registry.alias("churn", CHAMPION).expect("a registry"));
        let verdict = NewVerdict {
            metrics: vec![("roc_auc".into(), auc)],
            ..NewVerdict::by_person(Verdict::Approved, against, "good")
        };
        registry.record_verdict(&self.home.artifacts, "churn", version, &verdict).expect("recorded");
    }

    fn approved(&self, content: &[u8]) -> u32 {
        let version = self.trained(content);
        self.approve(version, 0.8);
        version
    }

    fn begin(&self, version: u32) -> Promotion {
        let request =
            PromotionRequest { destination: self.destination.uri().to_owned(), ..PromotionRequest::default() };
        self.home.registry.begin_promotion("churn", version, &request).expect("intended")
    }

    fn carry_out(&self, promotion: &Promotion) -> Result<(), PromoteError> {
        carry_out(&self.home, &self.destination, promotion, &|_, _| ()).map(drop)
    }

    fn promote(&self, version: u32) {
        self.carry_out(&self.begin(version)).expect("promoted");
    }

    fn state(&self, promotion: &Promotion) -> PromotionState {
        self.home.registry.promotion(&promotion.id).expect("a promotion").state
    }

    fn champion(&self) -> Option<u32> {
        self.home.registry.alias("churn", CHAMPION).expect("a registry")
    }

    /// Returns the version that the destination points to.
    fn pointed_to(&self) -> Option<u32> {
        self.destination.pointer("churn").expect("a destination").map(|(pointer, _)| pointer.version)
    }

    fn sql(&self, statements: &str) {
        let connection = rusqlite::Connection::open(self.home.path().join("stagewright.db")).expect("a database");
        connection.execute_batch(statements).expect(statements);
    }

    /// Makes the registry fail whenever a promotion enters this state.
    fn break_at(&self, state: &str) {
        self.sql(&format!(
            "CREATE TRIGGER broken_{state} BEFORE UPDATE OF state ON promotions WHEN NEW.state = '{state}'
             BEGIN SELECT raise(ABORT, 'the disk is gone'); END"
        ));
    }

    fn mend(&self, state: &str) {
        self.sql(&format!("DROP TRIGGER broken_{state}"));
    }
}

#[test]
fn a_champion_whose_promotion_could_not_be_recorded_is_reported_as_champion() {
    let world = World::new();
    let version = world.approved(b"one");
    let promotion = world.begin(version);
    world.break_at("finished");
    let error = world.carry_out(&promotion).expect_err("not noted");
    assert!(error.is_champion() && matches!(error, PromoteError::Unnoted { version: 1, .. }), "{error}");
    let text = format!("version 1 of model `churn` is champion and `{}` points to it, but", world.destination.uri());
    assert!(error.to_string().starts_with(&text), "{error}");
    assert_eq!(
        (world.champion(), world.pointed_to(), world.state(&promotion)),
        (Some(1), Some(1), PromotionState::Current)
    );
    world.mend("finished");
    assert_eq!(repair(&world.home, &world.destination).expect("repaired"), ["churn"]);
    assert_eq!(world.state(&promotion), PromotionState::Finished);
}

#[test]
fn a_registry_that_fails_after_the_champion_moved_is_reported_as_an_outdated_pointer() {
    let world = World::new();
    let promotion = world.begin(world.approved(b"one"));
    // The version cannot be read any more once it is champion.
    world.sql(
        "CREATE TRIGGER broken AFTER UPDATE OF state ON promotions WHEN NEW.state = 'current'
         BEGIN UPDATE versions SET contents = 'no JSON'; END",
    );
    let error = world.carry_out(&promotion).expect_err("no pointer");
    assert!(error.is_champion(), "{error}");
    assert!(error.to_string().starts_with("version 1 of model `churn` is champion, but"), "{error}");
    assert_eq!((world.champion(), world.pointed_to()), (Some(1), None));
}

#[test]
fn a_promotion_that_the_registry_refuses_to_complete_is_undone() {
    let world = World::new();
    world.promote(world.approved(b"one"));
    let promotion = world.begin(world.approved(b"two"));
    world.break_at("current");
    let error = world.carry_out(&promotion).expect_err("not completed");
    assert!(matches!(error, PromoteError::Store(StoreError::Database { .. })), "{error}");
    assert_eq!(world.state(&promotion), PromotionState::Undone, "no process has to die first");
    assert_eq!((world.champion(), world.pointed_to()), (Some(1), Some(1)));
    world.mend("current");
    world.promote(2);
    assert_eq!((world.champion(), world.pointed_to()), (Some(2), Some(2)));
}

#[test]
fn a_promotion_that_can_neither_be_completed_nor_undone_is_reported_as_in_doubt() {
    let world = World::new();
    let promotion = world.begin(world.approved(b"one"));
    world.break_at("current");
    world.break_at("undone");
    let error = world.carry_out(&promotion).expect_err("not completed");
    assert!(!error.is_champion(), "{error}");
    let text = "it is not known whether version 1 of model `churn` became champion";
    assert!(error.to_string().starts_with(text), "{error}");
}

#[test]
fn a_lost_race_for_the_champion_is_reported_as_such() {
    let world = World::new();
    let [one, two] = [world.approved(b"one"), world.approved(b"two")];
    let [slow, fast] = [world.begin(one), world.begin(two)];
    world.carry_out(&fast).expect("promoted");
    let error = world.carry_out(&slow).expect_err("too late");
    assert!(matches!(error, PromoteError::Store(StoreError::AliasMoved { .. })), "{error}");
    assert_eq!((world.champion(), world.pointed_to(), world.state(&slow)), (Some(2), Some(2), PromotionState::Undone));
}

// invariant: The manifest of a version in production never changes, whatever verdicts follow.
#[test]
fn later_verdicts_leave_the_manifest_as_it_was_written() {
    let world = World::new();
    let read = |name: &str| std::fs::read(world.folder.path().join(name)).expect(name);
    let manifest = "production/models/churn/versions/1/manifest.json";
    world.approve(world.trained(b"one"), 0.7);
    world.promote(1);
    let first = read(manifest);
    world.promote(world.approved(b"two"));
    for auc in [0.9, f64::NAN] {
        world.approve(1, auc);
    }
    world.promote(1);
    assert_eq!(read(manifest), first);
    let written: serde_json::Value = serde_json::from_slice(&first).expect("JSON");
    assert_eq!(written["metrics"], json!({"roc_auc": 0.7}));
}

#[test]
fn a_version_that_nobody_judged_has_no_manifest_yet() {
    let world = World::new();
    let version = world.trained(b"one");
    let version = world.home.registry.version("churn", version).expect("a version");
    let refused = version_upload(&world.home.artifacts, &version).expect_err("not judged");
    assert!(matches!(refused, PromoteError::Destination(PromotionError::Unmeasured { version: 1, .. })), "{refused}");
    assert!(refused.to_string().contains("hint: judge it first: stagewright gate churn/1 --record"), "{refused}");
}

#[test]
fn a_retired_champion_is_pointed_to_no_more() {
    let world = World::new();
    world.promote(world.approved(b"one"));
    let removals = world.home.registry.retire_model("churn", "nobody asks it").expect("retired");
    assert_eq!((world.champion(), world.pointed_to(), removals.len()), (None, Some(1), 1));
    withdraw(&world.home, &world.destination, &removals[0]).expect("withdrawn");
    assert_eq!((world.champion(), world.pointed_to()), (None, None));
    assert_eq!(world.state(&removals[0]), PromotionState::Finished);
    // A repetition changes nothing. The copied objects stay for a rollback.
    withdraw(&world.home, &world.destination, &removals[0]).expect("withdrawn");
    world.destination.load("churn", Some(1)).expect("a version").verify().expect("whole");
    let request = PromotionRequest { destination: world.destination.uri().to_owned(), ..PromotionRequest::default() };
    let back = world.home.registry.begin_rollback("churn", &request).expect("intended");
    world.carry_out(&back).expect("rolled back");
    assert_eq!((world.champion(), world.pointed_to()), (Some(1), Some(1)));
    world.home.registry.retire_model("churn", "again").expect("retired");
    // If a process dies here, the next process that works with the destination removes the pointer.
    assert_eq!(world.pointed_to(), Some(1));
    assert_eq!(repair(&world.home, &world.destination).expect("repaired"), ["churn"]);
    assert_eq!(world.pointed_to(), None);
    world.home.registry.delete_model("churn", "").expect("deleted");
}

#[test]
fn a_pointer_that_cannot_be_removed_is_reported_and_the_model_is_retired_all_the_same() {
    let world = World::new();
    world.promote(world.approved(b"one"));
    let removals = world.home.registry.retire_model("churn", "").expect("retired");
    world.break_at("finished");
    let error = withdraw(&world.home, &world.destination, &removals[0]).expect_err("not noted");
    assert!(error.to_string().starts_with("model `churn` is retired, but"), "{error}");
    assert_eq!(world.champion(), None);
    world.mend("finished");
    withdraw(&world.home, &world.destination, &removals[0]).expect("withdrawn");
    assert_eq!(world.home.registry.unfinished_promotions().expect("a registry"), []);
}

#[test]
fn a_pointer_of_another_registry_is_not_removed() {
    let (ours, other) = (World::new(), World::new());
    ours.promote(ours.approved(b"one"));
    other.promote(other.approved(b"two"));
    let pointer = |world: &World| Path::join(world.folder.path(), "production/models/churn/champion.json");
    std::fs::copy(pointer(&other), pointer(&ours)).expect("another's pointer");
    let removals = ours.home.registry.retire_model("churn", "").expect("retired");
    let error = withdraw(&ours.home, &ours.destination, &removals[0]).expect_err("not ours");
    assert!(error.to_string().contains("by another registry's promotion"), "{error}");
    assert!(pointer(&ours).exists());
}
