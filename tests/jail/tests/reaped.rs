//! Nothing is left of a child that ended. This is a program of its own, because it looks at all
//! children of its process.
#![cfg(target_os = "linux")]

mod common;

use std::time::{Duration, Instant};

use common::{command, generous, run};
use rustix::process::{WaitId, WaitIdOptions, waitid};

// invariant: as `a_child_ends_with_its_parent`
#[test]
fn no_process_and_no_descriptor_is_left_of_children_that_ended() {
    let open = || std::fs::read_dir("/proc/self/fd").expect("a list").count();
    // The watching thread stays, with its open descriptors.
    run(&command("time", generous()));
    let before = open();
    for task in
        ["time", "a panic", "a write to nowhere", "openat", "an end in the middle of a message", "half a report"]
    {
        for _ in 0..5 {
            run(&command(task, generous()));
        }
    }
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    assert_eq!(waitid(WaitId::All, options).err(), Some(rustix::io::Errno::CHILD), "no child is left");
    // The thread closes them a moment after it reported the end.
    let begin = Instant::now();
    while open() > before {
        assert!(begin.elapsed() < Duration::from_secs(60), "{} descriptors, of which {before} were there", open());
        std::thread::sleep(Duration::from_millis(5));
    }
}
