//! A child that restores its memory after each question remembers nothing.
#![cfg(target_os = "linux")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{command, generous, run, serve};
use stagewright_jail::{Account, Child, Command, Event, Limit, TimeBudget, Walls, Why, spawn};
use stagewright_jail_tests::restoring::{RESTORING, TABLE};
use stagewright_jail_tests::{BULK, SAID};

fn restoring(account: Arc<dyn Account>) -> Command<'static> {
    let mut command = command(RESTORING, account);
    command.restores = true;
    // The heap and the copies of its pages.
    command.memory = 256 << 20;
    command
}

/// Asks a question and returns what the child found of those before.
fn ask(child: &mut Child, question: &str) -> String {
    let mut bytes = Vec::new();
    child.send(BULK, &[question.as_bytes()]).expect("it lives");
    match child.receive(&mut bytes).expect("this thread can wait") {
        Event::Message(SAID) => String::from_utf8(bytes).expect("a text"),
        Event::Message(kind) => panic!("a message of kind {kind}"),
        Event::Ended(ending) => panic!("{question}: {}: {}", ending.why, ending.stderr),
    }
}

/// Questions that change a page, many pages, pages in a row, and more memory than there was.
fn questions() -> Vec<String> {
    let mut all: Vec<_> = (0..40).map(|number| format!("the secret of customer {number}")).collect();
    for kilobytes in [5, 100, 700, 3000, TABLE >> 10, 9] {
        all.push(format!("a row of {kilobytes}"));
    }
    for megabytes in [1, 5, 20, 2] {
        all.push(format!("and more of {megabytes}"));
    }
    all.push("x".repeat(3000));
    all
}

// invariant: A child that restores its memory answers every question as if it were the first:
// nothing that it wrote is left in statics, thread-local values, heap or mappings.
#[test]
fn nothing_of_a_question_is_found_by_the_next() {
    let mut child = spawn(&restoring(generous())).expect("a child");
    let first = ask(&mut child, "the first question");
    assert!(first.starts_with(r#"static 0 [] thread 0 state 1 ["loaded"] ["loaded"] table "#), "{first}");
    assert!(first.contains("behind it nothing"), "{first}");
    for round in 0..30 {
        for question in questions() {
            assert_eq!(ask(&mut child, &question), first, "round {round}, before `{question}`");
        }
    }
    assert_eq!(child.walls(), Some(Walls::ALL));
    child.stop("it has answered");
    assert!(matches!(serve(child).1.why, Why::Stopped(_)));
}

// invariant: as `nothing_of_a_question_is_found_by_the_next`
#[test]
fn without_a_checkpoint_the_same_child_remembers() {
    // The test above can fail: the same code, called again without restoring, finds everything.
    let mut one = command("remembering", generous());
    one.memory = 256 << 20;
    let (mut child, mut found) = (spawn(&one).expect("a child"), Vec::new());
    for number in 0..3 {
        found.push(ask(&mut child, &format!("the secret of customer {number}")));
    }
    assert!(found[2].contains("static 2 [") && found[2].contains("customer 1"), "{}", found[2]);
    assert_ne!(found[1], found[2]);
}

#[test]
fn memory_stays_the_same_over_thousands_of_questions() {
    let mut child = spawn(&restoring(generous())).expect("a child");
    let resident = |child: &Child| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it lives");
        // Without pages of the program's file, which the system drops and reads again as it likes.
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("a line").to_owned();
        line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).expect("a number")
    };
    for question in questions() {
        ask(&mut child, &question);
    }
    let before = resident(&child);
    for number in 0..5000 {
        ask(&mut child, &format!("quick question {number}"));
        if number % 500 == 0 {
            ask(&mut child, "quick, and more of 8");
        }
    }
    let after = resident(&child);
    assert!(after <= before + 1024, "{before} KiB before, {after} KiB after");
}

#[test]
fn a_question_that_never_ends_or_panics_ends_the_child_with_its_reason() {
    let budget = Arc::new(TimeBudget::new(Duration::from_millis(500), Duration::from_secs(120)));
    let mut child = spawn(&restoring(budget)).expect("a child");
    ask(&mut child, "one");
    child.send(BULK, &[b"loop"]).expect("it lives");
    assert!(matches!(serve(child).1.why, Why::Limit { limit: Limit::Cpu, .. }));

    let mut child = spawn(&restoring(generous())).expect("a child");
    ask(&mut child, "one");
    child.send(BULK, &[b"panic, please"]).expect("it lives");
    let (_, ending) = serve(child);
    assert!(matches!(ending.why, Why::Exited(101)) && ending.stderr.contains("as it was told, please"), "{ending:?}");
}

#[test]
fn copies_of_pages_count_as_memory() {
    let mut little = restoring(generous());
    // Enough for the table, too little for copies of all of it.
    little.memory = (TABLE as u64) + (3 << 20);
    let mut child = spawn(&little).expect("a child");
    ask(&mut child, "one");
    child.send(BULK, &[format!("a row of {}", TABLE >> 10).as_bytes()]).expect("it lives");
    let (_, ending) = serve(child);
    assert!(matches!(ending.why, Why::Limit { limit: Limit::Memory, .. }), "{}: {}", ending.why, ending.stderr);
}

#[test]
fn a_child_restores_only_where_its_command_says_so() {
    // The task asks for it, the command does not: the child has no checkpoint.
    let (said, ending) = run(&command(RESTORING, generous()));
    assert_eq!((said.join(""), ending.why), ("no such task".to_owned(), Why::Exited(0)));
}
