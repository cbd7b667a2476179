//! The pages of runs and experiments, as a person works them in a browser.

use std::process::Command;

use stagewright_end_to_end::{Ended, Place};

use super::server::Server;

// invariant: The pages work in a browser, in light and dark, with pointer and keyboard, and nothing
// of them breaks their policy.
#[test]
#[ignore = "needs Chromium and selenium: STAGEWRIGHT_PYTHON names a Python that has it"]
fn runs_are_searched_compared_opened_and_followed_in_a_browser() {
    let place = Place::new();
    place.churn(1500, &["--set", "training.component=train-logistic"]);
    let server = Server::start(&place);
    let python = std::env::var_os("STAGEWRIGHT_PYTHON").expect("STAGEWRIGHT_PYTHON is set");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/pages/try_runs.py");
    let mut command = Command::new(python);
    command.arg(script).arg(&server.address).env("PYTHONDONTWRITEBYTECODE", "1");
    // For people who want to look: a folder for screenshots.
    command.args(std::env::var_os("STAGEWRIGHT_SCREENSHOTS"));
    Ended::of(command).expect(0);
}
