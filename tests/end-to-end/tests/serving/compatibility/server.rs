//! A server over models that are trained here, and a client.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use stagewright_end_to_end::Place;

/// The customers that mlflow's model was trained on, too.
const CUSTOMERS: &str = include_str!("../../../../compatibility/mlflow/customers.csv");

/// A server that runs until it is dropped.
pub(super) struct Server {
    child: Child,
    pub(super) address: String,
    _place: Place,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) text: String,
}

impl Answer {
    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }
}

impl Server {
    /// Trains `customers`, and `numbers`, whose features are all numbers, and serves both.
    pub(super) fn start() -> Self {
        let place = Place::new();
        place.write("customers.csv", CUSTOMERS);
        let contract = "[components.transform-table.parameters.columns.contract]\nunseen = \"ignore\"\n";
        train(&place, "customers", "contract = \"utf8\"\n", contract);
        train(&place, "numbers", "", "");
        let mut command = place.command(&["serve", "customers", "numbers", "--port", "0"]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
        let mut address = String::new();
        let output = child.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut address).expect("a line");
        assert!(address.starts_with("http"), "the server says {address:?}");
        Self { child, address: address.trim().to_owned(), _place: place }
    }

    pub(super) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, None, None)
    }

    /// Posts JSON.
    pub(super) fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, Some("application/json"), Some(&body.to_string()))
    }

    pub(super) fn ask(&self, method: &str, path: &str, content_type: Option<&str>, body: Option<&str>) -> Answer {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .into();
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.address));
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let request = request.body(body.unwrap_or_default().as_bytes().to_vec()).expect("a request");
        let mut answer = agent.run(request).expect("an answer");
        let content_type = answer.headers().get("content-type").map_or("", |value| value.to_str().expect("text"));
        Answer {
            status: answer.status().as_u16(),
            content_type: content_type.to_owned(),
            text: answer.body_mut().read_to_string().expect("text"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn train(place: &Place, model: &str, fields: &str, parameters: &str) {
    let manifest = format!(
        "pipeline = \"{model}\"\nexperiment = \"tests\"\nmodel = \"{model}\"\nseed = 1\n\
        [task]\nkind = \"binary\"\ntarget = \"churn\"\npositive = \"Yes\"\n\
        [sources.customers]\nuri = \"csv:customers.csv\"\n\
        [signature]\nextra-columns = \"ignore\"\n[signature.fields]\nid = {{ type = \"utf8\", role = \"identifier\" }}\ntenure = \"int64\"\n\
        charges = {{ type = \"float64\", nullable = true }}\n{fields}churn = {{ type = \"utf8\", role = \"target\" }}\n\
        [split]\nmethod = \"stratified\"\ntest = 0.2\nvalidation = 0.0\n\
        [stages.ingestion]\ncomponent = \"ingest-table\"\nsource = \"customers\"\n\
        [stages.validation]\ncomponent = \"validate-table\"\n\
        [stages.transformation]\ncomponent = \"transform-table\"\n\
        [stages.training]\ncomponent = \"train-logistic\"\n\
        [stages.evaluation]\ncomponent = \"evaluate-classifier\"\n\
        [stages.promotion]\ncomponent = \"promote-gated\"\n\
        [gates]\nprimary = \"roc_auc\"\n{parameters}"
    );
    let manifest = place.write(&format!("{model}.toml"), manifest).display().to_string();
    place.run(&["run", &manifest]).expect(0);
}

/// Returns a command of a script of `tests/fixtures/serving` in the Python of the tests.
pub(super) fn script(name: &str) -> Command {
    let program = std::env::var_os("STAGEWRIGHT_PYTHON").map(PathBuf::from);
    let mut command =
        Command::new(program.expect("STAGEWRIGHT_PYTHON names a Python with tests/end-to-end/requirements.txt"));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/serving").join(name));
    command
}

/// Runs a script with the address of the server, and returns its output.
#[track_caller]
pub(super) fn run(name: &str, server: &Server) -> String {
    let ended = script(name).arg(&server.address).output().expect("an interpreter");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(ended.status.success(), "{name}:\n{}\n{}", text(&ended.stdout), text(&ended.stderr));
    text(&ended.stdout)
}
