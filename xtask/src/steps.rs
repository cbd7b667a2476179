//! Runs other programs and measures how long each step takes.

use std::process::Command;
use std::time::{Duration, Instant};

/// The result of a command; the error is a message for the user.
pub(crate) type Result<T> = std::result::Result<T, String>;

/// Steps with their durations.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<(String, Duration)>,
}

impl Steps {
    /// Runs one step and records how long it took.
    pub(crate) fn step<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("==> {name}");
        let start = Instant::now();
        let result = work();
        self.done.push((name.to_owned(), start.elapsed()));
        result.map_err(|message| format!("{name} failed: {message}"))
    }

    /// Prints the steps, slowest first.
    pub(crate) fn report(&self) {
        let mut done = self.done.clone();
        done.sort_by_key(|(_, duration)| std::cmp::Reverse(*duration));
        eprintln!("\nslowest parts:");
        for (name, duration) in done.iter().take(10) {
            eprintln!("  {:>7.1} s  {name}", duration.as_secs_f64());
        }
    }
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let status = command.status().map_err(|error| format!("cannot start {shown}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{shown} ended with {status}")) }
}

/// Runs a program and returns what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start {shown}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{shown} ended with {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("{shown} printed no text: {error}"))
}
