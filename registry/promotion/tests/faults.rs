//! Every kind of fault at every request of a promotion: production has the old version or the new
//! one, complete, and a second attempt completes the promotion.

// invariant: Whatever fails during a promotion, production holds the old champion or the new one,
// complete.

#![cfg(feature = "s3")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stagewright_promotion::{Destination, PromotionError};
use stagewright_services::s3::{Fault, Plan, Server};
use support::{champion, client, expected_keys, observer, promote, server, upload};

/// The result of a promotion that met a fault.
struct Outcome {
    completed: bool,
    requests: u64,
}

/// Promotes version 2 over champion 1 with the faults of a plan, checks that production is complete
/// all the time, and repairs.
fn walk(plan: Plan) -> Outcome {
    let (server, folder) = (server(), tempfile::tempdir().expect("a folder"));
    let (promoter, reader) = (client(&server), observer(&server));
    let (one, two) = (upload(folder.path(), 1), upload(folder.path(), 2));
    promote(&promoter, &one).expect("a champion");

    server.plan(plan);
    let promoted = read_meanwhile(&reader, || promote(&promoter, &two));
    let requests = server.log().iter().map(|entry| entry.number).max().unwrap_or_default();
    let stands = champion(&reader);
    assert!(promoted.is_err() || stands == 2, "{plan:?}: it says that it succeeded, and {stands} stands");
    assert!(stands == 1 || stands == 2, "{plan:?}");

    server.plan(Plan::Faultless);
    promote(&promoter, &two).unwrap_or_else(|error| panic!("{plan:?}: the second attempt: {error}"));
    assert_eq!(champion(&reader), 2, "{plan:?}");
    clean(&server, &reader, &plan);
    reader.load("churn", Some(1)).expect("the version before").verify().expect("whole");
    let keys: Vec<_> = expected_keys(&[one, two]).iter().map(|key| format!("team/churn/{key}")).collect();
    assert_eq!(server.keys(), keys, "{plan:?}");
    assert_eq!(server.unfinished(), Vec::<String>::new(), "{plan:?}");
    Outcome { completed: promoted.is_ok(), requests }
}

/// Reads the champion repeatedly while a promotion runs.
fn read_meanwhile(
    reader: &Destination,
    promotion: impl FnOnce() -> Result<(), PromotionError>,
) -> Result<(), PromotionError> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut before = 1;
            while !over.load(Ordering::Relaxed) {
                let now = champion(reader);
                assert!(now >= before && now <= 2, "{now} after {before}");
                before = now;
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let promoted = promotion();
        over.store(true, Ordering::Relaxed);
        reading.join().expect("a reader that always found a champion");
        promoted
    })
}

/// Removes what remains, and checks that none of it was needed.
fn clean(server: &Server, reader: &Destination, plan: &Plan) {
    server.age(Duration::from_secs(7200));
    let garbage = reader.garbage(Duration::from_secs(3600), &|_| false).expect("a list");
    let removed = reader.remove(&garbage, &|_| false).expect("removed");
    assert_eq!((removed.count, removed.kept), (garbage.len(), 0), "{plan:?}");
    assert_eq!(reader.garbage(Duration::ZERO, &|_| false).expect("a list"), [], "{plan:?}");
}

/// Returns how many requests a promotion without faults makes.
fn requests() -> u64 {
    let outcome = walk(Plan::Faultless);
    assert!(outcome.completed && outcome.requests > 20, "{}", outcome.requests);
    outcome.requests
}

/// Runs all plans of a kind, two at once.
fn walk_all(plan: impl Fn(u64) -> Plan + Sync) -> Vec<Outcome> {
    let last = requests() + 1;
    let half = |start: u64| (start..=last).step_by(2).map(|at| walk(plan(at))).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| half(2));
        let mut outcomes = half(1);
        outcomes.extend(other.join().expect("no panic"));
        outcomes
    })
}

/// A fault at one request is retried: the promotion completes.
fn passes(fault: Fault) {
    let outcomes = walk_all(|at| Plan::At(at, fault));
    let failed = outcomes.iter().filter(|it| !it.completed).count();
    assert_eq!(failed, 0, "of {} promotions", outcomes.len());
}

/// Every request fails from one on: the promotion fails, unless none was left.
fn stops(fault: Fault) {
    let outcomes = walk_all(|from| Plan::From(from, fault));
    let completed = outcomes.iter().filter(|it| it.completed).count();
    assert!(completed <= 3, "{completed} of {} promotions completed", outcomes.len());
}

#[test]
fn an_error_500_at_any_request_is_survived() {
    passes(Fault::Error500);
}

// invariant: A fault at any S3 request is retried with success, or leaves production complete.
#[test]
fn an_error_500_after_the_deed_at_any_request_is_survived() {
    passes(Fault::Error500After);
}

#[test]
fn a_store_that_asks_to_slow_down_at_any_request_is_survived() {
    passes(Fault::SlowDown);
}

#[test]
fn a_time_out_at_any_request_is_survived() {
    passes(Fault::TimeOut);
}

#[test]
fn a_connection_cut_before_any_request_is_carried_out_is_survived() {
    passes(Fault::Cut);
}

#[test]
fn a_connection_cut_after_any_request_was_carried_out_is_survived() {
    passes(Fault::CutAfter);
}

#[test]
fn a_slow_reply_to_any_request_is_survived() {
    passes(Fault::Slow);
}

// invariant: Bytes that were stored or read wrongly never reach production.
#[test]
fn bytes_that_are_stored_or_read_wrongly_at_any_request_never_reach_production() {
    // What the store damaged is removed and reported. The promotion is right to fail.
    let outcomes = walk_all(|at| Plan::At(at, Fault::LyingChecksum));
    assert!(outcomes.iter().any(|it| !it.completed) && outcomes.iter().any(|it| it.completed));
}

// invariant: as `an_error_500_after_the_deed_at_any_request_is_survived`
#[test]
fn a_store_that_fails_from_any_request_on_leaves_production_whole() {
    stops(Fault::Error500);
}

#[test]
fn a_store_that_carries_requests_out_and_fails_to_reply_leaves_production_whole() {
    stops(Fault::CutAfter);
}

#[test]
fn a_network_that_is_gone_from_any_request_on_leaves_production_whole() {
    stops(Fault::Cut);
}
