//! A parent for tests.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stagewright_jail::{Account, Child, Command, Ending, Event, Rules, TimeBudget, spawn};
use stagewright_jail_tests::attempts::{BYTES, MESSAGES};
use stagewright_jail_tests::{ECHO, SAID, VERSION, longest};

/// Returns the child's program.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_prisoner"))
}

/// The rules of the tests' parent.
pub(crate) const RULES: Rules = Rules { longest, messages: MESSAGES, bytes: BYTES };

/// Returns times that no honest child reaches on a busy machine.
pub(crate) fn generous() -> Arc<TimeBudget> {
    Arc::new(TimeBudget::new(Duration::from_secs(30), Duration::from_secs(120)))
}

/// Returns the command of a child with a task and all walls.
pub(crate) fn command<'a>(task: &'a str, account: Arc<dyn Account>) -> Command<'a> {
    let mut command = Command::new(program(), VERSION, account, RULES);
    command.task = task.as_bytes();
    command
}

/// Answers a child until it ends: sends back echoes and collects results.
pub(crate) fn serve(mut child: Child) -> (Vec<String>, Ending) {
    let (mut said, mut bytes) = (Vec::new(), Vec::new());
    loop {
        match child.receive(&mut bytes).expect("this thread can wait") {
            Event::Message(SAID) => said.push(String::from_utf8_lossy(&bytes).into_owned()),
            Event::Message(ECHO) => drop(child.send(ECHO, &[&bytes])),
            Event::Message(_) => {}
            Event::Ended(ending) => return (said, *ending),
        }
    }
}

/// Starts a child and serves it.
pub(crate) fn run(command: &Command<'_>) -> (Vec<String>, Ending) {
    serve(spawn(command).expect("a child"))
}
