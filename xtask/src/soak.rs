//! Runs a server under load for minutes. It takes too long for `cargo xtask test`.

use crate::build::{self, Guests};
use crate::steps::{Result, run};
use crate::workspace::cargo;

/// The test (tests/end-to-end/tests/soak).
pub(crate) const TEST: &str = "a_server_answers_every_request_for_minutes_whatever_happens_around_it";

/// Its default length.
const MINUTES: u64 = 10;

/// Builds everything and runs the test.
pub(crate) fn soak(arguments: &[String]) -> Result<()> {
    let minutes = match arguments {
        [] => MINUTES,
        [option, number] if option == "--minutes" => number.parse().map_err(|_| "--minutes takes a number")?,
        _ => return Err("usage: cargo xtask soak [--minutes N]".into()),
    };
    let built = build::everything(Guests::With)?;
    run(cargo()
        .args(["test", "--release", "--workspace", "--test", "soak", "--", "--ignored", "--nocapture", TEST])
        .env("STAGEWRIGHT_SOAK_SECONDS", (60 * minutes).to_string())
        .envs([("STAGEWRIGHT_BIN", &built.binary), ("STAGEWRIGHT_GUESTS", &built.guests)]))
}
