//! A server that serves a champion, with tokens, as `deploy/` would start it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use stagewright_end_to_end::Place;

/// The token for predictions, which may also read metrics.
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A running server. It is ended with this value.
pub(crate) struct Running {
    server: Child,
    /// The address: `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    place: Place,
}

impl Running {
    /// Trains a champion and serves it.
    pub(crate) fn start() -> Self {
        let place = Place::new();
        place.churn(1500, &[]).expect(0);
        place.write("tokens", format!("{TOKEN} predict,metrics\n"));
        let settings =
            place.write("serving.toml", "[server]\ntokens-file = \"tokens\"\n[models.churn-classifier]\nworkers = 1\n");
        let settings = settings.to_str().expect("UTF-8");
        let mut command = place.command(&["serve", "--config", settings, "--port", "0"]);
        let mut server = command.stdout(Stdio::piped()).spawn().expect("the server starts");
        let mut url = String::new();
        BufReader::new(server.stdout.take().expect("its output")).read_line(&mut url).expect("its address");
        let url = url.trim().to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "`{url}` is no address");
        Self { server, url, place }
    }

    /// The file with the token, for programs that read it.
    pub(crate) fn token_file(&self) -> std::path::PathBuf {
        let path = self.place.path().join("token");
        fs::write(&path, TOKEN).expect("a file");
        path
    }

    /// Asks for a page with the token. Returns code and text.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        get(&format!("{}{path}", self.url), Some(TOKEN))
    }

    /// Asks for a page without a token. Returns its code.
    pub(crate) fn probe(&self, path: &str) -> u16 {
        get(&format!("{}{path}", self.url), None).0
    }

    /// Asks for predictions of one row, as often as this.
    pub(crate) fn predict(&self, times: usize) {
        let row = self.row();
        for _ in 0..times {
            let answer = agent()
                .post(format!("{}/predict", self.url))
                .header("authorization", format!("Bearer {TOKEN}"))
                .header("content-type", "text/csv")
                .send(&row)
                .expect("an answer");
            assert_eq!(answer.status(), 200);
        }
    }

    /// A row of the generated customers with its header, as CSV.
    fn row(&self) -> String {
        let path = self.place.path().join("customers.csv");
        if !path.exists() {
            let path = path.to_str().expect("UTF-8");
            self.place.run(&["artifacts", "export", "ingestion.table", "--output", path]).expect(0);
        }
        let text = fs::read_to_string(path).expect("customers");
        let mut lines = text.lines().map(|line| line.rsplit_once(',').expect("a target at the end").0);
        format!("{}\n{}\n", lines.next().expect("a header"), lines.next().expect("a customer"))
    }

    /// Runs a script of `deploy/` against the server. Returns whether it succeeds, and its output.
    pub(crate) fn script(&self, script: &str) -> (bool, String) {
        let mut command = Command::new("sh");
        command.arg(crate::files::repository().join(script)).arg(&self.url).env("TOKEN", TOKEN);
        let output = command.output().expect("a shell");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .proxy(None)
        .build();
    config.into()
}

/// Asks for a page. Returns code and text.
pub(crate) fn get(url: &str, token: Option<&str>) -> (u16, String) {
    let mut request = agent().get(url);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let mut answer = request.call().unwrap_or_else(|error| panic!("{url}: {error}"));
    (answer.status().as_u16(), answer.body_mut().read_to_string().expect("text"))
}
