//! The watching thread fails. This is a program of its own, because a process has one such thread.
#![cfg(target_os = "linux")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{command, generous, run};
use stagewright_jail::{Account, Spent, Why, spawn};

/// An account that panics once its child works.
struct Broken;

impl Account for Broken {
    fn charge(&self, cpu: Duration) {
        assert!(cpu.is_zero(), "a failure of the caller's own");
    }

    fn cpu(&self) -> Spent {
        Spent { used: Duration::ZERO, allowed: Duration::from_secs(30) }
    }

    fn wall(&self) -> Spent {
        Spent { used: Duration::ZERO, allowed: Duration::from_secs(120) }
    }
}

// invariant: as `a_child_ends_with_its_parent`
#[test]
fn nobody_waits_for_ever_where_the_watching_thread_fails() {
    let (_, ending) = run(&command("spin", Arc::new(Broken)));
    assert_eq!(ending.why, Why::Stopped("the thread that watches it failed".into()));
    assert!(spawn(&command("time", generous())).is_err(), "and nobody starts children any more");
}
