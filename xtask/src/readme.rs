//! Runs the commands by which README.md leads from a clean clone to a served prediction.
//!
//! tests/end-to-end/tests/documents.rs runs the other commands. It cannot run these, since the
//! first one builds the program that it tests.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use crate::steps::{Result, output};
use crate::workspace::{as_typed, root, target};

/// The beginning of the paragraph before the commands.
const PARAGRAPH: &str = "**Serve.**";

/// More commands are too many for a first look.
const MOST_COMMANDS: usize = 4;

/// The port that the commands use.
const PORT: &str = "8000";

/// Stops the server, whatever becomes of the other commands.
const PROLOGUE: &str = "set -eu\ntrap '[ -z \"${!:-}\" ] || kill $!' EXIT\n";

/// Runs the commands, and checks that the last one prints predictions.
pub(crate) fn served_prediction() -> Result<()> {
    let text =
        fs::read_to_string(root().join("README.md")).map_err(|error| format!("cannot read README.md: {error}"))?;
    let block = text.split_once(PARAGRAPH).and_then(|(_, rest)| rest.split_once("```sh,ignore\n")?.1.split_once("```"));
    let (block, _) = block.ok_or_else(|| format!("README.md has no commands after {PARAGRAPH}"))?;
    let commands: Vec<&str> = block.lines().collect();
    if commands.len() > MOST_COMMANDS {
        return Err(format!("README.md needs {} commands for a prediction, more than {MOST_COMMANDS}", commands.len()));
    }
    let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    let port = port.map_err(|error| format!("cannot find a port: {error}"))?.port();
    let script: Vec<String> = commands.iter().map(|command| here(command, port)).collect();
    let script = script.join("\n");
    let mut shell = Command::new("sh");
    as_typed(&mut shell).current_dir(root()).args(["-c", &format!("{PROLOGUE}{script}")]);
    let printed = output(&mut shell)?;
    let answer = printed.lines().find(|line| line.contains("\"predictions\""));
    let count = answer.map_or(0, |line| line.matches("\"probability\"").count());
    if count == 0 {
        return Err(format!("the commands of README.md print no prediction:\n{script}\n{printed}"));
    }
    println!("README.md leads to {count} predictions by {} commands", commands.len());
    Ok(())
}

/// Returns a command for this machine: its port may be taken, and its target folder elsewhere.
fn here(command: &str, port: u16) -> String {
    let serve = " serve churn-classifier";
    let command = command.replace(serve, &format!("{serve} --port {port}")).replace(PORT, &port.to_string());
    command.replace("target/", &format!("{}/", target().display()))
}
