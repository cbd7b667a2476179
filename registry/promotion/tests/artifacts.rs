//! Artifacts that several machines share: the conformance of each kind of place, and what a
//! publication leaves that meets a fault at any of its requests.

#![cfg(feature = "s3")]

mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use stagewright_promotion::{ArtifactObjects, PromotionError};
use stagewright_services::s3::{Fault, Plan};
use stagewright_store::{ArtifactKind, ArtifactStore, Digest, Home, StoreError};
use support::shared::{Place, bucket, directory, publish};
use support::{bytes, server, settings};

macro_rules! places {
    ($($place:ident)*; $tests:tt) => { $(places!(@ $place $tests);)* };
    (@ $place:ident { $($test:ident)* }) => {
        mod $place {
            $(#[test] fn $test() { super::$test(&super::$place()); })*
        }
    };
}

places!(directory bucket; {
    what_one_machine_publishes_another_opens
    what_is_damaged_at_the_place_is_never_opened
    what_nobody_has_is_missing_everywhere
    only_what_is_old_and_unreachable_is_collected
    what_is_published_again_is_young_again
    a_home_keeps_its_shared_place_and_sends_its_artifacts_there
    a_place_is_checked_before_it_is_needed
});

fn what_one_machine_publishes_another_opens(place: &Place) {
    let (one, other) = (place.machine("one"), place.machine("other"));
    let published = publish(&one).expect("published");
    for (kind, digest) in published {
        assert!(!other.contains(kind, &digest), "not fetched before it is asked for");
        assert!(other.reaches(kind, &digest).expect("an answer"));
        assert!(!other.contains(kind, &digest), "to look is not to fetch");
        other.verify(kind, &digest).expect("whole");
        assert!(other.contains(kind, &digest), "kept");
    }
    let [(_, table), (_, blob), (_, document)] = published;
    assert_eq!(other.open_table(&table).expect("a table").rows(), 1000);
    assert_eq!(other.open_blob(&blob).expect("a blob").read_all().expect("bytes"), bytes(7, 100_000));
    assert_eq!(other.open_document(&document, "text/plain").expect("a document").bytes(), b"report");
}

// invariant: as `a_passing_fault_at_any_request_is_survived`
fn what_is_damaged_at_the_place_is_never_opened(place: &Place) {
    let published = publish(&place.machine("one")).expect("published");
    for (kind, digest) in published {
        let file = std::fs::read(place.machine("one").path(kind, &digest)).expect("bytes");
        let (mut flipped, cut) = (file.clone(), &file[..file.len() - 1]);
        flipped[file.len() / 2] ^= 1;
        for wrong in [&flipped[..], cut, b""] {
            place.overwrite(kind, &digest, wrong);
            let other = place.machine("other");
            let error = other.verify(kind, &digest).expect_err("damaged");
            assert!(matches!(error, StoreError::SharedDamaged { .. }), "{kind}: {error}");
            assert!(!other.contains(kind, &digest), "{kind}");
        }
        // A machine that has it sends it again, since the size differs; then the others can fetch
        // it.
        publish(&place.machine("one")).expect("published again");
        place.machine("other").verify(kind, &digest).expect("whole again");
    }
}

fn what_nobody_has_is_missing_everywhere(place: &Place) {
    let digest = Digest::of(b"nobody's");
    let machine = place.machine("one");
    assert!(!machine.reaches(ArtifactKind::Blob, &digest).expect("an answer"));
    let error = machine.open_blob(&digest).expect_err("missing");
    assert!(matches!(&error, StoreError::MissingEverywhere { .. }) && error.to_string().contains(&digest.to_string()));
}

fn only_what_is_old_and_unreachable_is_collected(place: &Place) {
    let machine = place.machine("one");
    let [table, blob, document] = publish(&machine).expect("published");
    let needed = |_| Ok(HashSet::from([table.1]));
    let at_place = |dry_run| {
        let found = machine.collect(Duration::ZERO, dry_run, needed).expect("collected");
        let there: Vec<_> = found.iter().filter(|it| it.place.is_some()).map(|it| (it.kind, it.digest)).collect();
        (found.len(), there)
    };
    // A machine that has just published these has not recorded them yet.
    let (here, there) = at_place(false);
    assert_eq!((here, there), (2, vec![]), "young at the place, and removed in the folder alone");
    place.age(Duration::from_secs(25 * 60 * 60));
    let mut expected = vec![blob, document];
    expected.sort_by_key(|it| (it.1, it.0));
    assert_eq!(at_place(true).1, expected);
    assert_eq!(at_place(false).1, expected, "a dry run removed nothing");
    assert_eq!(at_place(false), (0, vec![]));
    let other = place.machine("other");
    assert!(other.reaches(table.0, &table.1).expect("an answer"));
    assert!(!other.reaches(blob.0, &blob.1).expect("an answer"));
}

// invariant: as `a_passing_fault_at_any_request_is_survived`
fn what_is_published_again_is_young_again(place: &Place) {
    let (one, other) = (place.machine("one"), place.machine("other"));
    publish(&one).expect("published");
    place.age(Duration::from_secs(25 * 60 * 60));
    let published = publish(&other).expect("published");
    let collected = one.collect(Duration::from_secs(60), false, |_| Ok(HashSet::new())).expect("collected");
    assert_eq!(collected, [], "another machine is about to record them");
    assert!(published.iter().all(|(kind, digest)| one.reaches(*kind, digest).expect("an answer")));
}

fn a_home_keeps_its_shared_place_and_sends_its_artifacts_there(place: &Place) {
    let folder = place.folder.path().join("home");
    let home = || Home::open(&folder).expect("a home");
    let published = publish(&home().artifacts).expect("published");
    let shared = || Some(Arc::new(place.open()) as Arc<dyn stagewright_store::SharedArtifacts>);
    home().sharing(None).expect("it shares nothing yet");
    home().sharing(shared()).expect("it shares");
    let other = place.machine("other");
    assert!(published.iter().all(|(kind, digest)| other.verify(*kind, digest).is_ok()), "what it had is there");
    home().sharing(shared()).expect("again");

    let error = home().sharing(None).expect_err("it would miss what others made");
    let hint = "hint: name that place with --artifacts";
    assert!(matches!(error, StoreError::OtherArtifacts { .. }) && error.to_string().contains(hint), "{error}");
    let elsewhere = place.folder.path().join("elsewhere");
    let elsewhere = ArtifactObjects::open(&elsewhere.to_string_lossy(), &place.settings).expect("a place");
    assert!(matches!(home().sharing(Some(Arc::new(elsewhere))), Err(StoreError::OtherArtifacts { .. })));
}

fn a_place_is_checked_before_it_is_needed(place: &Place) {
    place.open().check().expect("fit");
    if let Some(server) = &place.server {
        assert_eq!(server.keys(), Vec::<String>::new(), "the probe is gone");
    }
}

#[test]
fn a_place_that_refuses_is_detected_before_it_is_needed() {
    let server = server();
    let absent = ArtifactObjects::open("s3://no-such-bucket/x", &settings(server.variables())).expect("a place");
    assert!(matches!(absent.check(), Err(PromotionError::NoBucket { .. })), "{:?}", absent.check());
}

/// The outcome of a publication that met a fault.
struct Outcome {
    completed: bool,
    requests: u64,
}

/// Publishes with the faults of a plan. Whatever happens, only what was published can be opened,
/// and a second attempt completes it.
fn walk(plan: Plan) -> Outcome {
    let place = bucket();
    let server = place.server.as_ref().expect("a server");
    let one = place.machine("one");
    server.plan(plan);
    let published = publish(&one);
    let requests = server.log().iter().map(|entry| entry.number).max().unwrap_or_default();
    server.plan(Plan::Faultless);
    let again = publish(&one).unwrap_or_else(|error| panic!("{plan:?}: the second attempt: {error}"));
    let other = place.machine("other");
    for (kind, digest) in again {
        other.verify(kind, &digest).unwrap_or_else(|error| panic!("{plan:?}: {error}"));
    }
    if let Err(error) = &published {
        assert!(matches!(error, StoreError::Shared { .. }), "{plan:?}: {error}");
    }
    Outcome { completed: published.is_ok(), requests }
}

/// Fetches what was published before, with the faults of a plan.
fn fetch(plan: Plan) -> Outcome {
    let place = bucket();
    let server = place.server.as_ref().expect("a server");
    let published = publish(&place.machine("one")).expect("published");
    let other = place.machine("other");
    server.plan(plan);
    let fetched = published.iter().try_for_each(|(kind, digest)| other.verify(*kind, digest).map(drop));
    let requests = server.log().iter().map(|entry| entry.number).max().unwrap_or_default();
    server.plan(Plan::Faultless);
    for (kind, digest) in published {
        // Whatever is in the directory is undamaged: a new process reads every byte.
        let alone = ArtifactStore::open(place.folder.path().join("other")).expect("a store");
        assert!(!alone.contains(kind, &digest) || alone.verify(kind, &digest).is_ok(), "{plan:?}");
        other.verify(kind, &digest).unwrap_or_else(|error| panic!("{plan:?}: the second attempt: {error}"));
    }
    Outcome { completed: fetched.is_ok(), requests }
}

/// Runs with a fault at each request, and at one past the last.
fn at_each(work: fn(Plan) -> Outcome, plan: impl Fn(u64) -> Plan) -> Vec<bool> {
    let faultless = work(Plan::Faultless);
    assert!(faultless.completed && faultless.requests >= 6, "{}", faultless.requests);
    (1..=faultless.requests + 1).map(|at| work(plan(at)).completed).collect()
}

// invariant: A shared artifact is complete or absent. Garbage collection keeps what another machine
// may be about to record.
#[test]
fn a_passing_fault_at_any_request_is_survived() {
    for fault in [Fault::Error500, Fault::CutAfter] {
        for work in [walk, fetch] {
            let completed = at_each(work, |at| Plan::At(at, fault));
            assert!(completed.iter().all(|it| *it), "{fault:?}: {completed:?}");
        }
    }
}

// invariant: as `a_passing_fault_at_any_request_is_survived`
#[test]
fn a_network_that_is_gone_from_any_request_on_leaves_nothing_partial() {
    for work in [walk, fetch] {
        let completed = at_each(work, |from| Plan::From(from, Fault::Cut));
        assert_eq!(completed.iter().filter(|it| **it).count(), 1, "{completed:?}");
    }
}

#[test]
fn bytes_that_are_read_wrongly_at_any_request_are_never_opened() {
    let completed = at_each(fetch, |at| Plan::At(at, Fault::LyingChecksum));
    assert!(completed.iter().any(|it| *it), "{completed:?}");
}
