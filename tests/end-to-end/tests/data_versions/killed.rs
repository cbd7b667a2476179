#![cfg(target_os = "linux")]
//! Pushes and pulls that are killed before a file operation. What others see is whole, and the
//! command that is repeated completes it.
//!
//! Every third operation is tried; `STAGEWRIGHT_FAULTS=all` tries all.

use std::fs;
use std::path::Path;

use stagewright_end_to_end::Place;
use stagewright_end_to_end::faults::{self, Fault};

use crate::{CUSTOMERS, MORE_CUSTOMERS, add, artifacts, text};

/// Returns the numbers of the operations to disturb, of those that a command does below a folder.
fn points(log: &Path) -> Vec<usize> {
    let step = if std::env::var("STAGEWRIGHT_FAULTS").is_ok_and(|all| all == "all") { 1 } else { 3 };
    let operations = faults::operations(log);
    assert!(operations.len() > 5, "{operations:?}");
    operations.iter().map(|operation| operation.number).step_by(step).collect()
}

// invariant: A push that is killed leaves a remote that is whole, and the next completes it.
#[test]
fn a_push_that_is_killed_is_completed_by_the_next() {
    let (place, remote) = (Place::new(), Place::new());
    let at = remote.path().join("remote");
    let push = ["data", "push", "--remote", &text(&at)].map(str::to_owned);
    let push: Vec<&str> = push.iter().map(String::as_str).collect();
    add(&place, "customers", CUSTOMERS, &[]).expect(0);
    add(&place, "customers", MORE_CUSTOMERS, &[]).expect(0);
    let log = place.path().join("operations");
    let mut counted = place.command(&push);
    faults::count(&mut counted, &at, &log);
    assert!(counted.status().expect("it starts").success());
    for point in points(&log) {
        fs::remove_dir_all(&at).expect("removed");
        let mut killed = place.command(&push);
        faults::count(&mut killed, &at, &log.with_extension("killed"));
        faults::inject(&mut killed, Fault::Kill, point);
        assert!(!killed.status().expect("it starts").success(), "operation {point}");
        // Either nothing is there yet, or everything.
        let reader = Place::new();
        let seen = reader.run(&["data", "pull", "customers", "--all", "--remote", &text(&at)]);
        assert!([0, 2].contains(&seen.code), "operation {point}: {}", seen.stderr);
        place.run(&push).expect(0);
        reader.run(&["data", "pull", "customers", "--all", "--remote", &text(&at)]).expect(0);
        assert_eq!(artifacts(&reader), artifacts(&place), "operation {point}");
    }
}

// invariant: A pull that is killed leaves no version in part, and the next completes it.
#[test]
fn a_pull_that_is_killed_is_completed_by_the_next() {
    let (place, remote, work) = (Place::new(), Place::new(), Place::new());
    add(&place, "customers", MORE_CUSTOMERS, &[]).expect(0);
    place.run(&["data", "push", "--remote", &text(remote.path())]).expect(0);
    let pull = ["data", "pull", "--remote", &text(remote.path())].map(str::to_owned);
    let pull: Vec<&str> = pull.iter().map(String::as_str).collect();
    let log = work.path().join("operations");
    let home = work.path().join("counted");
    let mut counted = work.command_in(&home, &pull);
    faults::count(&mut counted, &home, &log);
    assert!(counted.status().expect("it starts").success());
    let mut kills = 0;
    for point in points(&log) {
        let home = work.path().join(format!("home-{point}"));
        let mut killed = work.command_in(&home, &pull);
        faults::count(&mut killed, &home, &log.with_extension("killed"));
        faults::inject(&mut killed, Fault::Kill, point);
        // How often SQLite writes differs a little from one pull to the next.
        kills += usize::from(!killed.status().expect("it starts").success());
        let reader = Place::new().with_home(&home);
        // A version that is recorded is whole.
        let listed = reader.run(&["data", "list", "customers"]);
        if listed.code == 0 {
            reader.run(&["data", "export", "customers"]).expect(0);
        }
        reader.run(&pull).expect(0);
        assert_eq!(artifacts(&reader), artifacts(&place), "operation {point}");
        let left = fs::read_dir(home.join("cache/data")).map(|entries| entries.count()).unwrap_or_default();
        assert_eq!(left, 0, "operation {point}: a part is left");
        fs::remove_dir_all(&home).expect("removed");
    }
    assert!(kills > points(&log).len() / 2, "{kills} pulls were killed");
}
