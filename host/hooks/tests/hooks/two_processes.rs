//! Two processes that tell the same hook at once.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stagewright_hooks::Patience;
use stagewright_store::Registry;

use crate::place::{Place, hooks};
use crate::receiver::{Receiver, TAKEN};

/// The variable that makes the test below a process that tells hooks: the registry, a line break,
/// the operator's file.
const PART: &str = "STAGEWRIGHT_TEST_HOOKS";

/// The number of events.
const EVENTS: u32 = 20;

// invariant: Of processes at once, one tells a hook, and no event is told twice or out of order.
#[test]
fn of_two_processes_at_once_one_tells_of_each_event() {
    if let Ok(part) = std::env::var(PART) {
        let (registry, file) = part.split_once('\n').expect("two parts");
        let registry = Registry::open(registry).expect("a registry");
        let stop = std::sync::atomic::AtomicBool::new(false);
        let until = Instant::now() + Duration::from_secs(120);
        let reports = hooks(file).deliver(&registry, &Patience { until, is_eager: true, stop: &stop });
        assert!(reports[0].problem.is_none(), "{reports:?}");
        return;
    }
    let place = Place::new();
    let receiver = Receiver::start(|_| TAKEN);
    let file = receiver.hook("ci", "");
    place.hooks(&file);
    for _ in 0..EVENTS {
        place.promote("churn");
    }
    let part = format!("{}\n{file}", place.path().join("registry.db").display());
    let start = |_| {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.args(["--exact", "two_processes::of_two_processes_at_once_one_tells_of_each_event"]).env(PART, &part);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process")
    };
    let children: Vec<_> = (0..2).map(start).collect();
    for child in children {
        let ended = child.wait_with_output().expect("its end");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    let all: Vec<u64> = (1..=EVENTS.into()).collect();
    assert_eq!(receiver.versions(), all);
}
