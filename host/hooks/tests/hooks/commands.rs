//! Telling programs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::place::{Place, reason};

/// Returns a hook that runs a script in the shell.
fn script(place: &Place, text: &str, more: &str) -> String {
    let file = place.path().join("script.sh");
    std::fs::write(&file, text).expect("a file");
    format!("[hooks.sh]\ncommand = [\"/bin/sh\", \"{}\", \"{}\"]\n{more}\n", file.display(), place.path().display())
}

fn text(path: PathBuf) -> String {
    std::fs::read_to_string(path).expect("a file")
}

// invariant: A command of a hook sees the event, and of the environment only what the operator
// named.
#[test]
fn a_program_gets_the_event_and_the_variables_that_the_operator_names() {
    let place = Place::new();
    let hook = script(
        &place,
        "cat > \"$1/event\"; env > \"$1/env\"; pwd > \"$1/pwd\"",
        "env = [\"PATH\", \"SEEN\", \"ABSENT\"]",
    );
    let hooks = place.hooks(&hook);
    place.promote("churn");
    let report = place.deliver(&hooks, 0).remove(0);
    assert_eq!(report.delivered, ["promoted churn/1"], "{report:?}");
    let event: Value = serde_json::from_str(&text(place.path().join("event"))).expect("JSON");
    assert_eq!((&event["model"], &event["version"]), (&"churn".into(), &1.into()));
    let environment = text(place.path().join("env"));
    let mut names: Vec<&str> = environment.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    // The shell itself sets the last two.
    names.retain(|name| !["PWD", "_", "OLDPWD", "SHLVL"].contains(name));
    names.sort_unstable();
    assert_eq!(names, ["PATH", "SEEN", "STAGEWRIGHT_EVENT_ID"]);
    assert!(environment.contains(event["id"].as_str().expect("an id")));
    assert_eq!(text(place.path().join("pwd")).trim(), "/");
}

// invariant: A command of a hook gets no descriptor that this process was started with.
#[test]
fn a_program_gets_no_descriptor_of_this_process() {
    let place = Place::new();
    let secret = place.path().join("secret");
    std::fs::write(&secret, "nobody may see this").expect("a file");
    let opened = std::fs::File::open(&secret).expect("a file");
    // As a program that started this one might have left it.
    let inherited = rustix::io::dup(&opened).expect("a descriptor");
    let number = std::os::fd::AsRawFd::as_raw_fd(&inherited);
    let reads = format!("cat /proc/self/fd/{number} > \"$1/seen\" 2>/dev/null; exit 0");
    let hooks = place.hooks(&script(&place, &reads, "env = [\"PATH\"]"));
    place.promote("churn");
    let report = place.deliver(&hooks, 0).remove(0);
    assert_eq!(report.delivered.len(), 1, "{report:?}");
    assert_eq!(text(place.path().join("seen")), "");
}

#[test]
fn a_program_that_fails_is_told_again_and_its_output_is_cut_and_escaped() {
    let place = Place::new();
    let failing = "printf 'no \\033[2J way\\n' >&2; head -c 1000000 /dev/zero | tr '\\0' x; exit 3";
    let hooks = place.hooks(&script(&place, failing, "env = [\"PATH\"]"));
    place.promote("churn");
    let report = place.deliver(&hooks, 0).remove(0);
    let reason = reason(&report);
    assert!(reason.starts_with("/bin/sh ended with exit code 3: no \\u{1b}[2J way\\nxxx"), "{reason}");
    assert!(reason.len() < 500, "{}", reason.len());
    assert_eq!(place.progress("sh").failures, 1);
    place.hooks(&script(&place, "exit 0", ""));
    assert_eq!(place.deliver(&hooks, 0)[0].delivered.len(), 1);
}

/// Returns whether a process lives, and is no zombie.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

// invariant: A command of a hook and what it started end with its time.
#[test]
fn a_program_that_takes_too_long_ends_with_all_that_it_started() {
    let place = Place::new();
    let slow = "sleep 1000 & echo $! > \"$1/child\"; echo $$ > \"$1/shell\"; sleep 1000";
    let hooks = place.hooks(&script(&place, slow, "env = [\"PATH\"]\ntimeout = \"1 s\""));
    place.promote("churn");
    let begun = Instant::now();
    let report = place.deliver(&hooks, 0).remove(0);
    assert_eq!(reason(&report), "/bin/sh was ended after 1s");
    assert!(begun.elapsed() < Duration::from_secs(60), "patience of a busy machine");
    for name in ["child", "shell"] {
        let pid = text(place.path().join(name));
        let deadline = Instant::now() + Duration::from_secs(30);
        while lives(pid.trim()) {
            assert!(Instant::now() < deadline, "{name} {pid} lives on");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_program_that_is_not_there_is_left_to_a_process_that_has_it() {
    let place = Place::new();
    let hooks = place.hooks("[hooks.sh]\ncommand = [\"/nowhere/redeploy\"]\n");
    place.promote("churn");
    let report = place.deliver(&hooks, 0).remove(0);
    let problem = report.problem.expect("a problem").to_string();
    assert!(problem.starts_with("/nowhere/redeploy cannot be run: No such file"), "{problem}");
    assert_eq!(place.progress("sh").failures, 0);
}
