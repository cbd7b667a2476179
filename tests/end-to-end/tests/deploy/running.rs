//! A server that serves a champion, with tokens, as `deploy/` would start it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use stagewright_end_to_end::Place;
use stagewright_end_to_end::serving::Serving;

use crate::files::repository;

/// A token for predictions and metrics.
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A running server with its home.
pub(crate) struct Running {
    pub(crate) server: Serving,
    place: Place,
}

impl Running {
    /// Trains a champion and serves it.
    pub(crate) fn start() -> Self {
        let place = Place::new();
        let gates = ["--set", "gates.minimum.roc_auc=0.5", "--set", "gates.minimum.accuracy=0.5"];
        place.churn(1500, &gates).expect(0);
        let customers = place.path().join("customers.csv").display().to_string();
        place.run(&["artifacts", "export", "ingestion.table", "--output", &customers]).expect(0);
        place.write("tokens", format!("{TOKEN} predict,metrics\n"));
        let settings = "[server]\ntokens-file = \"tokens\"\n\n[models.churn-classifier]\nworkers = 1\n";
        let settings = place.write("serving.toml", settings).display().to_string();
        let server = Serving::start(&place, &["--config", &settings]);
        Self { server, place }
    }

    /// Writes a file with the token, for programs that read it.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.place.write("token", TOKEN)
    }

    /// Asks for a page with the token. Returns status and text.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let bearer = bearer();
        let reply = self.server.ask("GET", path, &[bearer.as_str()], b"");
        (reply.status, reply.text().to_owned())
    }

    /// Asks for predictions of one row, as often as this.
    pub(crate) fn predict(&self, times: usize) {
        let text = fs::read_to_string(self.place.path().join("customers.csv")).expect("customers");
        // The last column is the target.
        let without_target = |line: &str| format!("{}\n", line.rsplit_once(',').expect("several columns").0);
        let rows: String = text.lines().take(2).map(without_target).collect();
        let bearer = bearer();
        for _ in 0..times {
            let headers = [bearer.as_str(), "Content-Type: text/csv"];
            let reply = self.server.ask("POST", "/predict", &headers, rows.as_bytes());
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
    }

    /// Runs a script of the repository against the server. Returns whether it succeeds, and its
    /// output.
    pub(crate) fn script(&self, script: &str) -> (bool, String) {
        let mut command = Command::new("sh");
        command.arg(repository().join(script)).arg(&self.server.url).env("TOKEN", TOKEN);
        let output = command.output().expect("a shell");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }
}

fn bearer() -> String {
    format!("Authorization: Bearer {TOKEN}")
}
