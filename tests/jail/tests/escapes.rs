//! Native code behind the walls tries what a wall must stop. An attempt gains nothing, its end has
//! a name, and the parent survives.
#![cfg(target_os = "linux")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use common::{command, generous, run};
use stagewright_jail::{Ending, TimeBudget, Walls, Why};
use stagewright_jail_tests::attempts::{self, Attempt, Expected};
use stagewright_jail_tests::restoring::RESTORING;

/// Returns short times, since some attempts must reach their limit. An honest child needs some
/// milliseconds.
fn tight() -> Arc<TimeBudget> {
    Arc::new(TimeBudget::new(Duration::from_millis(300), Duration::from_secs(120)))
}

/// Returns times for attempts that only wait.
fn short() -> Arc<TimeBudget> {
    Arc::new(TimeBudget::new(Duration::from_secs(30), Duration::from_millis(700)))
}

fn attempt(attempt: &Attempt, before: &str, required: Walls) -> (Vec<String>, Ending) {
    let task = format!("{before}{}", attempt.name);
    let restores = before == RESTORING;
    let waits = attempt.expected == Expected::Limit(stagewright_jail::Limit::Wall);
    let mut command = command(&task, if waits { short() } else { tight() });
    command.required = required;
    command.restores = restores;
    run(&command)
}

/// Returns the expected result of an attempt in a child whose task begins with `before`.
fn expected(attempt: &Attempt, before: &str) -> Expected {
    // The signal by which a child restores its memory is blocked too, so its next write ends it.
    if before == RESTORING && attempt.name.starts_with("every signal blocked") {
        return Expected::Signal(libc::SIGSEGV);
    }
    attempt.expected
}

/// Returns why an attempt missed its expected result, if it did.
fn wrong(expected: &Expected, said: &[String], ending: &Ending) -> Option<String> {
    let silent = said.is_empty();
    let right = match (expected, &ending.why) {
        (Expected::Refused(number), Why::Refused(Some(call))) => silent && number == call,
        (Expected::RefusedUnnamed, Why::Refused(None)) => silent,
        (Expected::Fails, Why::Exited(0)) => said.iter().all(|said| said.starts_with("error")) && said.len() == 1,
        (Expected::Harmless, Why::Exited(0)) => said.len() == 1,
        (Expected::Signal(signal), Why::Signal(got)) => silent && signal == got,
        (Expected::Exits(code), Why::Exited(got)) => silent && code == got,
        (Expected::Forged(words), Why::Forged(fault)) => silent && fault.to_string().contains(words),
        (Expected::Limit(limit), Why::Limit { limit: got, used, allowed }) => silent && limit == got && used >= allowed,
        (Expected::Ends, _) => true,
        _ => false,
    };
    let some = &said[..said.len().min(3)];
    (!right).then(|| format!("expected {expected:?}, got `{}` and said {some:?}", ending.why))
}

// invariant: Native code behind the outer wall gains no access. Files, sockets and other processes
// stay out of reach even without the system call filter.
#[test]
fn nothing_that_native_code_tries_behind_the_walls_gains_anything() {
    tried_behind_all_walls("");
}

// invariant: as `nothing_that_native_code_tries_behind_the_walls_gains_anything`
#[test]
fn a_child_that_restores_its_memory_can_do_no_more_than_others() {
    tried_behind_all_walls(RESTORING);
}

/// Lets a child try everything, in the way that the task begins with.
fn tried_behind_all_walls(before: &str) {
    let all = attempts::all();
    let names: BTreeSet<_> = all.iter().map(|attempt| attempt.name).collect();
    assert_eq!(names.len(), all.len(), "names are used once");
    let mut wrongs = Vec::new();
    for one in &all {
        let (said, ending) = attempt(one, before, Walls::ALL);
        assert_eq!(ending.walls, Some(Walls::ALL), "{}: {}", one.name, ending.stderr);
        wrongs.extend(wrong(&expected(one, before), &said, &ending).map(|wrong| format!("{}: {wrong}", one.name)));
        assert!(
            !ending.stderr.chars().any(|letter| letter.is_control() && letter != '\n'),
            "{}: {:?}",
            one.name,
            ending.stderr
        );
    }
    // The parent survives and serves an honest child.
    let (said, ending) = run(&command("allowed calls", generous()));
    assert_eq!((said.len(), &ending.why), (1, &Why::Exited(0)), "{said:?} {}", ending.stderr);
    assert!(wrongs.is_empty(), "{} of {}:\n{}", wrongs.len(), all.len(), wrongs.join("\n"));
    assert!(!std::path::Path::new("/tmp/escaped").exists());
    println!("{} attempts behind all walls, none gained anything", all.len());
}

// invariant: as `nothing_that_native_code_tries_behind_the_walls_gains_anything`
#[test]
fn without_the_filter_the_other_walls_still_refuse_files_sockets_and_other_processes() {
    let all: Vec<_> = attempts::all().into_iter().filter(|attempt| attempt.fails_anyway).collect();
    let mut wrongs = Vec::new();
    for one in &all {
        let (said, ending) = attempt(one, "without seccomp;", Walls::NONE);
        assert_eq!(ending.walls, Some(Walls::LANDLOCK | Walls::RLIMITS), "{}: {}", one.name, ending.stderr);
        if !matches!(&said[..], [said] if said.starts_with("error")) || ending.why != Why::Exited(0) {
            wrongs.push(format!("{}: got `{}` and said {said:?}", one.name, ending.why));
        }
    }
    assert!(wrongs.is_empty(), "{} of {}:\n{}", wrongs.len(), all.len(), wrongs.join("\n"));
    println!("{} attempts without the filter, none gained anything", all.len());
}
