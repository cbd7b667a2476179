//! Threads that tell hooks of changes as they come.

use std::sync::Arc;
use std::time::{Duration, Instant};

use stagewright_hooks::HookFollower;

use crate::place::{Place, hooks};
use crate::receiver::{BUSY, Receiver, TAKEN};

/// Waits until a server was told of so many events.
fn wait_for(receiver: &Receiver, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while receiver.received().len() < count {
        assert!(Instant::now() < deadline, "{:?}", receiver.received());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_program_that_stays_tells_of_changes_as_they_come_and_tries_again() {
    let place = Place::new();
    place.promote("churn");
    let receiver = Receiver::start(|before| if before == 1 { BUSY } else { TAKEN });
    let opened = place.registry.clone();
    let follower = HookFollower::start(&hooks(&receiver.hook("ci", "")), Arc::new(move || Ok(opened.clone())));
    let follower = follower.expect("threads");
    // It begins today, which the registry knows once the thread has begun.
    let deadline = Instant::now() + Duration::from_secs(60);
    while place.registry.hooks().expect("hooks").is_empty() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    place.promote("churn");
    wait_for(&receiver, 1);
    place.promote("churn");
    wait_for(&receiver, 3);
    assert_eq!(receiver.versions(), [2, 3, 3]);
    drop(follower);
    place.promote("churn");
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(receiver.versions(), [2, 3, 3], "it has ended");
}
